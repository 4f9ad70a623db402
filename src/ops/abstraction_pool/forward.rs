//! The fast form: some parents a thread, their residuals in one product.

use std::f32::consts::LOG2_E;

use rayon::prelude::*;

use super::{Inputs, Pooling};
use crate::ops::{
    pointwise::{dot, exp2, max},
    rows::turn,
    simd::{Instructions, Isa, Kernel},
    small_product::{Left, Right, Size, Sums, add_product},
};

/// Parents that a thread takes at once.
const CHUNK_PARENTS: usize = 64;

/// The parents: `[n_parents, dimensions]`.
pub fn forward(inputs: &Inputs) -> Vec<f32> {
    inputs.check();
    let dimensions = inputs.dimensions();
    let turned = turned_residual(inputs);
    let mut parents = vec![0.0; inputs.n_parents() * dimensions];
    let chunks = parents.par_chunks_mut(CHUNK_PARENTS * dimensions);
    chunks.enumerate().for_each(|(chunk, out)| {
        Instructions::best().run(Pool {
            inputs,
            turned: &turned,
            first: chunk * CHUNK_PARENTS,
            out,
        });
    });
    parents
}

/// The residual with a column for each dimension of the parent.
fn turned_residual(inputs: &Inputs) -> Vec<f32> {
    let dimensions = inputs.dimensions();
    let mut turned = vec![0.0; inputs.residual.len()];
    turn(inputs.residual, dimensions, 1.0, &mut turned, dimensions);
    turned
}

struct Pool<'a> {
    inputs: &'a Inputs<'a>,
    turned: &'a [f32],
    /// The first of the parents in `out`.
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Pool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let dimensions = self.inputs.dimensions();
        let mut weights = Vec::new();
        for (at, parent) in self.out.chunks_exact_mut(dimensions).enumerate() {
            if self.inputs.pooling == Pooling::Max {
                maximum(self.inputs, self.first + at, parent);
            } else {
                attend::<I>(self.inputs, self.first + at, &mut weights);
                mean(self.inputs, self.first + at, &weights, parent);
            }
        }
        if self.inputs.pooling == Pooling::Attention {
            let means = self.out.to_vec();
            let left = Left {
                values: &means,
                row_stride: dimensions,
                depth_stride: 1,
            };
            let right = Right {
                values: self.turned,
                stride: dimensions,
            };
            let size = Size {
                n_rows: means.len() / dimensions,
                depth: dimensions,
                n_columns: dimensions,
            };
            let sums = Sums {
                values: self.out,
                stride: dimensions,
            };
            add_product::<I>(left, right, size, sums);
        }
    }
}

/// Writes what each child of `parent` weighs; the sum is 1.
#[inline(always)]
pub fn attend<I: Isa>(inputs: &Inputs, parent: usize, weights: &mut Vec<f32>) {
    let dimensions = inputs.dimensions();
    let factor = LOG2_E / (dimensions as f32).sqrt();
    let own = inputs.children_of(parent);
    weights.clear();
    weights.extend_from_slice(&inputs.sizes[own.clone()]);
    if inputs.pooling == Pooling::Attention {
        let mut best = f32::MIN;
        for (weight, child) in weights.iter_mut().zip(own.clone()) {
            let latent = &inputs.children[child * dimensions..][..dimensions];
            let product = dot::<I>(latent, inputs.query) * factor;
            *weight = product + inputs.affinities[child] * LOG2_E;
            best = max(best, *weight);
        }
        for (weight, size) in weights.iter_mut().zip(&inputs.sizes[own]) {
            *weight = exp2::<I>(*weight - best) * size;
        }
    }
    let mut total = 0.0;
    for weight in weights.iter() {
        total += *weight;
    }
    // A division each, so that a single child weighs exactly 1.
    for weight in weights.iter_mut() {
        *weight /= total;
    }
}

/// Writes the mean of the children of `parent` under `weights`; `mean` starts as zeros.
#[inline(always)]
pub fn mean(inputs: &Inputs, parent: usize, weights: &[f32], mean: &mut [f32]) {
    let dimensions = inputs.dimensions();
    for (child, weight) in inputs.children_of(parent).zip(weights) {
        let latent = &inputs.children[child * dimensions..][..dimensions];
        for (mean, value) in mean.iter_mut().zip(latent) {
            *mean += *weight * *value;
        }
    }
}

#[inline(always)]
fn maximum(inputs: &Inputs, parent: usize, largest: &mut [f32]) {
    let dimensions = inputs.dimensions();
    for (at, child) in inputs.children_of(parent).enumerate() {
        let latent = &inputs.children[child * dimensions..][..dimensions];
        if at == 0 {
            largest.copy_from_slice(latent);
        }
        for (largest, value) in largest.iter_mut().zip(latent) {
            *largest = max(*largest, *value);
        }
    }
}
