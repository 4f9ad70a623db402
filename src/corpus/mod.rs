//! Where do documents come from? Here is a folder, gimme its [`Document`]s.

mod beir;
mod canvas;
mod code;
mod content;
mod docx;
mod dump;
mod encoding;
mod epub;
mod extract;
mod format;
mod front_matter;
mod html;
mod index_note;
mod json_lines;
mod markdown;
mod odt;
mod office;
mod open;
mod org;
mod org_link;
mod pdf;
mod plain;
mod qa;
mod resolve;
mod vault;
mod walk;
mod xml;
mod zipped;

use std::{ops::Range, path::PathBuf, time::SystemTime};

pub use beir::{Beir, BeirOptions, Query, Split, read_beir, read_beir_documents};
pub use dump::{decompressed, open_dump};
pub use json_lines::open_lines;
pub use markdown::path_in_hierarchy;
pub use open::{Documents, open, parse, read};
pub use pdf::{PdfPart, PdfText, read_pdf, read_pdfs_with};
pub use qa::{QaCorpus, QaEvidence, QaQuestion, QaSet, read_qa};
pub use resolve::LinkResolver;
pub use walk::{ScannedFile, file_of, scan};

/// One document as its source gives it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Relative to the corpus root, `/`-separated, unique; of an article of a dump, the dump's path, `/` and its title.
    pub path: String,
    /// The front matter's title, else the heading that opens the document, else the file's name.
    pub title: String,
    pub aliases: Vec<String>,
    /// Without `#`; nested tags keep their `/`.
    pub tags: Vec<String>,
    /// What every span below is a byte range of.
    pub text: String,
    pub origin: Origin,
    /// In order, not overlapping; front matter is one only where there is nothing else.
    pub blocks: Vec<Block>,
    pub links: Vec<Link>,
    /// Retrieval units that the source fixes (the lines of an evaluation set); empty for files.
    pub records: Vec<Record>,
    pub modified: Option<SystemTime>,
}

impl Document {
    /// True for a map of content: most of what it says stands in links to other documents.
    pub fn is_index(&self) -> bool {
        index_note::is_index(self)
    }
}

/// How the text of a document came out of its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// It is the file, byte for byte.
    #[default]
    File,
    /// It was extracted, and the index keeps it; the marks say where its parts stand, in order.
    Extracted(Vec<Mark>),
}

/// A place in a file that bytes cannot name; it holds up to the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Byte of the extracted text.
    pub start: usize,
    /// As a citation says it: `page 3`, `chapter The Whale`; of an article, its title.
    pub name: String,
    /// Line of the file, counted from 1, where it has lines.
    pub line: Option<u32>,
}

/// A piece of a document that is never merged with its neighbours while parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub kind: BlockKind,
    pub span: Range<usize>,
}

/// What a block is; every format maps onto these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockKind {
    /// A heading of `level` 1–6 and its text without markup.
    Heading {
        level: u8,
        text: String,
    },
    Paragraph,
    ListItem,
    Quote,
    Code,
    Table,
    Html,
}

/// A reference to another document (or, with an empty target, to a place in the same one).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Note name or path, without heading, block and alias.
    pub target: String,
    pub heading: Option<String>,
    /// Id of a block reference, without `^`.
    pub block: Option<String>,
    /// The text shown in place of the target.
    pub text: Option<String>,
    pub embed: bool,
    pub span: Range<usize>,
}

/// One retrieval unit that the source fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub id: String,
    pub span: Range<usize>,
}

/// A file that was not indexed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Relative to the corpus root, `/`-separated.
    pub path: String,
    /// One clear clause that names the remedy where there is one.
    pub reason: String,
    /// True when the file could not be read at all, false when its content cannot be indexed.
    pub failed: bool,
}

/// Why a corpus cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    #[error("{path} does not exist; give the folder or file to index")]
    Missing { path: PathBuf },
    #[error("cannot read {path}: {source}; check its permissions")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}, line {line}: {reason}")]
    Record {
        path: PathBuf,
        line: usize,
        reason: String,
    },
}
