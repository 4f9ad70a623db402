//! Products of many vectors with many, by tiles in registers: what clusters of a large library are found by.

use crate::ops::{
    simd::{Instructions, Isa, Kernel},
    small_product::{Left, Right, Size, Sums, add_product},
};

/// Vectors of a panel.
const PANEL: usize = 32;
/// Depths that are multiplied at a time: so much of a panel stays in the first cache.
const DEPTHS: usize = 128;

/// Vectors transposed in panels: of each panel, dimension by dimension, one number of each of its vectors.
pub struct Panels {
    values: Vec<f32>,
    dimensions: usize,
    count: usize,
}

impl Panels {
    /// Packs `vectors`, `[count, dimensions]`; the last panel is filled with zeros.
    pub fn new(vectors: &[f32], dimensions: usize) -> Self {
        let count = vectors.len() / dimensions;
        let mut values = vec![0f32; count.next_multiple_of(PANEL) * dimensions];
        for (own, vector) in vectors.chunks_exact(dimensions).enumerate() {
            let start = own / PANEL * PANEL * dimensions + own % PANEL;
            let places = values[start..].iter_mut().step_by(PANEL);
            places
                .zip(vector)
                .for_each(|(place, value)| *place = *value);
        }
        Self {
            values,
            dimensions,
            count,
        }
    }

    /// Length of a row of products: that of the vectors, filled up with zeros.
    pub fn stride(&self) -> usize {
        self.count.next_multiple_of(PANEL)
    }

    /// The products of each of `rows`, `[n, dimensions]`, with every vector, into `products`, `[n, stride]`.
    pub fn multiply(&self, rows: &[f32], products: &mut [f32]) {
        products.fill(0.0);
        Instructions::best().run(Multiply {
            panels: self,
            rows,
            products,
        });
    }

    /// The number of vectors.
    pub fn count(&self) -> usize {
        self.count
    }
}

struct Multiply<'a> {
    panels: &'a Panels,
    rows: &'a [f32],
    products: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let (dimensions, stride) = (self.panels.dimensions, self.panels.stride());
        for panel in 0..stride / PANEL {
            let values = &self.panels.values[panel * PANEL * dimensions..][..PANEL * dimensions];
            for first in (0..dimensions).step_by(DEPTHS) {
                let left = Left {
                    values: &self.rows[first..],
                    row_stride: dimensions,
                    depth_stride: 1,
                };
                let right = Right {
                    values: &values[first * PANEL..],
                    stride: PANEL,
                };
                let size = Size {
                    n_rows: self.rows.len() / dimensions,
                    depth: DEPTHS.min(dimensions - first),
                    n_columns: PANEL,
                };
                let sums = Sums {
                    values: &mut self.products[panel * PANEL..],
                    stride,
                };
                add_product::<I>(left, right, size, sums);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::similarity::product;

    #[test]
    fn products_are_those_of_pairs() {
        for (n_rows, count, dimensions) in [(1, 1, 1), (5, 33, 130), (9, 64, 484)] {
            let numbers = |length: usize, phase: f32| -> Vec<f32> {
                (0..length)
                    .map(|at| (at as f32 * 0.7 + phase).sin())
                    .collect()
            };
            let rows = numbers(n_rows * dimensions, 0.1);
            let vectors = numbers(count * dimensions, 0.4);
            let panels = Panels::new(&vectors, dimensions);
            let mut products = vec![1.0; n_rows * panels.stride()];
            panels.multiply(&rows, &mut products);
            for (row, products) in products.chunks_exact(panels.stride()).enumerate() {
                for (own, vector) in vectors.chunks_exact(dimensions).enumerate() {
                    let expected = product(&rows[row * dimensions..][..dimensions], vector);
                    assert!((products[own] - expected).abs() < 1e-3, "{row} {own}");
                }
            }
        }
    }
}
