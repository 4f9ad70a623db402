//! The writer's side: sled holds everything that is published, and what it takes to bring that up to date.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `documents` | path | [`DocumentRecord`] |
//! | `files` | path | [`FileRecord`] |
//! | `links` | document id, u32 big-endian | [`LinkRecord`] |
//! | `nodes` | node id, u64 big-endian | [`Node`] |
//! | `due` | [`Due`], one byte, and document id, u32 big-endian | nothing: it has still to be done |
//! | `meta` | `format`, `model` | text |
//! | | `next_id`, `next_segment`, `next_blob` | u32 little-endian |
//! | | `changed` | u32 little-endian: documents that came, changed or went since the tree was built |
//! | | `titles` | titles that texts were searched for |
//! | | `published` | nothing, while the snapshot is as the database |
//! | | `pending` | ids of documents whose text units are being replaced |
//!
//! Values are `postcard` unless said otherwise. One commit is one transaction over all trees. Text units lie outside of
//! it, so their documents are pending from before they are touched until the transaction; where that never came, they
//! are read again.

mod publishing;

use std::{
    collections::HashMap,
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use sled::{
    Transactional,
    transaction::{ConflictableTransactionError, TransactionError},
};

use super::{
    FORMAT_VERSION, StoreError,
    blobs::{BlobBuilder, Blobs},
    edits,
    lock::{self, WriterLock},
    records::{DocumentRecord, FileRecord, LinkRecord},
    segment::{Segment, SegmentBuilder},
    snapshot::{blob_path, segment_path},
    text_index::{TextReader, TextWriter},
};
use crate::tree::{Node, Tree, edit::Edit};

/// Memory that sled may cache.
const CACHE_BYTES: u64 = 64 << 20;
/// Entries of one kind in a transaction, where it is for us to say.
pub const BATCH: usize = 4_096;

/// An index open for writing; there is one at a time.
pub struct StoreWriter {
    folder: PathBuf,
    database: sled::Db,
    documents: sled::Tree,
    files: sled::Tree,
    links: sled::Tree,
    nodes: sled::Tree,
    due: sled::Tree,
    meta: sled::Tree,
    next: Counters,
    n_writes: usize,
    pub text: TextWriter,
    /// True from [`StoreWriter::replace_text`] to the commit.
    is_text_open: bool,
    _lock: WriterLock,
}

/// What is given out once.
#[derive(Debug, Clone, Copy)]
struct Counters {
    id: u32,
    segment: u32,
    blob: u32,
}

/// What is left to do with a document whose text has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Due {
    /// Its text has to be searched for titles.
    Link,
    /// The tree has to take its vector in.
    Grow,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Commit {
    pub documents: Vec<DocumentRecord>,
    /// Paths of documents that are gone.
    pub gone: Vec<String>,
    pub files: Vec<FileRecord>,
    pub gone_files: Vec<String>,
    pub links: Vec<(u32, LinkRecord)>,
    pub gone_links: Vec<u32>,
    pub nodes: Vec<Node>,
    pub gone_nodes: Vec<u64>,
    /// What has still to be done with documents, and what is done.
    pub due: Vec<(Due, u32)>,
    pub done: Vec<(Due, u32)>,
    /// Titles that texts were searched for, where they are others than before.
    pub titles: Option<Vec<String>>,
    /// Documents that came, changed or went since the tree was built, where that number changes.
    pub changed: Option<u32>,
}

type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

impl StoreWriter {
    /// Opens or creates the index in `folder`, for an encoder with the fingerprint `model`.
    ///
    /// # Errors
    /// When another process writes, or when the index was made by another model or version.
    pub fn open(folder: &Path, model: &str, purpose: &str) -> Result<Self, StoreError> {
        for part in ["segments", "blobs"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|source| StoreError::io(&path, source))?;
        }
        let lock = WriterLock::take(folder, purpose)?;
        let database = sled::Config::default()
            .path(folder.join("sled"))
            .cache_capacity(CACHE_BYTES);
        let database = lock::patiently(
            || database.open(),
            |error| matches!(error, sled::Error::Io(source) if source.kind() == io::ErrorKind::Other),
        )?;
        let meta = database.open_tree("meta")?;
        expect(&meta, folder, "format", &FORMAT_VERSION.to_string())?;
        expect(&meta, folder, "model", model)?;
        let mut writer = Self {
            documents: database.open_tree("documents")?,
            files: database.open_tree("files")?,
            links: database.open_tree("links")?,
            nodes: database.open_tree("nodes")?,
            due: database.open_tree("due")?,
            next: Counters {
                id: number(&meta, "next_id")?,
                segment: number(&meta, "next_segment")?,
                blob: number(&meta, "next_blob")?,
            },
            meta,
            n_writes: 0,
            text: TextWriter::open(&folder.join("text"))?,
            is_text_open: false,
            folder: folder.to_owned(),
            database,
            _lock: lock,
        };
        writer.recover()?;
        Ok(writer)
    }

    /// Has documents read again whose text units may not be those of their records.
    fn recover(&mut self) -> Result<(), StoreError> {
        let Some(pending) = self.meta.get("pending")? else {
            return Ok(());
        };
        let ids: Vec<u32> = self.decode(&pending)?;
        let mut commit = Commit::default();
        for record in self.documents() {
            let mut record = record?;
            if ids.contains(&record.id) {
                record.hash = [0; 32];
                commit.gone_files.push(record.file().to_owned());
                commit.documents.push(record);
            }
        }
        self.replace_text(&ids, &[])?;
        self.commit(commit)
    }

    /// The folder of the index.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All documents in the order of their paths, one at a time: the records of millions do not fit into memory.
    pub fn documents(&self) -> impl Iterator<Item = Result<DocumentRecord, StoreError>> + use<> {
        let folder = self.folder.clone();
        let entries = self.documents.iter();
        entries.map(move |entry| decode(&entry?.1, &folder))
    }

    /// The document at `path`.
    pub fn document(&self, path: &str) -> Result<Option<DocumentRecord>, StoreError> {
        let found = self.documents.get(path)?;
        found.map(|value| self.decode(&value)).transpose()
    }

    /// How many documents there are.
    pub fn n_documents(&self) -> usize {
        self.documents.len()
    }

    /// What is known of every file, by path.
    pub fn files(&self) -> Result<HashMap<String, FileRecord>, StoreError> {
        let entries = self.files.iter().map(|entry| {
            let record: FileRecord = self.decode(&entry?.1)?;
            Ok((record.status.path.clone(), record))
        });
        entries.collect()
    }

    /// What documents refer to, by their ids, one at a time.
    pub fn links(&self) -> impl Iterator<Item = Result<(u32, LinkRecord), StoreError>> {
        let entries = self.links.iter();
        entries.map(|entry| {
            let (id, link) = entry?;
            Ok((id_of(&id), self.decode(&link)?))
        })
    }

    /// What the document with this id refers to.
    pub fn link(&self, id: u32) -> Result<LinkRecord, StoreError> {
        let found = self.links.get(id.to_be_bytes())?;
        found.map_or(Ok(LinkRecord::default()), |value| self.decode(&value))
    }

    /// The tree above the documents.
    pub fn tree(&self) -> Result<Tree, StoreError> {
        let nodes = self.nodes.iter().map(|entry| self.decode(&entry?.1));
        Ok(Tree::new(nodes.collect::<Result<_, StoreError>>()?))
    }

    /// What the user has changed in the tree.
    pub fn edits(&self) -> Result<Vec<Edit>, StoreError> {
        edits::read(&self.folder)
    }

    /// Replaces what the user has changed; the next run brings the tree in line, whatever happens to this one.
    pub fn write_edits(&mut self, changed: &[Edit]) -> Result<(), StoreError> {
        self.meta.remove("published")?;
        self.database.flush()?;
        edits::write(&self.folder, changed)
    }

    /// Has edits name renamed documents by their new paths.
    pub fn follow_renames(&self, renamed: &HashMap<String, String>) -> Result<(), StoreError> {
        edits::follow(&self.folder, renamed)
    }

    /// Documents with which this has still to be done.
    pub fn due(&self, due: Due) -> Result<Vec<u32>, StoreError> {
        let keys = self.due.scan_prefix([due as u8]).keys();
        keys.map(|key| Ok(id_of(&key?[1..]))).collect()
    }

    /// Titles that texts were searched for.
    pub fn titles(&self) -> Result<Vec<String>, StoreError> {
        let found = self.meta.get("titles")?;
        found.map_or(Ok(Vec::new()), |value| self.decode(&value))
    }

    /// True while the snapshot is as the database.
    pub fn is_published(&self) -> Result<bool, StoreError> {
        Ok(self.meta.contains_key("published")?)
    }

    /// A segment that a document names.
    pub fn segment(&self, name: u32) -> Result<Segment, StoreError> {
        Segment::open(&segment_path(&self.folder, name))
    }

    /// A blob file that a document names.
    pub fn blobs(&self, name: u32) -> Result<Blobs, StoreError> {
        Blobs::open(&blob_path(&self.folder, name))
    }

    /// Reads the text units as they were last committed.
    pub fn text_reader(&self) -> Result<TextReader, StoreError> {
        TextReader::open(&self.folder.join("text"))
    }

    /// How many documents have changed since the tree was built.
    pub fn changed(&self) -> Result<u32, StoreError> {
        number(&self.meta, "changed")
    }

    /// Entries that were written since the store was opened.
    pub fn n_writes(&self) -> usize {
        self.n_writes
    }

    /// A document id that was never given before.
    pub fn next_document_id(&mut self) -> u32 {
        self.next.id += 1;
        self.next.id - 1
    }

    /// Writes a segment file and returns its name; it counts once a document names it.
    pub fn write_segment(&mut self, segment: &SegmentBuilder) -> Result<u32, StoreError> {
        let name = self.next.segment;
        segment.write(&segment_path(&self.folder, name))?;
        self.next.segment += 1;
        Ok(name)
    }

    /// The name of the blob file that [`StoreWriter::write_blobs`] writes next.
    pub fn next_blob(&self) -> u32 {
        self.next.blob
    }

    /// Writes a blob file; it counts once a document names it.
    pub fn write_blobs(&mut self, blobs: &BlobBuilder) -> Result<(), StoreError> {
        blobs.write(&blob_path(&self.folder, self.next.blob))?;
        self.next.blob += 1;
        Ok(())
    }

    /// Says that the text units of these documents are about to change, up to the next commit, and removes what there is
    /// of those that are known.
    pub fn replace_text(&mut self, known: &[u32], new: &[u32]) -> Result<(), StoreError> {
        self.meta
            .insert("pending", self.encode(&[known, new].concat())?)?;
        self.database.flush()?;
        known.iter().for_each(|&id| self.text.remove(id));
        self.is_text_open = true;
        Ok(())
    }

    /// Writes all of it or nothing, and makes it lasting, with the text units that were replaced.
    pub fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        if self.is_text_open {
            self.text.commit()?;
        }
        let [documents, files, links, nodes, due] = self.entries(&commit)?;
        let mut meta: Entries = vec![(b"published".to_vec(), None)];
        let counters = [
            ("next_id", self.next.id),
            ("next_segment", self.next.segment),
            ("next_blob", self.next.blob),
        ];
        for (key, value) in counters
            .into_iter()
            .chain(commit.changed.map(|changed| ("changed", changed)))
        {
            meta.push((key.into(), Some(value.to_le_bytes().to_vec())));
        }
        if self.is_text_open {
            meta.push((b"pending".to_vec(), None));
        }
        if let Some(titles) = &commit.titles {
            meta.push((b"titles".to_vec(), Some(self.encode(titles)?)));
        }
        let parts = [&documents, &files, &links, &nodes, &due];
        self.n_writes += parts.map(Vec::len).iter().sum::<usize>();
        let entries = [&documents, &files, &links, &nodes, &due, &meta];
        let trees = (
            &self.documents,
            &self.files,
            &self.links,
            &self.nodes,
            &self.due,
            &self.meta,
        );
        let written = trees.transaction(|(documents, files, links, nodes, due, meta)| {
            let trees = [documents, files, links, nodes, due, meta];
            for (tree, entries) in trees.iter().zip(entries) {
                for (key, value) in entries {
                    match value {
                        Some(value) => tree.insert(key.as_slice(), value.as_slice())?,
                        None => tree.remove(key.as_slice())?,
                    };
                }
            }
            Ok::<_, ConflictableTransactionError<Infallible>>(())
        });
        match written {
            Ok(()) => {}
            Err(TransactionError::Storage(error)) => return Err(error.into()),
            Err(TransactionError::Abort(never)) => match never {},
        }
        self.is_text_open = false;
        self.database.flush()?;
        Ok(())
    }

    /// Forgets what had still to be done; a few at a time, for a transaction holds all pages that it touches.
    pub fn done(&mut self, due: Due, ids: &[u32]) -> Result<(), StoreError> {
        for ids in ids.chunks(BATCH) {
            self.commit(Commit {
                done: ids.iter().map(|&id| (due, id)).collect(),
                ..Commit::default()
            })?;
        }
        Ok(())
    }

    fn entries(&self, commit: &Commit) -> Result<[Entries; 5], StoreError> {
        let mut documents: Entries = gone(&commit.gone);
        for record in &commit.documents {
            documents.push((record.path.clone().into(), Some(self.encode(record)?)));
        }
        let mut files: Entries = gone(&commit.gone_files);
        for record in &commit.files {
            files.push((
                record.status.path.clone().into(),
                Some(self.encode(record)?),
            ));
        }
        let gone_links = commit.gone_links.iter();
        let mut links: Entries = gone_links
            .map(|id| (id.to_be_bytes().to_vec(), None))
            .collect();
        for (id, record) in &commit.links {
            links.push((id.to_be_bytes().to_vec(), Some(self.encode(record)?)));
        }
        let gone_nodes = commit.gone_nodes.iter();
        let mut nodes: Entries = gone_nodes
            .map(|id| (id.to_be_bytes().to_vec(), None))
            .collect();
        for node in &commit.nodes {
            nodes.push((node.id.to_be_bytes().to_vec(), Some(self.encode(node)?)));
        }
        let done = commit.done.iter().map(|&due| (due_key(due), None));
        let due = commit.due.iter();
        let due = due.map(|&due| (due_key(due), Some(Vec::new())));
        Ok([documents, files, links, nodes, done.chain(due).collect()])
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        postcard::to_stdvec(value).map_err(|error| StoreError::damaged(&self.folder, error))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        decode(bytes, &self.folder)
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8], folder: &Path) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|error| StoreError::damaged(folder, error))
}

/// The document id that a key is.
fn id_of(key: &[u8]) -> u32 {
    key.try_into().map_or(0, u32::from_be_bytes)
}

fn gone(keys: &[String]) -> Entries {
    keys.iter().map(|key| (key.clone().into(), None)).collect()
}

fn due_key((due, id): (Due, u32)) -> Vec<u8> {
    [&[due as u8][..], &id.to_be_bytes()].concat()
}

fn expect(meta: &sled::Tree, folder: &Path, key: &str, wanted: &str) -> Result<(), StoreError> {
    match meta.get(key)? {
        None => drop(meta.insert(key, wanted)?),
        Some(found) if found.as_ref() == wanted.as_bytes() => {}
        Some(found) => {
            return Err(StoreError::Version {
                path: folder.to_owned(),
                found: format!("{key} {}", String::from_utf8_lossy(&found)),
            });
        }
    }
    Ok(())
}

fn number(meta: &sled::Tree, key: &str) -> Result<u32, StoreError> {
    let value = meta.get(key)?;
    let bytes = value.and_then(|value| value.as_ref().try_into().ok());
    Ok(bytes.map_or(0, u32::from_le_bytes))
}
