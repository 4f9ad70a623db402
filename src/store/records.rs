//! What is stored of documents and files, in `postcard` under [`super::FORMAT_VERSION`].

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::text::Section;

/// One indexed document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DocumentRecord {
    /// Stays the same while the document does, even where its file is renamed.
    pub id: u32,
    pub path: String,
    /// The file that it stands in, where that is not `path`: the dump of an article.
    pub file: Option<String>,
    pub title: String,
    pub aliases: Vec<String>,
    pub tags: Vec<String>,
    /// True for a map of content, which names what it links to.
    pub is_index: bool,
    /// blake3 of the text.
    pub hash: [u8; 32],
    /// When the file was last changed, and how large it was.
    pub stamp: Stamp,
    /// Where its passages lie: a segment, and the document's number there.
    pub segment: u32,
    pub row: u32,
    pub n_passages: u32,
    /// So many of the first passages are encoded.
    pub n_encoded: u32,
    /// Passages of the lead: what stands before the second heading.
    pub n_lead: u32,
    /// Where its text lies, if that is not the file.
    pub text: Option<BlobPlace>,
    /// Where its word pieces wait for the encoder, until all are encoded.
    pub pieces: Option<BlobPlace>,
    pub sections: Vec<SectionRecord>,
    /// Section of each passage.
    pub passage_sections: Vec<u32>,
    /// Ids of the source's records, and the record of each passage, where the source has them.
    pub records: Vec<String>,
    pub passage_records: Vec<u32>,
    /// Documents that this one links to, by id, without repetition.
    pub links: Vec<u32>,
}

impl DocumentRecord {
    /// The file that it stands in, relative to the corpus root.
    pub fn file(&self) -> &str {
        self.file.as_ref().unwrap_or(&self.path)
    }

    /// True where `text` is what was indexed.
    pub fn is_text(&self, text: &[u8]) -> bool {
        text_hash(text) == self.hash
    }
}

/// By what a text is told from others: its blake3.
pub fn text_hash(text: &[u8]) -> [u8; 32] {
    *blake3::hash(text).as_bytes()
}

/// One section of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionRecord {
    pub heading: String,
    pub level: u8,
    pub start: u32,
    pub end: u32,
    pub parent: Option<u32>,
}

impl SectionRecord {
    /// As documents are laid out.
    pub fn section(&self) -> Section {
        Section {
            heading: self.heading.clone(),
            level: self.level,
            span: self.start as usize..self.end as usize,
            parent: self.parent.map(|parent| parent as usize),
        }
    }
}

/// A blob: its file, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPlace {
    pub file: u32,
    pub number: u32,
}

/// The text of a document that is not its file, byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractedText {
    pub text: String,
    pub marks: Vec<PlaceMark>,
}

/// From here on the text stands in this place of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceMark {
    /// Byte of the extracted text.
    pub start: u32,
    pub name: String,
    /// Line of the file, counted from 1.
    pub line: Option<u32>,
}

/// The word pieces of one passage, as the encoder takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassagePieces {
    pub prefix: Vec<u32>,
    pub body: Vec<u32>,
}

/// By what a file is taken to be unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub bytes: u64,
    /// Nanoseconds since 1970 in UTC; 0 where it is not known.
    pub modified: u64,
}

impl Stamp {
    /// The stamp of a file of so many bytes.
    pub fn new(bytes: u64, modified: Option<SystemTime>) -> Self {
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            bytes,
            modified: since.map_or(0, |since| since.as_nanos() as u64),
        }
    }
}

/// What a document refers to, before that is resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// Targets of links as they are written, without repetition.
    pub targets: Vec<String>,
    /// Titles of other documents that stand in the text, without repetition.
    pub mentions: Vec<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    Indexed,
    Skipped,
    Failed,
}

impl std::str::FromStr for FileState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "indexed" => Ok(Self::Indexed),
            "skipped" => Ok(Self::Skipped),
            "failed" => Ok(Self::Failed),
            other => Err(format!(
                "{other} is no state of a file; give indexed, skipped or failed"
            )),
        }
    }
}

/// The state of one file, with its reason and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    pub path: String,
    pub state: FileState,
    pub reason: Option<String>,
    /// Seconds since 1970 in UTC.
    pub time: u64,
}

/// A file that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub stamp: Stamp,
    pub status: FileStatus,
    /// Records of it that were left out, each under a path of its own.
    pub left_out: Vec<FileStatus>,
}
