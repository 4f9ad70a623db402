//! The definition, in f64 so that differences of it are exact enough to test gradients by.

use super::{Inputs, Pooling};

/// The definition of [`forward`](super::forward): `[n_parents, dimensions]`.
pub fn abstraction_pool_slow(inputs: &Inputs<f64>) -> Vec<f64> {
    let dimensions = inputs.dimensions();
    let mut parents = Vec::new();
    for parent in 0..inputs.n_parents() {
        let own = inputs.children_of(parent);
        let mut pooled = vec![0.0; dimensions];
        if own.is_empty() {
            parents.extend(pooled);
            continue;
        }
        let child = |at: usize| &inputs.children[at * dimensions..][..dimensions];
        let logit = |at: usize| {
            let product: f64 = child(at).iter().zip(inputs.query).map(|(c, q)| c * q).sum();
            product / (dimensions as f64).sqrt() + inputs.affinities[at]
        };
        let weight = |at: usize| match inputs.pooling {
            Pooling::Attention => inputs.sizes[at] * logit(at).exp(),
            Pooling::Mean | Pooling::Max => inputs.sizes[at],
        };
        let total: f64 = own.clone().map(weight).sum();
        for (dimension, pooled) in pooled.iter_mut().enumerate() {
            let values = own.clone().map(|at| child(at)[dimension]);
            *pooled = match inputs.pooling {
                Pooling::Max => values.fold(f64::NEG_INFINITY, f64::max),
                Pooling::Mean | Pooling::Attention => {
                    let weights = own.clone().map(weight);
                    weights
                        .zip(values)
                        .map(|(weight, value)| weight * value)
                        .sum::<f64>()
                        / total
                }
            };
        }
        if inputs.pooling == Pooling::Attention {
            let rows = inputs.residual.chunks_exact(dimensions);
            let residual: Vec<f64> = rows
                .map(|row| row.iter().zip(&pooled).map(|(r, mean)| r * mean).sum())
                .collect();
            for (pooled, residual) in pooled.iter_mut().zip(residual) {
                *pooled += residual;
            }
        }
        parents.extend(pooled);
    }
    parents
}
