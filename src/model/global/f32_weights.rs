//! The parameters of a global block as tensors, under the names and in the shapes in which they are stored.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::{
    config::GlobalConfig,
    weights::{GlobalWeights, N_BRANCHES, N_RELEVANCES},
};
use crate::ops::{abstraction_pool::AFFINITY_DIMENSIONS, sparse_attention::N_BUCKETS};

/// What [`GlobalWeights`] holds, where training can take it from.
#[derive(Debug, Clone)]
pub struct F32Weights {
    pub query: Tensor,
    pub latent: Tensor,
    pub output: Tensor,
    pub gates: Tensor,
    pub gate_bias: Tensor,
    pub distance: Tensor,
    pub relevance: Tensor,
    pub index_query: Tensor,
    pub index_weight: Tensor,
    pub index_weight_bias: Tensor,
    pub index_key: Tensor,
    pub affinity: Tensor,
    levels: Vec<F32LevelWeights>,
}

/// What [`LevelWeights`](super::weights::LevelWeights) holds.
#[derive(Debug, Clone)]
pub struct F32LevelWeights {
    pub pool_query: Tensor,
    pub pool_residual: Tensor,
    pub within_query: Tensor,
    pub within_output: Tensor,
    pub up: Tensor,
    pub down: Tensor,
}

impl F32Weights {
    /// Reads the block's tensors; `vb` stands at its name.
    pub fn load(config: &GlobalConfig, hidden: usize, vb: VarBuilder) -> Result<Self> {
        let (heads, size) = (config.heads, config.head_size);
        let (inner, index) = (heads * size, config.index_heads * config.index_size);
        let n_levels = match config.shared_abstraction {
            true => 1,
            false => config.levels - 1,
        };
        let level = |level: usize| {
            let vb = vb.pp("level").pp(level);
            Ok(F32LevelWeights {
                pool_query: vb.get(size, "pool_query")?,
                pool_residual: vb.get((size, size), "pool_residual")?,
                within_query: vb.get((size, size), "within_query")?,
                within_output: vb.get((size, size), "within_output")?,
                up: vb.get((size, size), "up")?,
                down: vb.get((size, size), "down")?,
            })
        };
        Ok(Self {
            query: vb.get((inner, hidden), "query")?,
            latent: vb.get((size, hidden), "latent")?,
            output: vb.get((hidden, inner), "output")?,
            gates: vb.get((N_BRANCHES * heads, hidden), "gates")?,
            gate_bias: vb.get(N_BRANCHES * heads, "gate_bias")?,
            distance: vb.get((heads, N_BUCKETS), "distance")?,
            relevance: vb.get((N_RELEVANCES, hidden), "relevance")?,
            index_query: vb.get((index, hidden), "index_query")?,
            index_weight: vb.get((config.index_heads, hidden), "index_weight")?,
            index_weight_bias: vb.get(config.index_heads, "index_weight_bias")?,
            index_key: vb.get((config.index_size, size), "index_key")?,
            affinity: vb.get((AFFINITY_DIMENSIONS, size), "affinity")?,
            levels: (0..n_levels).map(level).collect::<Result<_>>()?,
        })
    }

    /// The parameters of level `level`, counted from 1.
    pub fn level(&self, level: usize) -> &F32LevelWeights {
        &self.levels[(level - 1).min(self.levels.len() - 1)]
    }
}

impl GlobalWeights {
    /// Every parameter under its name, in the shape that [`F32Weights::load`] expects.
    ///
    /// # Errors
    /// When a parameter has another number of values than its shape.
    pub fn tensors(
        &self,
        config: &GlobalConfig,
        hidden: usize,
        device: &Device,
    ) -> Result<HashMap<String, Tensor>> {
        let size = config.head_size;
        let mut tensors = HashMap::new();
        for (name, values, columns) in [
            ("query", &self.query, hidden),
            ("latent", &self.latent, hidden),
            ("output", &self.output, config.heads * size),
            ("gates", &self.gates, hidden),
            ("gate_bias", &self.gate_bias, 0),
            ("distance", &self.distance, N_BUCKETS),
            ("relevance", &self.relevance, hidden),
            ("index_query", &self.index_query, hidden),
            ("index_weight", &self.index_weight, hidden),
            ("index_weight_bias", &self.index_weight_bias, 0),
            ("index_key", &self.index_key, size),
            ("affinity", &self.affinity, size),
        ] {
            tensors.insert(name.to_owned(), tensor(values, columns, device)?);
        }
        for (at, level) in self.levels.iter().enumerate() {
            for (name, values, columns) in [
                ("pool_query", &level.pool_query, 0),
                ("pool_residual", &level.pool_residual, size),
                ("within_query", &level.within_query, size),
                ("within_output", &level.within_output, size),
                ("up", &level.up, size),
                ("down", &level.down, size),
            ] {
                let name = format!("level.{at}.{name}");
                tensors.insert(name, tensor(values, columns, device)?);
            }
        }
        Ok(tensors)
    }
}

/// A matrix of so many columns, or a vector where that is 0.
fn tensor(values: &[f32], columns: usize, device: &Device) -> Result<Tensor> {
    match columns {
        0 => Tensor::from_slice(values, values.len(), device),
        _ => Tensor::from_slice(values, (values.len() / columns, columns), device),
    }
}
