//! Where does the library rest? Here is an index folder, gimme what was published: [`Snapshot`].
//!
//! One folder an index:
//!
//! | path | what |
//! |---|---|
//! | `lock` | held by the one process that writes ([`lock`]) |
//! | `sled/` | the writer's own database: documents, files, links, nodes ([`writer`]) |
//! | `segments/N.seg` | vectors and granule keys, immutable ([`segment`]) |
//! | `blobs/N.blob` | texts that were extracted, word pieces that wait, immutable ([`blobs`]) |
//! | `text/` | the tantivy index ([`text_index`]) |
//! | `edits.json` | what the user has changed in the tree ([`edits`]) |
//! | `snapshot` | all that readers need beside those, replaced by renaming ([`snapshot`]) |

mod analyzer;
pub mod blobs;
pub mod doctor;
pub mod edits;
pub mod lock;
mod mapped;
pub mod records;
pub mod segment;
pub mod snapshot;
mod spelling;
pub mod text_index;
pub mod writer;

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

pub use analyzer::stems;
pub use blobs::{BlobBuilder, Blobs};
pub use records::{
    BlobPlace, DocumentRecord, ExtractedText, FileRecord, FileState, FileStatus, LinkRecord,
    PassagePieces, PlaceMark, SectionRecord, Stamp, text_hash,
};
pub use segment::{DocumentRow, PassageRow, Segment, SegmentBuilder};
pub use snapshot::{Snapshot, SnapshotBody};
pub use text_index::{TextHit, TextReader, TextUnit, TextWriter};
pub use writer::{BATCH, Commit, Due, StoreWriter};

/// Changes whenever a stored format does.
pub const FORMAT_VERSION: u32 = 4;

/// Why an index could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no index at {path}; run `shas index` on your documents first")]
    Absent { path: PathBuf },
    #[error("the index at {path} is being written by {holder}; wait for it or stop it")]
    Locked { path: PathBuf, holder: String },
    #[error("{path} was written by another version ({found}); run `shas index --rebuild`")]
    Version { path: PathBuf, found: String },
    #[error("{path} is damaged ({reason}); run `shas index --rebuild`")]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "cannot read or write {path}: {source}; free some space or check permissions, then index again"
    )]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "your edits of the tree in {path} cannot be read ({reason}); mend the file, or remove it to go without them"
    )]
    Edits { path: PathBuf, reason: String },
    #[error("a record could not be written: {0}; report it, the index is as it was")]
    Record(#[from] postcard::Error),
    #[error(
        "the database of the index failed: {0}; free some space and index again, or run `shas index --rebuild`"
    )]
    Database(#[from] sled::Error),
    #[error(
        "the text index failed: {0}; free some space and index again, or run `shas index --rebuild`"
    )]
    Text(#[from] tantivy::TantivyError),
}

impl StoreError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Removes the index in `folder`, but for the user's edits, and nothing else that may lie there.
pub fn remove(folder: &Path) -> Result<(), StoreError> {
    for part in ["snapshot", "sled", "text", "segments", "blobs"] {
        let path = folder.join(part);
        let removed = match path.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false if path.exists() => std::fs::remove_file(&path),
            false => Ok(()),
        };
        removed.map_err(|source| StoreError::io(&path, source))?;
    }
    Ok(())
}

/// Writes a file whole or not at all: beside its place, synced, then renamed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_atomically_with(path, |file| file.write_all(bytes))
}

/// As [`write_atomically`], what `write` writes.
fn write_atomically_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), StoreError> {
    let whole = || -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        write(&mut file)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    whole().map_err(|source| StoreError::io(path, source))
}
