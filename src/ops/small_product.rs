//! Products of small f32 matrices, tile by tile in registers: what the sparse operations are made of.

use super::{
    pointwise::{Block, LANES, mul_add},
    simd::Isa,
};

/// A matrix whose element (row, depth) is `values[row · row_stride + depth · depth_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    pub values: &'a [f32],
    pub row_stride: usize,
    pub depth_stride: usize,
}

/// A matrix whose rows lie `stride` apart.
#[derive(Debug, Clone, Copy)]
pub struct Right<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

/// Where a product is added; rows lie `stride` apart.
#[derive(Debug)]
pub struct Sums<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
}

/// What is multiplied: `[n_rows, depth]` by `[depth, n_columns]`; `n_columns` is a multiple of [`LANES`].
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub n_rows: usize,
    pub depth: usize,
    pub n_columns: usize,
}

/// Rows of a tile where a register holds a block: enough sums to hide the latency of the additions.
const WIDE_ROWS: usize = 8;
/// Rows of a tile where a block takes two registers or more of sixteen.
const NARROW_ROWS: usize = 4;

/// Adds `left · right` to `sums`.
#[inline(always)]
pub fn add_product<I: Isa>(left: Left, right: Right, size: Size, mut sums: Sums) {
    if size.n_rows == 0 || size.depth == 0 || size.n_columns == 0 {
        return;
    }
    let last = |rows: usize, stride: usize, length: usize| (rows - 1) * stride + length;
    let depth_end = last(size.depth, left.depth_stride, 1);
    assert_eq!(size.n_columns % LANES, 0);
    assert!(last(size.n_rows, left.row_stride, depth_end) <= left.values.len());
    assert!(last(size.depth, right.stride, size.n_columns) <= right.values.len());
    assert!(last(size.n_rows, sums.stride, size.n_columns) <= sums.values.len());
    let mut row = 0;
    // The processors whose tiles of int8 have six rows are those with 32 registers.
    if I::TILE_ROWS > NARROW_ROWS {
        while row + WIDE_ROWS <= size.n_rows {
            // SAFETY: the assertions above hold for every row below `n_rows`.
            unsafe { add_rows::<I, WIDE_ROWS>(left, right, size, row, &mut sums) };
            row += WIDE_ROWS;
        }
    }
    while row + NARROW_ROWS <= size.n_rows {
        // SAFETY: as above.
        unsafe { add_rows::<I, NARROW_ROWS>(left, right, size, row, &mut sums) };
        row += NARROW_ROWS;
    }
    while row < size.n_rows {
        // SAFETY: as above.
        unsafe { add_rows::<I, 1>(left, right, size, row, &mut sums) };
        row += 1;
    }
}

/// Adds `ROWS` rows of the product, from `row` on.
///
/// # Safety
///
/// Those rows of `left` and `sums`, and all of `right`, lie inside their slices.
#[inline(always)]
unsafe fn add_rows<I: Isa, const ROWS: usize>(
    left: Left,
    right: Right,
    size: Size,
    row: usize,
    sums: &mut Sums,
) {
    for column in (0..size.n_columns).step_by(LANES) {
        // SAFETY: the caller has checked all that is read and written here; a block needs no alignment.
        unsafe {
            let values = left.values.as_ptr().add(row * left.row_stride);
            let blocks = right.values.as_ptr().add(column);
            let out = sums.values.as_mut_ptr().add(row * sums.stride + column);
            let mut tile = [[0.0; LANES]; ROWS];
            for (own, block) in tile.iter_mut().enumerate() {
                *block = out.add(own * sums.stride).cast::<Block>().read_unaligned();
            }
            for depth in 0..size.depth {
                let block = blocks.add(depth * right.stride).cast::<Block>();
                let block = block.read_unaligned();
                let values = values.add(depth * left.depth_stride);
                for (own, sums) in tile.iter_mut().enumerate() {
                    let value = *values.add(own * left.row_stride);
                    for lane in 0..LANES {
                        sums[lane] = mul_add::<I>(value, block[lane], sums[lane]);
                    }
                }
            }
            for (own, block) in tile.iter().enumerate() {
                let out = out.add(own * sums.stride).cast::<Block>();
                out.write_unaligned(*block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::simd::{Instructions, Kernel};

    struct Product<'a>(Left<'a>, Right<'a>, Size, &'a mut [f32]);

    impl Kernel for Product<'_> {
        type Output = ();

        #[inline(always)]
        fn run<I: Isa>(self, _: I) {
            let sums = Sums {
                values: self.3,
                stride: self.2.n_columns + 1,
            };
            add_product::<I>(self.0, self.1, self.2, sums);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_product_equals_its_definition(n_rows in 0usize..20, depth in 0usize..20, blocks in 0usize..3, transposed in any::<bool>()) {
            let n_columns = blocks * LANES;
            let numbers = |count: usize, phase: f32| -> Vec<f32> { (0..count).map(|at| (at as f32 * 0.7 + phase).sin()).collect() };
            let (a, b) = (numbers(n_rows * depth, 0.1), numbers(depth * (n_columns + 3), 0.4));
            let (row_stride, depth_stride) = if transposed { (1, n_rows) } else { (depth, 1) };
            let left = Left { values: &a, row_stride, depth_stride };
            let right = Right { values: &b, stride: n_columns + 3 };
            for instructions in Instructions::all() {
                let mut sums = vec![1.0; n_rows * (n_columns + 1)];
                instructions.run(Product(left, right, Size { n_rows, depth, n_columns }, &mut sums));
                for (at, sum) in sums.iter().enumerate() {
                    let (row, column) = (at / (n_columns + 1), at % (n_columns + 1));
                    let products = (0..depth).filter(|_| column < n_columns).map(|depth| a[row * row_stride + depth * depth_stride] * b[depth * (n_columns + 3) + column]);
                    let expected = 1.0 + products.sum::<f32>();
                    prop_assert!((sum - expected).abs() < 1e-4, "{sum} {expected}");
                }
            }
        }
    }
}
