//! The gradients of the latents: a block of keys a thread, over the groups that see it.

use std::f32::consts::LOG2_E;

use rayon::prelude::*;

use super::{
    N_BUCKETS,
    backward::Context,
    inverted::{BLOCK_KEYS, Entry, Inverted, UNSEEN},
};
use crate::ops::{
    pointwise::{Block, exp2},
    rows::turn,
    simd::{Instructions, Isa, Kernel},
    small_product::{Left, Right, Size, Sums, add_product},
};

/// What hides a key that a group does not see.
const HIDDEN: f32 = -1e30;

/// The gradients of the latents: `[n_keys, dimensions]`.
pub fn latents_backward(context: &Context) -> Vec<f32> {
    let inputs = context.inputs;
    let mut gradients = vec![0.0; inputs.latents.len()];
    for groups in Inverted::batches(inputs.lists) {
        let inverted = Inverted::new(inputs.lists, groups, inputs.n_keys());
        let blocks = gradients.par_chunks_mut(BLOCK_KEYS * inputs.dimensions);
        let blocks = blocks.enumerate();
        blocks.for_each_init(Scratch::default, |scratch, (block, gradients)| {
            Instructions::best().run(BlockBackward {
                context,
                entries: inverted.of(block),
                first: block * BLOCK_KEYS,
                scratch,
                gradients,
            });
        });
    }
    gradients
}

/// Room for a block, kept between blocks.
#[derive(Default)]
struct Scratch {
    /// The block's keys turned: `[dimensions, BLOCK_KEYS]`.
    turned: Vec<f32>,
    /// Log size and bias of each key in powers of two, or [`HIDDEN`]: `[heads]`.
    addends: Vec<Block>,
    /// Logits, then weights; and their gradients: `[n_rows, BLOCK_KEYS]` each.
    weights: Vec<f32>,
    products: Vec<f32>,
}

struct BlockBackward<'a> {
    context: &'a Context<'a>,
    entries: &'a [Entry],
    first: usize,
    scratch: &'a mut Scratch,
    /// What is added to: `[keys of the block, dimensions]`.
    gradients: &'a mut [f32],
}

impl Kernel for BlockBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let inputs = self.context.inputs;
        let dimensions = inputs.dimensions;
        let scratch = self.scratch;
        let n_keys = self.gradients.len() / dimensions;
        let keys = &inputs.latents[self.first * dimensions..][..self.gradients.len()];
        scratch.turned.clear();
        scratch.turned.resize(dimensions * BLOCK_KEYS, 0.0);
        turn(keys, dimensions, 1.0, &mut scratch.turned, BLOCK_KEYS);
        for entry in self.entries {
            let queries = inputs.lists.queries_of(entry.group as usize);
            let rows = queries.start * inputs.heads..queries.end * inputs.heads;
            scratch.add_up(self.context, entry, self.first);
            scratch.score::<I>(self.context, &rows);
            scratch.differentiate::<I>(self.context, &rows);
            let d_out = &self.context.d_out[rows.start * (dimensions + 1)..];
            let queries = &inputs.queries[rows.start * dimensions..];
            for (weights, values, stride) in [
                (&scratch.weights, d_out, dimensions + 1),
                (&scratch.products, queries, dimensions),
            ] {
                let left = Left {
                    values: weights,
                    row_stride: 1,
                    depth_stride: BLOCK_KEYS,
                };
                let size = Size {
                    n_rows: n_keys,
                    depth: rows.len(),
                    n_columns: dimensions,
                };
                let sums = Sums {
                    values: self.gradients,
                    stride: dimensions,
                };
                add_product::<I>(left, Right { values, stride }, size, sums);
            }
        }
    }
}

impl Scratch {
    #[inline(always)]
    fn add_up(&mut self, context: &Context, entry: &Entry, first: usize) {
        let inputs = context.inputs;
        self.addends.clear();
        self.addends.resize(inputs.heads, [HIDDEN; BLOCK_KEYS]);
        for (addends, bias) in self.addends.iter_mut().zip(inputs.bias.chunks(N_BUCKETS)) {
            for (at, bucket) in entry.buckets.iter().enumerate() {
                if *bucket != UNSEEN {
                    let sum = inputs.log_sizes[first + at] + bias[usize::from(*bucket)];
                    addends[at] = sum * LOG2_E;
                }
            }
        }
    }

    /// The products of the rows' queries with the keys, and of their gradients with them.
    #[inline(always)]
    fn score<I: Isa>(&mut self, context: &Context, rows: &std::ops::Range<usize>) {
        let dimensions = context.inputs.dimensions;
        let right = Right {
            values: &self.turned,
            stride: BLOCK_KEYS,
        };
        let size = Size {
            n_rows: rows.len(),
            depth: dimensions,
            n_columns: BLOCK_KEYS,
        };
        for (out, values, row_stride) in [
            (&mut self.weights, context.inputs.queries, dimensions),
            (&mut self.products, context.d_out, dimensions + 1),
        ] {
            out.clear();
            out.resize(rows.len() * BLOCK_KEYS, 0.0);
            let left = Left {
                values: &values[rows.start * row_stride..],
                row_stride,
                depth_stride: 1,
            };
            let sums = Sums {
                values: out,
                stride: BLOCK_KEYS,
            };
            add_product::<I>(left, right, size, sums);
        }
    }

    /// Turns products into weights and gradients of logits by √dimensions.
    #[inline(always)]
    fn differentiate<I: Isa>(&mut self, context: &Context, rows: &std::ops::Range<usize>) {
        let heads = context.inputs.heads;
        let factor = 1.0 / (context.inputs.dimensions as f32).sqrt();
        let weights = self.weights.as_chunks_mut::<BLOCK_KEYS>().0.iter_mut();
        let products = self.products.as_chunks_mut::<BLOCK_KEYS>().0;
        for (row, (weights, products)) in rows.clone().zip(weights.zip(products)) {
            let addends = &self.addends[row % heads];
            let log_sum = context.log_sums[row];
            let correction = context.corrections[row];
            for at in 0..BLOCK_KEYS {
                let logit = weights[at] * (factor * LOG2_E) + addends[at] - log_sum;
                let weight = exp2::<I>(logit);
                weights[at] = weight;
                products[at] = weight * (products[at] - correction) * factor;
            }
        }
    }
}
