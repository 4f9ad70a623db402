//! The backward: gradients of the queries and the bias group by group, those of the latents by
//! [`keys_backward`](super::keys_backward).
//!
//! With p = exp(logit − lse), out = Σ p·c and the gradients g of `out` and e of `lse`, a logit's gradient is
//! p·(g·c − (g·out − e)). What is in brackets is a row's *correction*, taken once.

use std::f32::consts::LOG2_E;

use rayon::prelude::*;

use super::{
    Inputs, N_BUCKETS,
    keys_backward::latents_backward,
    tile::{Cursor, KeyTile, Lanes},
};
use crate::ops::{
    pointwise::exp2,
    rows::{split, turn},
    simd::{Instructions, Isa, Kernel},
};

/// Groups whose gradients of the bias are summed by one thread.
const CHUNK_GROUPS: usize = 16;

/// What the gradients of [`Inputs`] are.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// `[n_queries, heads, dimensions]`.
    pub queries: Vec<f32>,
    /// `[n_keys, dimensions]`.
    pub latents: Vec<f32>,
    /// `[heads, N_BUCKETS]`.
    pub bias: Vec<f32>,
}

/// The gradients, given what [`forward`](super::forward) returned and its gradient (log-sum-exp included).
pub fn backward(inputs: &Inputs, out: &[f32], d_out: &[f32]) -> Gradients {
    inputs.check();
    let context = Context::new(inputs, out, d_out);
    let width = inputs.heads * inputs.dimensions;
    let mut queries = vec![0.0; inputs.queries.len()];
    let mut groups = split(&mut queries, &inputs.lists.queries, width);
    let chunks = groups.par_chunks_mut(CHUNK_GROUPS).enumerate();
    let parts: Vec<Vec<f32>> = chunks
        .map(|(chunk, groups)| {
            let mut scratch = Scratch::default();
            let mut d_bias = vec![0.0; inputs.bias.len()];
            for (at, d_queries) in groups.iter_mut().enumerate() {
                Instructions::best().run(QueriesBackward {
                    context: &context,
                    group: chunk * CHUNK_GROUPS + at,
                    scratch: &mut scratch,
                    d_queries,
                    d_bias: &mut d_bias,
                });
            }
            d_bias
        })
        .collect();
    // Summed in the order of the chunks, so that the sum does not depend on the threads.
    let mut bias = vec![0.0; inputs.bias.len()];
    for part in parts {
        for (sum, value) in bias.iter_mut().zip(part) {
            *sum += value;
        }
    }
    Gradients {
        queries,
        latents: latents_backward(&context),
        bias,
    }
}

/// What both passes read.
pub struct Context<'a> {
    pub inputs: &'a Inputs<'a>,
    /// `[n_queries, heads, dimensions + 1]`.
    pub d_out: &'a [f32],
    /// Log-sum-exp of each row in powers of two.
    pub log_sums: Vec<f32>,
    pub corrections: Vec<f32>,
}

impl<'a> Context<'a> {
    fn new(inputs: &'a Inputs<'a>, out: &[f32], d_out: &'a [f32]) -> Self {
        let dimensions = inputs.dimensions;
        assert_eq!(out.len(), d_out.len());
        assert_eq!(
            out.len(),
            inputs.queries.len() / dimensions * (dimensions + 1)
        );
        let rows = || out.par_chunks_exact(dimensions + 1);
        let log_sums = rows().map(|row| row[dimensions] * LOG2_E).collect();
        let gradients = d_out.par_chunks_exact(dimensions + 1);
        let corrections = rows().zip(gradients).map(|(out, d_out)| {
            let products = out[..dimensions].iter().zip(d_out).map(|(a, b)| a * b);
            products.sum::<f32>() - d_out[dimensions]
        });
        Self {
            inputs,
            d_out,
            log_sums,
            corrections: corrections.collect(),
        }
    }
}

