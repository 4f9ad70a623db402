//! The text that quotes are taken from: the file as it is now, or what the index keeps of it.

use std::path::PathBuf;

use crate::{
    corpus,
    store::{DocumentRecord, PlaceMark, Snapshot, Stamp},
};

/// The text of a document, and where its parts stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceText {
    pub text: String,
    /// False where the file is not the one that was indexed.
    pub is_current: bool,
    /// Places of an extracted text, in order; none where the text is the file.
    marks: Vec<PlaceMark>,
    is_extracted: bool,
}

impl SourceText {
    /// Reads a document's text.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read(snapshot: &Snapshot, document: usize) -> std::io::Result<Self> {
        let record = &snapshot.body.documents[document];
        let Some(extracted) = snapshot.extracted(document) else {
            let bytes = std::fs::read(file_of(snapshot, record))?;
            let is_current = record.is_text(&bytes);
            return Ok(Self {
                text: String::from_utf8_lossy(&bytes).into_owned(),
                is_current,
                ..Self::default()
            });
        };
        // Sets that no file stands for have no stamp.
        let is_current = record.stamp == Stamp::default()
            || std::fs::metadata(file_of(snapshot, record))
                .is_ok_and(|found| record.stamp == Stamp::new(found.len(), found.modified().ok()));
        Ok(Self {
            text: extracted.text,
            is_current,
            marks: extracted.marks,
            is_extracted: true,
        })
    }

    /// The line of the file that a byte stands in, counted from 1; 1 where the file has no lines.
    pub fn line(&self, byte: usize) -> usize {
        match self.is_extracted {
            true => self.mark(byte).and_then(|mark| mark.line).unwrap_or(1) as usize,
            false => line_of(&self.text, byte),
        }
    }

    /// What a citation calls the place of a byte, where lines do not.
    pub fn place(&self, byte: usize) -> Option<&str> {
        let name = self.mark(byte)?.name.as_str();
        (!name.is_empty()).then_some(name)
    }

    fn mark(&self, byte: usize) -> Option<&PlaceMark> {
        let after = self
            .marks
            .partition_point(|mark| mark.start as usize <= byte);
        self.marks.get(after.checked_sub(1)?)
    }
}

/// The file that a document stands in.
pub fn file_of(snapshot: &Snapshot, record: &DocumentRecord) -> PathBuf {
    corpus::file_of(&snapshot.body.corpus, record.file())
}

/// The line that holds a byte, counted from 1.
pub fn line_of(text: &str, byte: usize) -> usize {
    let before = &text.as_bytes()[..byte.min(text.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}
