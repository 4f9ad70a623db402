//! Products of small f32 matrices, tile by tile in registers: what the sparse operations are made of.

use super::{
    pointwise::{Block, LANES, multiply_add},
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

/// Rows of a tile: with two blocks of columns, enough sums to hide the latency of an addition.
const ROWS: usize = 4;

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
    let sides = Sides {
        left,
        right,
        depth: size.depth,
    };
    let rows = size.n_rows - size.n_rows % ROWS;
    // The processors whose tiles of int8 have more than four rows have registers for two blocks.
    let pairs = if I::TILE_ROWS > ROWS {
        size.n_columns - size.n_columns % (2 * LANES)
    } else {
        0
    };
    for row in (0..rows).step_by(ROWS) {
        for column in (0..pairs).step_by(2 * LANES) {
            // SAFETY: the assertions above hold for every row and column.
            unsafe { add_tile::<I, 2>(&sides, row, column, &mut sums) };
        }
        for column in (pairs..size.n_columns).step_by(LANES) {
            // SAFETY: as above.
            unsafe { add_tile::<I, 1>(&sides, row, column, &mut sums) };
        }
    }
    for row in rows..size.n_rows {
        for column in (0..size.n_columns).step_by(LANES) {
            // SAFETY: as above.
            unsafe { add_row::<I>(&sides, row, column, &mut sums) };
        }
    }
}

/// What a tile is multiplied from.
struct Sides<'a> {
    left: Left<'a>,
    right: Right<'a>,
    depth: usize,
}

/// Adds [`ROWS`] rows and `BLOCKS` (1 or 2) blocks of columns of the product.
///
/// The sums are named one by one: in an array the compiler would keep them in memory.
///
/// # Safety
///
/// What is read and written from `row` and `column` on lies inside its slices.
#[inline(always)]
unsafe fn add_tile<I: Isa, const BLOCKS: usize>(
    sides: &Sides,
    row: usize,
    column: usize,
    sums: &mut Sums,
) {
    // SAFETY: the caller has checked all of it.
    unsafe {
        let Sides { left, right, depth } = sides;
        let first = left.values.as_ptr().add(row * left.row_stride);
        let block = right.values.as_ptr().add(column);
        let out = sums.values.as_mut_ptr().add(row * sums.stride + column);
        // The second block is the first again where there is one; nothing is made of it then.
        let next = (BLOCKS - 1) * LANES;
        let (row, stride) = (left.row_stride, sums.stride);
        let (mut a, mut a_next) = (load(out), load(out.add(next)));
        let (mut b, mut b_next) = (load(out.add(stride)), load(out.add(stride + next)));
        let (mut c, mut c_next) = (load(out.add(2 * stride)), load(out.add(2 * stride + next)));
        let (mut d, mut d_next) = (load(out.add(3 * stride)), load(out.add(3 * stride + next)));
        for depth in 0..*depth {
            let block = block.add(depth * right.stride);
            let values = first.add(depth * left.depth_stride);
            let own = load(block);
            a = multiply_add::<I>(&[*values; LANES], &own, &a);
            b = multiply_add::<I>(&[*values.add(row); LANES], &own, &b);
            c = multiply_add::<I>(&[*values.add(2 * row); LANES], &own, &c);
            d = multiply_add::<I>(&[*values.add(3 * row); LANES], &own, &d);
            if BLOCKS == 2 {
                let own = load(block.add(next));
                a_next = multiply_add::<I>(&[*values; LANES], &own, &a_next);
                b_next = multiply_add::<I>(&[*values.add(row); LANES], &own, &b_next);
                c_next = multiply_add::<I>(&[*values.add(2 * row); LANES], &own, &c_next);
                d_next = multiply_add::<I>(&[*values.add(3 * row); LANES], &own, &d_next);
            }
        }
        if BLOCKS == 2 {
            store(out.add(next), &a_next);
            store(out.add(stride + next), &b_next);
            store(out.add(2 * stride + next), &c_next);
            store(out.add(3 * stride + next), &d_next);
        }
        store(out, &a);
        store(out.add(stride), &b);
        store(out.add(2 * stride), &c);
        store(out.add(3 * stride), &d);
    }
}

/// Adds one row and block of the product.
///
/// # Safety
///
/// As for [`add_tile`].
#[inline(always)]
unsafe fn add_row<I: Isa>(sides: &Sides, row: usize, column: usize, sums: &mut Sums) {
    // SAFETY: the caller has checked all of it.
    unsafe {
        let Sides { left, right, depth } = sides;
        let first = left.values.as_ptr().add(row * left.row_stride);
        let block = right.values.as_ptr().add(column);
        let out = sums.values.as_mut_ptr().add(row * sums.stride + column);
        let mut own = load(out);
        for depth in 0..*depth {
            let value = *first.add(depth * left.depth_stride);
            let block = load(block.add(depth * right.stride));
            own = multiply_add::<I>(&[value; LANES], &block, &own);
        }
        store(out, &own);
    }
}

/// Reads a block, which need not be aligned.
///
/// # Safety
///
/// The block lies inside a slice.
#[inline(always)]
unsafe fn load(from: *const f32) -> Block {
    // SAFETY: the caller's.
    unsafe { from.cast::<Block>().read_unaligned() }
}

/// Writes a block, which need not be aligned.
///
/// # Safety
///
/// The block lies inside a slice that nobody else reads.
#[inline(always)]
unsafe fn store(to: *mut f32, block: &Block) {
    // SAFETY: the caller's.
    unsafe { to.cast::<Block>().write_unaligned(*block) }
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
        fn a_product_equals_its_definition(
            n_rows in 0usize..20,
            depth in 0usize..20,
            blocks in 0usize..4,
            transposed in any::<bool>(),
        ) {
            let n_columns = blocks * LANES;
            let (row_stride, depth_stride) = if transposed { (1, n_rows) } else { (depth, 1) };
            let stride = n_columns + 3;
            let numbers = |count: usize, phase: f32| -> Vec<f32> {
                (0..count).map(|at| (at as f32 * 0.7 + phase).sin()).collect()
            };
            let (a, b) = (numbers(n_rows * depth, 0.1), numbers(depth * stride, 0.4));
            let left = Left { values: &a, row_stride, depth_stride };
            let right = Right { values: &b, stride };
            let size = Size { n_rows, depth, n_columns };
            for instructions in Instructions::all() {
                let mut sums = vec![1.0; n_rows * (n_columns + 1)];
                instructions.run(Product(left, right, size, &mut sums));
                for (at, sum) in sums.iter().enumerate() {
                    let (row, column) = (at / (n_columns + 1), at % (n_columns + 1));
                    let mut expected = 1.0;
                    for own in (0..depth).filter(|_| column < n_columns) {
                        let value = a[row * row_stride + own * depth_stride];
                        expected += value * b[own * stride + column];
                    }
                    prop_assert!((sum - expected).abs() < 1e-4, "{sum} {expected}");
                }
            }
        }
    }
}
