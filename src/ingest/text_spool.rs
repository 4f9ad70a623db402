//! The texts of a whole library, side by side in a file without a name, that many threads read.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use tempfile::SpooledTempFile;

use crate::{
    corpus::path_in_hierarchy,
    store::{DocumentRecord, StoreError},
};

/// Bytes of text that are kept of all documents together.
const MAX_TEXT_BYTES: usize = 1 << 30;
/// Bytes of text up to which they stay in memory.
const MAX_MEMORY_BYTES: usize = 32 << 20;

/// Texts, by the places of their documents; the file goes with it.
pub(super) struct TextSpool {
    file: Mutex<SpooledTempFile>,
    /// Where each text ends.
    ends: Vec<u64>,
    /// The documents' paths in the hierarchy, which their texts may tell.
    pub paths: Vec<String>,
}

impl TextSpool {
    /// Keeps what `read` says of each document, cut so that all together are no longer than a gibibyte.
    ///
    /// # Errors
    /// When `read` fails, or `folder` has no room.
    pub fn of(
        records: &[DocumentRecord],
        folder: &Path,
        mut read: impl FnMut(&DocumentRecord) -> Result<String, StoreError>,
    ) -> Result<Self, StoreError> {
        let share = MAX_TEXT_BYTES / records.len().max(1);
        let mut file = tempfile::spooled_tempfile_in(MAX_MEMORY_BYTES, folder);
        let (mut end, mut ends) = (0, Vec::with_capacity(records.len()));
        let mut paths = Vec::with_capacity(records.len());
        for record in records {
            let text = read(record)?;
            paths.push(path_in_hierarchy(&record.path, &text));
            let text = &text[..text.floor_char_boundary(share)];
            let written = file.write_all(text.as_bytes());
            written.map_err(|source| StoreError::Io {
                path: folder.to_owned(),
                source,
            })?;
            end += text.len() as u64;
            ends.push(end);
        }
        Ok(Self {
            file: Mutex::new(file),
            ends,
            paths,
        })
    }

    /// The text of the document at `place`; empty where it cannot be read.
    pub fn read(&self, place: usize) -> String {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut bytes = vec![0; (self.ends[place] - start) as usize];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let found = file
            .seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(&mut bytes));
        found.map_or_else(
            |_| String::new(),
            |()| String::from_utf8(bytes).unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_in_any_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let records: Vec<DocumentRecord> = (0..40)
            .map(|own| DocumentRecord {
                path: format!("{own}.md"),
                ..DocumentRecord::default()
            })
            .collect();
        // Together they are longer than what stays in memory.
        let text = |path: &str| format!("{path} ").repeat(200_000);
        let read = |record: &DocumentRecord| Ok(text(&record.path));
        let spool = TextSpool::of(&records, folder.path(), read).expect("keeps");
        for place in [39, 0, 17, 0] {
            assert_eq!(spool.read(place), text(&records[place].path), "{place}");
        }
        assert_eq!(spool.paths[3], "3.md");
    }
}
