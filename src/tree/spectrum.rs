//! The directions in which sparse rows differ most: a randomised truncated SVD (Halko, Martinsson and Tropp, 2011).

use rayon::prelude::*;

use super::graph::split_mix;

/// Directions that are looked for beside those wanted, so that the last of these are right as well.
const OVERSAMPLING: usize = 10;
const POWER_ITERATIONS: usize = 2;
/// Rows that are summed at a time: always the same ones, so that each run rounds alike.
const CHUNK_ROWS: usize = 1_024;
/// A direction whose share of the first one's square is less than this is nothing but rounding.
const RANK_TOLERANCE: f64 = 1e-10;
/// Sweeps of Jacobi's method, at most, and the share of the diagonal's square at which a matrix is diagonal.
const SWEEPS: usize = 30;
const DIAGONAL_TOLERANCE: f64 = 1e-22;

/// Rows of few columns each.
pub struct SparseRows {
    /// Columns and values, those of one row behind those of another.
    entries: Vec<(u32, f32)>,
    /// Where each row's entries end.
    ends: Vec<usize>,
    columns: usize,
}

impl SparseRows {
    pub fn new(rows: &[Vec<(u32, f32)>], columns: usize) -> Self {
        let ends = rows.iter().scan(0, |end, row| {
            *end += row.len();
            Some(*end)
        });
        Self {
            ends: ends.collect(),
            entries: rows.concat(),
            columns,
        }
    }

    fn row(&self, row: usize) -> &[(u32, f32)] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[start..self.ends[row]]
    }

    fn transposed(&self) -> Self {
        let mut starts = vec![0; self.columns + 1];
        for &(column, _) in &self.entries {
            starts[column as usize + 1] += 1;
        }
        for column in 0..self.columns {
            starts[column + 1] += starts[column];
        }
        let mut entries = vec![(0, 0f32); self.entries.len()];
        for row in 0..self.ends.len() {
            for &(column, value) in self.row(row) {
                let place = &mut starts[column as usize];
                entries[*place] = (row as u32, value);
                *place += 1;
            }
        }
        starts.pop();
        Self {
            entries,
            columns: self.ends.len(),
            ends: starts,
        }
    }

    /// The product with `[columns, width]`, `[rows, width]`.
    fn multiply(&self, dense: &[f32], width: usize) -> Vec<f32> {
        let mut product = vec![0f32; self.ends.len() * width];
        let rows = product.par_chunks_exact_mut(width).enumerate();
        rows.for_each(|(row, sums)| add_weighted(self.row(row), dense, sums));
        product
    }
}

/// Adds to `sums` the rows of `dense` that `entries` name, by their weights.
pub fn add_weighted(entries: &[(u32, f32)], dense: &[f32], sums: &mut [f32]) {
    for &(column, weight) in entries {
        let row = &dense[column as usize * sums.len()..][..sums.len()];
        let pairs = sums.iter_mut().zip(row);
        pairs.for_each(|(sum, value)| *sum += weight * value);
    }
}

/// The first `count` right singular vectors as the columns of `[columns, count]`, the strongest first.
///
/// Columns beyond the rank are zero.
pub fn directions(rows: &SparseRows, count: usize, seed: u64) -> Vec<f32> {
    let width = (count + OVERSAMPLING)
        .min(rows.columns)
        .min(rows.ends.len());
    let mut found = vec![0f32; rows.columns * count];
    if width == 0 {
        return found;
    }
    let transposed = rows.transposed();
    let mut state = seed;
    let draws = (0..rows.columns * width).map(|_| normal(&mut state));
    let mut left = rows.multiply(&draws.collect::<Vec<f32>>(), width);
    for _ in 0..POWER_ITERATIONS {
        make_orthonormal(&mut left, width);
        let mut right = transposed.multiply(&left, width);
        make_orthonormal(&mut right, width);
        left = rows.multiply(&right, width);
    }
    make_orthonormal(&mut left, width);
    let mut right = transposed.multiply(&left, width);
    make_orthonormal(&mut right, width);
    let kept = width.min(count);
    let pairs = found.chunks_exact_mut(count).zip(right.chunks_exact(width));
    pairs.for_each(|(found, right)| found[..kept].copy_from_slice(&right[..kept]));
    found
}

/// The sum of four uniform numbers: near enough to the normal distribution.
fn normal(state: &mut u64) -> f32 {
    let bits = split_mix(state);
    let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
    sum as f32 / 65_535.0 - 2.0
}

/// Replaces the columns of `[rows, width]` by their left singular vectors, the strongest first.
fn make_orthonormal(dense: &mut [f32], width: usize) {
    let (values, vectors) = eigen(gram(dense, width), width);
    let scale = |value: f64| match value > RANK_TOLERANCE * values[0] {
        true => value.sqrt().recip(),
        false => 0.0,
    };
    let scales: Vec<f64> = values.iter().map(|&value| scale(value)).collect();
    let turn: Vec<f32> = vectors
        .chunks_exact(width)
        .flat_map(|row| {
            row.iter()
                .zip(&scales)
                .map(|(own, scale)| (own * scale) as f32)
        })
        .collect();
    let rows = dense.par_chunks_exact_mut(width);
    rows.for_each(|row| {
        let entries: Vec<(u32, f32)> = (0..).zip(row.iter().copied()).collect();
        row.fill(0.0);
        add_weighted(&entries, &turn, row);
    });
}

