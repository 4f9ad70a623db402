//! The texts of documents that are stored already: of files as they are now, of others as they were extracted.

use std::{collections::HashMap, path::Path};

use crate::{
    corpus::file_of,
    store::{Blobs, DocumentRecord, ExtractedText, StoreError, StoreWriter},
};

/// Reads texts, with the blob files that it has come across open.
pub(super) struct Texts<'a> {
    corpus: &'a Path,
    store: &'a StoreWriter,
    blobs: HashMap<u32, Blobs>,
}

impl<'a> Texts<'a> {
    pub fn new(corpus: &'a Path, store: &'a StoreWriter) -> Self {
        Self {
            corpus,
            store,
            blobs: HashMap::new(),
        }
    }

    /// The text of a document; none where it is not as it was stored.
    pub fn read(&mut self, record: &DocumentRecord) -> Result<Option<String>, StoreError> {
        let Some(place) = record.text else {
            let text = std::fs::read_to_string(file_of(self.corpus, &record.path)).ok();
            let is_same = |text: &String| *blake3::hash(text.as_bytes()).as_bytes() == record.hash;
            return Ok(text.filter(is_same));
        };
        if !self.blobs.contains_key(&place.file) {
            self.blobs.insert(place.file, self.store.blobs(place.file)?);
        }
        let extracted: Option<ExtractedText> = self.blobs[&place.file].get(place.number);
        Ok(extracted.map(|extracted| extracted.text))
    }
}
