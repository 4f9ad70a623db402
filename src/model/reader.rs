//! The joint reader: question and passage in one row, through layers of its own over the encoder's embeddings.
//!
//! It says how likely a passage answers, and how likely each of its word pieces opens and closes the answer. The ends
//! are too unsure to be shown alone, but tell which sentence holds the answer.

use std::{ops::Range, path::Path};

use candle_core::Device;

use super::{
    ModelError, PassageInput, Precision,
    config::{CLS_TOKEN, ModelConfig, SEP_TOKEN},
    f32_trunk::F32Trunk,
    int8_trunk::Int8Trunk,
    packed::PackedBatch,
    trunk::Trunk,
    weights::{WeightFile, var_builder},
};
use crate::ops::similarity::product;

/// The most tokens of a row, specials included.
const MAX_READER_TOKENS: usize = 320;
/// The most of them that the question takes.
const MAX_QUESTION_TOKENS: usize = 64;

/// What is learned beside the layers.
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderHead {
    /// Over the state of [CLS] and the mean, `[2 · hidden]`.
    pub relevance: Vec<f32>,
    /// Start and end of the answer, `[2, hidden]`.
    pub span: Vec<f32>,
}

/// What the reader finds in one passage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Log odds that it answers.
    pub relevance: f32,
    /// How likely each word piece of its body opens the answer, `[n_pieces]`; those that were cut off have none.
    pub opens: Vec<f32>,
    /// And how likely it closes the answer.
    pub closes: Vec<f32>,
}

/// The most word pieces of an answer's span.
const MAX_SPAN: usize = 24;

impl Reading {
    /// The likeliest span of an answer that lies within some word pieces, and its likelihood.
    pub fn span(&self, within: Range<usize>) -> Option<(Range<usize>, f32)> {
        let within = within.start..within.end.min(self.opens.len());
        let spans = within.clone().flat_map(|open| {
            let last = within.end.min(open + MAX_SPAN);
            (open..last).map(move |close| (open..close + 1, self.opens[open] * self.closes[close]))
        });
        spans.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The reader, ready to run.
pub struct Reader {
    trunk: Box<dyn Trunk>,
    head: ReaderHead,
    hidden: usize,
}

impl Reader {
    /// Loads the reader of a model's folder; none where the folder has none.
    pub fn load(
        folder: &Path,
        config: &ModelConfig,
        precision: Precision,
    ) -> Result<Option<Self>, ModelError> {
        let path = folder.join("reader.safetensors");
        if !path.exists() {
            return Ok(None);
        }
        let file = WeightFile::open(&path)?;
        let encoder = &WeightFile::open(&folder.join("model.safetensors"))?;
        let hidden = config.hidden_size;
        let trunk: Box<dyn Trunk> = match precision {
            Precision::Int8 => Box::new(Int8Trunk::load_with(config, encoder, &file)?),
            Precision::F32 => {
                let mut tensors = encoder.dequantised(&Device::Cpu)?;
                tensors.extend(file.dequantised(&Device::Cpu)?);
                Box::new(F32Trunk::load(config, var_builder(tensors, &Device::Cpu))?)
            }
        };
        Ok(Some(Self {
            trunk,
            head: ReaderHead {
                relevance: file.values("relevance", 2 * hidden)?,
                span: file.values("span", 2 * hidden)?,
            },
            hidden,
        }))
    }

    /// Reads `passages` with the word pieces of a question.
    pub fn read(
        &self,
        question: &[u32],
        passages: &[PassageInput],
    ) -> Result<Vec<Reading>, ModelError> {
        let mut batch = PackedBatch::default();
        let mut bodies = Vec::with_capacity(passages.len());
        for passage in passages {
            let (row, body) = reader_row(question, *passage);
            // [SEP] closes the row.
            bodies.push(body.min(row.len() - 1)..row.len() - 1);
            batch.push(row);
        }
        let mut states = vec![0.0; batch.token_ids.len() * self.hidden];
        let layers = 0..self.trunk.n_layers();
        self.trunk.run(&batch, layers, &mut states)?;
        let rows = batch.starts.windows(2);
        let of_row = |row: &[usize]| &states[row[0] * self.hidden..row[1] * self.hidden];
        let read = rows.zip(bodies).map(|(row, body)| {
            let states = of_row(row);
            let [opens, closes] = self.ends(states, &body);
            Reading {
                relevance: self.relevance(states),
                opens,
                closes,
            }
        });
        Ok(read.collect())
    }

    /// `states` are those of one row, `[n_tokens, hidden]`.
    fn relevance(&self, states: &[f32]) -> f32 {
        let (of_first, of_mean) = self.head.relevance.split_at(self.hidden);
        let rows = states.chunks_exact(self.hidden);
        let n_rows = rows.len() as f32;
        let sum: f32 = rows.map(|state| product(of_mean, state)).sum();
        product(of_first, &states[..self.hidden]) + sum / n_rows
    }

    /// How likely each token of `body` opens and closes the answer.
    fn ends(&self, states: &[f32], body: &Range<usize>) -> [Vec<f32>; 2] {
        let (open, close) = self.head.span.split_at(self.hidden);
        [open, close].map(|weights| {
            let rows = states.chunks_exact(self.hidden);
            let body = rows.skip(body.start).take(body.len());
            let scores: Vec<f32> = body.map(|state| product(weights, state)).collect();
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let likely = |score: &f32| (score - most).exp();
            let total: f32 = scores.iter().map(likely).sum();
            scores.iter().map(|score| likely(score) / total).collect()
        })
    }
}

/// `[CLS] question [SEP] prefix body [SEP]`, cut to [`MAX_READER_TOKENS`], and where the body starts.
pub fn reader_row(question: &[u32], passage: PassageInput) -> (Vec<u32>, usize) {
    let question = &question[..question.len().min(MAX_QUESTION_TOKENS)];
    let mut row = [&[CLS_TOKEN], question, &[SEP_TOKEN], passage.prefix].concat();
    let body = row.len();
    row.extend(passage.body);
    row.truncate(MAX_READER_TOKENS - 1);
    row.push(SEP_TOKEN);
    (row, body)
}
