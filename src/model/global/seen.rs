//! What the queries of one granule give to each key that they see: the readable form of a branch's attention, in f32.
//!
//! Logits are those of [`sparse_attention_slow`](crate::ops::sparse_attention::sparse_attention_slow). Queries and
//! latents are the block's own before they become codes, so weights differ from the fast form's by their rounding only.

use std::{f32::consts::LOG2_E, ops::Range};

use super::{
    block::{Columns, GlobalBlock},
    context::Context,
    lists::Lists,
    weights::N_BRANCHES,
};
use crate::ops::{
    pointwise::{dot, exp2},
    simd::{Instructions, Isa, Kernel},
    sparse_attention::{ChunkRange, N_BUCKETS},
};

/// Names of the branches, in the order of their gates.
pub const BRANCH_NAMES: [&str; N_BRANCHES] = ["window", "compressed", "selected"];

/// A token, or a node of the cover.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Level of the pyramid; 0 is that of the tokens.
    pub level: usize,
    pub tokens: Range<usize>,
    /// Place among the nodes of its level.
    node: usize,
    /// What is added to its logit beside the bias of its bucket.
    pub(super) log_size: f32,
    pub(super) bucket: u8,
}

/// What a granule gives to its keys in one branch, on average over its queries and heads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    /// One a key; with `null` they sum to 1.
    pub keys: Vec<f32>,
    /// The weights times the gate.
    pub gated: Vec<f32>,
    /// What goes to the null key.
    pub null: f32,
    pub gate: f32,
    /// Entropy over the tokens behind the keys, the null key left aside, relative to that of equal weights.
    pub evenness: f32,
}

/// A document and the block that looks at it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    pub block: &'a GlobalBlock,
    pub context: &'a Context,
    /// Latents of all tokens, `[n_tokens, head_size]`.
    pub latents: &'a [f32],
}

impl Scene<'_> {
    /// What a granule sees in a branch.
    pub fn keys(&self, lists: &Lists, branch: usize) -> Vec<Key> {
        let context = self.context;
        let tokens = |range: &ChunkRange| {
            let first = context.chunk_tokens[range.chunk as usize] as usize;
            let bucket = range.bucket;
            (first + usize::from(range.start)..first + usize::from(range.end)).map(move |token| {
                Key {
                    level: 0,
                    tokens: token..token + 1,
                    node: token,
                    log_size: 0.0,
                    bucket,
                }
            })
        };
        match branch {
            0 => lists.window.iter().flat_map(tokens).collect(),
            1 => {
                let weights = lists.cover_log_sizes.iter().zip(&lists.cover_buckets);
                let cover = lists.cover.iter().zip(weights);
                cover
                    .map(|(node, (&log_size, &bucket))| {
                        let level = context.pyramid.leaf_level() + usize::from(node.level);
                        let index = node.index as usize;
                        Key {
                            level,
                            tokens: context.pyramid.levels[level - 1].tokens_of(index),
                            node: index,
                            log_size,
                            bucket,
                        }
                    })
                    .collect()
            }
            _ => lists.selected.iter().flat_map(tokens).collect(),
        }
    }

    /// How the queries of a granule, `[n_queries, columns.total]`, weigh the keys of a branch.
    pub fn weights(&self, projected: &[f32], keys: &[Key], branch: usize) -> Weights {
        Instructions::best().run(Weigh {
            scene: *self,
            projected,
            keys,
            branch,
        })
    }

    pub(super) fn latent(&self, key: &Key) -> &[f32] {
        let size = self.block.config().head_size;
        let latents = match key.level {
            0 => self.latents,
            level => &self.context.latents[level - 1],
        };
        &latents[key.node * size..][..size]
    }
}

struct Weigh<'a> {
    scene: Scene<'a>,
    projected: &'a [f32],
    keys: &'a [Key],
    branch: usize,
}

impl Kernel for Weigh<'_> {
    type Output = Weights;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> Weights {
        let (config, keys) = (self.scene.block.config(), self.keys);
        let (heads, size) = (config.heads, config.head_size);
        let columns = Columns::of(config);
        let share = 1.0 / (self.projected.len() / columns.total * heads) as f32;
        // The keys' latents side by side: every query and head goes through them.
        let mut latents = Vec::with_capacity(keys.len() * size);
        keys.iter()
            .for_each(|key| latents.extend_from_slice(self.scene.latent(key)));
        let log_tokens: Vec<f32> = keys
            .iter()
            .map(|key| (key.tokens.len() as f32).ln())
            .collect();
        let n_tokens: usize = keys.iter().map(|key| key.tokens.len()).sum();
        let mut weights = Weights {
            keys: vec![0.0; keys.len()],
            gated: vec![0.0; keys.len()],
            ..Weights::default()
        };
        let mut logits = vec![0.0; keys.len()];
        for projected in self.projected.chunks_exact(columns.total) {
            for head in 0..heads {
                let gate = projected[columns.gates + self.branch * heads + head];
                let gate = share / (1.0 + (-gate).exp());
                weights.gate += gate;
                let query = &projected[head * size..][..size];
                let bias = &self.scene.block.weights.distance[head * N_BUCKETS..][..N_BUCKETS];
                for ((logit, key), latent) in
                    logits.iter_mut().zip(keys).zip(latents.chunks_exact(size))
                {
                    *logit = dot::<I>(query, latent) / (size as f32).sqrt()
                        + key.log_size
                        + bias[usize::from(key.bucket)];
                }
                let of = softmax::<I>(&mut logits, &log_tokens);
                weights.null += share * of.null;
                weights.evenness += share * of.entropy / (n_tokens.max(2) as f32).ln();
                for (at, own) in logits.iter().enumerate() {
                    weights.keys[at] += share * own;
                    weights.gated[at] += gate * own;
                }
            }
        }
        weights
    }
}

/// What a softmax leaves beside the weights.
struct Softmax {
    null: f32,
    entropy: f32,
}

/// Turns logits into weights beside a null key of logit 0.
///
/// The entropy is that over the tokens behind the keys, whose numbers are e to `log_tokens`: a key's weight is spread
/// over its tokens.
#[inline(always)]
fn softmax<I: Isa>(logits: &mut [f32], log_tokens: &[f32]) -> Softmax {
    let best = logits.iter().copied().fold(0.0, f32::max);
    let null = (-best).exp();
    let (mut seen, mut surprise) = (0.0, 0.0);
    for (logit, log_tokens) in logits.iter_mut().zip(log_tokens) {
        let above = *logit - best;
        *logit = exp2::<I>(above * LOG2_E);
        seen += *logit;
        surprise += *logit * (above - log_tokens);
    }
    let total = seen + null;
    logits.iter_mut().for_each(|logit| *logit /= total);
    Softmax {
        null: null / total,
        entropy: match seen > 0.0 {
            true => seen.ln() - surprise / seen,
            false => 0.0,
        },
    }
}
