//! Tiles in plain Rust, for processors without any of the instructions that have a kernel.

use super::{LINE_DEPTHS, Line, PANEL_COLUMNS, Tile};
use crate::ops::simd::Isa;

/// Plain Rust.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Isa for Portable {
    const TILE_ROWS: usize = 4;
    const FUSED: bool = false;

    unsafe fn multiply_rows<const ROWS: usize>(self, tile: &Tile, out: &mut [i32]) {
        let depth_lines = tile.depth_lines();
        for row in 0..ROWS {
            let codes = &tile.rows[row * tile.row_stride..][..depth_lines * LINE_DEPTHS];
            let out = &mut out[row * tile.out_stride..];
            let panels = tile.lines.chunks_exact(depth_lines);
            for (panel, out) in panels.zip(out.chunks_mut(PANEL_COLUMNS)) {
                out.copy_from_slice(&multiply_panel(codes, panel, tile.zero_point));
            }
        }
    }

    fn dot(self, a: &[i8], b: &[i8]) -> i32 {
        let products = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b));
        products.sum()
    }
}

fn multiply_panel(codes: &[u8], panel: &[Line], zero_point: i32) -> [i32; PANEL_COLUMNS] {
    let mut sums = [0; PANEL_COLUMNS];
    for (codes, line) in codes.chunks_exact(LINE_DEPTHS).zip(panel) {
        for (sum, weights) in sums.iter_mut().zip(line.0.chunks_exact(LINE_DEPTHS)) {
            for (code, weight) in codes.iter().zip(weights) {
                *sum += (i32::from(*code) - zero_point) * i32::from(*weight);
            }
        }
    }
    sums
}
