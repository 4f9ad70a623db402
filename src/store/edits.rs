//! The user's edits of the tree: the one thing in an index that cannot be made anew from the documents.
//!
//! They lie in a file of their own, `edits.json`, which outlasts `--rebuild` and changes of the other formats:
//! `{"version": 1, "edits": [Edit]}`, replaced whole. Documents are named by their paths, so it can be read and kept
//! beside the notes. It is written before what it leads to, by the one process that holds the lock.

use std::{collections::HashMap, fs, io::ErrorKind, path::Path};

use serde::{Deserialize, Serialize};

use super::{StoreError, write_atomically};
use crate::tree::edit::Edit;

/// Changes whenever an edit is written down in another way.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    edits: Vec<Edit>,
}

/// The edits of the index in `folder`, in the order in which they were made.
///
/// # Errors
/// When there is a file of them that cannot be read.
pub fn read(folder: &Path) -> Result<Vec<Edit>, StoreError> {
    let path = folder.join("edits.json");
    let unreadable = |reason: String| StoreError::Edits {
        path: path.clone(),
        reason,
    };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(&path, error)),
    };
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    match stored.version {
        VERSION => Ok(stored.edits),
        other => Err(unreadable(format!("version {other}"))),
    }
}

/// Replaces the edits of the index in `folder`.
pub(super) fn write(folder: &Path, edits: &[Edit]) -> Result<(), StoreError> {
    let path = folder.join("edits.json");
    let stored = Stored {
        version: VERSION,
        edits: edits.to_vec(),
    };
    let failed = |error: serde_json::Error| StoreError::damaged(&path, error);
    write_atomically(&path, &serde_json::to_vec(&stored).map_err(failed)?)
}

/// Removes the edits of the index in `folder`.
///
/// # Errors
/// When the file cannot be removed.
pub fn forget(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("edits.json");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(&path, error)),
        _ => Ok(()),
    }
}

/// Has edits name renamed documents by their new paths.
pub(super) fn follow(folder: &Path, renamed: &HashMap<String, String>) -> Result<(), StoreError> {
    if renamed.is_empty() {
        return Ok(());
    }
    let mut edits = read(folder)?;
    let followed = edits.iter_mut().filter_map(|edit| {
        let follows = edit.follow(renamed);
        follows.then_some(())
    });
    match followed.count() {
        0 => Ok(()),
        _ => write(folder, &edits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One edit as version 1 writes it down.
    const FIRST: &str = concat!(
        r#"{"version":1,"edits":[{"verb":"move","words":"move “Rye” into “Bread”","#,
        r#""after":[{"node":{"id":7,"level":"Entity","documents":["a.md","b.md"]},"name":null,"#,
        r#""members":[{"document":"rye.md"}]}],"#,
        r#""before":[{"node":{"id":9,"level":{"Category":1},"documents":[]},"name":"Stars","#,
        r#""members":[{"node":{"id":8,"level":"Entity","documents":["rye.md"]}}]}]}]}"#,
    );

    #[test]
    fn edits_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edits.json");
        assert_eq!(read(folder.path()).unwrap(), []);
        fs::write(&path, FIRST).unwrap();
        let edits = read(folder.path()).unwrap();
        write(folder.path(), &edits).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), FIRST);
        let renamed = [("rye.md".to_owned(), "grains/rye.md".to_owned())];
        follow(folder.path(), &renamed.into()).unwrap();
        let expected = FIRST.replace("rye.md", "grains/rye.md");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        let check = |text: &str, expected: &str| {
            fs::write(&path, text).unwrap();
            let error = read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&FIRST.replace(":1,", ":2,"), "version 2");
        check(&FIRST[..90], "mend the file");
    }
}
