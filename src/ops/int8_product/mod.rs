//! Products of int8 matrices: u8 activations, row by row, with i8 weights that were packed once.
//!
//! Element `(m, n)` of a product is Σ over k of (a\[m, k\] − z)·w\[n, k\] in i32, where z is the zero point of the
//! activations. Activations lie in 0..=254, so that a − 127 fits into seven bits and a sign: then no instruction
//! set saturates, and all give the same integers. [`product_slow`] defines the result.
//!
//! *Packed layout.* A panel holds 16 columns (rows n of the weights). Its lines of 64 bytes each hold 4 depths of
//! all 16 columns, column by column: the operand of one `vpdpbusd`, half of two, or a quarter of four `sdot`.
//! Missing columns and depths are zeros.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use bytemuck::{Pod, Zeroable};

#[cfg(target_arch = "x86_64")]
pub use avx2::{Avx2, AvxVnni};
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512Vnni;
#[cfg(target_arch = "aarch64")]
pub use neon::NeonDot;
pub use portable::Portable;

use super::simd::{Instructions, Isa, Kernel};

/// Columns of a panel.
pub const PANEL_COLUMNS: usize = 16;
/// Depths of a line.
pub const LINE_DEPTHS: usize = 4;
/// Panels that a tile takes at most.
pub const TILE_PANELS: usize = 4;
/// The zero point of signed activations, and the one that tiles of signed instructions subtract.
pub const SIGNED_ZERO_POINT: i32 = 127;

/// 4 depths of 16 columns, aligned to a line of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Line(pub [i8; PANEL_COLUMNS * LINE_DEPTHS]);

/// Packed weights.
#[derive(Debug, Clone, Default)]
pub struct PackedMatrix {
    /// `[n_panels, depth_lines]`.
    lines: Vec<Line>,
    /// Σ over k of w\[n, k\], `[n_panels * PANEL_COLUMNS]`.
    column_sums: Vec<i32>,
    depth_lines: usize,
}

impl PackedMatrix {
    /// Packs `weights`, `[columns, depth]` row by row.
    pub fn new(weights: &[i8], depth: usize) -> Self {
        let columns = weights.len() / depth;
        let n_panels = columns.div_ceil(PANEL_COLUMNS);
        let depth_lines = depth.div_ceil(LINE_DEPTHS);
        let mut lines = vec![Line::zeroed(); n_panels * depth_lines];
        let mut column_sums = vec![0; n_panels * PANEL_COLUMNS];
        for (column, row) in weights.chunks_exact(depth).enumerate() {
            let first = column / PANEL_COLUMNS * depth_lines;
            let at = column % PANEL_COLUMNS * LINE_DEPTHS;
            for (line, codes) in lines[first..].iter_mut().zip(row.chunks(LINE_DEPTHS)) {
                line.0[at..at + codes.len()].copy_from_slice(codes);
            }
            column_sums[column] = row.iter().map(|&code| i32::from(code)).sum();
        }
        Self {
            lines,
            column_sums,
            depth_lines,
        }
    }

    /// Number of columns, padding included.
    pub fn columns(&self) -> usize {
        self.column_sums.len()
    }

    /// Number of depths, padding included.
    pub fn depth(&self) -> usize {
        self.depth_lines * LINE_DEPTHS
    }

    /// The panels from `first` on, `count` at most.
    fn panels(&self, first: usize, count: usize) -> (&[Line], &[i32]) {
        let n_panels = self.column_sums.len() / PANEL_COLUMNS;
        let last = (first + count).min(n_panels);
        (
            &self.lines[first * self.depth_lines..last * self.depth_lines],
            &self.column_sums[first * PANEL_COLUMNS..last * PANEL_COLUMNS],
        )
    }
}

/// A product small enough for the registers: up to [`Isa::TILE_ROWS`] rows times up to [`TILE_PANELS`] panels.
///
/// Row `m` of the activations starts at `rows[m * row_stride]`; row `m` of the result goes to
/// `out[m * out_stride..][..panels * PANEL_COLUMNS]`.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a> {
    rows: &'a [u8],
    row_stride: usize,
    n_rows: usize,
    lines: &'a [Line],
    n_panels: usize,
    column_sums: &'a [i32],
    zero_point: i32,
    out_stride: usize,
}

impl Tile<'_> {
    /// Lines of each panel.
    #[inline(always)]
    fn depth_lines(&self) -> usize {
        self.lines.len() / self.n_panels
    }

    /// Multiplies the tile into `out`; panics unless all that it names lies within its slices.
    #[inline(always)]
    fn multiply<I: Isa>(&self, isa: I, out: &mut [i32]) {
        assert!((1..=I::TILE_ROWS).contains(&self.n_rows));
        assert!((1..=TILE_PANELS).contains(&self.n_panels));
        assert!(self.lines.len().is_multiple_of(self.n_panels));
        let last = self.n_rows - 1;
        assert!(self.rows.len() >= last * self.row_stride + self.depth_lines() * LINE_DEPTHS);
        assert!(self.column_sums.len() >= self.n_panels * PANEL_COLUMNS);
        assert!(out.len() >= last * self.out_stride + self.n_panels * PANEL_COLUMNS);
        // SAFETY: the lines above check it.
        unsafe {
            match self.n_rows {
                1 => isa.multiply_rows::<1>(self, out),
                2 => isa.multiply_rows::<2>(self, out),
                3 => isa.multiply_rows::<3>(self, out),
                4 => isa.multiply_rows::<4>(self, out),
                5 => isa.multiply_rows::<5>(self, out),
                _ => isa.multiply_rows::<6>(self, out),
            }
        }
    }
}

