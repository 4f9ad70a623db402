//! Granule keys: token states projected to 128 dimensions and pooled over 4 tokens by idf.

use super::{ModelError, int8_linear::Int8Linear, weights::WeightFile};
use crate::ops::{
    granule_keys::{GranuleKeys, KEY_DIMENSIONS},
    similarity::{normalise, product},
};

/// Tokens of a granule.
pub const GRANULE_TOKENS: usize = 4;

/// Levels of a document that a question's token attends to: passage, neighbours, section, document.
pub const N_LEVELS: usize = 4;
/// What they count before anything is learned.
const UNTRAINED_LEVELS: [f32; N_LEVELS] = [0.5, 0.2, 0.1, 0.2];

/// What is learned about granules, as it lies in `granules.safetensors`.
#[derive(Debug, Clone, PartialEq)]
pub struct GranuleTables {
    /// `[KEY_DIMENSIONS, hidden]`.
    pub projection: Vec<f32>,
    /// Inverse document frequency of every word piece, `[vocab]`; 0 for special tokens.
    pub idf: Vec<f32>,
    /// A question's token weighs its idf times e to the product of its state with this, `[hidden]`.
    pub token_weight: Vec<f32>,
    /// Its levels count the softmax of the products of its state with these, `[N_LEVELS, hidden]`, ...
    pub level_weight: Vec<f32>,
    /// ... and this, `[N_LEVELS]`.
    pub level_bias: Vec<f32>,
}

impl GranuleTables {
    /// The start of training: idf alone weighs tokens, and the levels count the same for all.
    pub fn untrained(projection: Vec<f32>, idf: Vec<f32>) -> Self {
        let hidden = projection.len() / KEY_DIMENSIONS;
        Self {
            projection,
            idf,
            token_weight: vec![0.0; hidden],
            level_weight: vec![0.0; N_LEVELS * hidden],
            level_bias: UNTRAINED_LEVELS.map(f32::ln).to_vec(),
        }
    }

    /// Reads the tables of `file`; what only training makes may be missing.
    pub fn load(file: &WeightFile, hidden: usize, vocab: usize) -> Result<Self, ModelError> {
        let projection = file.values("projection", KEY_DIMENSIONS * hidden)?;
        let idf = file.values("idf", vocab)?;
        if !file.holds("token_weight") {
            return Ok(Self::untrained(projection, idf));
        }
        Ok(Self {
            projection,
            idf,
            token_weight: file.values("token_weight", hidden)?,
            level_weight: file.values("level_weight", N_LEVELS * hidden)?,
            level_bias: file.values("level_bias", N_LEVELS)?,
        })
    }
}

/// The granule head, ready to run.
pub struct GranuleHead {
    tables: GranuleTables,
    projection: Int8Linear,
}

impl GranuleHead {
    pub fn new(tables: GranuleTables, hidden: usize) -> Result<Self, ModelError> {
        Ok(Self {
            projection: Int8Linear::new(&tables.projection, hidden)?,
            tables,
        })
    }

    /// The projection, `[KEY_DIMENSIONS, hidden]`; its first rows matter most.
    pub fn projection(&self) -> &[f32] {
        &self.tables.projection
    }

    /// The idf of one word piece; unknown ids weigh nothing.
    pub fn idf(&self, token: u32) -> f32 {
        self.tables.idf.get(token as usize).copied().unwrap_or(0.0)
    }

    /// What a question's token weighs, whose state (`[hidden]`) is given; 0 where its idf is.
    pub fn weight(&self, token: u32, state: &[f32]) -> f32 {
        self.idf(token) * product(&self.tables.token_weight, state).exp()
    }

    /// What the levels count for it; they add up to 1.
    pub fn levels(&self, state: &[f32]) -> [f32; N_LEVELS] {
        let rows = self.tables.level_weight.chunks_exact(state.len());
        let mut counts = [0.0; N_LEVELS];
        for ((count, row), bias) in counts.iter_mut().zip(rows).zip(&self.tables.level_bias) {
            *count = (product(row, state) + bias).exp();
        }
        let total: f32 = counts.iter().sum();
        counts.map(|count| count / total)
    }

    /// Projects token states (`[n_tokens, hidden]`) to unit keys, `[n_tokens, KEY_DIMENSIONS]` row by row.
    pub fn keys(&self, states: &[f32]) -> Vec<f32> {
        let mut keys = self.projection.apply(states);
        keys.chunks_exact_mut(KEY_DIMENSIONS).for_each(normalise);
        keys
    }

    /// Pools the keys of tokens (`[tokens.len(), KEY_DIMENSIONS]`) into one a granule and appends them to `pooled`.
    ///
    /// Granules start at the first token; the last may be short. Returns the number appended.
    pub fn pool(&self, tokens: &[u32], keys: &[f32], pooled: &mut GranuleKeys) -> usize {
        let granules = tokens
            .chunks(GRANULE_TOKENS)
            .zip(keys.chunks(GRANULE_TOKENS * KEY_DIMENSIONS));
        for (tokens, keys) in granules {
            let mut sum = [0.0; KEY_DIMENSIONS];
            for (token, key) in tokens.iter().zip(keys.chunks_exact(KEY_DIMENSIONS)) {
                let weight = self.idf(*token);
                sum.iter_mut()
                    .zip(key)
                    .for_each(|(sum, value)| *sum += weight * value);
            }
            normalise(&mut sum);
            pooled.push(&sum);
        }
        tokens.len().div_ceil(GRANULE_TOKENS)
    }
}
