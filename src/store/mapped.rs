//! Files that are written once, end in a checksum, and are mapped into memory.

use std::{fs::File, path::Path};

use memmap2::Mmap;

use super::{StoreError, write_atomically};

/// Bytes of the crc32 at the end.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// Maps a file that begins with `magic` and has a header of so many bytes; `what` is what it ought to be.
///
/// # Errors
/// When it cannot be read, or begins otherwise.
pub(super) fn open(
    path: &Path,
    magic: &[u8],
    header_bytes: usize,
    what: &str,
) -> Result<Mmap, StoreError> {
    let file = File::open(path).map_err(|source| StoreError::io(path, source))?;
    // SAFETY: such files are written once and never changed while an index exists.
    let map = unsafe { Mmap::map(&file) }.map_err(|source| StoreError::io(path, source))?;
    match map.len() >= header_bytes && map.starts_with(magic) {
        true => Ok(map),
        false => Err(StoreError::damaged(path, format!("not a {what} file"))),
    }
}

/// True when the checksum holds.
pub(super) fn verify(bytes: &[u8]) -> bool {
    let (content, stored) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    crc32fast::hash(content).to_le_bytes() == stored
}

/// Writes a file whole or not at all, its checksum behind it.
pub(super) fn write(path: &Path, mut bytes: Vec<u8>) -> Result<(), StoreError> {
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    write_atomically(path, &bytes)
}
