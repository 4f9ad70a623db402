//! Compacting: many small segments, as edits leave them, become one.

use std::collections::HashMap;

use crate::store::{Commit, DocumentRecord, Segment, SegmentBuilder, StoreError, StoreWriter};

/// A segment of fewer passages that are in use is small.
const SMALL_PASSAGES: u32 = 1_024;
/// So many small segments are left as they are.
const MAX_SMALL: usize = 12;

/// Joins the small segments where there are too many; what is no longer in use goes with them.
pub(super) fn compact(store: &mut StoreWriter) -> Result<(), StoreError> {
    let mut in_use: HashMap<u32, u32> = HashMap::new();
    for record in store.documents() {
        let record = record?;
        *in_use.entry(record.segment).or_default() += record.n_passages;
    }
    in_use.retain(|_, n_passages| *n_passages < SMALL_PASSAGES);
    if in_use.len() <= MAX_SMALL {
        return Ok(());
    }
    let mut segments: HashMap<u32, Segment> = HashMap::new();
    for &name in in_use.keys() {
        segments.insert(name, store.segment(name)?);
    }
    let mut builder = SegmentBuilder::default();
    let mut moved: Vec<DocumentRecord> = Vec::new();
    for record in store.documents() {
        let mut record = record?;
        if let Some(segment) = segments.get(&record.segment) {
            let row = segment.documents()[record.row as usize];
            record.row = builder.copy(segment, &row);
            moved.push(record);
        }
    }
    let name = store.write_segment(&builder)?;
    moved.iter_mut().for_each(|record| record.segment = name);
    let commit = Commit {
        documents: moved,
        ..Commit::default()
    };
    store.commit(commit)
}
