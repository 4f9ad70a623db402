//! How far should a link lead? Here is a set whose questions want one document each, gimme the [`LinkWeights`].
//!
//! Questions on several documents are made of it, see [`hop_questions`](super::hop_questions). The weights are those by
//! which what answers is the likeliest, against all other candidates: the same softmax over scores that the attention
//! is. What is known of a link can only speak for it or against it, as its sign says.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::Deserialize;

use super::{
    EvalError, EvalOptions, Metrics, Prepared,
    hop_questions::{HopQuestion, Library, Made},
    logistic::Scaling,
};
use crate::{
    corpus::{BeirOptions, Split, read_beir},
    ingest::Progress,
    model::{
        Encoder,
        config::{LinkWeights, N_LINK_FEATURES},
    },
    query::{Linked, Question, linked},
    store::Snapshot,
};

/// Whether a feature speaks for a link or against it.
const SIGNS: [f64; N_LINK_FEATURES] = [-1.0, -1.0, -1.0, 1.0, 1.0];
/// Of the questions, one in so many judges.
const JUDGED: usize = 5;
/// Candidates that what answers is compared with, beside those that links lead to.
const COMPARED: usize = 60;
/// Steps of Adam over all questions.
const STEPS: usize = 300;
const RATE: f64 = 0.03;
const DECAYS: [f64; 2] = [0.9, 0.99];

/// A recipe for how far links lead: one TOML file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRecipe {
    pub stage: LinkStage,
    /// A set with training questions, below the data folder.
    pub set: PathBuf,
    /// Questions of each making, at most, drawn by `seed`.
    pub of_each: usize,
    pub seed: u64,
    /// What the set's own questions count, of all.
    pub one_hop: f64,
    /// Score that makes a document e times as likely.
    pub temperature: f64,
    /// What squared weights cost.
    pub penalty: f64,
}

/// What tells this recipe from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkStage {
    Links,
}

impl LinkRecipe {
    /// How the set is read.
    pub fn beir(&self) -> BeirOptions {
        BeirOptions {
            split: Split::Train,
            ..BeirOptions::default()
        }
    }
}

/// What was learned, and how documents rank by it: of the questions that taught nothing, without links and with them.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedLinks {
    pub weights: LinkWeights,
    pub n_questions: usize,
    pub one_hop: [Metrics; 2],
    pub several_hops: [Metrics; 2],
}

/// Learns the weights on the set in `folder`, keeping its index in `index`.
///
/// # Errors
/// When the set cannot be read or ranked.
pub fn learn_links(
    recipe: &LinkRecipe,
    (folder, index): (&Path, &Path),
    encoder: &Encoder,
    progress: Progress,
) -> Result<LearnedLinks, EvalError> {
    let options = EvalOptions {
        beir: recipe.beir(),
        ..EvalOptions::default()
    };
    let set = Prepared::new(folder, index, encoder, &options, progress)?;
    let documents = read_beir(folder, &options.beir)?.documents;
    let mut library = Library::new(&set.snapshot, &documents, recipe.seed);
    let questions = library.questions(set.queries, recipe.of_each);
    let examples: Vec<Example> = questions
        .par_iter()
        .map(|question| Example::new(&set.snapshot, encoder, question))
        .collect::<Result<_, EvalError>>()?;
    let (judging, teaching): (Vec<_>, Vec<_>) = examples
        .into_iter()
        .enumerate()
        .partition(|(at, _)| at % JUDGED == 0);
    let of = |examples: Vec<(usize, Example)>| -> Vec<Example> {
        examples.into_iter().map(|(_, own)| own).collect()
    };
    let (judging, teaching) = (of(judging), of(teaching));
    let weights = fit(&teaching, recipe);
    let judged = |one_hop: bool| {
        let own = judging
            .iter()
            .filter(|own| (own.made == Made::Asked) == one_hop);
        let own: Vec<&Example> = own.collect();
        let without = Metrics::mean(own.iter().map(|own| own.judge(None)));
        [
            without,
            Metrics::mean(own.iter().map(|own| own.judge(Some(&weights)))),
        ]
    };
    Ok(LearnedLinks {
        n_questions: judging.len() + teaching.len(),
        one_hop: judged(true),
        several_hops: judged(false),
        weights,
    })
}

/// A link between two of a question's candidates, by their numbers.
struct Way {
    from: usize,
    to: usize,
    features: [f32; N_LINK_FEATURES],
}

/// A question's candidates, as documents.
struct Example {
    made: Made,
    scores: Vec<f64>,
    answers: Vec<bool>,
    ways: Vec<Way>,
}

