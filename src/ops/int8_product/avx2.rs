//! Tiles on 256 bits: by `vpdpbusd` where AVX-VNNI has it, else by `vpmaddubsw` on magnitudes and signs.

use std::arch::x86_64::*;

use super::{LINE_DEPTHS, Line, PANEL_COLUMNS, SIGNED_ZERO_POINT, Tile};
use crate::ops::simd::Isa;

/// AVX2 with AVX-VNNI: Intel's desktops and laptops since 2021.
#[derive(Debug, Clone, Copy)]
pub struct AvxVnni(());

/// AVX2 and FMA: nearly every x86 processor since 2013.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl AvxVnni {
    #[inline]
    #[target_feature(enable = "avx2,fma,avxvnni")]
    pub(in crate::ops) fn new() -> Self {
        Self(())
    }
}

impl Avx2 {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(in crate::ops) fn new() -> Self {
        Self(())
    }
}

impl Isa for AvxVnni {
    const TILE_ROWS: usize = 6;
    const FUSED: bool = true;

    #[inline(always)]
    unsafe fn multiply_rows<const ROWS: usize>(self, tile: &Tile, out: &mut [i32]) {
        // SAFETY: a value of this type exists only where the processor has the features; the caller has checked
        // the tile.
        unsafe { multiply_vnni::<ROWS>(tile, out) }
    }

    #[inline(always)]
    fn dot(self, a: &[i8], b: &[i8]) -> i32 {
        // SAFETY: as above.
        unsafe { dot(a, b) }
    }
}

impl Isa for Avx2 {
    const TILE_ROWS: usize = 4;
    const FUSED: bool = true;

    #[inline(always)]
    unsafe fn multiply_rows<const ROWS: usize>(self, tile: &Tile, out: &mut [i32]) {
        // SAFETY: a value of this type exists only where the processor has the features; the caller has checked
        // the tile.
        unsafe { multiply_avx2::<ROWS>(tile, out) }
    }

    #[inline(always)]
    fn dot(self, a: &[i8], b: &[i8]) -> i32 {
        // SAFETY: as for AVX-VNNI.
        unsafe { dot(a, b) }
    }
}

#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn multiply_vnni<const ROWS: usize>(tile: &Tile, out: &mut [i32]) {
    let depth_lines = tile.depth_lines();
    for panel in 0..tile.n_panels {
        let zero_point = _mm256_set1_epi32(-tile.zero_point);
        // SAFETY: the caller has checked the tile.
        unsafe {
            let start = starts(tile, panel, zero_point);
            let mut sums = [start; ROWS];
            for line in 0..depth_lines {
                let weights = halves(tile, panel * depth_lines + line);
                for (row, sums) in sums.iter_mut().enumerate() {
                    let codes = codes(tile, row, line);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm256_dpbusd_avx_epi32(*sum, codes, weights);
                    }
                }
            }
            store(tile, panel, &sums, out);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_avx2<const ROWS: usize>(tile: &Tile, out: &mut [i32]) {
    let depth_lines = tile.depth_lines();
    let (ones, signed) = (
        _mm256_set1_epi16(1),
        _mm256_set1_epi8(SIGNED_ZERO_POINT as i8),
    );
    for panel in 0..tile.n_panels {
        let zero_point = _mm256_set1_epi32(SIGNED_ZERO_POINT - tile.zero_point);
        // SAFETY: the caller has checked the tile.
        unsafe {
            let start = starts(tile, panel, zero_point);
            let mut sums = [start; ROWS];
            for line in 0..depth_lines {
                let weights = halves(tile, panel * depth_lines + line);
                let magnitudes = weights.map(|weights| _mm256_abs_epi8(weights));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let codes = _mm256_sub_epi8(codes(tile, row, line), signed);
                    for half in 0..2 {
                        // |w|·(±a): both within ±127, so that a pair of products fits into i16.
                        let signed = _mm256_sign_epi8(codes, weights[half]);
                        let pairs = _mm256_maddubs_epi16(magnitudes[half], signed);
                        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, ones));
                    }
                }
            }
            store(tile, panel, &sums, out);
        }
    }
}

/// Memory limits this one, so both sets share the form without VNNI.
#[inline]
#[target_feature(enable = "avx2")]
fn dot(a: &[i8], b: &[i8]) -> i32 {
    let ones = _mm256_set1_epi16(1);
    let mut sum = _mm256_setzero_si256();
    for (a, b) in a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0) {
        // SAFETY: both are arrays of 32 bytes.
        let (a, b) = unsafe {
            (
                _mm256_loadu_si256(a.as_ptr().cast()),
                _mm256_loadu_si256(b.as_ptr().cast()),
            )
        };
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    let mut lanes = [0i32; 8];
    // SAFETY: the array has the size of the register.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
    lanes.iter().sum()
}

/// What the sums of a panel start with: its column sums times what is still to be taken off the zero point.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn starts(tile: &Tile, panel: usize, zero_point: __m256i) -> [__m256i; 2] {
    // SAFETY: the caller has checked the tile.
    let load = |half: usize| unsafe {
        let at = tile
            .column_sums
            .as_ptr()
            .add(panel * PANEL_COLUMNS + half * 8);
        _mm256_loadu_si256(at.cast())
    };
    [0, 1].map(|half| _mm256_mullo_epi32(load(half), zero_point))
}

/// The two halves of a line: 8 columns each.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn halves(tile: &Tile, line: usize) -> [__m256i; 2] {
    // SAFETY: the caller has checked the tile, and lines are aligned.
    unsafe {
        let at: *const Line = tile.lines.as_ptr().add(line);
        let at: *const __m256i = at.cast();
        [_mm256_load_si256(at), _mm256_load_si256(at.add(1))]
    }
}

/// Four activations of a row, in every column.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn codes(tile: &Tile, row: usize, line: usize) -> __m256i {
    // SAFETY: the caller has checked the tile.
    unsafe {
        let at = tile
            .rows
            .as_ptr()
            .add(row * tile.row_stride + line * LINE_DEPTHS);
        _mm256_set1_epi32(at.cast::<i32>().read_unaligned())
    }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(tile: &Tile, panel: usize, sums: &[[__m256i; 2]], out: &mut [i32]) {
    for (row, sums) in sums.iter().enumerate() {
        let at = row * tile.out_stride + panel * PANEL_COLUMNS;
        // SAFETY: the caller has checked the tile.
        unsafe {
            let at: *mut __m256i = out.as_mut_ptr().add(at).cast();
            _mm256_storeu_si256(at, sums[0]);
            _mm256_storeu_si256(at.add(1), sums[1]);
        }
    }
}
