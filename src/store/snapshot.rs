//! The published snapshot: what readers open, without sled, while a writer may be at work.
//!
//! `SHASSNAP`, u32 format version, u32 crc32 of the rest, then [`SnapshotBody`] in `postcard`.

use std::{
    fs::File,
    io::{self, BufWriter, ErrorKind, Seek, Write},
    ops::Range,
    path::{Path, PathBuf},
};

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::{
    FORMAT_VERSION, StoreError,
    blobs::Blobs,
    records::{DocumentRecord, ExtractedText, FileState, FileStatus, SectionRecord},
    segment::{DocumentRow, PassageRow, Segment},
    text_index::TextReader,
    write_atomically_with,
};
use crate::tree::Tree;

const MAGIC: &[u8; 8] = b"SHASSNAP";
const HEADER_BYTES: usize = 16;
/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// How often a snapshot is opened anew that was replaced while it was opened.
const ATTEMPTS: usize = 4;

/// What is published at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotBody<Documents = Vec<DocumentRecord>> {
    /// The folder or file that was indexed.
    pub corpus: PathBuf,
    /// Fingerprint of the encoder.
    pub model: String,
    /// In any order when they are written, sorted by id when they are read.
    pub documents: Documents,
    /// Names of the segment files in use.
    pub segments: Vec<u32>,
    /// Names of the blob files that hold texts.
    pub blobs: Vec<u32>,
    pub statuses: Vec<FileStatus>,
    pub tree: Tree,
}

impl SnapshotBody {
    /// How many files are in this state.
    pub fn n_files(&self, state: FileState) -> usize {
        let statuses = self.statuses.iter();
        statuses.filter(|status| status.state == state).count()
    }
}

/// A published index, open for reading.
pub struct Snapshot {
    pub body: SnapshotBody,
    pub text: TextReader,
    segments: Vec<(u32, Segment)>,
    blobs: Vec<(u32, Blobs)>,
    /// Number of the first passage of each document, in the order of the body, and one more at the end.
    first_passages: Vec<u32>,
}

