//! Keys of a list gathered side by side, and the rows of a group turned so that a lane is a row.

use std::f32::consts::LOG2_E;

use super::{Inputs, KeyRange, N_BUCKETS};
use crate::ops::{
    pointwise::LANES,
    rows::turn,
    simd::Isa,
    small_product::{Left, Right, Size, Sums, add_product},
};

/// Keys of a tile: what is multiplied at once stays in the first caches.
pub const TILE_KEYS: usize = 64;

/// Up to [`TILE_KEYS`] keys.
#[derive(Debug, Default)]
pub struct KeyTile {
    /// `[len, dimensions]`.
    pub latents: Vec<f32>,
    /// In powers of two.
    pub log_sizes: Vec<f32>,
    pub buckets: Vec<u8>,
    /// Which they are.
    pub keys: Vec<u32>,
}

/// How far a list has been read.
#[derive(Debug, Default)]
pub struct Cursor {
    range: usize,
    /// Keys of that range that were read.
    read: u32,
}

impl KeyTile {
    /// Takes the next keys of `list`; false at its end.
    #[inline(always)]
    pub fn fill(&mut self, inputs: &Inputs, list: &[KeyRange], cursor: &mut Cursor) -> bool {
        self.latents.clear();
        self.log_sizes.clear();
        self.buckets.clear();
        self.keys.clear();
        while cursor.range < list.len() && self.len() < TILE_KEYS {
            let range = list[cursor.range];
            let start = range.start + cursor.read;
            let end = range.end.min(start + (TILE_KEYS - self.len()) as u32);
            let keys = start as usize..end as usize;
            let numbers = keys.start * inputs.dimensions..keys.end * inputs.dimensions;
            self.latents.extend_from_slice(&inputs.latents[numbers]);
            for log_size in &inputs.log_sizes[keys] {
                self.log_sizes.push(log_size * LOG2_E);
            }
            self.buckets.resize(self.log_sizes.len(), range.bucket);
            self.keys.extend(start..end);
            cursor.read += end - start;
            if end == range.end {
                *cursor = Cursor {
                    range: cursor.range + 1,
                    read: 0,
                };
            }
        }
        self.len() > 0
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.log_sizes.len()
    }
}

/// The rows (a head of a query each) of a group, lane by lane.
#[derive(Debug, Default)]
pub struct Lanes {
    pub n_rows: usize,
    /// Rows rounded up to whole blocks.
    pub stride: usize,
    /// Times log₂e/√dimensions: `[dimensions, stride]`.
    queries: Vec<f32>,
    /// In powers of two: `[N_BUCKETS, stride]`.
    bias: Vec<f32>,
}

impl Lanes {
    /// Takes the rows of a group.
    #[inline(always)]
    pub fn fill(&mut self, inputs: &Inputs, group: usize) {
        let queries = inputs.lists.queries_of(group);
        let (heads, dimensions) = (inputs.heads, inputs.dimensions);
        self.n_rows = queries.len() * heads;
        self.stride = self.n_rows.next_multiple_of(LANES);
        self.queries.clear();
        self.queries.resize(dimensions * self.stride, 0.0);
        let numbers = queries.start * heads * dimensions..queries.end * heads * dimensions;
        let factor = LOG2_E / (dimensions as f32).sqrt();
        let rows = &inputs.queries[numbers];
        turn(rows, dimensions, factor, &mut self.queries, self.stride);
        self.bias.clear();
        self.bias.resize(N_BUCKETS * self.stride, 0.0);
        for row in 0..self.n_rows {
            let bias = &inputs.bias[row % heads * N_BUCKETS..][..N_BUCKETS];
            for (bucket, bias) in bias.iter().enumerate() {
                self.bias[bucket * self.stride + row] = bias * LOG2_E;
            }
        }
    }

    /// Writes the logits of a tile's keys, in powers of two: `[tile.len(), stride]`.
    #[inline(always)]
    pub fn logits<I: Isa>(&self, tile: &KeyTile, dimensions: usize, logits: &mut Vec<f32>) {
        logits.resize(tile.len() * self.stride, 0.0);
        let rows = logits.chunks_exact_mut(self.stride);
        for (row, (bucket, log_size)) in rows.zip(tile.buckets.iter().zip(&tile.log_sizes)) {
            let bias = &self.bias[usize::from(*bucket) * self.stride..][..self.stride];
            for (logit, bias) in row.iter_mut().zip(bias) {
                *logit = bias + log_size;
            }
        }
        self.add_products::<I>(&self.queries, tile, dimensions, logits);
    }

    /// Adds the product of every key with every lane of `turned` (`[dimensions, stride]`).
    #[inline(always)]
    pub fn add_products<I: Isa>(
        &self,
        turned: &[f32],
        tile: &KeyTile,
        dimensions: usize,
        sums: &mut [f32],
    ) {
        let left = Left {
            values: &tile.latents,
            row_stride: dimensions,
            depth_stride: 1,
        };
        let right = Right {
            values: turned,
            stride: self.stride,
        };
        let size = Size {
            n_rows: tile.len(),
            depth: dimensions,
            n_columns: self.stride,
        };
        let sums = Sums {
            values: sums,
            stride: self.stride,
        };
        add_product::<I>(left, right, size, sums);
    }

    /// Adds Σ over the keys of weight · latent to each row of `mixed` (`[n_rows, dimensions]`); `weights` is
    /// `[tile.len(), stride]`.
    #[inline(always)]
    pub fn add_mixed<I: Isa>(
        &self,
        weights: &[f32],
        tile: &KeyTile,
        dimensions: usize,
        mixed: &mut [f32],
    ) {
        let left = Left {
            values: weights,
            row_stride: 1,
            depth_stride: self.stride,
        };
        let right = Right {
            values: &tile.latents,
            stride: dimensions,
        };
        let size = Size {
            n_rows: self.n_rows,
            depth: tile.len(),
            n_columns: dimensions,
        };
        let sums = Sums {
            values: mixed,
            stride: dimensions,
        };
        add_product::<I>(left, right, size, sums);
    }
}
