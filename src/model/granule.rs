//! Granule keys: token states projected to 128 dimensions and pooled over 4 tokens by idf.

use std::path::Path;

use safetensors::SafeTensors;

use super::{ModelError, weights};
use crate::ops::granule_keys::{GranuleKeys, KEY_DIMENSIONS};

/// Tokens of a granule.
pub const GRANULE_TOKENS: usize = 4;

/// The learned tables behind granule keys.
#[derive(Debug, Clone, PartialEq)]
pub struct GranuleHead {
    /// `[KEY_DIMENSIONS, hidden]`.
    pub projection: Vec<f32>,
    /// Inverse document frequency of every word piece, `[vocab]`; 0 for special tokens.
    pub idf: Vec<f32>,
}

impl GranuleHead {
    /// Reads `projection` and `idf` from a safetensors file.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let buffer = std::fs::read(path).map_err(|source| ModelError::Read {
            path: path.to_owned(),
            source,
        })?;
        let stored =
            SafeTensors::deserialize(&buffer).map_err(|error| ModelError::corrupt(path, error))?;
        let table = |name: &str| {
            stored
                .tensor(name)
                .map(|view| weights::f32s(view.data()))
                .map_err(|error| ModelError::corrupt(path, error))
        };
        Ok(Self {
            projection: table("projection")?,
            idf: table("idf")?,
        })
    }

    /// The idf of one word piece; unknown ids weigh nothing.
    pub fn idf(&self, token: u32) -> f32 {
        self.idf.get(token as usize).copied().unwrap_or(0.0)
    }

    /// Projects one token state (`[hidden]`) to a unit key.
    pub fn key(&self, state: &[f32]) -> [f32; KEY_DIMENSIONS] {
        let mut key = [0.0; KEY_DIMENSIONS];
        for (value, row) in key
            .iter_mut()
            .zip(self.projection.chunks_exact(state.len()))
        {
            *value = row.iter().zip(state).map(|(a, b)| a * b).sum();
        }
        normalise(&mut key);
        key
    }

    /// Pools `states` (`[tokens.len(), hidden]`) into one key a granule and appends them to `keys`.
    ///
    /// Granules start at the first token; the last may be short. Returns the number appended.
    pub fn pool(&self, tokens: &[u32], states: &[f32], keys: &mut GranuleKeys) -> usize {
        let hidden = states.len() / tokens.len().max(1);
        let granules = tokens
            .chunks(GRANULE_TOKENS)
            .zip(states.chunks(GRANULE_TOKENS * hidden.max(1)));
        for (tokens, states) in granules {
            let mut pooled = [0.0; KEY_DIMENSIONS];
            for (token, state) in tokens.iter().zip(states.chunks_exact(hidden)) {
                let weight = self.idf(*token);
                if weight > 0.0 {
                    let key = self.key(state);
                    pooled
                        .iter_mut()
                        .zip(key)
                        .for_each(|(sum, value)| *sum += weight * value);
                }
            }
            normalise(&mut pooled);
            keys.push(&pooled);
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
