//! Tiles by `sdot` on 128 bits, a panel at a time: 6 rows × 16 columns in 24 accumulators.

use std::arch::{aarch64::*, asm};

use super::{LINE_DEPTHS, PANEL_COLUMNS, SIGNED_ZERO_POINT, Tile};
use crate::ops::simd::Isa;

/// Quarters of a line: 4 columns each.
const QUARTERS: usize = 4;

/// NEON with the dot product of ARMv8.2: servers, phones and Apple's processors since 2018.
#[derive(Debug, Clone, Copy)]
pub struct NeonDot(());

impl NeonDot {
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    pub(in crate::ops) fn new() -> Self {
        Self(())
    }
}

impl Isa for NeonDot {
    const TILE_ROWS: usize = 6;
    const FUSED: bool = true;

    #[inline(always)]
    unsafe fn multiply_rows<const ROWS: usize>(self, tile: &Tile, out: &mut [i32]) {
        // SAFETY: a value of this type exists only where the processor has the features; the caller has checked
        // the tile.
        unsafe { multiply_tile::<ROWS>(tile, out) }
    }

    #[inline(always)]
    fn dot(self, a: &[i8], b: &[i8]) -> i32 {
        // SAFETY: a value of this type exists only where the processor has the features.
        unsafe { dot_row(a, b) }
    }
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_row(a: &[i8], b: &[i8]) -> i32 {
    let mut sum = vdupq_n_s32(0);
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        // SAFETY: both are arrays of 16 bytes.
        sum = unsafe { dot(sum, vld1q_s8(a.as_ptr()), vld1q_s8(b.as_ptr())) };
    }
    vaddvq_s32(sum)
}

#[target_feature(enable = "neon,dotprod")]
unsafe fn multiply_tile<const ROWS: usize>(tile: &Tile, out: &mut [i32]) {
    let depth_lines = tile.depth_lines();
    // The instruction takes signed activations, so part of the zero point is taken off with every code.
    let zero_point = SIGNED_ZERO_POINT - tile.zero_point;
    for panel in 0..tile.n_panels {
        // SAFETY: the caller has checked the tile.
        unsafe {
            let signed = vdupq_n_s8(SIGNED_ZERO_POINT as i8);
            let column_sums = tile.column_sums.as_ptr().add(panel * PANEL_COLUMNS);
            let start: [int32x4_t; QUARTERS] = std::array::from_fn(|quarter| {
                vmulq_n_s32(vld1q_s32(column_sums.add(4 * quarter)), zero_point)
            });
            let mut sums = [start; ROWS];
            for line in 0..depth_lines {
                let at = tile
                    .lines
                    .as_ptr()
                    .add(panel * depth_lines + line)
                    .cast::<i8>();
                let weights: [int8x16_t; QUARTERS] =
                    std::array::from_fn(|quarter| vld1q_s8(at.add(16 * quarter)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let at = tile
                        .rows
                        .as_ptr()
                        .add(row * tile.row_stride + line * LINE_DEPTHS);
                    let codes = vdupq_n_s32(at.cast::<i32>().read_unaligned());
                    let codes = vsubq_s8(vreinterpretq_s8_s32(codes), signed);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = dot(*sum, codes, weights);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let at = out
                    .as_mut_ptr()
                    .add(row * tile.out_stride + panel * PANEL_COLUMNS);
                for (quarter, sum) in sums.iter().enumerate() {
                    vst1q_s32(at.add(4 * quarter), *sum);
                }
            }
        }
    }
}

/// Adds the products of four codes each to the lanes of `sum`; the standard library's form is not stable yet.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn dot(sum: int32x4_t, codes: int8x16_t, weights: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the instruction reads and writes registers only.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {codes:v}.16b, {weights:v}.16b",
            sum = inout(vreg) sum,
            codes = in(vreg) codes,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
