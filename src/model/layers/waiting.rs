//! States of a long document that wait for the next layers: in memory as long as they fit, then in halves, then in a file.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
};

use half::{f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::super::ModelError;

/// Values that wait as they are, at most: 400 MB, the states of 262,144 tokens.
const MAX_EXACT: usize = (1 << 18) * 384;
/// Values that wait in memory at all, at most: 1 GB in 16 bits, the states of 1.3 million tokens.
const MAX_IN_MEMORY: usize = 5 * MAX_EXACT;
/// Values that a thread converts at a time.
const CONVERTED: usize = 1 << 14;

/// States of consecutive batches, worked on one batch at a time.
pub struct Waiting {
    place: Place,
    /// The batch at hand, where it is not worked on in its place.
    batch: Vec<f32>,
}

/// Where states wait.
pub enum Place {
    /// Every batch goes through all layers at once.
    Nowhere,
    Memory(Vec<f32>),
    Half(Vec<f16>),
    /// A file without a name: it is gone when the process is.
    File(File),
}

impl Place {
    /// The place that suits `n_values`.
    ///
    /// # Errors
    /// Where they need a file and there is no room for one.
    pub fn of(n_values: usize) -> Result<Self, ModelError> {
        if n_values <= MAX_EXACT {
            Ok(Self::Memory(vec![0.0; n_values]))
        } else if n_values <= MAX_IN_MEMORY {
            Ok(Self::Half(vec![f16::ZERO; n_values]))
        } else {
            Self::file()
        }
    }

    /// A file, however few they are.
    pub fn file() -> Result<Self, ModelError> {
        let file = tempfile::tempfile().map_err(ModelError::Waiting)?;
        Ok(Self::File(file))
    }
}

impl Waiting {
    pub fn new(place: Place) -> Self {
        Self {
            place,
            batch: Vec::new(),
        }
    }

    /// The states at `values`, as they were last kept; any others where they never were.
    pub fn take(&mut self, values: Range<usize>) -> Result<&mut [f32], ModelError> {
        let in_place = matches!(self.place, Place::Memory(_));
        let n_values = if in_place { 0 } else { values.len() };
        self.batch.resize(n_values, 0.0);
        match &mut self.place {
            Place::Memory(all) => return Ok(&mut all[values]),
            Place::Nowhere => {}
            Place::Half(all) => convert(&all[values], &mut self.batch, |kept, own| {
                kept.convert_to_f32_slice(own);
            }),
            Place::File(file) => {
                let mut bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.batch);
                let length = bytes.len() as u64;
                // Before anything is kept the file ends early.
                file.seek(position(&values))
                    .and_then(|_| io::copy(&mut file.take(length), &mut bytes))
                    .map_err(ModelError::Waiting)?;
            }
        }
        Ok(&mut self.batch)
    }

    /// Keeps the states at `values`, which were taken last.
    pub fn keep(&mut self, values: Range<usize>) -> Result<(), ModelError> {
        match &mut self.place {
            Place::Nowhere | Place::Memory(_) => Ok(()),
            Place::Half(all) => {
                convert(&self.batch, &mut all[values], |own, kept| {
                    kept.convert_from_f32_slice(own);
                });
                Ok(())
            }
            Place::File(file) => file
                .seek(position(&values))
                .and_then(|_| file.write_all(bytemuck::cast_slice(&self.batch)))
                .map_err(ModelError::Waiting),
        }
    }
}

/// Converts values by all threads, each some at a time.
fn convert<A: Sync, B: Send>(from: &[A], into: &mut [B], some: impl Fn(&[A], &mut [B]) + Sync) {
    let parts = from.par_chunks(CONVERTED);
    parts
        .zip(into.par_chunks_mut(CONVERTED))
        .for_each(|(from, into)| some(from, into));
}

/// Where values lie in the file.
fn position(values: &Range<usize>) -> SeekFrom {
    SeekFrom::Start((values.start * size_of::<f32>()) as u64)
}
