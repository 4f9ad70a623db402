//! Stage 2: the joint reader, by passages that the encoder takes for the right one.
//!
//! A question stands before a passage in one row. The reader learns which of a question's rows is right, whether a row
//! is right at all, and where in a right row the answer stands.

use std::{collections::HashMap, path::Path};

use anyhow::Result;
use candle_core::{D, DType, Device, IndexOp, Tensor};
use candle_nn::ops::log_softmax;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    Figures, Start, Task,
    batch::{Batch, BatchQuestion},
    learner::{Learner, head_tensors},
    optimiser::{Optimiser, Parameter, learnable},
    recipe::Recipe,
    rows,
};
use crate::model::{
    f32_trunk::F32Trunk,
    reader::{ReaderHead, reader_row},
    save,
    weights::var_builder,
};

/// What of the loss the other parts count, beside the choice among a question's rows.
const SPAN_SHARE: f64 = 0.3;
const POINTWISE_SHARE: f64 = 0.3;
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
    device: Device,
}

/// The rows of a batch.
struct Reading {
    /// `[n_questions, 1 + n_negatives]`; the first of each is right.
    relevance: Tensor,
    /// Log probabilities of start and end, `[2, length]` each, and where the answer starts and ends.
    spans: Vec<(Tensor, [usize; 2])>,
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
            device: device.clone(),
        };
        Ok((stage, parameters))
    }

    /// Reads every question with a right passage and hard negatives.
    fn read(&self, batch: &Batch) -> Result<Reading> {
        let passages = self.encoder.passages(batch)?;
        let questions = self.encoder.questions(batch)?;
        let scores = (questions.dense(&passages)? + questions.late(&passages, batch)?)?;
        let scores: Vec<Vec<f32>> = scores.to_vec2()?;
        let (mut tokens, mut bodies) = (Vec::new(), Vec::new());
        for (question, scores) in batch.questions.iter().zip(&scores) {
            for passage in self.shown(question, scores) {
                let (row, body) = reader_row(question.bare(), batch.passages[passage].bare());
                tokens.push(row);
                bodies.push(body);
            }
        }
        let rows: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let groups = rows::groups(&rows, &self.device)?;
        let (mut relevance, mut spans) = (Vec::new(), Vec::new());
        for group in &groups {
            let states = self
                .trunk
                .forward(&group.padded.token_ids, &group.padded.mask)?;
            let first = states.i((.., 0))?;
            let mean = group.shares.unsqueeze(1)?.matmul(&states)?.squeeze(1)?;
            let pooled = Tensor::cat(&[first, mean], 1)?;
            relevance.push(pooled.matmul(&self.relevance.t()?)?);
            for (at, &row) in group.rows.iter().enumerate() {
                let question = &batch.questions[row / (1 + self.n_negatives)];
                let is_right = row % (1 + self.n_negatives) == 0;
                let body = bodies[row]..rows[row].len();
                let answer = find(&question.answer, &rows[row][body.clone()]);
                if let Some(place) = answer.filter(|_| is_right) {
                    let own = states.get(at)?.narrow(0, 0, rows[row].len())?;
                    let scores = self.span.matmul(&own.t()?)?;
                    let last = body.start + place + question.answer.len() - 1;
                    let ends = [body.start + place, last];
                    spans.push((log_softmax(&scores, D::Minus1)?, ends));
                }
            }
        }
        let shape = (batch.questions.len(), 1 + self.n_negatives);
        let relevance = rows::in_order(&relevance, &groups)?.reshape(shape)?;
        Ok(Reading { relevance, spans })
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
        let Reading { relevance, spans } = self.read(batch)?;
        let right = relevance.i((.., 0))?;
        let choice = (relevance.log_sum_exp(D::Minus1)? - &right)?.mean_all()?;
        let wrong = relevance.i((.., 1..))?;
        let pointwise = (softplus(&right.neg()?)?.mean_all()? + softplus(&wrong)?.mean_all()?)?;
        let mut figures = Figures::new();
        figures.insert("choice".to_owned(), number(&choice)?);
        figures.insert("pointwise".to_owned(), number(&pointwise)?);
        let mut total = (choice + (pointwise * POINTWISE_SHARE)?)?;
        let ends: Vec<Tensor> = spans
            .iter()
            .flat_map(|(scores, ends)| (0..2).map(move |end| scores.i((end, ends[end]))))
            .collect::<candle_core::Result<_>>()?;
        if !ends.is_empty() {
            let span = Tensor::stack(&ends, 0)?.mean_all()?.neg()?;
            figures.insert("span".to_owned(), number(&span)?);
            total = (total + (span * SPAN_SHARE)?)?;
        }
        Ok((total, figures))
    }

    /// How often the right row is first, and how often both ends of the answer are the likeliest.
    fn validate(&self, batch: &Batch) -> Result<Figures> {
        let Reading { relevance, spans } = self.read(batch)?;
        let relevance: Vec<Vec<f32>> = relevance.to_vec2()?;
        let first = relevance
            .iter()
            .filter(|row| row[1..].iter().all(|&wrong| wrong < row[0]));
        let mut figures = Figures::new();
        let count = relevance.len().max(1) as f64;
        figures.insert("choice/accuracy".to_owned(), first.count() as f64 / count);
        let mut found = 0;
        for (scores, ends) in &spans {
            let likeliest: Vec<u32> = scores.argmax(D::Minus1)?.to_vec1()?;
            found += usize::from(likeliest == ends.map(|end| end as u32));
        }
        let share = found as f64 / spans.len().max(1) as f64;
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

/// Where `answer` first stands in `body`, both in word pieces.
fn find(answer: &[u32], body: &[u32]) -> Option<usize> {
    match answer.is_empty() {
        true => None,
        false => body.windows(answer.len()).position(|own| own == answer),
    }
}

/// ln(1 + eˣ), without overflow.
fn softplus(values: &Tensor) -> Result<Tensor> {
    let small = ((values.abs()?.neg()?.exp()? + 1.0)?).log()?;
    Ok((values.relu()? + small)?)
}

fn number(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(tensor.to_scalar::<f32>()?))
}