/// Activations: `n_rows` rows, each `stride` bytes behind the one before.
#[derive(Debug, Clone, Copy)]
pub struct Activations<'a> {
    pub codes: &'a [u8],
    pub stride: usize,
    pub n_rows: usize,
    pub zero_point: i32,
}

/// The columns of some panels (of those that there are) of the product, into `out`, `[n_rows, columns]`.
#[inline(always)]
pub fn product<I: Isa>(
    isa: I,
    activations: Activations,
    weights: &PackedMatrix,
    panels: std::ops::Range<usize>,
    out: &mut [i32],
) {
    let (lines, column_sums) = weights.panels(panels.start, panels.len());
    product_of_lines(isa, activations, lines, column_sums, out);
}

/// The product with panels given as lines, `[column_sums.len() / PANEL_COLUMNS, …]`, into `out`,
/// `[n_rows, column_sums.len()]`.
#[inline(always)]
pub fn product_of_lines<I: Isa>(
    isa: I,
    activations: Activations,
    lines: &[Line],
    column_sums: &[i32],
    out: &mut [i32],
) {
    let n_panels = column_sums.len() / PANEL_COLUMNS;
    let depth_lines = lines.len() / n_panels.max(1);
    let out_stride = column_sums.len();
    for first_panel in (0..n_panels).step_by(TILE_PANELS) {
        let last_panel = (first_panel + TILE_PANELS).min(n_panels);
        for first_row in (0..activations.n_rows).step_by(I::TILE_ROWS) {
            let tile = Tile {
                rows: &activations.codes[first_row * activations.stride..],
                row_stride: activations.stride,
                n_rows: I::TILE_ROWS.min(activations.n_rows - first_row),
                lines: &lines[first_panel * depth_lines..last_panel * depth_lines],
                n_panels: last_panel - first_panel,
                column_sums: &column_sums[first_panel * PANEL_COLUMNS..last_panel * PANEL_COLUMNS],
                zero_point: activations.zero_point,
                out_stride,
            };
            let at = first_row * out_stride + first_panel * PANEL_COLUMNS;
            tile.multiply(isa, &mut out[at..]);
        }
    }
}

/// Σ a·b of codes within ±127; lengths are equal and a multiple of 64.
pub fn dot(a: &[i8], b: &[i8]) -> i32 {
    Instructions::best().run(Dot(a, b))
}

struct Dot<'a>(&'a [i8], &'a [i8]);

impl Kernel for Dot<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> i32 {
        isa.dot(self.0, self.1)
    }
}

/// The definition of [`product`] over unpacked weights `[columns, depth]`, as `[n_rows, columns]`.
pub fn product_slow(activations: Activations, weights: &[i8], depth: usize) -> Vec<i32> {
    let rows = activations.codes.chunks(activations.stride);
    rows.take(activations.n_rows)
        .flat_map(|row| {
            weights.chunks_exact(depth).map(|column| {
                let pairs = row.iter().zip(column);
                pairs
                    .map(|(a, w)| (i32::from(*a) - activations.zero_point) * i32::from(*w))
                    .sum()
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Whole<'a>(Activations<'a>, &'a PackedMatrix);

    impl Kernel for Whole<'_> {
        type Output = Vec<i32>;

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Vec<i32> {
            let Self(activations, weights) = self;
            let mut out = vec![i32::MIN; activations.n_rows * weights.columns()];
            let panels = 0..weights.columns() / PANEL_COLUMNS;
            product(isa, activations, weights, panels, &mut out);
            out
        }
    }

    proptest! {
        #[test]
        fn every_instruction_set_takes_the_same_dot_product(
            pairs in proptest::collection::vec((-127i8..=127, prop_oneof![-127i8..=127, Just(-127)]), 1..9),
        ) {
            let (a, b): (Vec<i8>, Vec<i8>) = pairs.iter().cycle().take(pairs.len() * 64).copied().unzip();
            let expected: i32 = a.iter().zip(&b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
            for instructions in Instructions::all() {
                prop_assert_eq!(instructions.run(Dot(&a, &b)), expected, "{}", instructions.name());
            }
        }

        #[test]
        fn every_instruction_set_gives_the_integers_of_the_definition(
            (n_rows, columns, depth) in (1usize..20, 1usize..100, 1usize..70),
            zero_point in prop_oneof![Just(0), Just(SIGNED_ZERO_POINT)],
            extremes in any::<bool>(),
            seed in any::<u32>(),
        ) {
            let mut state = seed;
            let mut next = |extreme: [i32; 2], span: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match extremes {
                    true => extreme[(state >> 31) as usize],
                    false => (state >> 8).rem_euclid(span) as i32 + extreme[0],
                }
            };
            let stride = depth.next_multiple_of(LINE_DEPTHS);
            let codes: Vec<u8> = (0..n_rows * stride).map(|_| next([0, 254], 255) as u8).collect();
            let weights: Vec<i8> = (0..columns * depth).map(|_| next([-127, 127], 255) as i8).collect();
            let activations = Activations { codes: &codes, stride, n_rows, zero_point };
            let expected = product_slow(activations, &weights, depth);
            let packed = PackedMatrix::new(&weights, depth);
            for instructions in Instructions::all() {
                let product = instructions.run(Whole(activations, &packed));
                for (row, expected) in product.chunks(packed.columns()).zip(expected.chunks(columns)) {
                    prop_assert_eq!(&row[..columns], expected, "{}", instructions.name());
                }
            }
        }
    }
}
