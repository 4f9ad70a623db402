//! The backward: parents share no child, so each thread writes the gradients of its own children.

use rayon::prelude::*;

use super::{
    Inputs, Pooling,
    forward::{attend, mean},
};
use crate::ops::{
    pointwise::dot,
    rows::split,
    simd::{Instructions, Isa, Kernel},
    small_product::{Left, Right, Size, Sums, add_product},
};

/// Parts of the parents at most; each has a gradient of the residual of its own until they are summed.
const MAX_PARTS: usize = 16;
const MIN_PARENTS: usize = 64;

/// What the gradients of [`Inputs`] are.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// `[n, dimensions]`.
    pub children: Vec<f32>,
    /// `[dimensions]`.
    pub query: Vec<f32>,
    /// `[dimensions, dimensions]`.
    pub residual: Vec<f32>,
    /// `[n]`.
    pub affinities: Vec<f32>,
}

/// The gradients, given that of the parents (`[n_parents, dimensions]`).
pub fn backward(inputs: &Inputs, d_parents: &[f32]) -> Gradients {
    inputs.check();
    let dimensions = inputs.dimensions();
    assert_eq!(d_parents.len(), inputs.n_parents() * dimensions);
    let mut gradients = Gradients {
        children: vec![0.0; inputs.children.len()],
        query: vec![0.0; dimensions],
        residual: vec![0.0; inputs.residual.len()],
        affinities: vec![0.0; inputs.affinities.len()],
    };
    let size = inputs.n_parents().div_ceil(MAX_PARTS).max(MIN_PARENTS);
    let firsts = || (0..inputs.n_parents()).step_by(size);
    let mut borders: Vec<u32> = firsts().map(|first| inputs.borders[first]).collect();
    borders.extend(inputs.borders.last());
    let children = split(&mut gradients.children, &borders, dimensions);
    let affinities = split(&mut gradients.affinities, &borders, 1);
    let parts: Vec<_> = firsts().zip(children.into_iter().zip(affinities)).collect();
    let sums: Vec<(Vec<f32>, Vec<f32>)> = parts
        .into_par_iter()
        .map(|(first, (children, affinities))| {
            let end = inputs.n_parents().min(first + size);
            Instructions::best().run(PoolBackward {
                inputs,
                d_parents: &d_parents[first * dimensions..end * dimensions],
                first,
                children,
                affinities,
            })
        })
        .collect();
    for (query, residual) in sums {
        for (sums, part) in [
            (&mut gradients.query, query),
            (&mut gradients.residual, residual),
        ] {
            for (sum, value) in sums.iter_mut().zip(part) {
                *sum += value;
            }
        }
    }
    gradients
}

struct PoolBackward<'a> {
    inputs: &'a Inputs<'a>,
    d_parents: &'a [f32],
    /// The first of the parents in `d_parents`.
    first: usize,
    /// The gradients of their children, zeros.
    children: &'a mut [f32],
    affinities: &'a mut [f32],
}

impl Kernel for PoolBackward<'_> {
    /// The gradients of query and residual.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<I: Isa>(mut self, _: I) -> Self::Output {
        let dimensions = self.inputs.dimensions();
        let mut query = vec![0.0; dimensions];
        let mut residual = vec![0.0; self.inputs.residual.len()];
        let n_parents = self.d_parents.len() / dimensions;
        if self.inputs.pooling == Pooling::Max {
            for at in 0..n_parents {
                self.maximum(at);
            }
            return (query, residual);
        }
        let d_means = self.d_means::<I>();
        let mut means = vec![0.0; self.d_parents.len()];
        let mut weights = Vec::new();
        for at in 0..n_parents {
            let own = at * dimensions..(at + 1) * dimensions;
            let mean_of = &mut means[own.clone()];
            attend::<I>(self.inputs, self.first + at, &mut weights);
            mean(self.inputs, self.first + at, &weights, mean_of);
            let pooled = Pooled {
                weights: &weights,
                mean: mean_of,
                gradient: &d_means[own],
            };
            self.weighted::<I>(at, &pooled, &mut query);
        }
        if self.inputs.pooling == Pooling::Attention {
            let left = Left {
                values: self.d_parents,
                row_stride: 1,
                depth_stride: dimensions,
            };
            let right = Right {
                values: &means,
                stride: dimensions,
            };
            let size = Size {
                n_rows: dimensions,
                depth: n_parents,
                n_columns: dimensions,
            };
            let sums = Sums {
                values: &mut residual,
                stride: dimensions,
            };
            add_product::<I>(left, right, size, sums);
        }
        (query, residual)
    }
}