/// The products of all columns of `[rows, width]`, `[width, width]`.
fn gram(dense: &[f32], width: usize) -> Vec<f64> {
    let chunks = dense.par_chunks(CHUNK_ROWS * width).map(|chunk| {
        let mut sums = vec![0f32; width * width];
        for row in chunk.chunks_exact(width) {
            for (own, sums) in row.iter().zip(sums.chunks_exact_mut(width)) {
                let pairs = sums.iter_mut().zip(row);
                pairs.for_each(|(sum, other)| *sum += own * other);
            }
        }
        sums
    });
    let mut gram = vec![0f64; width * width];
    for chunk in chunks.collect::<Vec<_>>() {
        let pairs = gram.iter_mut().zip(chunk);
        pairs.for_each(|(sum, part)| *sum += f64::from(part));
    }
    gram
}

/// The eigenvalues of a symmetric matrix, the largest first, and its eigenvectors as columns, by Jacobi's rotations.
fn eigen(mut matrix: Vec<f64>, width: usize) -> (Vec<f64>, Vec<f64>) {
    // Rows of it are the vectors until they are turned around at the end.
    let mut vectors = vec![0f64; width * width];
    (0..width).for_each(|own| vectors[own * width + own] = 1.0);
    for _ in 0..SWEEPS {
        let square = |row: usize, column: usize| matrix[row * width + column].powi(2);
        let diagonal: f64 = (0..width).map(|own| square(own, own)).sum();
        let beside = (0..width).flat_map(|row| (row + 1..width).map(move |other| (row, other)));
        let rest: f64 = beside.clone().map(|(row, other)| square(row, other)).sum();
        if rest <= DIAGONAL_TOLERANCE * diagonal {
            break;
        }
        for (p, q) in beside {
            rotate(&mut matrix, &mut vectors, width, (p, q));
        }
    }
    let mut order: Vec<usize> = (0..width).collect();
    let value = |own: usize| matrix[own * width + own];
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    let turned = (0..width).flat_map(|row| order.iter().map(move |&own| own * width + row));
    let turned = turned.map(|place| vectors[place]).collect();
    (order.iter().map(|&own| value(own)).collect(), turned)
}

/// Turns rows and columns `p` and `q` so that their product vanishes.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], width: usize, (p, q): (usize, usize)) {
    let between = matrix[p * width + q];
    if between == 0.0 {
        return;
    }
    let theta = (matrix[q * width + q] - matrix[p * width + p]) / (2.0 * between);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = (tangent * tangent + 1.0).sqrt().recip();
    let sine = tangent * cosine;
    let turn = |values: &mut [f64], a: usize, b: usize| {
        let (own, other) = (values[a], values[b]);
        values[a] = cosine * own - sine * other;
        values[b] = sine * own + cosine * other;
    };
    for at in 0..width {
        turn(matrix, p * width + at, q * width + at);
        turn(vectors, p * width + at, q * width + at);
    }
    for row in 0..width {
        turn(matrix, row * width + p, row * width + q);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::similarity::product;

    /// Rows around a few directions, and some noise.
    fn rows(n_rows: usize, columns: usize, rank: usize) -> Vec<Vec<(u32, f32)>> {
        let mut state = 3;
        let mut draw =
            |count: usize| -> Vec<f32> { (0..count).map(|_| normal(&mut state)).collect() };
        let (left, right) = (draw(n_rows * rank), draw(rank * columns));
        let noise = draw(n_rows * columns);
        let value = |row: usize, column: usize| {
            let parts = (0..rank).map(|own| {
                let strength = 4.0 / (own + 1) as f32;
                strength * left[row * rank + own] * right[own * columns + column]
            });
            parts.sum::<f32>() + 0.05 * noise[row * columns + column]
        };
        let row = |row| (0..columns).map(move |column| (column as u32, value(row, column)));
        (0..n_rows).map(|own| row(own).collect()).collect()
    }

    #[test]
    fn directions_are_those_of_the_gram_matrix() {
        let (n_rows, columns, count) = (80, 40, 5);
        let sparse = SparseRows::new(&rows(n_rows, columns, count), columns);
        let found = directions(&sparse, count, 7);
        assert_eq!(found, directions(&sparse, count, 7));
        let dense: Vec<f32> = sparse.entries.iter().map(|(_, value)| *value).collect();
        let (_, vectors) = eigen(gram(&dense, columns), columns);
        let column = |values: &[f32], width: usize, at: usize| -> Vec<f32> {
            values.chunks_exact(width).map(|row| row[at]).collect()
        };
        let vectors: Vec<f32> = vectors.iter().map(|&value| value as f32).collect();
        for at in 0..count {
            let (found, expected) = (column(&found, count, at), column(&vectors, columns, at));
            let cosine = product(&found, &expected).abs();
            assert!(cosine > 0.999, "{at}: {cosine}");
        }
    }

    #[test]
    fn a_lower_rank_leaves_zeros() {
        let check = |rows: &[Vec<(u32, f32)>], columns: usize, expected: &[f32]| {
            let found = directions(&SparseRows::new(rows, columns), 2, 7);
            let found = found.iter().map(|value| (value.abs() * 1e3).round() / 1e3);
            assert_eq!(found.collect::<Vec<_>>(), expected, "{rows:?}");
        };
        check(&[], 0, &[]);
        check(&[vec![], vec![]], 1, &[0.0, 0.0]);
        check(&[vec![(1, 2.0)]], 2, &[0.0, 0.0, 1.0, 0.0]);
        check(
            &[vec![(0, 3.0)], vec![(0, 1.0)], vec![(1, 1.0)]],
            2,
            &[1.0, 0.0, 0.0, 1.0],
        );
    }
}