impl Example {
    fn new(
        snapshot: &Snapshot,
        encoder: &Encoder,
        question: &HopQuestion,
    ) -> Result<Self, EvalError> {
        let asked = Question::plain(&question.text);
        let Linked { scores, edges } = linked(snapshot, encoder, &asked, &encoder.fusion(true))?;
        let answers = |document: usize| {
            let records = &snapshot.body.documents[document].records;
            records.iter().any(|own| question.gains.contains_key(own))
        };
        let mut candidates: Vec<(usize, f32)> = scores.into_iter().collect();
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let is_linked = |document: usize| edges.iter().any(|own| own.to == document);
        let kept = candidates.into_iter().enumerate();
        let kept = kept.filter(|(rank, (document, _))| {
            *rank < COMPARED || is_linked(*document) || answers(*document)
        });
        let kept: Vec<(usize, f32)> = kept.map(|(_, own)| own).collect();
        let documents = kept.iter().map(|(document, _)| *document).enumerate();
        let numbers: HashMap<usize, usize> = documents.map(|(at, own)| (own, at)).collect();
        let ways = edges.iter().map(|edge| Way {
            from: numbers[&edge.from],
            to: numbers[&edge.to],
            features: edge.features,
        });
        Ok(Self {
            made: question.made,
            ways: ways.collect(),
            scores: kept.iter().map(|(_, score)| f64::from(*score)).collect(),
            answers: kept
                .iter()
                .map(|(document, _)| answers(*document))
                .collect(),
        })
    }

    /// How the documents rank, without links or with them.
    fn judge(&self, weights: Option<&LinkWeights>) -> Metrics {
        let share = |way: &Way| weights.map_or(0.0, |own| f64::from(own.share(&way.features)));
        let mut scores = self.scores.clone();
        for (to, (gain, _)) in self.gains(share) {
            scores[to] += gain;
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let names: Vec<String> = order.iter().map(usize::to_string).collect();
        let ranked: Vec<&str> = names.iter().map(String::as_str).collect();
        let wanted = (0..scores.len()).filter(|own| self.answers[*own]);
        Metrics::of(&ranked, &wanted.map(|own| (own.to_string(), 1)).collect())
    }

    /// What each linked document gains by the way that carries it farthest, and that way's number.
    fn gains(&self, share: impl Fn(&Way) -> f64) -> BTreeMap<usize, (f64, usize)> {
        let mut gains: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for (number, way) in self.ways.iter().enumerate() {
            let gain = share(way) * (self.scores[way.from] - self.scores[way.to]);
            if gain > gains.get(&way.to).map_or(0.0, |best| best.0) {
                gains.insert(way.to, (gain, number));
            }
        }
        gains
    }

    /// Adds the gradient of what answers being unlikely, by weights and bias, times `count`.
    fn descend(&self, head: &Head, temperature: f64, count: f64, gradient: &mut [f64]) {
        let share = |way: &Way| head.share(&way.features);
        let gains = self.gains(share);
        let mut scores = self.scores.clone();
        for (to, (gain, _)) in &gains {
            scores[*to] += gain;
        }
        let best = scores.iter().copied().fold(f64::MIN, f64::max);
        let likely: Vec<f64> = scores
            .iter()
            .map(|score| ((score - best) / temperature).exp())
            .collect();
        let pairs = || likely.iter().zip(&self.answers);
        let others: f64 = pairs().filter(|own| !own.1).map(|own| own.0).sum();
        let n_answers = self.answers.iter().filter(|own| **own).count().max(1) as f64;
        // Each answer is compared with what does not answer, not with the other answers.
        let against: f64 = pairs()
            .filter(|own| *own.1)
            .map(|own| 1.0 / (others + own.0).max(f64::MIN_POSITIVE))
            .sum();
        for (to, (gain, way)) in gains {
            let by_score = match self.answers[to] {
                true => likely[to] / (others + likely[to]).max(f64::MIN_POSITIVE) - 1.0,
                false => likely[to] * against,
            };
            let features = head.scaling.apply(&self.ways[way].features);
            let share = share(&self.ways[way]);
            let by_logit = count * by_score / (n_answers * temperature) * gain * (1.0 - share);
            let inputs = features.iter().chain([&1.0]);
            for (gradient, input) in gradient.iter_mut().zip(inputs) {
                *gradient += by_logit * input;
            }
        }
    }
}

/// Weights of scaled features, and the bias behind them.
struct Head<'a> {
    scaling: &'a Scaling,
    weights: [f64; N_LINK_FEATURES + 1],
}

