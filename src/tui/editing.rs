//! Edits of the tree on their own thread: they wait for the disk.

use std::{path::PathBuf, sync::Arc};

use super::{library::Library, worker::Worker};
use crate::{
    ingest::{self, Change, ChangeError, Changed},
    store::{self, Snapshot, StoreError},
    tree::edit,
};

/// The library after an edit.
pub struct Edited {
    pub library: Library,
    pub changed: Changed,
}

/// Starts the thread that edits the tree of the index in a folder; it replies with a sentence where that failed.
pub fn spawn(
    index: PathBuf,
) -> std::io::Result<Worker<(Arc<Library>, Change), Result<Box<Edited>, String>>> {
    Worker::spawn("edits", move |(library, change): (Arc<Library>, Change)| {
        let changed = ingest::edit(&index, &library.snapshot, &change);
        let edited = changed.and_then(|changed| {
            let library = open(Snapshot::open(&index)?, &index).map_err(ChangeError::Store)?;
            Ok(Box::new(Edited { library, changed }))
        });
        edited.map_err(|error| error.to_string())
    })
}

/// A library that knows which nodes are the user's.
pub fn open(snapshot: Snapshot, index: &std::path::Path) -> Result<Library, StoreError> {
    let kept = edit::kept(&store::edits::read(index)?);
    Ok(Library::new(snapshot, kept))
}
