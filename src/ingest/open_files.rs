//! Segments and blob files of the store, each opened once.

use std::collections::{HashMap, hash_map::Entry};

use crate::store::{Blobs, Segment, StoreError, StoreWriter};

/// The files that were asked for so far.
#[derive(Default)]
pub(super) struct OpenFiles {
    blobs: HashMap<u32, Blobs>,
    segments: HashMap<u32, Segment>,
}

impl OpenFiles {
    /// The blob file with this name.
    pub fn blobs(&mut self, name: u32, store: &StoreWriter) -> Result<&Blobs, StoreError> {
        once(&mut self.blobs, name, || store.blobs(name))
    }

    /// The segment with this name.
    pub fn segment(&mut self, name: u32, store: &StoreWriter) -> Result<&Segment, StoreError> {
        once(&mut self.segments, name, || store.segment(name))
    }
}

fn once<T>(
    open: &mut HashMap<u32, T>,
    name: u32,
    file: impl FnOnce() -> Result<T, StoreError>,
) -> Result<&T, StoreError> {
    Ok(match open.entry(name) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(closed) => closed.insert(file()?),
    })
}
