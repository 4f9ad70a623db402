//! The parameters of a global block, in f32, and the start from which they are trained.
//!
//! The start adds nothing to any state: the output projection is zero. Its latents and queries are the granule keys'
//! projection, so that attention is by likeness of content before any training, and can be looked at.

use super::{
    super::{ModelError, weights::WeightFile},
    config::GlobalConfig,
};
use crate::ops::{abstraction_pool::AFFINITY_DIMENSIONS, sparse_attention::N_BUCKETS};

/// Branches that gates fuse: window, compressed, selected.
pub const N_BRANCHES: usize = 3;
/// Levels that have a relevance: the deepest pyramid's, and one for all that is index-only.
pub const N_RELEVANCES: usize = 6;
/// Logits of like latents grow with this.
const START_TEMPERATURE: f32 = 24.0;

/// The parameters of one block; matrices are `[out, in]` row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct GlobalWeights {
    /// `[heads * head_size, hidden]`.
    pub query: Vec<f32>,
    /// `[head_size, hidden]`.
    pub latent: Vec<f32>,
    /// `[hidden, heads * head_size]`.
    pub output: Vec<f32>,
    /// `[N_BRANCHES * heads, hidden]` and its bias.
    pub gates: Vec<f32>,
    pub gate_bias: Vec<f32>,
    /// By head and bucket, `[heads, N_BUCKETS]`.
    pub distance: Vec<f32>,
    /// `[N_RELEVANCES, hidden]`.
    pub relevance: Vec<f32>,
    /// `[index_heads * index_size, hidden]`, the weight of each head `[index_heads, hidden]`, and its bias.
    pub index_query: Vec<f32>,
    pub index_weight: Vec<f32>,
    pub index_weight_bias: Vec<f32>,
    /// `[index_size, head_size]`.
    pub index_key: Vec<f32>,
    /// One a learned level, or one for all.
    pub levels: Vec<LevelWeights>,
    /// `[AFFINITY_DIMENSIONS, head_size]`.
    pub affinity: Vec<f32>,
}

/// The parameters of a level's nodes; all but `within_query` start at zero.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelWeights {
    /// What children are weighed by, `[head_size]`.
    pub pool_query: Vec<f32>,
    /// What is added to their mean, `[head_size, head_size]`.
    pub pool_residual: Vec<f32>,
    /// Attention within the level, `[head_size, head_size]` each.
    pub within_query: Vec<f32>,
    pub within_output: Vec<f32>,
    /// From the children's mean to the parent and from the parent to its children, `[head_size, head_size]` each.
    pub up: Vec<f32>,
    pub down: Vec<f32>,
}

impl GlobalWeights {
    /// The start over the granule keys' `projection`, `[at least head_size, hidden]`, whose first rows matter most.
    pub fn start(config: &GlobalConfig, projection: &[f32], hidden: usize) -> Self {
        let (heads, size) = (config.heads, config.head_size);
        let latent = projection[..size * hidden].to_vec();
        let hotter: Vec<f32> = latent
            .iter()
            .map(|own| own * START_TEMPERATURE / size as f32)
            .collect();
        let index = &projection[..config.index_size * hidden];
        let level = || LevelWeights {
            pool_query: vec![0.0; size],
            pool_residual: vec![0.0; size * size],
            within_query: identity(size, size),
            within_output: vec![0.0; size * size],
            up: vec![0.0; size * size],
            down: vec![0.0; size * size],
        };
        let n_levels = if config.shared_abstraction {
            1
        } else {
            config.levels - 1
        };
        Self {
            query: hotter.repeat(heads),
            latent,
            output: vec![0.0; hidden * heads * size],
            gates: vec![0.0; N_BRANCHES * heads * hidden],
            gate_bias: vec![0.0; N_BRANCHES * heads],
            distance: vec![0.0; heads * N_BUCKETS],
            relevance: vec![0.0; N_RELEVANCES * hidden],
            index_query: index.repeat(config.index_heads),
            index_weight: vec![0.0; config.index_heads * hidden],
            index_weight_bias: vec![1.0 / config.index_heads as f32; config.index_heads],
            index_key: identity(config.index_size, size),
            levels: (0..n_levels).map(|_| level()).collect(),
            affinity: identity(AFFINITY_DIMENSIONS, size),
        }
    }

    /// Reads the block whose tensors are named `name.…`.
    pub fn load(
        file: &WeightFile,
        name: &str,
        config: &GlobalConfig,
        hidden: usize,
    ) -> Result<Self, ModelError> {
        let (heads, size, inner) = (
            config.heads,
            config.head_size,
            config.heads * config.head_size,
        );
        let read = |part: &str, count| file.numbers(&format!("{name}.{part}"), count);
        let n_levels = if config.shared_abstraction {
            1
        } else {
            config.levels - 1
        };
        let level = |level: usize| -> Result<LevelWeights, ModelError> {
            let read = |part: &str, count| read(&format!("level.{level}.{part}"), count);
            Ok(LevelWeights {
                pool_query: read("pool_query", size)?,
                pool_residual: read("pool_residual", size * size)?,
                within_query: read("within_query", size * size)?,
                within_output: read("within_output", size * size)?,
                up: read("up", size * size)?,
                down: read("down", size * size)?,
            })
        };
        Ok(Self {
            query: read("query", inner * hidden)?,
            latent: read("latent", size * hidden)?,
            output: read("output", hidden * inner)?,
            gates: read("gates", N_BRANCHES * heads * hidden)?,
            gate_bias: read("gate_bias", N_BRANCHES * heads)?,
            distance: read("distance", heads * N_BUCKETS)?,
            relevance: read("relevance", N_RELEVANCES * hidden)?,
            index_query: read(
                "index_query",
                config.index_heads * config.index_size * hidden,
            )?,
            index_weight: read("index_weight", config.index_heads * hidden)?,
            index_weight_bias: read("index_weight_bias", config.index_heads)?,
            index_key: read("index_key", config.index_size * size)?,
            levels: (0..n_levels).map(level).collect::<Result<_, _>>()?,
            affinity: read("affinity", AFFINITY_DIMENSIONS * size)?,
        })
    }

    /// The parameters of level `level`, counted from 1.
    pub fn level(&self, level: usize) -> &LevelWeights {
        &self.levels[(level - 1).min(self.levels.len() - 1)]
    }
}

/// The first rows of the unit matrix, `[rows, columns]`.
fn identity(rows: usize, columns: usize) -> Vec<f32> {
    let at = |at: usize| f32::from(u8::from(at / columns == at % columns));
    (0..rows * columns).map(at).collect()
}
