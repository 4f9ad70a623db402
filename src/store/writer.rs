//! The writer's side: sled holds documents, statuses and counters until they are published.
//!
//! Tree `documents`: path → [`DocumentRecord`]; tree `statuses`: path → [`FileStatus`]; tree `meta`: `format`,
//! `model`, `corpus`, `next_id`, `next_segment`. Values are `postcard`, numbers u32 little-endian.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    FORMAT_VERSION, StoreError,
    records::{DocumentRecord, FileStatus},
    segment::SegmentBuilder,
    snapshot::{SnapshotBody, publish, segment_path},
    text_index::TextWriter,
};
use crate::tree::Tree;

/// Memory that sled may cache.
const CACHE_BYTES: u64 = 64 << 20;

/// An index open for writing; there is one at a time.
pub struct StoreWriter {
    folder: PathBuf,
    database: sled::Db,
    documents: sled::Tree,
    statuses: sled::Tree,
    meta: sled::Tree,
    pub text: TextWriter,
}

impl StoreWriter {
    /// Opens or creates the index in `folder`, for an encoder with the fingerprint `model`.
    ///
    /// # Errors
    /// When another process writes, or when the index was made by another model or version.
    pub fn open(folder: &Path, model: &str) -> Result<Self, StoreError> {
        let segments = folder.join("segments");
        fs::create_dir_all(&segments).map_err(|source| StoreError::io(&segments, source))?;
        let database = sled::Config::default()
            .path(folder.join("sled"))
            .cache_capacity(CACHE_BYTES)
            .open()
            .map_err(|error| match error {
                sled::Error::Io(ref io)
                    if io.kind() != std::io::ErrorKind::NotFound
                        && io.to_string().contains("lock") =>
                {
                    StoreError::Locked {
                        path: folder.to_owned(),
                    }
                }
                error => StoreError::Database(error),
            })?;
        let writer = Self {
            documents: database.open_tree("documents")?,
            statuses: database.open_tree("statuses")?,
            meta: database.open_tree("meta")?,
            text: TextWriter::open(&folder.join("text"))?,
            folder: folder.to_owned(),
            database,
        };
        writer.expect("format", &FORMAT_VERSION.to_string())?;
        writer.expect("model", model)?;
        Ok(writer)
    }

    /// All documents, by path.
    pub fn documents(&self) -> Result<Vec<DocumentRecord>, StoreError> {
        self.documents
            .iter()
            .map(|entry| self.decode(&entry?.1))
            .collect()
    }

    /// The document at `path`.
    pub fn document(&self, path: &str) -> Result<Option<DocumentRecord>, StoreError> {
        self.documents
            .get(path)?
            .map(|value| self.decode(&value))
            .transpose()
    }

    /// Stores one document under its path.
    pub fn put_document(&self, record: &DocumentRecord) -> Result<(), StoreError> {
        self.documents.insert(&record.path, self.encode(record)?)?;
        Ok(())
    }

    /// Forgets the document at `path` and its text units.
    pub fn remove_document(&self, path: &str) -> Result<(), StoreError> {
        if let Some(value) = self.documents.remove(path)? {
            let record: DocumentRecord = self.decode(&value)?;
            self.text.remove(record.id);
        }
        Ok(())
    }

    /// Replaces all statuses.
    pub fn put_statuses(&self, statuses: &[FileStatus]) -> Result<(), StoreError> {
        self.statuses.clear()?;
        for status in statuses {
            self.statuses.insert(&status.path, self.encode(status)?)?;
        }
        Ok(())
    }

    /// A document id that was never given before.
    pub fn next_document_id(&self) -> Result<u32, StoreError> {
        self.count("next_id")
    }

    /// Writes a segment file and returns its name; it counts once a document names it.
    pub fn write_segment(&self, segment: &SegmentBuilder) -> Result<u32, StoreError> {
        let name = self.count("next_segment")?;
        segment.write(&segment_path(&self.folder, name))?;
        Ok(name)
    }

    /// Makes lasting what was put so far, so that an interrupted run resumes here.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.text.commit()?;
        self.database.flush()?;
        Ok(())
    }

    /// Publishes all documents and statuses with `tree`, then drops segment files that none needs.
    pub fn publish(&mut self, corpus: &Path, tree: Tree) -> Result<(), StoreError> {
        self.flush()?;
        let mut documents = self.documents()?;
        documents.sort_by_key(|document| document.id);
        let mut segments: Vec<u32> = documents.iter().map(|document| document.segment).collect();
        segments.sort_unstable();
        segments.dedup();
        let statuses = self
            .statuses
            .iter()
            .map(|entry| self.decode(&entry?.1))
            .collect::<Result<_, StoreError>>()?;
        let model = self
            .meta
            .get("model")?
            .map(|value| String::from_utf8_lossy(&value).into_owned());
        let body = SnapshotBody {
            corpus: corpus.to_owned(),
            model: model.unwrap_or_default(),
            documents,
            segments: segments.clone(),
            statuses,
            tree,
        };
        publish(&self.folder, &body)?;
        let used: Vec<PathBuf> = segments
            .iter()
            .map(|&segment| segment_path(&self.folder, segment))
            .collect();
        let folder = self.folder.join("segments");
        let entries = fs::read_dir(&folder).map_err(|source| StoreError::io(&folder, source))?;
        for entry in entries
            .flatten()
            .filter(|entry| !used.contains(&entry.path()))
        {
            fs::remove_file(entry.path())
                .map_err(|source| StoreError::io(&entry.path(), source))?;
        }
        Ok(())
    }

    fn expect(&self, key: &str, wanted: &str) -> Result<(), StoreError> {
        match self.meta.get(key)? {
            None => drop(self.meta.insert(key, wanted)?),
            Some(found) if found.as_ref() == wanted.as_bytes() => {}
            Some(found) => {
                return Err(StoreError::Version {
                    path: self.folder.clone(),
                    found: format!("{key} {}", String::from_utf8_lossy(&found)),
                });
            }
        }
        Ok(())
    }

    fn count(&self, key: &str) -> Result<u32, StoreError> {
        let number = |value: &[u8]| value.try_into().map(u32::from_le_bytes).unwrap_or_default();
        let before = self.meta.fetch_and_update(key, |value| {
            Some((value.map_or(0, number) + 1).to_le_bytes().to_vec())
        })?;
        Ok(before.map_or(0, |value| number(&value)))
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value).map_err(|error| StoreError::damaged(&self.folder, error))
    }

    fn decode<T: for<'a> Deserialize<'a>>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        postcard::from_bytes(bytes).map_err(|error| StoreError::damaged(&self.folder, error))
    }
}
