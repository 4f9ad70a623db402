//! The fast form: a group's rows against tiles of keys, with a running maximum, a group a thread.

use std::f32::consts::LN_2;

use rayon::prelude::*;

use super::{
    Inputs,
    tile::{Cursor, KeyTile, Lanes},
};
use crate::ops::{
    pointwise::{exp2, max},
    rows::split,
    simd::{Instructions, Isa, Kernel},
};

/// Groups that a thread takes at least.
const MIN_GROUPS: usize = 4;

/// Mixed latents and log-sum-exp of every query and head: `[n_queries, heads, dimensions + 1]`.
pub fn forward(inputs: &Inputs) -> Vec<f32> {
    inputs.check();
    let width = inputs.heads * (inputs.dimensions + 1);
    let mut out = vec![0.0; inputs.lists.n_queries() * width];
    let groups = split(&mut out, &inputs.lists.queries, width);
    let groups = groups.into_par_iter().enumerate().with_min_len(MIN_GROUPS);
    groups.for_each_init(Scratch::default, |scratch, (group, out)| {
        Instructions::best().run(Attend {
            inputs,
            group,
            scratch,
            out,
        });
    });
    out
}

/// Room for a group, kept between groups.
#[derive(Default)]
struct Scratch {
    lanes: Lanes,
    tile: KeyTile,
    /// `[keys of the tile, stride]`.
    weights: Vec<f32>,
    /// The running maximum, in powers of two, and the sum below it: `[stride]` each.
    best: Vec<f32>,
    total: Vec<f32>,
    /// What a new maximum multiplies the older sums by.
    factors: Vec<f32>,
    /// `[n_rows, dimensions]`.
    mixed: Vec<f32>,
}

struct Attend<'a> {
    inputs: &'a Inputs<'a>,
    group: usize,
    scratch: &'a mut Scratch,
    out: &'a mut [f32],
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        if self.out.is_empty() {
            return;
        }
        let dimensions = self.inputs.dimensions;
        let list = self.inputs.lists.of(self.group);
        let scratch = self.scratch;
        scratch.lanes.fill(self.inputs, self.group);
        scratch.start(dimensions);
        let mut cursor = Cursor::default();
        while scratch.tile.fill(self.inputs, list, &mut cursor) {
            let lanes = &scratch.lanes;
            lanes.logits::<I>(&scratch.tile, dimensions, &mut scratch.weights);
            scratch.exponentiate::<I>();
            scratch.rescale(dimensions);
            let lanes = &scratch.lanes;
            let weights = &scratch.weights;
            lanes.add_mixed::<I>(weights, &scratch.tile, dimensions, &mut scratch.mixed);
        }
        let rows = self.out.chunks_exact_mut(dimensions + 1);
        for ((row, mixed), (best, total)) in rows
            .zip(scratch.mixed.chunks_exact(dimensions))
            .zip(scratch.best.iter().zip(&scratch.total))
        {
            let inverse = 1.0 / total;
            for (out, mixed) in row.iter_mut().zip(mixed) {
                *out = mixed * inverse;
            }
            row[dimensions] = best * LN_2 + total.ln();
        }
    }
}

impl Scratch {
    /// Nothing but the null key: logit 0, value zero.
    #[inline(always)]
    fn start(&mut self, dimensions: usize) {
        let stride = self.lanes.stride;
        for (values, start) in [
            (&mut self.best, 0.0),
            (&mut self.total, 1.0),
            (&mut self.factors, 1.0),
        ] {
            values.clear();
            values.resize(stride, start);
        }
        self.mixed.clear();
        self.mixed.resize(self.lanes.n_rows * dimensions, 0.0);
    }

    /// Turns the tile's logits into exponentials below the running maximum.
    #[inline(always)]
    fn exponentiate<I: Isa>(&mut self) {
        let stride = self.lanes.stride;
        self.factors.copy_from_slice(&self.best);
        for logits in self.weights.chunks_exact(stride) {
            for (best, logit) in self.best.iter_mut().zip(logits) {
                *best = max(*best, *logit);
            }
        }
        for (factor, best) in self.factors.iter_mut().zip(&self.best) {
            // exp2 of 0 is not quite 1, which would add up over the tiles.
            let same = *factor == *best;
            *factor = if same {
                1.0
            } else {
                exp2::<I>(*factor - *best)
            };
        }
        for (total, factor) in self.total.iter_mut().zip(&self.factors) {
            *total *= *factor;
        }
        for weights in self.weights.chunks_exact_mut(stride) {
            for (weight, best) in weights.iter_mut().zip(&self.best) {
                *weight = exp2::<I>(*weight - *best);
            }
            for (total, weight) in self.total.iter_mut().zip(weights.iter()) {
                *total += *weight;
            }
        }
    }

    #[inline(always)]
    fn rescale(&mut self, dimensions: usize) {
        let rows = self.mixed.chunks_exact_mut(dimensions);
        for (row, factor) in rows.zip(&self.factors) {
            for value in row.iter_mut() {
                *value *= *factor;
            }
        }
    }
}
