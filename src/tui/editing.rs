//! Edits of the tree on their own thread: they wait for the disk.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{library::Library, worker::Worker};
use crate::{
    ingest::{self, Change, ChangeError, Changed},
    store::{self, Snapshot, StoreError},
    tree::edit,
};

/// The thread; it replies with a sentence where an edit failed.
pub type Editor = Worker<Wanted, Result<Box<Edited>, String>>;

/// What is to become of the tree of a library.
pub struct Wanted {
    pub library: Arc<Library>,
    pub change: Change,
}

/// The library after an edit.
pub struct Edited {
    pub library: Library,
    pub changed: Changed,
}

/// Starts the thread that edits the tree of the index in a folder.
pub fn spawn(index: PathBuf) -> io::Result<Editor> {
    Worker::spawn("edits", move |wanted: Wanted| {
        let changed = ingest::edit(&index, &wanted.library.snapshot, &wanted.change);
        let edited = changed.and_then(|changed| {
            let library = open(Snapshot::open(&index)?, &index).map_err(ChangeError::Store)?;
            Ok(Box::new(Edited { library, changed }))
        });
        edited.map_err(|error| error.to_string())
    })
}

/// A library that knows which nodes are the user's.
pub fn open(snapshot: Snapshot, index: &Path) -> Result<Library, StoreError> {
    let kept = edit::kept(&store::edits::read(index)?);
    Ok(Library::new(snapshot, kept))
}