impl Head<'_> {
    fn share(&self, features: &[f32; N_LINK_FEATURES]) -> f64 {
        let features = self.scaling.apply(features);
        let inputs = features.iter().chain([&1.0]);
        let logit: f64 = self.weights.iter().zip(inputs).map(|(a, b)| a * b).sum();
        1.0 / (1.0 + (-logit).exp())
    }

    /// Weights of the features themselves.
    fn unscaled(&self) -> LinkWeights {
        let mut bias = self.weights[N_LINK_FEATURES];
        let mut weights = [0.0; N_LINK_FEATURES];
        let scaled = self.weights.iter().zip(&self.scaling.0);
        for (own, (weight, [mean, deviation])) in weights.iter_mut().zip(scaled) {
            *own = (weight / deviation) as f32;
            bias -= weight / deviation * mean;
        }
        LinkWeights {
            bias: bias as f32,
            weights,
        }
    }
}

/// Fits the weights; the set's own questions count as the recipe says, the makings of the others the same.
fn fit(examples: &[Example], recipe: &LinkRecipe) -> LinkWeights {
    let mut counts: BTreeMap<Made, f64> = BTreeMap::new();
    for own in examples {
        *counts.entry(own.made).or_default() += 1.0;
    }
    let n_made = counts.keys().filter(|made| **made != Made::Asked).count();
    let share = |made: Made| match made {
        Made::Asked => recipe.one_hop,
        _ => (1.0 - recipe.one_hop) / n_made.max(1) as f64,
    };
    let ways = examples.iter().flat_map(|own| &own.ways);
    let rows: Vec<Vec<f32>> = ways.map(|way| way.features.to_vec()).collect();
    let mut head = Head {
        scaling: &Scaling::of(&rows, N_LINK_FEATURES),
        weights: [0.0; N_LINK_FEATURES + 1],
    };
    let mut moments = [[0.0; 2]; N_LINK_FEATURES + 1];
    for step in 1..=STEPS {
        let mut gradient = [0.0; N_LINK_FEATURES + 1];
        for own in examples {
            let count = share(own.made) / counts[&own.made];
            own.descend(&head, recipe.temperature, count, &mut gradient);
        }
        for at in 0..=N_LINK_FEATURES {
            let sign = SIGNS.get(at);
            let penalty = sign.map_or(0.0, |_| 2.0 * recipe.penalty);
            let slope = gradient[at] + penalty * head.weights[at];
            let mut corrected = |which: usize, value: f64| {
                let decay = DECAYS[which];
                moments[at][which] = decay * moments[at][which] + (1.0 - decay) * value;
                moments[at][which] / (1.0 - decay.powi(step as i32))
            };
            let (first, second) = (corrected(0, slope), corrected(1, slope * slope));
            let moved = head.weights[at] - RATE * first / (second.sqrt() + 1e-12);
            head.weights[at] = sign.map_or(moved, |sign| sign * (sign * moved).max(0.0));
        }
    }
    head.unscaled()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two links of the best document one leads to what answers, and what it leads to answers more of the question.
    #[test]
    fn what_tells_the_right_link_is_learned() {
        let way = |to: usize, added: f32| Way {
            from: 0,
            to,
            features: [1.0, 0.0, 0.5, added, 0.3],
        };
        let example = |made: Made| {
            let is_hop = made == Made::Chain;
            Example {
                made,
                scores: vec![9.0, 6.0, 2.0, 2.0],
                answers: vec![true, !is_hop, is_hop, false],
                ways: vec![way(2, if is_hop { 0.2 } else { 0.0 }), way(3, 0.0)],
            }
        };
        let examples: Vec<Example> = [Made::Chain, Made::Asked].map(example).into();
        let recipe = LinkRecipe {
            stage: LinkStage::Links,
            set: PathBuf::new(),
            of_each: 10,
            seed: 1,
            one_hop: 0.5,
            temperature: 0.8,
            penalty: 1e-4,
        };
        let weights = fit(&examples, &recipe);
        let right = weights.share(&[1.0, 0.0, 0.5, 0.2, 0.3]);
        let wrong = weights.share(&[1.0, 0.0, 0.5, 0.0, 0.3]);
        assert!(right > 0.8 && wrong < 0.4, "{right} {wrong} {weights:?}");
        for own in &examples {
            assert!((own.judge(Some(&weights)).ndcg10 - 1.0).abs() < 1e-9);
        }
    }
}
