//! How much of each branch does a head let through? Sigmoid gates that fuse branches.
//!
//! out\[t, h\] = Σ over branches b of sigmoid(g\[t, b, h\]) · branch\[b, t, h\].

mod candle;

pub use candle::gate;

use rayon::prelude::*;

use super::pointwise::exp2;
use super::simd::{Instructions, Isa, Kernel};

/// Queries that a thread takes at once.
const CHUNK_QUERIES: usize = 32;

/// What the operation reads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T = f32> {
    /// `[n_queries, n_branches, heads]`.
    pub gates: &'a [T],
    /// One behind the other: `[n_branches, n_queries, heads, dimensions]`.
    pub branches: &'a [T],
    pub n_branches: usize,
    pub heads: usize,
    pub dimensions: usize,
}

impl<T> Inputs<'_, T> {
    /// Number of queries.
    pub fn n_queries(&self) -> usize {
        self.gates.len() / (self.n_branches * self.heads).max(1)
    }

    /// Where the row of a branch, query and head starts.
    fn row(&self, branch: usize, query: usize, head: usize) -> usize {
        ((branch * self.n_queries() + query) * self.heads + head) * self.dimensions
    }

    /// Where its gate stands.
    fn gate(&self, branch: usize, query: usize, head: usize) -> usize {
        (query * self.n_branches + branch) * self.heads + head
    }

    /// Panics unless the sizes agree, so that the loops need not check.
    fn check(&self) {
        assert_eq!(
            self.gates.len(),
            self.n_queries() * self.n_branches * self.heads
        );
        assert_eq!(self.branches.len(), self.gates.len() * self.dimensions);
    }
}

/// What the gradients of [`Inputs`] are.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// `[n_queries, n_branches, heads]`.
    pub gates: Vec<f32>,
    /// `[n_branches, n_queries, heads, dimensions]`.
    pub branches: Vec<f32>,
}

/// The definition of [`forward`], in f64 so that differences of it are exact enough to test gradients by.
pub fn gates_slow(inputs: &Inputs<f64>) -> Vec<f64> {
    let mut out = Vec::new();
    for query in 0..inputs.n_queries() {
        for head in 0..inputs.heads {
            for dimension in 0..inputs.dimensions {
                let gated = |branch: usize| {
                    let gate = inputs.gates[inputs.gate(branch, query, head)];
                    let value = inputs.branches[inputs.row(branch, query, head) + dimension];
                    value / (1.0 + (-gate).exp())
                };
                out.push((0..inputs.n_branches).map(gated).sum());
            }
        }
    }
    out
}

/// The branches under their gates: `[n_queries, heads, dimensions]`.
pub fn forward(inputs: &Inputs) -> Vec<f32> {
    inputs.check();
    let width = inputs.heads * inputs.dimensions;
    let mut out = vec![0.0; inputs.n_queries() * width];
    let chunks = out.par_chunks_mut((CHUNK_QUERIES * width).max(1));
    chunks.enumerate().for_each(|(chunk, out)| {
        Instructions::best().run(Mix {
            inputs,
            first: chunk * CHUNK_QUERIES,
            out,
        });
    });
    out
}

struct Mix<'a> {
    inputs: &'a Inputs<'a>,
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let inputs = self.inputs;
        for (at, out) in self.out.chunks_exact_mut(inputs.dimensions).enumerate() {
            let (query, head) = (self.first + at / inputs.heads, at % inputs.heads);
            for branch in 0..inputs.n_branches {
                let gate = sigmoid::<I>(inputs.gates[inputs.gate(branch, query, head)]);
                let values = &inputs.branches[inputs.row(branch, query, head)..];
                for (out, value) in out.iter_mut().zip(values) {
                    *out += gate * *value;
                }
            }
        }
    }
}

/// 1 / (1 + exp(−x)); 0 and 1 far out.
#[inline(always)]
fn sigmoid<I: Isa>(x: f32) -> f32 {
    let power = (-x * std::f32::consts::LOG2_E).min(126.0);
    1.0 / (1.0 + exp2::<I>(power))
}

/// The gradients, given that of the result (`[n_queries, heads, dimensions]`).
pub fn backward(inputs: &Inputs, d_out: &[f32]) -> Gradients {
    inputs.check();
    assert_eq!(d_out.len() * inputs.n_branches, inputs.branches.len());
    let width = inputs.heads * inputs.dimensions;
    let mut branches = vec![0.0; inputs.branches.len()];
    // Row by row as the branches lie, `[n_branches, n_queries, heads]`: the threads share nothing.
    let mut slopes = vec![0.0; inputs.gates.len()];
    let rows = branches.par_chunks_mut(width.max(1));
    let rows = rows.zip(slopes.par_chunks_mut(inputs.heads.max(1)));
    rows.enumerate().for_each(|(row, (branches, slopes))| {
        Instructions::best().run(MixBackward {
            inputs,
            d_out,
            row,
            branches,
            slopes,
        });
    });
    let mut gates = vec![0.0; inputs.gates.len()];
    for (row, slopes) in slopes.chunks_exact(inputs.heads.max(1)).enumerate() {
        let (branch, query) = (row / inputs.n_queries(), row % inputs.n_queries());
        gates[inputs.gate(branch, query, 0)..][..inputs.heads].copy_from_slice(slopes);
    }
    Gradients { gates, branches }
}

