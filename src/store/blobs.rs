//! Blob files: texts that were extracted, and word pieces that wait for the encoder; immutable and memory-mapped.
//!
//! All little-endian: `SHASBLB1`, u32 count N, u64 × (N + 1) where each blob starts and the last ends, counted from the
//! end of this table; the blobs, each lz4 with its length in front; u32 crc32 of everything before.

use std::{ops::Range, path::Path};

use memmap2::Mmap;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    StoreError,
    mapped::{self, CHECKSUM_BYTES},
};

const MAGIC: &[u8; 8] = b"SHASBLB1";
const HEADER_BYTES: usize = 12;

/// Collects blobs for a file.
#[derive(Default)]
pub struct BlobBuilder {
    ends: Vec<u64>,
    content: Vec<u8>,
}

impl BlobBuilder {
    /// Adds a value and returns its number in the file.
    ///
    /// # Errors
    /// When the value cannot be written as `postcard`.
    pub fn push<T: Serialize>(&mut self, value: &T) -> Result<u32, StoreError> {
        let bytes = postcard::to_stdvec(value)?;
        self.content.extend(lz4_flex::compress_prepend_size(&bytes));
        self.ends.push(self.content.len() as u64);
        Ok(self.ends.len() as u32 - 1)
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes collected so far.
    pub fn bytes(&self) -> usize {
        self.content.len()
    }

    /// Writes the file whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.ends.len() as u32).to_le_bytes());
        for end in [0].iter().chain(&self.ends) {
            bytes.extend(end.to_le_bytes());
        }
        bytes.extend_from_slice(&self.content);
        mapped::write(path, bytes)
    }
}

/// An open blob file.
pub struct Blobs {
    map: Mmap,
    count: usize,
}

impl Blobs {
    /// Maps a blob file and checks its shape; [`Blobs::verify`] checks its content.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let map = mapped::open(path, MAGIC, HEADER_BYTES, "blob")?;
        let count = u32::from_le_bytes([map[8], map[9], map[10], map[11]]) as usize;
        let blobs = Self { map, count };
        let table = HEADER_BYTES + 8 * (count + 1);
        let whole = blobs.map.len() >= table + CHECKSUM_BYTES
            && blobs.map.len() as u64 == (table + CHECKSUM_BYTES) as u64 + blobs.start(count);
        match whole {
            true => Ok(blobs),
            false => Err(StoreError::damaged(path, "wrong length")),
        }
    }

    /// True when the checksum holds.
    pub fn verify(&self) -> bool {
        mapped::verify(&self.map)
    }

    /// The value with this number; none where there is none, or where its bytes are damaged.
    pub fn get<T: DeserializeOwned>(&self, number: u32) -> Option<T> {
        let bytes = self.map.get(self.span(number as usize)?)?;
        let bytes = lz4_flex::decompress_size_prepended(bytes).ok()?;
        postcard::from_bytes(&bytes).ok()
    }

    fn span(&self, number: usize) -> Option<Range<usize>> {
        let table = HEADER_BYTES + 8 * (self.count + 1);
        let place = |number: usize| table + self.start(number) as usize;
        (number < self.count).then(|| place(number)..place(number + 1))
    }

    fn start(&self, number: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.map[HEADER_BYTES + 8 * number..][..8]);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_come_back_and_damage_is_seen() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("1.blob");
        let values = ["".to_owned(), "Rye. ".repeat(1_000), "酸面包".to_owned()];
        let mut builder = BlobBuilder::default();
        for (number, value) in values.iter().enumerate() {
            assert_eq!(builder.push(value)?, number as u32);
        }
        assert!(builder.bytes() < 200);
        builder.write(&path)?;
        let blobs = Blobs::open(&path)?;
        for (number, value) in (0..).zip(&values) {
            assert_eq!(blobs.get::<String>(number).as_ref(), Some(value));
        }
        assert!(blobs.verify() && blobs.get::<String>(3).is_none());
        let mut bytes = std::fs::read(&path)?;
        let last = bytes.len() - 6;
        bytes[last] ^= 1;
        std::fs::write(&path, &bytes)?;
        assert!(!Blobs::open(&path)?.verify());
        std::fs::write(&path, &bytes[..last])?;
        assert!(Blobs::open(&path).is_err());
        Ok(())
    }
}
