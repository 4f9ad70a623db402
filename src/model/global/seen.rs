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
    pointwise::{self, LANES, exp2, larger, sum},
    simd::{Instructions, Isa, Kernel},
    small_product::{Left, Right, Size, Sums, add_product},
    sparse_attention::{ChunkRange, N_BUCKETS},
};

/// Names of the branches, in the order of their gates.
pub const BRANCH_NAMES: [&str; N_BRANCHES] = ["window", "compressed", "selected"];

/// The logit of a padding key: its exponential is 0, and it is small enough to be multiplied.
const PADDING: f32 = -1e9;

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
        let config = self.scene.block.config();
        let (heads, size) = (config.heads, config.head_size);
        let columns = Columns::of(config);
        let share = 1.0 / (self.projected.len() / columns.total * heads) as f32;
        let table = Table::new(self.scene, self.keys);
        let n_tokens: usize = self.keys.iter().map(|key| key.tokens.len()).sum();
        let most_entropy = (n_tokens.max(2) as f32).ln();
        let mut weights = Weights {
            keys: vec![0.0; table.stride],
            gated: vec![0.0; table.stride],
            ..Weights::default()
        };
        let mut logits = vec![0.0; heads * table.stride];
        for projected in self.projected.chunks_exact(columns.total) {
            table.logits::<I>(&projected[..heads * size], &mut logits);
            for head in 0..heads {
                let row = &mut logits[head * table.stride..(head + 1) * table.stride];
                let gate = projected[columns.gates + self.branch * heads + head];
                let gate = share / (1.0 + (-gate).exp());
                let of = softmax::<I>(row, &table.log_tokens);
                weights.gate += gate;
                weights.null += share * of.null;
                weights.evenness += share * of.entropy / most_entropy;
                let sums = weights.keys.iter_mut().zip(&mut weights.gated);
                let (key_share, gated_share) = (share * of.scale, gate * of.scale);
                for ((key, gated), exponential) in sums.zip(row.iter()) {
                    *key += key_share * exponential;
                    *gated += gated_share * exponential;
                }
            }
        }
        weights.keys.truncate(self.keys.len());
        weights.gated.truncate(self.keys.len());
        weights
    }
}

/// Keys with a column each, padded to whole blocks by keys that get no weight.
struct Table {
    heads: usize,
    size: usize,
    stride: usize,
    /// Latents over the root of their size, `[size, stride]`.
    latents: Vec<f32>,
    /// What is added to products, `[heads, stride]`.
    added: Vec<f32>,
    /// Logarithms of the numbers of tokens behind the keys.
    log_tokens: Vec<f32>,
}

impl Table {
    fn new(scene: Scene, keys: &[Key]) -> Self {
        let config = scene.block.config();
        let (heads, size) = (config.heads, config.head_size);
        let stride = keys.len().next_multiple_of(LANES);
        let mut latents = vec![0.0; size * stride];
        let mut added = vec![PADDING; heads * stride];
        let mut log_tokens = vec![0.0; stride];
        let scale = 1.0 / (size as f32).sqrt();
        for (at, key) in keys.iter().enumerate() {
            for (dimension, value) in scene.latent(key).iter().enumerate() {
                latents[dimension * stride + at] = scale * value;
            }
            for head in 0..heads {
                let bucket = head * N_BUCKETS + usize::from(key.bucket);
                added[head * stride + at] = key.log_size + scene.block.weights.distance[bucket];
            }
            log_tokens[at] = (key.tokens.len() as f32).ln();
        }
        Self {
            heads,
            size,
            stride,
            latents,
            added,
            log_tokens,
        }
    }

    /// The logits of one query, `[heads, size]`, into `[heads, stride]`.
    #[inline(always)]
    fn logits<I: Isa>(&self, query: &[f32], logits: &mut [f32]) {
        logits.copy_from_slice(&self.added);
        let left = Left {
            values: query,
            row_stride: self.size,
            depth_stride: 1,
        };
        let right = Right {
            values: &self.latents,
            stride: self.stride,
        };
        let size = Size {
            n_rows: self.heads,
            depth: self.size,
            n_columns: self.stride,
        };
        let sums = Sums {
            values: logits,
            stride: self.stride,
        };
        add_product::<I>(left, right, size, sums);
    }
}

/// What a softmax gives beside exponentials.
struct Softmax {
    /// Makes weights of them.
    scale: f32,
    null: f32,
    entropy: f32,
}

/// Turns logits into exponentials beside that of a null key of logit 0.
///
/// The entropy is that over the tokens behind the keys, whose numbers are e to `log_tokens`: a key's weight is spread
/// over its tokens.
#[inline(always)]
fn softmax<I: Isa>(logits: &mut [f32], log_tokens: &[f32]) -> Softmax {
    let (blocks, _) = logits.as_chunks_mut::<LANES>();
    let mut largest = [0.0; LANES];
    for block in blocks.iter() {
        largest = larger(&largest, block);
    }
    let best = pointwise::largest(&largest);
    let (mut seen, mut surprise) = ([0.0; LANES], [0.0; LANES]);
    for (block, log_tokens) in blocks.iter_mut().zip(log_tokens.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let above = block[lane] - best;
            block[lane] = exp2::<I>(above * LOG2_E);
            seen[lane] += block[lane];
            surprise[lane] += block[lane] * (above - log_tokens[lane]);
        }
    }
    let (seen, surprise) = (sum(&seen), sum(&surprise));
    let null = (-best).exp();
    let scale = 1.0 / (seen + null);
    Softmax {
        scale,
        null: scale * null,
        entropy: match seen > 0.0 {
            true => seen.ln() - surprise / seen,
            false => 0.0,
        },
    }
}
