//! Stage 2: the joint reader, by passages that the encoder takes for the right one.
//!
//! A question stands before a passage in one row. The reader learns which of a question's rows is right, whether a row
//! is right at all, and where in a right row the answer stands; for that alone it is shown more rows. Some word pieces
//! are hidden from it as it learns, which keeps so few answers from being learned by heart.

use std::{collections::HashMap, ops::Range, path::Path};

use anyhow::Result;
use candle_core::{D, DType, Device, IndexOp, Tensor};
use candle_nn::ops::log_softmax;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    Figures, Start, Task,
    batch::{Batch, BatchQuestion, places},
    learner::{Learner, head_tensors},
    optimiser::{Optimiser, Parameter, learnable},
    recipe::Recipe,
    rows::{self, Group},
};
use crate::model::{
    PassageInput,
    config::{CLS_TOKEN, MASK_TOKEN, SEP_TOKEN},
    f32_trunk::F32Trunk,
    reader::{ReaderHead, reader_row},
    save,
    weights::var_builder,
};

/// What of the loss the other parts count, beside the choice among a question's rows.
const SPAN_SHARE: f64 = 1.0;
const POINTWISE_SHARE: f64 = 0.3;
/// Scores what cannot be, so that nothing is left of it.
const NEVER: f32 = -1e4;
/// The best wrong passages, of which the reader is shown some.
const HARD_NEGATIVES: usize = 14;

/// The reader stage.
pub struct ReaderStage {
    /// Finds hard negatives; it does not learn.
    encoder: Learner,
    trunk: F32Trunk,
    /// `[1, 2 · hidden]` over the states of [CLS] and their mean.
    relevance: Tensor,
    /// `[2, hidden]`: start and end.
    span: Tensor,
    n_negatives: usize,
    /// Share of the word pieces that are hidden.
    masked: f64,
    device: Device,
}

/// What the reader is shown.
struct Row {
    tokens: Vec<u32>,
    /// Where the passage's body stands.
    body: Range<usize>,
    /// Where the answer stands, as far as that is asked.
    answers: Vec<Range<usize>>,
}

/// What it makes of a batch.
struct Reading {
    /// `[n_questions, 1 + n_negatives]`; the first of each is right.
    relevance: Tensor,
    /// Minus the log likelihood of the answers' starts and ends, the mean over those rows that have any; 0 if none has.
    span: Tensor,
    /// Of those rows: how many there are, and in how many the likeliest start and end are those of one answer.
    answered: usize,
    exact: usize,
}

