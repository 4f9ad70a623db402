//! What the tests on a GPU share.

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shas::model::device::DeviceChoice;

/// The GPU, without which nothing can be tested here.
pub fn gpu() -> Device {
    let (device, missing) = DeviceChoice::Cuda(0).open();
    assert!(missing.is_none(), "{missing:?}");
    device
}

/// Seeded numbers over ± `spread` that bf16 holds.
pub struct Numbers(StdRng);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub fn take(&mut self, count: usize, spread: f32) -> Vec<f32> {
        let next = |_| half::bf16::from_f32(self.0.random_range(-spread..spread)).to_f32();
        (0..count).map(next).collect()
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }
}

pub fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().expect("flattens");
    flat.to_vec1().expect("is f32")
}

/// The largest difference, relative to the largest of `expected`.
pub fn difference(own: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(own.len(), expected.len());
    assert!(own.iter().all(|value| value.is_finite()));
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
    let differences = &mut own.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let scale = largest(&mut expected.iter().map(|value| value.abs()));
    largest(differences) / scale.max(1e-20)
}

pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
