//! The joint reader: question and passage in one row, through layers of its own over the encoder's embeddings.
//!
//! It says how likely a passage answers, and where.

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

/// The most tokens of a row, specials included.
pub const MAX_READER_TOKENS: usize = 320;
/// The most of them that the question takes.
const MAX_QUESTION_TOKENS: usize = 64;
/// The most tokens of an answer.
const MAX_ANSWER_TOKENS: usize = 30;

/// What is learned beside the layers.
#[derive(Debug, Clone, PartialEq)]
pub struct ReaderHead {
    /// Over the state of [CLS] and the mean, `[2 · hidden]`.
    pub relevance: Vec<f32>,
    /// Start and end of the answer, `[2, hidden]`.
    pub span: Vec<f32>,
}

/// What the reader makes of one passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Log odds that the passage answers.
    pub relevance: f32,
    /// The likeliest answer, in word pieces of the body; empty where the body is.
    pub answer: Range<usize>,
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

    /// Reads `passages` with the word pieces of a question; one reading each.
    pub fn read(
        &self,
        question: &[u32],
        passages: &[PassageInput],
    ) -> Result<Vec<Reading>, ModelError> {
        let mut batch = PackedBatch::default();
        let mut bodies = Vec::with_capacity(passages.len());
        for passage in passages {
            let (row, body) = reader_row(question, *passage);
            batch.push(row);
            bodies.push(body);
        }
        let mut states = vec![0.0; batch.token_ids.len() * self.hidden];
        let layers = 0..self.trunk.n_layers();
        self.trunk.run(&batch, layers, &mut states)?;
        let rows = batch.starts.windows(2).zip(&bodies);
        Ok(rows
            .map(|(row, &body)| {
                let states = &states[row[0] * self.hidden..row[1] * self.hidden];
                self.reading(states, body)
            })
            .collect())
    }

    /// `states` are those of one row, `[n_tokens, hidden]`, its body from token `body` on.
    fn reading(&self, states: &[f32], body: usize) -> Reading {
        let rows: Vec<&[f32]> = states.chunks_exact(self.hidden).collect();
        let (of_first, of_mean) = self.head.relevance.split_at(self.hidden);
        let mean = rows
            .iter()
            .map(|state| product(of_mean, state))
            .sum::<f32>();
        let (starts, ends) = self.head.span.split_at(self.hidden);
        // The last token is [SEP].
        let body = &rows[body..rows.len() - 1];
        let starts: Vec<f32> = body.iter().map(|state| product(starts, state)).collect();
        let ends: Vec<f32> = body.iter().map(|state| product(ends, state)).collect();
        let spans = (0..body.len()).flat_map(|start| {
            let last = (start + MAX_ANSWER_TOKENS).min(body.len());
            (start..last).map(move |end| (start, end))
        });
        let score = |&(start, end): &(usize, usize)| starts[start] + ends[end];
        let best = spans.max_by(|a, b| score(a).total_cmp(&score(b)));
        Reading {
            relevance: product(of_first, rows[0]) + mean / rows.len() as f32,
            answer: best.map_or(0..0, |(start, end)| start..end + 1),
        }
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

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
