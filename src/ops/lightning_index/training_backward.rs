//! The backward of [`list_scores`](super::list_scores): rows group by group, keys block by block over the inverted
//! lists.

use rayon::prelude::*;

use super::{
    training::ScoreInputs,
    training_tile::{GroupLanes, TILE_KEYS},
};
use crate::ops::{
    pointwise::max,
    rows::{split, turn},
    simd::{Instructions, Isa, Kernel},
    small_product::{Left, Right, Size, Sums, add_product},
    sparse_attention::inverted::{BLOCK_KEYS, Entry, Inverted, UNSEEN},
};

/// What the gradients of [`ScoreInputs`] are.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreGradients {
    /// `[n_queries, heads, dimensions]`.
    pub queries: Vec<f32>,
    /// `[n_queries, heads]`.
    pub weights: Vec<f32>,
    /// `[n_keys, dimensions]`.
    pub keys: Vec<f32>,
}

/// The gradients, given that of every score.
pub fn list_scores_backward(inputs: &ScoreInputs, d_scores: &[f32]) -> ScoreGradients {
    inputs.check();
    let borders = inputs.borders();
    assert_eq!(
        borders.last().map_or(0, |last| *last as usize),
        d_scores.len()
    );
    let mut gradients = ScoreGradients {
        queries: vec![0.0; inputs.queries.len()],
        weights: vec![0.0; inputs.weights.len()],
        keys: vec![0.0; inputs.keys.len()],
    };
    let queries_of = &inputs.lists.queries;
    let queries = split(
        &mut gradients.queries,
        queries_of,
        inputs.heads * inputs.dimensions,
    );
    let weights = split(&mut gradients.weights, queries_of, inputs.heads);
    let groups = queries.into_par_iter().zip(weights).enumerate();
    groups.for_each_init(GroupLanes::default, |lanes, (group, (queries, weights))| {
        Instructions::best().run(RowsBackward {
            inputs,
            group,
            lanes,
            d_scores: &d_scores[borders[group] as usize..borders[group + 1] as usize],
            queries,
            weights,
        });
    });
    for groups in Inverted::batches(inputs.lists) {
        let inverted = Inverted::new(inputs.lists, groups, inputs.keys.len() / inputs.dimensions);
        let blocks = gradients
            .keys
            .par_chunks_mut(BLOCK_KEYS * inputs.dimensions);
        blocks.enumerate().for_each(|(block, keys)| {
            Instructions::best().run(KeysBackward {
                inputs,
                entries: inverted.of(block),
                first: block * BLOCK_KEYS,
                borders: &borders,
                d_scores,
                keys,
            });
        });
    }
    gradients
}

struct RowsBackward<'a> {
    inputs: &'a ScoreInputs<'a>,
    group: usize,
    lanes: &'a mut GroupLanes,
    d_scores: &'a [f32],
    /// The gradients of the group's rows, zeros.
    queries: &'a mut [f32],
    weights: &'a mut [f32],
}

impl Kernel for RowsBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let dimensions = self.inputs.dimensions;
        let lanes = self.lanes;
        lanes.fill(self.inputs, self.group);
        if lanes.stride == 0 {
            return;
        }
        // The weights' gradients, lane by lane.
        let mut sums = vec![0.0; lanes.stride];
        for first in (0..lanes.list.len()).step_by(TILE_KEYS) {
            lanes.multiply::<I>(self.inputs, first);
            let products = lanes.products.chunks_exact_mut(lanes.stride);
            for (products, d_score) in products.zip(&self.d_scores[first..]) {
                let weights = lanes.weights.iter();
                for ((product, sum), weight) in products.iter_mut().zip(&mut sums).zip(weights) {
                    *sum += max(*product, 0.0) * *d_score;
                    *product = if *product > 0.0 {
                        *d_score * *weight
                    } else {
                        0.0
                    };
                }
            }
            let left = Left {
                values: &lanes.products,
                row_stride: 1,
                depth_stride: lanes.stride,
            };
            let right = Right {
                values: &lanes.keys,
                stride: dimensions,
            };
            let size = Size {
                n_rows: self.weights.len(),
                depth: lanes.keys.len() / dimensions,
                n_columns: dimensions,
            };
            let sums = Sums {
                values: self.queries,
                stride: dimensions,
            };
            add_product::<I>(left, right, size, sums);
        }
        let share = self.inputs.share(self.group);
        for (d_weight, sum) in self.weights.iter_mut().zip(&sums) {
            *d_weight = *sum * share;
        }
    }
}

struct KeysBackward<'a> {
    inputs: &'a ScoreInputs<'a>,
    entries: &'a [Entry],
    first: usize,
    borders: &'a [u32],
    d_scores: &'a [f32],
    /// What the gradients of the block's keys are added to.
    keys: &'a mut [f32],
}

impl Kernel for KeysBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let dimensions = self.inputs.dimensions;
        let own = &self.inputs.keys[self.first * dimensions..][..self.keys.len()];
        let mut turned = vec![0.0; dimensions * BLOCK_KEYS];
        turn(own, dimensions, 1.0, &mut turned, BLOCK_KEYS);
        let mut products = Vec::new();
        for entry in self.entries {
            let rows = self.inputs.rows_of(entry.group as usize);
            let queries = &self.inputs.queries[rows.start * dimensions..rows.end * dimensions];
            products.clear();
            products.resize(rows.len() * BLOCK_KEYS, 0.0);
            let left = Left {
                values: queries,
                row_stride: dimensions,
                depth_stride: 1,
            };
            let right = Right {
                values: &turned,
                stride: BLOCK_KEYS,
            };
            let size = Size {
                n_rows: rows.len(),
                depth: dimensions,
                n_columns: BLOCK_KEYS,
            };
            let sums = Sums {
                values: &mut products,
                stride: BLOCK_KEYS,
            };
            add_product::<I>(left, right, size, sums);
            self.differentiate(entry, &mut products);
            let left = Left {
                values: &products,
                row_stride: 1,
                depth_stride: BLOCK_KEYS,
            };
            let right = Right {
                values: queries,
                stride: dimensions,
            };
            let size = Size {
                n_rows: self.keys.len() / dimensions,
                depth: rows.len(),
                n_columns: dimensions,
            };
            let sums = Sums {
                values: self.keys,
                stride: dimensions,
            };
            add_product::<I>(left, right, size, sums);
        }
    }
}

impl KeysBackward<'_> {
    /// Turns an entry's products (`[n_rows, BLOCK_KEYS]`) into their gradients.
    #[inline(always)]
    fn differentiate(&self, entry: &Entry, products: &mut [f32]) {
        let group = entry.group as usize;
        let share = self.inputs.share(group);
        let mut at = (self.borders[group] + entry.position) as usize;
        let mut d_scores = [0.0; BLOCK_KEYS];
        for (d_score, bucket) in d_scores.iter_mut().zip(&entry.buckets) {
            if *bucket != UNSEEN {
                *d_score = self.d_scores[at] * share;
                at += 1;
            }
        }
        let weights = &self.inputs.weights[self.inputs.rows_of(group)];
        let blocks = products.as_chunks_mut::<BLOCK_KEYS>().0;
        for (products, weight) in blocks.iter_mut().zip(weights) {
            for (product, d_score) in products.iter_mut().zip(&d_scores) {
                *product = if *product > 0.0 {
                    *d_score * *weight
                } else {
                    0.0
                };
            }
        }
    }
}
