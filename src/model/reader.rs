//! The joint reader: question and passage in one row, through layers of its own over the encoder's embeddings.
//!
//! It says how likely a passage answers. Where, it has been taught as well (`span`), but not well enough to be asked.

use std::path::Path;

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

/// The reader, ready to run.
pub struct Reader {
    trunk: Box<dyn Trunk>,
    /// See [`ReaderHead::relevance`].
    relevance: Vec<f32>,
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
            relevance: file.values("relevance", 2 * hidden)?,
            hidden,
        }))
    }

    /// Reads `passages` with the word pieces of a question: for each the log odds that it answers.
    pub fn read(
        &self,
        question: &[u32],
        passages: &[PassageInput],
    ) -> Result<Vec<f32>, ModelError> {
        let mut batch = PackedBatch::default();
        for passage in passages {
            batch.push(reader_row(question, *passage).0);
        }
        let mut states = vec![0.0; batch.token_ids.len() * self.hidden];
        let layers = 0..self.trunk.n_layers();
        self.trunk.run(&batch, layers, &mut states)?;
        let rows = batch.starts.windows(2);
        let of_row = |row: &[usize]| &states[row[0] * self.hidden..row[1] * self.hidden];
        Ok(rows.map(|row| self.relevance(of_row(row))).collect())
    }

    /// `states` are those of one row, `[n_tokens, hidden]`.
    fn relevance(&self, states: &[f32]) -> f32 {
        let (of_first, of_mean) = self.relevance.split_at(self.hidden);
        let rows = states.chunks_exact(self.hidden);
        let n_rows = rows.len() as f32;
        let sum: f32 = rows.map(|state| product(of_mean, state)).sum();
        product(of_first, &states[..self.hidden]) + sum / n_rows
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
