//! Tiles by `vpdpbusd` on 512 bits: 6 rows × 64 columns in 24 accumulators.

use std::arch::x86_64::*;

use super::{LINE_DEPTHS, Line, PANEL_COLUMNS, Tile};
use crate::ops::simd::Isa;

/// AVX-512 with VNNI: servers since 2019, AMD since Zen 4.
#[derive(Debug, Clone, Copy)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(in crate::ops) fn new() -> Self {
        Self(())
    }
}

impl Isa for Avx512Vnni {
    const TILE_ROWS: usize = 6;
    const FUSED: bool = true;

    #[inline(always)]
    unsafe fn multiply_rows<const ROWS: usize>(self, tile: &Tile, out: &mut [i32]) {
        // SAFETY: a value of this type exists only where the processor has the features; the caller has checked
        // the tile.
        unsafe {
            match tile.n_panels {
                1 => multiply_tile::<ROWS, 1>(tile, out),
                2 => multiply_tile::<ROWS, 2>(tile, out),
                3 => multiply_tile::<ROWS, 3>(tile, out),
                _ => multiply_tile::<ROWS, 4>(tile, out),
            }
        }
    }

    #[inline(always)]
    fn dot(self, a: &[i8], b: &[i8]) -> i32 {
        // SAFETY: a value of this type exists only where the processor has the features.
        unsafe { dot(a, b) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot(a: &[i8], b: &[i8]) -> i32 {
    // The first operand is unsigned: a + 128, and 128·Σb taken off again.
    let (flip, ones) = (_mm512_set1_epi8(-128), _mm512_set1_epi8(1));
    let (mut sum, mut sum_b) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
        // SAFETY: both are arrays of 64 bytes.
        let (a, b) = unsafe {
            (
                _mm512_loadu_si512(a.as_ptr().cast()),
                _mm512_loadu_si512(b.as_ptr().cast()),
            )
        };
        sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(a, flip), b);
        sum_b = _mm512_dpbusd_epi32(sum_b, ones, b);
    }
    _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, _mm512_slli_epi32::<7>(sum_b)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn multiply_tile<const ROWS: usize, const PANELS: usize>(tile: &Tile, out: &mut [i32]) {
    let depth_lines = tile.depth_lines();
    let (rows, lines) = (tile.rows.as_ptr(), tile.lines.as_ptr());
    let mut sums = [[_mm512_setzero_si512(); PANELS]; ROWS];
    // SAFETY: the caller has checked the tile.
    unsafe {
        // Activations are unsigned here, so their zero point is taken off at the start.
        let zero_point = _mm512_set1_epi32(-tile.zero_point);
        for panel in 0..PANELS {
            let column_sums = tile.column_sums.as_ptr().add(panel * PANEL_COLUMNS);
            let start = _mm512_mullo_epi32(_mm512_loadu_si512(column_sums.cast()), zero_point);
            for sums in &mut sums {
                sums[panel] = start;
            }
        }
        for line in 0..depth_lines {
            let mut weights = [_mm512_setzero_si512(); PANELS];
            for (panel, weights) in weights.iter_mut().enumerate() {
                let at: *const Line = lines.add(panel * depth_lines + line);
                *weights = _mm512_load_si512(at.cast());
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let at = rows.add(row * tile.row_stride + line * LINE_DEPTHS);
                let codes = _mm512_set1_epi32(at.cast::<i32>().read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, codes, weights);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (panel, sum) in sums.iter().enumerate() {
                let at = row * tile.out_stride + panel * PANEL_COLUMNS;
                _mm512_storeu_si512(out.as_mut_ptr().add(at).cast(), *sum);
            }
        }
    }
}