/// A parent's mean.
struct Pooled<'a> {
    /// What each child weighs.
    weights: &'a [f32],
    mean: &'a [f32],
    gradient: &'a [f32],
}

impl PoolBackward<'_> {
    /// The gradients of the means: those of the parents, and what the residual passes back.
    #[inline(always)]
    fn d_means<I: Isa>(&self) -> Vec<f32> {
        let dimensions = self.inputs.dimensions();
        let mut d_means = self.d_parents.to_vec();
        if self.inputs.pooling == Pooling::Attention {
            let left = Left {
                values: self.d_parents,
                row_stride: dimensions,
                depth_stride: 1,
            };
            let right = Right {
                values: self.inputs.residual,
                stride: dimensions,
            };
            let size = Size {
                n_rows: self.d_parents.len() / dimensions,
                depth: dimensions,
                n_columns: dimensions,
            };
            let sums = Sums {
                values: &mut d_means,
                stride: dimensions,
            };
            add_product::<I>(left, right, size, sums);
        }
        d_means
    }

    /// Children of a parent that is a mean.
    #[inline(always)]
    fn weighted<I: Isa>(&mut self, at: usize, pooled: &Pooled, d_query: &mut [f32]) {
        let (weights, d_mean) = (pooled.weights, pooled.gradient);
        let dimensions = self.inputs.dimensions();
        let factor = 1.0 / (dimensions as f32).sqrt();
        let start = self.inputs.borders[self.first] as usize;
        let of_mean = dot::<I>(d_mean, pooled.mean);
        for (child, weight) in self.inputs.children_of(self.first + at).zip(weights) {
            let latent = &self.inputs.children[child * dimensions..][..dimensions];
            let gradient = &mut self.children[(child - start) * dimensions..][..dimensions];
            for (gradient, d_mean) in gradient.iter_mut().zip(d_mean) {
                *gradient = *weight * *d_mean;
            }
            if self.inputs.pooling != Pooling::Attention {
                continue;
            }
            let d_logit = *weight * (dot::<I>(d_mean, latent) - of_mean);
            self.affinities[child - start] = d_logit;
            let d_logit = d_logit * factor;
            for (gradient, query) in gradient.iter_mut().zip(self.inputs.query) {
                *gradient += d_logit * *query;
            }
            for (gradient, value) in d_query.iter_mut().zip(latent) {
                *gradient += d_logit * *value;
            }
        }
    }

    /// Children of a parent under the maximum: the first of equals takes the gradient.
    #[inline(always)]
    fn maximum(&mut self, at: usize) {
        let dimensions = self.inputs.dimensions();
        let start = self.inputs.borders[self.first] as usize;
        let own = self.inputs.children_of(self.first + at);
        if own.is_empty() {
            return;
        }
        for dimension in 0..dimensions {
            let mut best = own.start;
            for child in own.clone() {
                let value = self.inputs.children[child * dimensions + dimension];
                if value > self.inputs.children[best * dimensions + dimension] {
                    best = child;
                }
            }
            let gradient = self.d_parents[at * dimensions + dimension];
            self.children[(best - start) * dimensions + dimension] = gradient;
        }
    }
}
