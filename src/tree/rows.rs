//! Vectors of all documents in one block of memory: in f32 in a library of ordinary size, in f16 in a large one.

use half::{f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

/// `[len, dimensions]`.
pub struct Rows {
    values: Values,
    dimensions: usize,
}

enum Values {
    Full(Vec<f32>),
    Half(Vec<f16>),
}

/// How the numbers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    Full,
    Half,
}

impl Rows {
    /// Rows of zeros.
    pub fn new(len: usize, dimensions: usize, precision: Precision) -> Self {
        let size = len * dimensions;
        Self {
            values: match precision {
                Precision::Full => Values::Full(vec![0.0; size]),
                Precision::Half => Values::Half(vec![f16::ZERO; size]),
            },
            dimensions,
        }
    }

    pub fn len(&self) -> usize {
        let size = match &self.values {
            Values::Full(values) => values.len(),
            Values::Half(values) => values.len(),
        };
        size / self.dimensions.max(1)
    }

    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Copies what stands in a row from column `first` on, as much as `into` holds.
    pub fn read(&self, row: usize, first: usize, into: &mut [f32]) {
        let start = row * self.dimensions + first;
        let range = start..start + into.len();
        match &self.values {
            Values::Full(values) => into.copy_from_slice(&values[range]),
            Values::Half(values) => values[range].convert_to_f32_slice(into),
        }
    }

    /// The rows of these numbers, one behind the other.
    pub fn block(&self, rows: impl ExactSizeIterator<Item = usize>) -> Vec<f32> {
        let mut block = vec![0f32; rows.len() * self.dimensions];
        for (row, into) in rows.zip(block.chunks_exact_mut(self.dimensions)) {
            self.read(row, 0, into);
        }
        block
    }

    /// The rows of these numbers, each on its own.
    pub fn gather(&self, rows: impl Iterator<Item = usize>) -> Vec<Vec<f32>> {
        let own = |row| {
            let mut vector = vec![0f32; self.dimensions];
            self.read(row, 0, &mut vector);
            vector
        };
        rows.map(own).collect()
    }

    /// Changes the columns from `first` on of every row, `width` of them.
    pub fn update(
        &mut self,
        first: usize,
        width: usize,
        change: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let columns = first..first + width;
        match &mut self.values {
            Values::Full(values) => {
                let rows = values.par_chunks_exact_mut(self.dimensions).enumerate();
                rows.for_each(|(row, values)| change(row, &mut values[columns.clone()]));
            }
            Values::Half(values) => {
                let rows = values.par_chunks_exact_mut(self.dimensions).enumerate();
                rows.for_each_init(
                    || vec![0f32; width],
                    |full, (row, values)| {
                        let values = &mut values[columns.clone()];
                        values.convert_to_f32_slice(full);
                        change(row, full);
                        values.convert_from_f32_slice(full);
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for precision in [Precision::Full, Precision::Half] {
            let mut rows = Rows::new(3, 5, precision);
            rows.update(1, 3, |row, values| {
                values
                    .iter_mut()
                    .zip(1..)
                    .for_each(|(value, at)| *value += (10 * row + at) as f32);
            });
            assert_eq!((rows.len(), rows.dimensions()), (3, 5));
            assert_eq!(
                rows.block([2, 0].into_iter()),
                [0., 21., 22., 23., 0., 0., 1., 2., 3., 0.]
            );
            assert_eq!(rows.gather(1..2), [[0., 11., 12., 13., 0.]]);
        }
    }
}