/// Room for a group, kept between groups.
#[derive(Default)]
struct Scratch {
    lanes: Lanes,
    tile: KeyTile,
    /// The group's gradients without that of log-sum-exp, then turned: `[dimensions, stride]`.
    d_mixed: Vec<f32>,
    /// `[stride]` each.
    log_sums: Vec<f32>,
    corrections: Vec<f32>,
    /// `[keys of the tile, stride]` each.
    logits: Vec<f32>,
    products: Vec<f32>,
    /// `[N_BUCKETS, stride]`.
    d_bias: Vec<f32>,
}

struct QueriesBackward<'a> {
    context: &'a Context<'a>,
    group: usize,
    scratch: &'a mut Scratch,
    /// `[n_rows, dimensions]`, zeros.
    d_queries: &'a mut [f32],
    d_bias: &'a mut [f32],
}

impl Kernel for QueriesBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        if self.d_queries.is_empty() {
            return;
        }
        let inputs = self.context.inputs;
        let dimensions = inputs.dimensions;
        let list = inputs.lists.of(self.group);
        let scratch = self.scratch;
        scratch.fill(self.context, self.group);
        let mut cursor = Cursor::default();
        while scratch.tile.fill(inputs, list, &mut cursor) {
            let (lanes, tile) = (&scratch.lanes, &scratch.tile);
            lanes.logits::<I>(tile, dimensions, &mut scratch.logits);
            scratch.products.clear();
            scratch.products.resize(scratch.logits.len(), 0.0);
            lanes.add_products::<I>(&scratch.d_mixed, tile, dimensions, &mut scratch.products);
            scratch.differentiate::<I>();
            let (lanes, tile) = (&scratch.lanes, &scratch.tile);
            lanes.add_mixed::<I>(&scratch.logits, tile, dimensions, self.d_queries);
        }
        let factor = 1.0 / (dimensions as f32).sqrt();
        for value in self.d_queries.iter_mut() {
            *value *= factor;
        }
        for (bucket, rows) in scratch
            .d_bias
            .chunks_exact(scratch.lanes.stride)
            .enumerate()
        {
            for (row, value) in rows[..scratch.lanes.n_rows].iter().enumerate() {
                self.d_bias[row % inputs.heads * N_BUCKETS + bucket] += *value;
            }
        }
    }
}

impl Scratch {
    #[inline(always)]
    fn fill(&mut self, context: &Context, group: usize) {
        let (heads, dimensions) = (context.inputs.heads, context.inputs.dimensions);
        self.lanes.fill(context.inputs, group);
        let stride = self.lanes.stride;
        let queries = context.inputs.lists.queries_of(group);
        let rows = queries.start * heads..queries.end * heads;
        for (own, values) in [
            (&mut self.log_sums, &context.log_sums),
            (&mut self.corrections, &context.corrections),
        ] {
            own.clear();
            own.extend_from_slice(&values[rows.clone()]);
            own.resize(stride, 0.0);
        }
        // One row more than the dimensions: log-sum-exp's gradient lands there and is not read again.
        let width = dimensions + 1;
        self.d_mixed.clear();
        self.d_mixed.resize(width * stride, 0.0);
        let numbers = &context.d_out[rows.start * width..rows.end * width];
        turn(numbers, width, 1.0, &mut self.d_mixed, stride);
        self.d_bias.clear();
        self.d_bias.resize(N_BUCKETS * stride, 0.0);
    }

    /// Turns the tile's logits into their gradients and adds those to the bias's.
    #[inline(always)]
    fn differentiate<I: Isa>(&mut self) {
        let stride = self.lanes.stride;
        let logits = self.logits.chunks_exact_mut(stride);
        let rows = logits.zip(self.products.chunks_exact(stride));
        for ((logits, products), bucket) in rows.zip(&self.tile.buckets) {
            let products = products.iter().zip(&self.corrections);
            let rows = logits.iter_mut().zip(&self.log_sums);
            for ((logit, log_sum), (product, correction)) in rows.zip(products) {
                *logit = exp2::<I>(*logit - *log_sum) * (product - correction);
            }
            let sums = &mut self.d_bias[usize::from(*bucket) * stride..][..stride];
            for (sum, gradient) in sums.iter_mut().zip(logits.iter()) {
                *sum += *gradient;
            }
        }
    }
}
