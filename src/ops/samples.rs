//! Seeded numbers and comparisons for the tests of operations.

/// Seeded numbers, evenly spread over ±1.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5555)
    }

    fn bits(&mut self) -> u64 {
        let state = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = state.wrapping_add(1_442_695_040_888_963_407);
        let mixed = self.0 ^ (self.0 >> 29);
        mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.bits() as usize % end
    }

    /// `count` numbers over ± `spread`.
    pub fn take(&mut self, count: usize, spread: f32) -> Vec<f32> {
        let next = |_| (self.bits() as f32 / (1u64 << 30) as f32 - 1.0) * spread;
        (0..count).map(next).collect()
    }
}

pub fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Panics unless every number is within `tolerance` · (1 + |expected|) of what is expected.
pub fn assert_near(own: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(own.len(), expected.len());
    for (at, (own, expected)) in own.iter().zip(expected).enumerate() {
        let distance = (f64::from(*own) - expected).abs();
        let near = distance <= tolerance * (1.0 + expected.abs());
        assert!(near, "{at}: {own}, not {expected}");
    }
}

/// Panics unless `gradient` agrees with central differences of `loss` at about 40 of the `values`.
///
/// The step's error in f64 is about 1e-9; the tolerance is what sums of some thousand f32 products round to.
pub fn assert_gradient(gradient: &[f32], values: &[f64], mut loss: impl FnMut(&[f64]) -> f64) {
    const STEP: f64 = 1e-5;
    assert_eq!(gradient.len(), values.len());
    let mut values = values.to_vec();
    for at in (0..values.len()).step_by(values.len() / 40 + 1) {
        let start = values[at];
        values[at] = start + STEP;
        let above = loss(&values);
        values[at] = start - STEP;
        let below = loss(&values);
        values[at] = start;
        let expected = (above - below) / (2.0 * STEP);
        let distance = (f64::from(gradient[at]) - expected).abs();
        let own = gradient[at];
        let near = distance <= 2e-4 * (1.0 + expected.abs());
        assert!(near, "gradient {at}: {own}, not {expected}");
    }
}

/// Σ a·b.
pub fn weighted(values: &[f64], weights: &[f32]) -> f64 {
    let products = values.iter().zip(weights);
    products
        .map(|(value, weight)| value * f64::from(*weight))
        .sum()
}
