//! A group's rows turned so that a lane is a row, and the products of listed keys with them.

use super::training::ScoreInputs;
use crate::ops::{
    pointwise::LANES,
    rows::turn,
    simd::Isa,
    small_product::{Left, Right, Size, Sums, add_product},
};

/// Keys of a tile.
pub const TILE_KEYS: usize = 64;

/// Room for a group, kept between groups.
#[derive(Debug, Default)]
pub struct GroupLanes {
    /// Keys of the group's list.
    pub list: Vec<u32>,
    /// Rows rounded up to whole blocks.
    pub stride: usize,
    /// Each row's weight / number of queries: `[stride]`.
    pub weights: Vec<f32>,
    /// `[dimensions, stride]`.
    turned: Vec<f32>,
    /// Latest keys: `[keys of the tile, dimensions]`.
    pub keys: Vec<f32>,
    /// Their products with the rows: `[keys of the tile, stride]`.
    pub products: Vec<f32>,
}

impl GroupLanes {
    /// Takes the rows and the list of a group.
    #[inline(always)]
    pub fn fill(&mut self, inputs: &ScoreInputs, group: usize) {
        let (rows, dimensions) = (inputs.rows_of(group), inputs.dimensions);
        self.stride = rows.len().next_multiple_of(LANES);
        self.turned.clear();
        self.turned.resize(dimensions * self.stride, 0.0);
        let queries = &inputs.queries[rows.start * dimensions..rows.end * dimensions];
        turn(queries, dimensions, 1.0, &mut self.turned, self.stride);
        let factor = inputs.share(group);
        self.weights.clear();
        for weight in &inputs.weights[rows] {
            self.weights.push(*weight * factor);
        }
        self.weights.resize(self.stride, 0.0);
        self.list.clear();
        for range in inputs.lists.of(group) {
            self.list.extend(range.start..range.end);
        }
    }

    /// Multiplies the tile of keys that starts at `first` of the list.
    #[inline(always)]
    pub fn multiply<I: Isa>(&mut self, inputs: &ScoreInputs, first: usize) {
        let dimensions = inputs.dimensions;
        let list = &self.list[first..self.list.len().min(first + TILE_KEYS)];
        self.keys.clear();
        for key in list {
            let key = &inputs.keys[*key as usize * dimensions..][..dimensions];
            self.keys.extend_from_slice(key);
        }
        self.products.clear();
        self.products.resize(list.len() * self.stride, 0.0);
        let left = Left {
            values: &self.keys,
            row_stride: dimensions,
            depth_stride: 1,
        };
        let right = Right {
            values: &self.turned,
            stride: self.stride,
        };
        let size = Size {
            n_rows: list.len(),
            depth: dimensions,
            n_columns: self.stride,
        };
        let sums = Sums {
            values: &mut self.products,
            stride: self.stride,
        };
        add_product::<I>(left, right, size, sums);
    }
}
