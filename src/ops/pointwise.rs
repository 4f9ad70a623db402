//! Functions of single numbers and rows, in a form that the compiler vectorises: exp2, GELU, LayerNorm, int8 codes.
//!
//! Rows are whole blocks of [`LANES`] numbers. Everything is `#[inline(always)]`, so that a
//! [`Kernel`](super::simd::Kernel)'s instructions reach it. Sums over a row go by blocks, passed and returned by value
//! (an array that a loop changes in place would stay in memory); all else are plain loops (over blocks, the compiler
//! would gather lanes across them).

use super::{int8_product::SIGNED_ZERO_POINT, simd::Isa};

/// Numbers of a block; rows are multiples of it.
pub const LANES: usize = 16;
/// A vector register's worth, or several registers'.
pub type Block = [f32; LANES];
/// The largest magnitude of a signed code.
pub const MAX_CODE: f32 = 127.0;
/// 1.5 · 2²³: added to a small number, it leaves the nearest integer in the low bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// a·b + c, fused where that is an instruction and not a call.
#[inline(always)]
pub fn mul_add<I: Isa>(a: f32, b: f32, c: f32) -> f32 {
    if I::FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// 2^x for x ≤ 126, to a relative 3e-6; 0 where x is very small.
#[inline(always)]
pub fn exp2<I: Isa>(x: f32) -> f32 {
    let x = max(x, -126.0);
    let shifted = x + TO_INTEGER;
    let fraction = x - (shifted - TO_INTEGER);
    // The minimax polynomial of 2^f over ±½.
    let mut sum = 0.009_570_907;
    for coefficient in [0.055_917_896, 0.240_247_2, 0.693_121_9, 0.999_999_3] {
        sum = mul_add::<I>(sum, fraction, coefficient);
    }
    f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// 2^x for x ≤ 126, lane by lane, to a relative 8e-5: enough for what becomes codes of 8 bits.
#[inline(always)]
pub fn coarse_exp2<I: Isa>(x: &Block) -> Block {
    let x = larger(x, &[-126.0; LANES]);
    let shifted = add(&x, &[TO_INTEGER; LANES]);
    let nearest = add(&shifted, &[-TO_INTEGER; LANES]);
    let fraction = subtract(&x, &nearest);
    // The minimax polynomial of 2^f over ±½.
    let mut sum = [0.055_171_67; LANES];
    for coefficient in [0.242_611_14, 0.693_261, 0.999_928_06] {
        sum = multiply_add::<I>(&sum, &fraction, &[coefficient; LANES]);
    }
    raise(&sum, &shifted)
}

/// a times two to the power of the integer in the low bits of b, lane by lane.
#[inline(always)]
fn raise(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|lane| {
        f32::from_bits(a[lane].to_bits().wrapping_add(b[lane].to_bits() << 23))
    })
}

/// GELU by erf, x·Φ(x), to an absolute 2e-4: x·(½ + t·P(t²)) where t is x within ±4.
#[inline(always)]
pub fn gelu<I: Isa>(x: f32) -> f32 {
    let t = x.clamp(-4.0, 4.0);
    let square = t * t;
    let mut sum = 2.278_138e-8;
    for coefficient in [
        -1.598_597_9e-6,
        4.795_539_5e-5,
        -8.140_138e-4,
        8.772_378e-3,
        -6.457_308e-2,
        0.397_883_33,
    ] {
        sum = mul_add::<I>(sum, square, coefficient);
    }
    x * mul_add::<I>(t, sum, 0.5)
}

/// The larger of two numbers that are not NaN, in one instruction.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// a + b, lane by lane.
#[inline(always)]
pub fn add(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|lane| a[lane] + b[lane])
}

/// a − b, lane by lane.
#[inline(always)]
pub fn subtract(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|lane| a[lane] - b[lane])
}

/// a·b, lane by lane.
#[inline(always)]
pub fn multiply(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|lane| a[lane] * b[lane])
}

/// a·b + c, lane by lane.
#[inline(always)]
pub fn multiply_add<I: Isa>(a: &Block, b: &Block, c: &Block) -> Block {
    std::array::from_fn(|lane| mul_add::<I>(a[lane], b[lane], c[lane]))
}

/// The larger of a and b, lane by lane.
#[inline(always)]
pub fn larger(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|lane| max(a[lane], b[lane]))
}

/// Integers as numbers.
#[inline(always)]
pub fn numbers(block: &[i32; LANES]) -> Block {
    std::array::from_fn(|lane| block[lane] as f32)
}

/// The sum of a block, half on half.
///
/// It is not inlined: the compiler would tear the sums of the loop before apart to suit it.
#[inline(never)]
pub fn sum(block: &Block) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|lane| block[lane] + block[lane + 8]);
    let four: [f32; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The largest number of a block, half against half.
#[inline(always)]
pub fn largest(block: &Block) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|lane| max(block[lane], block[lane + 8]));
    let four: [f32; 4] = std::array::from_fn(|lane| max(eight[lane], eight[lane + 4]));
    max(max(four[0], four[2]), max(four[1], four[3]))
}

/// The largest magnitude in a row.
#[inline(always)]
pub fn max_magnitude(row: &[f32]) -> f32 {
    let mut magnitudes = [0.0; LANES];
    for block in row.as_chunks().0 {
        magnitudes = larger_magnitude(&magnitudes, block);
    }
    largest(&magnitudes)
}

/// The larger of a and |b|, lane by lane.
#[inline(always)]
fn larger_magnitude(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|lane| max(a[lane], b[lane].abs()))
}

