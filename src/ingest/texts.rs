//! The texts of documents that are stored already: of files as they are now, of others as they were extracted.

use std::path::Path;

use super::open_files::OpenFiles;

use crate::{
    corpus::file_of,
    store::{DocumentRecord, ExtractedText, StoreError, StoreWriter},
};

/// Reads texts, with the blob files that it has come across open.
pub(super) struct Texts<'a> {
    corpus: &'a Path,
    store: &'a StoreWriter,
    files: OpenFiles,
}

impl<'a> Texts<'a> {
    pub fn new(corpus: &'a Path, store: &'a StoreWriter) -> Self {
        Self {
            corpus,
            store,
            files: OpenFiles::default(),
        }
    }

    /// The text of a document; none where it is not as it was stored.
    pub fn read(&mut self, record: &DocumentRecord) -> Result<Option<String>, StoreError> {
        let Some(place) = record.text else {
            let text = std::fs::read_to_string(file_of(self.corpus, &record.path)).ok();
            return Ok(text.filter(|text| record.is_text(text.as_bytes())));
        };
        let blobs = self.files.blobs(place.file, self.store)?;
        let extracted: Option<ExtractedText> = blobs.get(place.number);
        Ok(extracted.map(|extracted| extracted.text))
    }
}
