//! The products of one vector with many, in f32: what neighbours and clusters are found by.

use super::{
    pointwise::dot,
    simd::{Instructions, Isa, Kernel},
};

/// The product of `own` with each of `others`, all of the same length.
pub fn products(own: &[f32], others: &[Vec<f32>]) -> Vec<f32> {
    Instructions::best().run(Products { own, others })
}

/// Σ a·b of vectors of the same length.
pub fn product(a: &[f32], b: &[f32]) -> f32 {
    Instructions::best().run(Product { a, b })
}

/// Scales a vector to length 1; the zero vector stays as it is.
pub fn normalise(vector: &mut [f32]) {
    let length = product(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

/// The mean of rows of so many dimensions, scaled to length 1; zero where there are none.
pub fn mean_direction(rows: impl IntoIterator<Item: AsRef<[f32]>>, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0; dimensions];
    for row in rows {
        let pairs = sum.iter_mut().zip(row.as_ref());
        pairs.for_each(|(sum, value)| *sum += value);
    }
    normalise(&mut sum);
    sum
}

struct Product<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl Kernel for Product<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> f32 {
        dot::<I>(self.a, self.b)
    }
}

struct Products<'a> {
    own: &'a [f32],
    others: &'a [Vec<f32>],
}

impl Kernel for Products<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> Vec<f32> {
        let mut products = vec![0.0; self.others.len()];
        // A loop, not a chain of iterators: those are compiled apart, without the instructions of this function.
        for (product, other) in products.iter_mut().zip(self.others) {
            *product = dot::<I>(self.own, other);
        }
        products
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_any_length_are_sums_of_products() {
        for length in [1, 4, 15, 16, 63, 64, 100, 484] {
            let vector = |phase: f32| -> Vec<f32> {
                (0..length)
                    .map(|at| (at as f32 * 0.7 + phase).sin())
                    .collect()
            };
            let others = vec![vector(0.3), vector(1.1)];
            for (product, other) in products(&vector(0.0), &others).iter().zip(&others) {
                let expected: f32 = vector(0.0).iter().zip(other).map(|(a, b)| a * b).sum();
                assert!(
                    (product - expected).abs() < 1e-3,
                    "{length}: {product} {expected}"
                );
            }
        }
    }
}