impl ReaderStage {
    pub fn new(start: &Start, recipe: &Recipe, device: &Device) -> Result<(Self, Vec<Parameter>)> {
        let heads = head_tensors(&start.tables, start.config.hidden_size)?;
        let (frozen, _) = learnable(start.trunk.iter().chain(&heads), |_| None, device)?;
        let hidden = start.config.hidden_size;
        let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu);
        let own = HashMap::from([
            ("relevance".to_owned(), zeros((1, 2 * hidden))?),
            ("span".to_owned(), zeros((2, hidden))?),
        ]);
        let rates = &recipe.optimiser;
        // The reader shares the encoder's embeddings, so they stay.
        let rate = |name: &str| match (own.contains_key(name), name.starts_with("embeddings")) {
            (true, _) => Some(rates.head_learning_rate),
            (_, embedding) => (!embedding).then_some(rates.learning_rate),
        };
        let (tensors, parameters) = learnable(start.trunk.iter().chain(&own), rate, device)?;
        let stage = Self {
            encoder: Learner::load(&start.config, frozen, &start.tables.idf, device)?,
            relevance: tensors["relevance"].clone(),
            span: tensors["span"].clone(),
            trunk: F32Trunk::load(&start.config, var_builder(tensors, device))?,
            n_negatives: recipe.batch.reader_negatives,
            masked: recipe.batch.masked,
            device: device.clone(),
        };
        Ok((stage, parameters))
    }

    /// Reads every question with a right passage and hard negatives, and what is asked for the answer's place alone.
    fn read(&self, batch: &Batch, masked: f64) -> Result<Reading> {
        let mut shown = self.rows(batch)?;
        let mut random = StdRng::seed_from_u64(batch.n_tokens() as u64);
        for row in &mut shown {
            row.hide(masked, &mut random);
        }
        let tokens: Vec<&[u32]> = shown.iter().map(|row| row.tokens.as_slice()).collect();
        let groups = rows::groups(&tokens, &self.device)?;
        let (mut relevance, mut span) = (Vec::new(), Vec::new());
        let (mut answered, mut exact) = (0, 0);
        for group in &groups {
            let states = self
                .trunk
                .forward(&group.padded.token_ids, &group.padded.mask)?;
            let first = states.i((.., 0))?;
            let mean = group.shares.unsqueeze(1)?.matmul(&states)?.squeeze(1)?;
            let pooled = Tensor::cat(&[first, mean], 1)?;
            relevance.push(pooled.matmul(&self.relevance.t()?)?);
            let own: Vec<&Row> = group.rows.iter().map(|&row| &shown[row]).collect();
            let likely = self.ends(&states, &own, group)?;
            let has_answer = own.iter().filter(|row| !row.answers.is_empty()).count();
            if has_answer > 0 {
                span.push(self.surprise(&likely, &own)?);
                answered += has_answer;
                exact += n_exact(&likely, &own)?;
            }
        }
        let n_ranked = batch.questions.len() * (1 + self.n_negatives);
        let shape = (batch.questions.len(), 1 + self.n_negatives);
        let relevance = rows::in_order(&relevance, &groups)?;
        let span = match span.is_empty() {
            true => Tensor::zeros((), DType::F32, &self.device)?,
            false => (Tensor::stack(&span, 0)?.sum_all()? / (2 * answered) as f64)?,
        };
        Ok(Reading {
            relevance: relevance.narrow(0, 0, n_ranked)?.reshape(shape)?,
            span,
            answered,
            exact,
        })
    }

    /// The rows of the ranked questions, 1 + `n_negatives` each, then the others.
    fn rows(&self, batch: &Batch) -> Result<Vec<Row>> {
        let passages = self.encoder.passages(batch)?;
        let questions = self.encoder.questions(batch)?;
        let scores = (questions.dense(&passages)? + questions.late(&passages, batch)?)?;
        let scores: Vec<Vec<f32>> = scores.to_vec2()?;
        let mut shown = Vec::new();
        for (question, scores) in batch.questions.iter().zip(&scores) {
            for (at, passage) in self.shown(question, scores).into_iter().enumerate() {
                let passage = batch.passages[passage].bare();
                let answers = match at {
                    0 => places(&question.answer, passage.body),
                    _ => Vec::new(),
                };
                shown.push(Row::new(question.bare(), passage, &answers));
            }
        }
        shown.extend(batch.spans.iter().map(|own| {
            let (prefix, body) = (&own.prefix, &own.body);
            Row::new(&own.question, PassageInput { prefix, body }, &own.answers)
        }));
        Ok(shown)
    }

    /// The log likelihoods of start and end over the bodies of a group's rows, `[batch, 2, length]`.
    fn ends(&self, states: &Tensor, rows: &[&Row], group: &Group) -> Result<Tensor> {
        let length = group.padded.length;
        let mut outside = vec![NEVER; rows.len() * length];
        for (outside, row) in outside.chunks_exact_mut(length).zip(rows) {
            outside[row.body.clone()].fill(0.0);
        }
        let outside = Tensor::from_vec(outside, (rows.len(), 1, length), &self.device)?;
        let scores = states.broadcast_matmul(&self.span.t()?)?.transpose(1, 2)?;
        Ok(log_softmax(&scores.broadcast_add(&outside)?, D::Minus1)?)
    }

    /// Minus the log likelihood that start and end are those of any answer, summed over the rows that have one.
    fn surprise(&self, likely: &Tensor, rows: &[&Row]) -> Result<Tensor> {
        let (_, _, length) = likely.dims3()?;
        let mut wrong = vec![NEVER; rows.len() * 2 * length];
        let mut counted = vec![0f32; rows.len() * 2];
        for (at, row) in rows.iter().enumerate() {
            for answer in &row.answers {
                wrong[2 * at * length + answer.start] = 0.0;
                wrong[(2 * at + 1) * length + answer.end - 1] = 0.0;
                counted[2 * at..2 * at + 2].fill(1.0);
            }
        }
        let wrong = Tensor::from_vec(wrong, likely.shape(), &self.device)?;
        let counted = Tensor::from_vec(counted, (rows.len(), 2), &self.device)?;
        let right = (likely + wrong)?.log_sum_exp(D::Minus1)?;
        Ok((right * counted)?.sum_all()?.neg()?)
    }

    /// A right passage, then wrong ones that the encoder ranks high; the same for the same question.
    fn shown(&self, question: &BatchQuestion, scores: &[f32]) -> Vec<usize> {
        let mut wrong: Vec<usize> = (0..scores.len())
            .filter(|passage| !question.passages.contains(passage))
            .collect();
        wrong.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        wrong.truncate(HARD_NEGATIVES.max(self.n_negatives));
        let seed = question.tokens.iter().fold(0u64, |seed, &token| {
            seed.wrapping_mul(31).wrapping_add(u64::from(token))
        });
        let mut random = StdRng::seed_from_u64(seed);
        wrong.shuffle(&mut random);
        let mut right = question.passages.clone();
        right.shuffle(&mut random);
        // A batch of few passages shows some of them twice.
        let wrong = wrong.into_iter().cycle().take(self.n_negatives);
        right.into_iter().take(1).chain(wrong).collect()
    }
}

