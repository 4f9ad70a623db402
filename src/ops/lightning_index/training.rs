//! The scores of lists in f32, for training: what the index learns from is their distance to attention's weights.
//!
//! On CUDA the operation for candle is candle's own error for now: `cuda_fwd` is where a kernel goes.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{
    training_backward::list_scores_backward,
    training_tile::{GroupLanes, TILE_KEYS},
};
use crate::ops::{
    pointwise::{LANES, larger, multiply_add, sum},
    rows::split,
    simd::{Instructions, Isa, Kernel},
    sparse_attention::KeyLists,
    tensors::{gradient, numbers, output, values},
};

/// What the scores are made from.
#[derive(Debug, Clone, Copy)]
pub struct ScoreInputs<'a, T = f32> {
    /// `[n_queries, heads, dimensions]`.
    pub queries: &'a [T],
    /// `[n_queries, heads]`.
    pub weights: &'a [T],
    /// `[n_keys, dimensions]`.
    pub keys: &'a [T],
    pub lists: &'a KeyLists,
    pub heads: usize,
    /// A multiple of 16.
    pub dimensions: usize,
}

impl<T> ScoreInputs<'_, T> {
    /// Where each group's scores begin among all, and their number last.
    pub fn borders(&self) -> Vec<u32> {
        let mut borders = vec![0];
        let mut end = 0;
        for group in 0..self.lists.n_groups() {
            end += self.lists.n_keys_of(group) as u32;
            borders.push(end);
        }
        borders
    }

    /// The rows (a head of a query each) of a group.
    pub(super) fn rows_of(&self, group: usize) -> std::ops::Range<usize> {
        let queries = self.lists.queries_of(group);
        queries.start * self.heads..queries.end * self.heads
    }

    /// What one query of a group counts.
    pub(super) fn share(&self, group: usize) -> f32 {
        1.0 / self.lists.queries_of(group).len().max(1) as f32
    }

    /// Panics unless the sizes agree, so that the loops need not check.
    pub(super) fn check(&self) {
        let n_rows = self.lists.n_queries() * self.heads;
        assert_eq!(self.dimensions % LANES, 0);
        assert_eq!(self.queries.len(), n_rows * self.dimensions);
        assert_eq!(self.weights.len(), n_rows);
        let n_keys = self.keys.len() / self.dimensions;
        let inside = |end: u32| end as usize <= n_keys;
        assert!(self.lists.ranges.iter().all(|range| inside(range.end)));
    }
}

/// The definition of [`list_scores`], in f64 so that differences of it are exact enough to test gradients by.
pub fn list_scores_slow(inputs: &ScoreInputs<f64>) -> Vec<f64> {
    let dimensions = inputs.dimensions;
    let mut scores = Vec::new();
    for group in 0..inputs.lists.n_groups() {
        let n_queries = inputs.lists.queries_of(group).len();
        let ranges = inputs.lists.of(group).iter();
        for key in ranges.flat_map(|range| range.start as usize..range.end as usize) {
            let key = &inputs.keys[key * dimensions..][..dimensions];
            let mut sum = 0.0;
            for row in inputs.rows_of(group) {
                let query = &inputs.queries[row * dimensions..][..dimensions];
                let product: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                sum += inputs.weights[row] * product.max(0.0);
            }
            scores.push(sum / n_queries.max(1) as f64);
        }
    }
    scores
}

/// The score of every key of every list: the mean of I over the queries of its group.
pub fn list_scores(inputs: &ScoreInputs) -> Vec<f32> {
    inputs.check();
    let borders = inputs.borders();
    let mut scores = vec![0.0; borders.last().map_or(0, |last| *last as usize)];
    let groups = split(&mut scores, &borders, 1);
    let groups = groups.into_par_iter().enumerate();
    groups.for_each_init(GroupLanes::default, |lanes, (group, out)| {
        Instructions::best().run(Score {
            inputs,
            group,
            lanes,
            out,
        });
    });
    scores
}

struct Score<'a> {
    inputs: &'a ScoreInputs<'a>,
    group: usize,
    lanes: &'a mut GroupLanes,
    out: &'a mut [f32],
}

impl Kernel for Score<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let lanes = self.lanes;
        lanes.fill(self.inputs, self.group);
        if lanes.stride == 0 {
            return;
        }
        for first in (0..lanes.list.len()).step_by(TILE_KEYS) {
            lanes.multiply::<I>(self.inputs, first);
            let products = lanes.products.chunks_exact(lanes.stride);
            for (score, products) in self.out[first..].iter_mut().zip(products) {
                let mut sums = [0.0; LANES];
                let weights = lanes.weights.as_chunks::<LANES>().0;
                for (products, weights) in products.as_chunks().0.iter().zip(weights) {
                    sums = multiply_add::<I>(&larger(products, &[0.0; LANES]), weights, &sums);
                }
                *score = sum(&sums);
            }
        }
    }
}

/// [`list_scores`] for candle: of `queries` (`[n_queries, heads, dimensions]`), `weights` (`[n_queries, heads]`) and
/// `keys` (`[n_keys, dimensions]`).
///
/// # Errors
///
/// Fails for types other than f32, and on devices other than the processor.
pub fn index_scores(
    queries: &Tensor,
    weights: &Tensor,
    keys: &Tensor,
    lists: Arc<KeyLists>,
) -> Result<Tensor> {
    let (weights, keys) = (weights.contiguous()?, keys.contiguous()?);
    let queries = queries.contiguous()?;
    queries.apply_op3(&weights, &keys, IndexScores(lists))
}

struct IndexScores(Arc<KeyLists>);

impl IndexScores {
    fn inputs<'a>(
        &'a self,
        numbers: [&'a [f32]; 3],
        shape: (usize, usize, usize),
    ) -> ScoreInputs<'a> {
        ScoreInputs {
            queries: numbers[0],
            weights: numbers[1],
            keys: numbers[2],
            lists: &self.0,
            heads: shape.1,
            dimensions: shape.2,
        }
    }
}

impl CustomOp3 for IndexScores {
    fn name(&self) -> &'static str {
        "index-scores"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let numbers = [
            values(queries, queries_layout)?,
            values(weights, weights_layout)?,
            values(keys, keys_layout)?,
        ];
        let scores = list_scores(&self.inputs(numbers, queries_layout.shape().dims3()?));
        let n_scores = scores.len();
        output(scores, n_scores)
    }

    fn bwd(
        &self,
        queries: &Tensor,
        weights: &Tensor,
        keys: &Tensor,
        _: &Tensor,
        d_scores: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let owned = [numbers(queries)?, numbers(weights)?, numbers(keys)?];
        let inputs = self.inputs(owned.each_ref().map(Vec::as_slice), queries.dims3()?);
        let gradients = list_scores_backward(&inputs, &numbers(d_scores)?);
        Ok((
            gradient(gradients.queries, queries)?,
            gradient(gradients.weights, weights)?,
            gradient(gradients.keys, keys)?,
        ))
    }
}