impl Snapshot {
    /// Opens what was last published in `folder`.
    ///
    /// # Errors
    /// When there is no index, when another version wrote it, or when it is damaged.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut attempts = 0..ATTEMPTS;
        loop {
            // What the snapshot names may go while it is opened, but then the next one is there already.
            match Self::open_once(folder) {
                Err(StoreError::Io { source, .. })
                    if source.kind() == ErrorKind::NotFound && attempts.next().is_some() => {}
                result => return result,
            }
        }
    }

    fn open_once(folder: &Path) -> Result<Self, StoreError> {
        let body = read_body(folder)?;
        let segments = body
            .segments
            .iter()
            .map(|&segment| Ok((segment, Segment::open(&segment_path(folder, segment))?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let blobs = body
            .blobs
            .iter()
            .map(|&blob| Ok((blob, Blobs::open(&blob_path(folder, blob))?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let mut first_passages = vec![0];
        for document in &body.documents {
            let last = first_passages[first_passages.len() - 1];
            first_passages.push(last + document.n_passages);
        }
        let text = TextReader::open(&folder.join("text"))?;
        let snapshot = Self {
            body,
            text,
            segments,
            blobs,
            first_passages,
        };
        snapshot.check(folder)?;
        Ok(snapshot)
    }

    /// Number of passages of all documents; they are numbered through in the order of the documents.
    pub fn n_passages(&self) -> usize {
        self.first_passages.last().map_or(0, |&last| last as usize)
    }

    /// Index into the documents of the one that holds a passage.
    pub fn document_of(&self, passage: usize) -> usize {
        self.first_passages
            .partition_point(|&first| first as usize <= passage)
            - 1
    }

    /// Numbers of the passages of a document.
    pub fn passages_of(&self, document: usize) -> Range<usize> {
        self.first_passages[document] as usize..self.first_passages[document + 1] as usize
    }

    /// The segment that holds a document's passages, and its row there.
    pub fn segment_of(&self, document: usize) -> (&Segment, DocumentRow) {
        let record = &self.body.documents[document];
        let at = self
            .segments
            .partition_point(|(name, _)| *name < record.segment);
        let segment = &self.segments[at].1;
        (segment, segment.documents()[record.row as usize])
    }

    /// The text of a document that is not its file; none where it is, or where its bytes are damaged.
    pub fn extracted(&self, document: usize) -> Option<ExtractedText> {
        let place = self.body.documents[document].text?;
        let at = self
            .blobs
            .binary_search_by_key(&place.file, |(name, _)| *name);
        self.blobs[at.ok()?].1.get(place.number)
    }

    /// The vector of a passage in int8, `[dimensions]`, and its scale; none before it is encoded.
    pub fn vector_of(&self, passage: usize) -> Option<(&[i8], f32)> {
        let document = self.document_of(passage);
        let (segment, row) = self.segment_of(document);
        let local = passage - self.passages_of(document).start;
        Some(segment.vector(row.vectors().nth(local)?))
    }

    /// A passage's row and the segment that holds it.
    pub fn row_of(&self, passage: usize) -> (&Segment, PassageRow) {
        let document = self.document_of(passage);
        let (segment, row) = self.segment_of(document);
        let local = passage - self.passages_of(document).start;
        (segment, segment.rows()[row.passages()][local])
    }

    /// Index of a passage's section in the record of its document.
    pub fn section_of(&self, passage: usize) -> usize {
        let document = self.document_of(passage);
        let local = passage - self.passages_of(document).start;
        self.body.documents[document].passage_sections[local] as usize
    }

    /// Numbers of the passages of a section and of the sections below it.
    pub fn passages_of_section(&self, document: usize, section: usize) -> Range<usize> {
        let record = &self.body.documents[document];
        // Sections stand in the order of the text, so those below one follow it.
        let below = record.sections.iter().skip(section + 1);
        let is_below =
            |own: &&SectionRecord| own.parent.is_some_and(|parent| parent as usize >= section);
        let end = section + 1 + below.take_while(is_below).count();
        let first = self.passages_of(document).start;
        let place = |section: usize| {
            let before = |own: &u32| (*own as usize) < section;
            first + record.passage_sections.partition_point(before)
        };
        place(section)..place(end)
    }

    /// Index of the document with this id.
    pub fn document_with_id(&self, id: u32) -> Option<usize> {
        self.body
            .documents
            .binary_search_by_key(&id, |document| document.id)
            .ok()
    }

    /// The open segments.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map(|(_, segment)| segment)
    }

    /// The open blob files.
    pub fn blobs(&self) -> impl Iterator<Item = &Blobs> {
        self.blobs.iter().map(|(_, blobs)| blobs)
    }

    fn check(&self, folder: &Path) -> Result<(), StoreError> {
        let whole = self.body.documents.iter().all(|document| {
            let segments = &self.segments;
            let at = segments.binary_search_by_key(&document.segment, |(name, _)| *name);
            let segment = at.ok().map(|at| &segments[at].1);
            segment.is_some_and(|segment| {
                let row = segment.documents().get(document.row as usize);
                row.is_some_and(|row| {
                    row.n_passages == document.n_passages
                        && row.n_encoded == document.n_encoded
                        && row.passages().end <= segment.n_passages()
                })
            })
        });
        match whole {
            true => Ok(()),
            false => Err(StoreError::damaged(
                folder,
                "a document names passages that no segment holds",
            )),
        }
    }
}

/// Publishes `body` in `folder`, replacing what was published before.
pub fn publish<D: Serialize>(folder: &Path, body: &SnapshotBody<D>) -> Result<(), StoreError> {
    write_atomically_with(&folder.join("snapshot"), |file| {
        file.write_all(&[0; HEADER_BYTES])?;
        let checksum = Hasher::new();
        let content = BufWriter::with_capacity(BUFFER_BYTES, Checked { file, checksum });
        let content = postcard::to_io(body, content).map_err(io::Error::other)?;
        let Checked { file, checksum } = content.into_inner().map_err(io::Error::from)?;
        file.rewind()?;
        file.write_all(MAGIC)?;
        file.write_all(&FORMAT_VERSION.to_le_bytes())?;
        file.write_all(&checksum.finalize().to_le_bytes())
    })
}

/// A file and the checksum of what is written to it.
struct Checked<'a> {
    file: &'a mut File,
    checksum: Hasher,
}

impl Write for Checked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.checksum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where a segment lies.
pub fn segment_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join("segments").join(format!("{segment:06}.seg"))
}

/// Where a blob file lies.
pub fn blob_path(folder: &Path, blob: u32) -> PathBuf {
    folder.join("blobs").join(format!("{blob:06}.blob"))
}

fn read_body(folder: &Path) -> Result<SnapshotBody, StoreError> {
    let path = folder.join("snapshot");
    let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => StoreError::Absent {
            path: folder.to_owned(),
        },
        _ => StoreError::io(&path, source),
    })?;
    if bytes.len() < HEADER_BYTES || &bytes[..8] != MAGIC {
        return Err(StoreError::damaged(&path, "not a snapshot"));
    }
    let word =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if word(8) != FORMAT_VERSION {
        return Err(StoreError::Version {
            path,
            found: format!("format {}", word(8)),
        });
    }
    let content = &bytes[HEADER_BYTES..];
    if word(12) != crc32fast::hash(content) {
        return Err(StoreError::damaged(&path, "wrong checksum"));
    }
    let body: Result<SnapshotBody, _> = postcard::from_bytes(content);
    let mut body = body.map_err(|error| StoreError::damaged(&path, error))?;
    body.documents.sort_by_key(|document| document.id);
    Ok(body)
}
