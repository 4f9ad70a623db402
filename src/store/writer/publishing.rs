//! Publishing: what the database holds becomes a snapshot.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{
    Serialize, Serializer,
    ser::{Error, SerializeSeq},
};

use super::StoreWriter;
use crate::store::{
    FileStatus, SnapshotBody, StoreError,
    snapshot::{self, blob_path, segment_path},
};

impl StoreWriter {
    /// Publishes everything, then drops the files that it does not name.
    pub fn publish(&mut self, corpus: &Path) -> Result<(), StoreError> {
        let mut n_documents = 0;
        let (mut segments, mut texts, mut pieces) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for document in self.documents() {
            let document = document?;
            n_documents += 1;
            segments.insert(document.segment);
            texts.extend(document.text.map(|place| place.file));
            pieces.extend(document.pieces.map(|place| place.file));
        }
        let model = self.meta.get("model")?;
        let body = SnapshotBody {
            corpus: corpus.to_owned(),
            model: model.map_or_else(String::new, |value| {
                String::from_utf8_lossy(&value).into_owned()
            }),
            documents: Stored {
                store: self,
                n_documents,
            },
            segments: segments.iter().copied().collect(),
            blobs: texts.iter().copied().collect(),
            statuses: self.statuses()?,
            tree: self.tree()?,
        };
        snapshot::publish(&self.folder, &body)?;
        self.meta.insert("published", &[])?;
        let segments = segments.iter();
        let segments = segments.map(|&name| segment_path(&self.folder, name));
        let blobs = texts.union(&pieces);
        let blobs = blobs.map(|&name| blob_path(&self.folder, name));
        self.keep_only("segments", &segments.collect())?;
        self.keep_only("blobs", &blobs.collect())
    }

    fn statuses(&self) -> Result<Vec<FileStatus>, StoreError> {
        let mut statuses = Vec::new();
        for record in self.files()?.into_values() {
            statuses.push(record.status);
            statuses.extend(record.left_out);
        }
        statuses.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(statuses)
    }

    fn keep_only(&self, part: &str, used: &HashSet<PathBuf>) -> Result<(), StoreError> {
        let folder = self.folder.join(part);
        let entries = fs::read_dir(&folder).map_err(|source| StoreError::io(&folder, source))?;
        for entry in entries.flatten() {
            if !used.contains(&entry.path()) {
                fs::remove_file(entry.path())
                    .map_err(|source| StoreError::io(&entry.path(), source))?;
            }
        }
        Ok(())
    }
}

/// The documents of the store as a snapshot takes them, one at a time.
struct Stored<'a> {
    store: &'a StoreWriter,
    n_documents: usize,
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.n_documents))?;
        for document in self.store.documents() {
            sequence.serialize_element(&document.map_err(S::Error::custom)?)?;
        }
        sequence.end()
    }
}