/// Writes a row as codes with the signed zero point, and returns their scale: value ≈ (code − 127) · scale.
#[inline(always)]
pub fn quantise<I: Isa>(row: &[f32], codes: &mut [u8]) -> f32 {
    let largest = max_magnitude(row);
    let inverse = MAX_CODE / largest.max(f32::MIN_POSITIVE);
    for (code, value) in codes.iter_mut().zip(row) {
        let shifted = mul_add::<I>(*value, inverse, TO_INTEGER + SIGNED_ZERO_POINT as f32);
        *code = shifted.to_bits() as u8;
    }
    largest / MAX_CODE
}

/// a·b as codes without a sign, rounded.
#[inline(always)]
pub fn codes<I: Isa>(a: &Block, b: &Block) -> [u8; LANES] {
    let rounded = multiply_add::<I>(a, b, &[TO_INTEGER; LANES]);
    std::array::from_fn(|lane| rounded[lane].to_bits() as u8)
}

/// Σ a·b of vectors of the same length.
#[inline(always)]
pub fn dot<I: Isa>(a: &[f32], b: &[f32]) -> f32 {
    // Two sums, so that one addition need not wait for the other.
    let (mut even, mut odd) = ([0.0; LANES], [0.0; LANES]);
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let (a_pairs, a_last) = a_blocks.as_chunks::<2>();
    let (b_pairs, b_last) = b_blocks.as_chunks::<2>();
    for (a, b) in a_pairs.iter().zip(b_pairs) {
        even = multiply_add::<I>(&a[0], &b[0], &even);
        odd = multiply_add::<I>(&a[1], &b[1], &odd);
    }
    for (a, b) in a_last.iter().zip(b_last) {
        even = multiply_add::<I>(a, b, &even);
    }
    let mut total = sum(&add(&even, &odd));
    for (a, b) in a_rest.iter().zip(b_rest) {
        total += a * b;
    }
    total
}

/// LayerNorm in place; `gain` and `bias` have the length of the row.
#[inline(always)]
pub fn layer_norm<I: Isa>(row: &mut [f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    let count = row.len() as f32;
    let mut sums = [0.0; LANES];
    for block in row.as_chunks().0 {
        sums = add(&sums, block);
    }
    let mean = sum(&sums) / count;
    let less_mean = [-mean; LANES];
    let mut squares = [0.0; LANES];
    for block in row.as_chunks().0 {
        let distances = add(block, &less_mean);
        squares = multiply_add::<I>(&distances, &distances, &squares);
    }
    let inverse = 1.0 / (sum(&squares) / count + epsilon).sqrt();
    for ((value, gain), bias) in row.iter_mut().zip(gain).zip(bias) {
        *value = mul_add::<I>((*value - mean) * inverse, *gain, *bias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        int8_product::Portable,
        simd::{Instructions, Kernel},
    };

    /// exp2, fine and coarse, and GELU of a number.
    struct All(f32);

    impl Kernel for All {
        type Output = (f32, f32, f32);

        #[inline(always)]
        fn run<I: Isa>(self, _: I) -> (f32, f32, f32) {
            let coarse = coarse_exp2::<I>(&[self.0; LANES])[0];
            (exp2::<I>(self.0), coarse, gelu::<I>(self.0))
        }
    }

    #[test]
    fn exp2_and_gelu_keep_their_bounds() {
        let values: Vec<f32> = (-4000..=4000).map(|at| at as f32 * 0.004).collect();
        for instructions in Instructions::all() {
            for x in &values {
                let (power, coarse, gelu) = instructions.run(All(*x));
                let exact = f64::from(*x).exp2();
                for (power, bound) in [(power, 4e-6), (coarse, 8e-5)] {
                    assert!(
                        (f64::from(power) / exact - 1.0).abs() < bound,
                        "exp2({x}) = {power}"
                    );
                }
                let exact = x * normal_distribution(*x);
                assert!(
                    (gelu - exact).abs() < 3e-4,
                    "gelu({x}) = {gelu}, not {exact}"
                );
            }
        }
    }

    /// Φ by Simpson's rule from 0, which needs no erf.
    fn normal_distribution(x: f32) -> f32 {
        const STEPS: i32 = 2_000;
        let width = f64::from(x.abs()) / f64::from(STEPS);
        let density = |at: f64| (-at * at / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let weight = |step: i32| match step {
            0 | STEPS => 1.0,
            _ if step % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let sum: f64 = (0..=STEPS)
            .map(|step| weight(step) * density(f64::from(step) * width))
            .sum();
        let half = sum * width / 3.0;
        (0.5 + f64::from(x.signum()) * half) as f32
    }

    #[test]
    fn codes_restore_a_row_and_layer_norm_has_mean_zero_and_deviation_one() {
        let row: Vec<f32> = (0..64).map(|at| (at as f32 * 0.37).sin() * 3.0).collect();
        let mut codes = [0; 64];
        let scale = quantise::<Portable>(&row, &mut codes);
        for (value, code) in row.iter().zip(codes) {
            let restored = (f32::from(code) - 127.0) * scale;
            assert!(
                (value - restored).abs() <= scale * 0.51,
                "{value} {restored}"
            );
        }
        let mut normed = row.clone();
        layer_norm::<Portable>(&mut normed, &[1.0; 64], &[0.0; 64], 0.0);
        assert!(normed.iter().sum::<f32>().abs() < 1e-4);
        let square = normed.iter().map(|value| value * value).sum::<f32>();
        assert!((square / 64.0 - 1.0).abs() < 1e-4);
    }
}
