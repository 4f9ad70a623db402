//! Granule keys: token states projected to 128 dimensions and pooled over 4 tokens by idf.

use super::{ModelError, int8_linear::Int8Linear, weights::WeightFile};
use crate::ops::{
    granule_keys::{GranuleKeys, KEY_DIMENSIONS},
    similarity::normalise,
};

/// Tokens of a granule.
pub const GRANULE_TOKENS: usize = 4;

/// The learned tables behind granule keys.
pub struct GranuleHead {
    /// From `hidden` to `KEY_DIMENSIONS`, as read and packed.
    matrix: Vec<f32>,
    projection: Int8Linear,
    /// Inverse document frequency of every word piece, `[vocab]`; 0 for special tokens.
    idf: Vec<f32>,
}

impl GranuleHead {
    /// Reads `projection` (`[KEY_DIMENSIONS, hidden]`) and `idf` (`[vocab]`).
    pub fn load(file: &WeightFile, hidden: usize, vocab: usize) -> Result<Self, ModelError> {
        let projection = file.values("projection", KEY_DIMENSIONS * hidden)?;
        Ok(Self {
            projection: Int8Linear::new(&projection, hidden)?,
            matrix: projection,
            idf: file.values("idf", vocab)?,
        })
    }

    /// The projection, `[KEY_DIMENSIONS, hidden]`; its first rows matter most.
    pub fn projection(&self) -> &[f32] {
        &self.matrix
    }

    /// The idf of one word piece; unknown ids weigh nothing.
    pub fn idf(&self, token: u32) -> f32 {
        self.idf.get(token as usize).copied().unwrap_or(0.0)
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