impl Task for ReaderStage {
    fn loss(&self, batch: &Batch) -> Result<(Tensor, Figures)> {
        let reading = self.read(batch, self.masked)?;
        let relevance = reading.relevance;
        let right = relevance.i((.., 0))?;
        let choice = (relevance.log_sum_exp(D::Minus1)? - &right)?.mean_all()?;
        let wrong = relevance.i((.., 1..))?;
        let pointwise = (softplus(&right.neg()?)?.mean_all()? + softplus(&wrong)?.mean_all()?)?;
        let mut figures = Figures::new();
        figures.insert("choice".to_owned(), number(&choice)?);
        figures.insert("pointwise".to_owned(), number(&pointwise)?);
        if reading.answered > 0 {
            figures.insert("span".to_owned(), number(&reading.span)?);
        }
        let ranked = (choice + (pointwise * POINTWISE_SHARE)?)?;
        Ok(((ranked + (reading.span * SPAN_SHARE)?)?, figures))
    }

    /// How often the right row is first, and how often both ends of an answer are the likeliest.
    fn validate(&self, batch: &Batch) -> Result<Figures> {
        let reading = self.read(batch, 0.0)?;
        let relevance: Vec<Vec<f32>> = reading.relevance.to_vec2()?;
        let first = relevance
            .iter()
            .filter(|row| row[1..].iter().all(|&wrong| wrong < row[0]));
        let mut figures = Figures::new();
        let count = relevance.len().max(1) as f64;
        figures.insert("choice/accuracy".to_owned(), first.count() as f64 / count);
        let share = reading.exact as f64 / reading.answered.max(1) as f64;
        figures.insert("span/exact".to_owned(), share);
        Ok(figures)
    }

    fn save(&self, optimiser: &Optimiser, _: &Start, _: f64, folder: &Path) -> Result<()> {
        let parameters = optimiser.parameters().iter();
        let layers = parameters
            .filter(|parameter| parameter.name.starts_with("encoder."))
            .map(|parameter| (parameter.name.clone(), parameter.var.as_tensor().clone()));
        let head = ReaderHead {
            relevance: self.relevance.flatten_all()?.to_vec1()?,
            span: self.span.flatten_all()?.to_vec1()?,
        };
        save::reader(&layers.collect(), &head, folder)?;
        Ok(())
    }
}

impl Row {
    /// `answers` are places in the passage's body.
    fn new(question: &[u32], passage: PassageInput, answers: &[Range<usize>]) -> Self {
        let (tokens, start) = reader_row(question, passage);
        // [SEP] closes the row; of a long passage the end is cut off, and answers with it.
        let body = start.min(tokens.len() - 1)..tokens.len() - 1;
        let answers = answers.iter().map(|own| start + own.start..start + own.end);
        Self {
            answers: answers.filter(|own| own.end <= body.end).collect(),
            tokens,
            body,
        }
    }

    /// Hides a share of the word pieces.
    fn hide(&mut self, share: f64, random: &mut StdRng) {
        let pieces = self.tokens.iter_mut();
        let pieces = pieces.filter(|piece| ![CLS_TOKEN, SEP_TOKEN].contains(piece));
        pieces.for_each(|piece| {
            if share > 0.0 && random.random_bool(share) {
                *piece = MASK_TOKEN;
            }
        });
    }
}

/// In how many rows the likeliest start and end are those of one answer.
fn n_exact(likely: &Tensor, rows: &[&Row]) -> Result<usize> {
    let ends: Vec<Vec<u32>> = likely.argmax(D::Minus1)?.to_vec2()?;
    let exact = ends.iter().zip(rows).filter(|(ends, row)| {
        let likeliest = ends[0] as usize..ends[1] as usize + 1;
        row.answers.contains(&likeliest)
    });
    Ok(exact.count())
}

/// ln(1 + eˣ), without overflow.
fn softplus(values: &Tensor) -> Result<Tensor> {
    let small = ((values.abs()?.neg()?.exp()? + 1.0)?).log()?;
    Ok((values.relu()? + small)?)
}

fn number(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}
