//! Segments and blob files of the store, kept open while they are read from.

use std::collections::{HashMap, hash_map::Entry};

use crate::store::{Blobs, Segment, StoreError, StoreWriter};

/// So many files of a kind are open: what was read of an open file counts as memory.
const MAX_OPEN: usize = 32;

/// The files that were asked for last.
#[derive(Default)]
pub(super) struct OpenFiles {
    blobs: HashMap<u32, Blobs>,
    segments: HashMap<u32, Segment>,
}

impl OpenFiles {
    /// The blob file with this name.
    pub fn blobs(&mut self, name: u32, store: &StoreWriter) -> Result<&Blobs, StoreError> {
        kept(&mut self.blobs, name, || store.blobs(name))
    }

    /// The segment with this name.
    pub fn segment(&mut self, name: u32, store: &StoreWriter) -> Result<&Segment, StoreError> {
        kept(&mut self.segments, name, || store.segment(name))
    }
}

fn kept<T>(
    open: &mut HashMap<u32, T>,
    name: u32,
    file: impl FnOnce() -> Result<T, StoreError>,
) -> Result<&T, StoreError> {
    if open.len() >= MAX_OPEN && !open.contains_key(&name) {
        open.clear();
    }
    Ok(match open.entry(name) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(closed) => closed.insert(file()?),
    })
}
