//! What is stored of documents and files, in `postcard` under [`super::FORMAT_VERSION`].

use serde::{Deserialize, Serialize};

/// One indexed document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentRecord {
    /// Stays the same while the path does.
    pub id: u32,
    pub path: String,
    pub title: String,
    pub aliases: Vec<String>,
    pub tags: Vec<String>,
    /// blake3 of the text.
    pub hash: [u8; 32],
    /// Where its passages lie: a segment, and the document's number there.
    pub segment: u32,
    pub row: u32,
    pub n_passages: u32,
    pub sections: Vec<SectionRecord>,
    /// Section of each passage.
    pub passage_sections: Vec<u32>,
    /// Ids of the source's records, and the record of each passage, where the source has them.
    pub records: Vec<String>,
    pub passage_records: Vec<u32>,
    /// Documents that this one links to, by id, without repetition.
    pub links: Vec<u32>,
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

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    Indexed,
    Skipped,
    Failed,
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
