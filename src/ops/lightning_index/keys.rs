//! Keys and queries of the index in int8, one scale each: its largest magnitude / 127.
//!
//! It is the rule by which blocks are scaled in FP8, applied to a key.

use super::{IndexQueries, Indexer};
use crate::ops::int8_product::SIGNED_ZERO_POINT;

/// Keys of consecutive nodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndexKeys {
    /// `[n_keys, dimensions]`.
    pub codes: Vec<i8>,
    /// `[n_keys]`.
    pub scales: Vec<f32>,
}

impl IndexKeys {
    /// Quantises `keys`, `[n_keys, dimensions]`.
    pub fn new(keys: &[f32], dimensions: usize) -> Self {
        let mut quantised = Self::default();
        for key in keys.chunks_exact(dimensions) {
            let scale = quantise(key, |code| quantised.codes.push(code));
            quantised.scales.push(scale);
        }
        quantised
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// True when there is no key.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// The values of a key.
    pub fn restored(&self, key: usize, dimensions: usize) -> impl Iterator<Item = f32> {
        let codes = &self.codes[key * dimensions..][..dimensions];
        codes
            .iter()
            .map(move |code| f32::from(*code) * self.scales[key])
    }
}

/// Calls `push` with each code; returns the scale.
fn quantise(values: &[f32], mut push: impl FnMut(i8)) -> f32 {
    let largest = values
        .iter()
        .fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    values
        .iter()
        .for_each(|value| push((value * inverse).round() as i8));
    largest / 127.0
}

/// The rows (a head of a query each) of a group.
#[derive(Debug, Default)]
pub struct GroupRows {
    /// With the signed zero point: `[n_rows, dimensions]`.
    pub codes: Vec<u8>,
    /// What the positive part of a product of codes counts: weight · scale / number of queries.
    pub factors: Vec<f32>,
}

impl GroupRows {
    /// Quantises the queries of a group.
    pub fn new(indexer: &Indexer, queries: &IndexQueries, group: std::ops::Range<u32>) -> Self {
        let mut rows = Self::default();
        let own = group.start as usize * indexer.heads..group.end as usize * indexer.heads;
        for row in own {
            let values = &queries.queries[row * indexer.dimensions..][..indexer.dimensions];
            let push = |code: i8| rows.codes.push((i32::from(code) + SIGNED_ZERO_POINT) as u8);
            let scale = quantise(values, push);
            let count = group.len() as f32;
            rows.factors.push(queries.weights[row] * scale / count);
        }
        rows
    }
}