struct MixBackward<'a> {
    inputs: &'a Inputs<'a>,
    d_out: &'a [f32],
    /// Branch · number of queries + query.
    row: usize,
    /// The gradients of the row: `[heads, dimensions]` and `[heads]`.
    branches: &'a mut [f32],
    slopes: &'a mut [f32],
}

impl Kernel for MixBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let inputs = self.inputs;
        let (branch, query) = (self.row / inputs.n_queries(), self.row % inputs.n_queries());
        for (head, slope) in self.slopes.iter_mut().enumerate() {
            let gate = sigmoid::<I>(inputs.gates[inputs.gate(branch, query, head)]);
            let values = &inputs.branches[inputs.row(branch, query, head)..][..inputs.dimensions];
            let d_out = &self.d_out[inputs.row(0, query, head)..][..inputs.dimensions];
            let own = &mut self.branches[head * inputs.dimensions..][..inputs.dimensions];
            for (own, d_out) in own.iter_mut().zip(d_out) {
                *own = gate * *d_out;
            }
            *slope = gate * (1.0 - gate) * super::pointwise::dot::<I>(values, d_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use proptest::prelude::*;

    use super::*;
    use crate::ops::samples::{Numbers, assert_gradient, assert_near, weighted, widen};

    fn inputs<'a, T>(gates: &'a [T], branches: &'a [T], shape: [usize; 3]) -> Inputs<'a, T> {
        Inputs {
            gates,
            branches,
            n_branches: shape[0],
            heads: shape[1],
            dimensions: shape[2],
        }
    }

    fn numbers(seed: u64, n_queries: usize, shape: [usize; 3]) -> (Vec<f32>, Vec<f32>) {
        let mut numbers = Numbers::new(seed);
        let n_gates = n_queries * shape[0] * shape[1];
        (
            numbers.take(n_gates, 6.0),
            numbers.take(n_gates * shape[2], 1.0),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_fast_form_equals_the_definition(
            seed in any::<u64>(),
            n_queries in 0usize..80,
            shape in [0usize..4, 1usize..4, 1usize..40],
        ) {
            let (gates, branches) = numbers(seed, n_queries, shape);
            let own = forward(&inputs(&gates, &branches, shape));
            let expected = gates_slow(&inputs(&widen(&gates), &widen(&branches), shape));
            // exp2's own 3e-6, and rounding.
            assert_near(&own, &expected, 1e-5);
        }
    }

    #[test]
    fn gates_far_out_are_open_or_shut() {
        let shape = [2, 1, 16];
        let branches = [[1.0; 16], [5.0; 16]].concat();
        let own = forward(&inputs(&[1e4, -1e4], &branches, shape));
        assert_near(&own, &[1.0; 16], 1e-6);
    }

    #[test]
    fn gradients_agree_with_differences() {
        let shape = [3, 2, 20];
        let (gates, branches) = numbers(4, 5, shape);
        let weights = Numbers::new(5).take(5 * 2 * 20, 1.0);
        let own = backward(&inputs(&gates, &branches, shape), &weights);
        let (gates, branches) = (widen(&gates), widen(&branches));
        assert_gradient(&own.gates, &gates, |gates| {
            weighted(&gates_slow(&inputs(gates, &branches, shape)), &weights)
        });
        assert_gradient(&own.branches, &branches, |branches| {
            weighted(&gates_slow(&inputs(&gates, branches, shape)), &weights)
        });
    }

    #[test]
    fn candle_gets_the_same_numbers_and_gradients() -> candle_core::Result<()> {
        let shape = [3, 2, 16];
        let (gates, branches) = numbers(6, 5, shape);
        let own = inputs(&gates, &branches, shape);
        let gates = Var::from_slice(own.gates, (5, 3, 2), &Device::Cpu)?;
        let branches = Var::from_slice(own.branches, (3, 5, 2, 16), &Device::Cpu)?;
        let out = gate(&gates, &branches)?;
        assert_eq!(out.dims(), [5, 2, 16]);
        assert_eq!(out.flatten_all()?.to_vec1::<f32>()?, forward(&own));
        let store = out.sum_all()?.backward()?;
        let expected = backward(&own, &[1.0; 5 * 2 * 16]);
        for (var, expected) in [(gates, expected.gates), (branches, expected.branches)] {
            let gradient = store
                .get(&var)
                .map(|own| own.flatten_all()?.to_vec1::<f32>());
            assert_eq!(gradient.transpose()?, Some(expected));
        }
        Ok(())
    }
}
