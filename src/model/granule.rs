//! Granule keys: token states projected to 128 dimensions and pooled over 4 tokens by idf.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::{ModelError, weights};
use crate::ops::granule_keys::{GranuleKeys, KEY_DIMENSIONS};

/// Tokens of a granule.
pub const GRANULE_TOKENS: usize = 4;

/// The learned tables behind granule keys.
#[derive(Debug, Clone)]
pub struct GranuleHead {
    /// `[hidden, KEY_DIMENSIONS]`.
    projection: Tensor,
    /// Inverse document frequency of every word piece, `[vocab]`; 0 for special tokens.
    idf: Vec<f32>,
}

impl GranuleHead {
    /// Reads `projection` (`[KEY_DIMENSIONS, hidden]`) and `idf` from a safetensors file.
    pub fn load(path: &Path, device: &Device) -> Result<Self, ModelError> {
        let tensors = weights::load_f32(path, device)?;
        let table = |name: &str| {
            tensors
                .get(name)
                .ok_or_else(|| ModelError::corrupt(path, format!("it has no {name}")))
        };
        Ok(Self {
            projection: table("projection")?.t()?.contiguous()?,
            idf: table("idf")?.to_vec1()?,
        })
    }

    /// The idf of one word piece; unknown ids weigh nothing.
    pub fn idf(&self, token: u32) -> f32 {
        self.idf.get(token as usize).copied().unwrap_or(0.0)
    }

    /// Projects token states (`[n_tokens, hidden]`) to unit keys, `[n_tokens, KEY_DIMENSIONS]` row by row.
    pub fn keys(&self, states: &Tensor) -> Result<Vec<f32>, ModelError> {
        let mut keys: Vec<f32> = states.matmul(&self.projection)?.flatten_all()?.to_vec1()?;
        keys.chunks_exact_mut(KEY_DIMENSIONS).for_each(normalise);
        Ok(keys)
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

/// Scales a vector to length 1; the zero vector stays as it is.
pub fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}
