//! Segment files: vectors and granule keys of many passages, immutable and memory-mapped.
//!
//! All little-endian, in this order:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `SHASSEG1` |
//! | 4 + 4 + 4 + 4 | passages P, granules G, dimensions D, zero |
//! | 4 P | f32 scale of each vector |
//! | 16 P | [`PassageRow`] |
//! | 2 G, padded to 4 | f16 scale of each granule key |
//! | D P | int8 vectors |
//! | 64 G | granule keys, 4 bits a dimension |
//! | 4 | crc32 of everything before |

use std::{fs::File, ops::Range, path::Path};

use bytemuck::{Pod, Zeroable};
use half::f16;
use memmap2::Mmap;

use super::{StoreError, write_atomically};
use crate::{model::PassageEncoding, ops::granule_keys::KEY_BYTES};

const MAGIC: &[u8; 8] = b"SHASSEG1";
const HEADER_BYTES: usize = 24;

/// Where a passage lies in its document and in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PassageRow {
    /// Bytes of the document's text.
    pub start: u32,
    pub end: u32,
    /// First granule in the segment.
    pub first_granule: u32,
    pub n_granules: u16,
    /// How many of them belong to the context prefix.
    pub n_prefix_granules: u16,
}

impl PassageRow {
    /// Bytes of the document's text.
    pub fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Granules in the segment.
    pub fn granules(&self) -> Range<usize> {
        let first = self.first_granule as usize;
        first..first + self.n_granules as usize
    }
}

/// Collects passages for a segment file.
#[derive(Default)]
pub struct SegmentBuilder {
    rows: Vec<PassageRow>,
    vector_scales: Vec<f32>,
    vectors: Vec<i8>,
    key_scales: Vec<f16>,
    keys: Vec<u8>,
}

impl SegmentBuilder {
    /// Adds one passage and returns its number in the segment.
    pub fn push(&mut self, span: Range<usize>, encoding: &PassageEncoding) -> u32 {
        let largest = encoding
            .vector
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = largest / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        self.vectors.extend(
            encoding
                .vector
                .iter()
                .map(|value| (value * inverse).round() as i8),
        );
        self.vector_scales.push(scale);
        self.rows.push(PassageRow {
            start: span.start as u32,
            end: span.end as u32,
            first_granule: self.key_scales.len() as u32,
            n_granules: encoding.keys.len() as u16,
            n_prefix_granules: encoding.n_prefix_granules as u16,
        });
        self.key_scales.extend_from_slice(&encoding.keys.scales);
        self.keys.extend_from_slice(&encoding.keys.codes);
        self.rows.len() as u32 - 1
    }

    /// Number of passages.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is no passage.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the file whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let dimensions = self.vectors.len() / self.rows.len().max(1);
        let mut bytes = MAGIC.to_vec();
        for count in [self.rows.len(), self.key_scales.len(), dimensions, 0] {
            bytes.extend((count as u32).to_le_bytes());
        }
        bytes.extend_from_slice(bytemuck::cast_slice(&self.vector_scales));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.rows));
        bytes.extend_from_slice(bytemuck::cast_slice(&self.key_scales));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(bytemuck::cast_slice(&self.vectors));
        bytes.extend_from_slice(&self.keys);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        write_atomically(path, &bytes)
    }
}

/// An open segment file.
pub struct Segment {
    map: Mmap,
    n_passages: usize,
    n_granules: usize,
    dimensions: usize,
}

impl Segment {
    /// Maps a segment file and checks its size; [`Segment::verify`] checks its content.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|source| StoreError::io(path, source))?;
        // SAFETY: segment files are written once and never changed while an index exists.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| StoreError::io(path, source))?;
        if map.len() < HEADER_BYTES || &map[..8] != MAGIC {
            return Err(StoreError::damaged(path, "not a segment file"));
        }
        let count = |at: usize| {
            u32::from_le_bytes([map[at], map[at + 1], map[at + 2], map[at + 3]]) as usize
        };
        let (n_passages, n_granules, dimensions) = (count(8), count(12), count(16));
        let segment = Self {
            map,
            n_passages,
            n_granules,
            dimensions,
        };
        if segment.map.len() != segment.keys_start() + n_granules * KEY_BYTES + 4 {
            return Err(StoreError::damaged(path, "wrong length"));
        }
        Ok(segment)
    }

    /// True when the checksum holds.
    pub fn verify(&self) -> bool {
        let (content, stored) = self.map.split_at(self.map.len() - 4);
        crc32fast::hash(content).to_le_bytes() == stored
    }

    /// Number of passages.
    pub fn n_passages(&self) -> usize {
        self.n_passages
    }

    /// Number of granules.
    pub fn n_granules(&self) -> usize {
        self.n_granules
    }

    /// All rows, `[n_passages]`.
    pub fn rows(&self) -> &[PassageRow] {
        let start = HEADER_BYTES + 4 * self.n_passages;
        bytemuck::cast_slice(&self.map[start..start + 16 * self.n_passages])
    }

    /// Int8 vectors `[n, dimensions]` and scales `[n]` of passages.
    pub fn vectors(&self, passages: Range<usize>) -> (&[i8], &[f32]) {
        let start = self.vectors_start() + passages.start * self.dimensions;
        let bytes = passages.len() * self.dimensions;
        let codes = bytemuck::cast_slice(&self.map[start..start + bytes]);
        (codes, &self.vector_scales()[passages])
    }

    /// The int8 vector of a passage, `[dimensions]`, and its scale.
    pub fn vector(&self, passage: usize) -> (&[i8], f32) {
        let (codes, scales) = self.vectors(passage..passage + 1);
        (codes, scales[0])
    }

    /// Keys `[n, KEY_BYTES]` and scales `[n]` of granules.
    pub fn keys(&self, granules: Range<usize>) -> (&[u8], &[f16]) {
        let start = HEADER_BYTES + 20 * self.n_passages;
        let scales: &[f16] = bytemuck::cast_slice(&self.map[start..start + 2 * self.n_granules]);
        let keys = self.keys_start();
        (
            &self.map[keys + granules.start * KEY_BYTES..keys + granules.end * KEY_BYTES],
            &scales[granules],
        )
    }

    fn vector_scales(&self) -> &[f32] {
        bytemuck::cast_slice(&self.map[HEADER_BYTES..HEADER_BYTES + 4 * self.n_passages])
    }

    fn vectors_start(&self) -> usize {
        HEADER_BYTES + 20 * self.n_passages + (2 * self.n_granules).next_multiple_of(4)
    }

    fn keys_start(&self) -> usize {
        self.vectors_start() + self.n_passages * self.dimensions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::granule_keys::{GranuleKeys, KEY_DIMENSIONS};

    #[test]
    fn a_segment_gives_back_what_was_put_in() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("1.seg");
        let mut builder = SegmentBuilder::default();
        for passage in 0..3usize {
            let mut keys = GranuleKeys::default();
            for granule in 0..=passage {
                keys.push(&[granule as f32 + 0.5; KEY_DIMENSIONS]);
            }
            let vector = (0..8)
                .map(|at| (at as f32 - passage as f32) / 8.0)
                .collect();
            let encoding = PassageEncoding {
                vector,
                keys,
                n_prefix_granules: passage,
            };
            builder.push(passage * 10..passage * 10 + 5, &encoding);
        }
        builder.write(&path)?;
        let segment = Segment::open(&path)?;
        assert!(segment.verify());
        assert_eq!((segment.n_passages(), segment.n_granules()), (3, 6));
        let row = segment.rows()[2];
        assert_eq!(
            (row.span(), row.granules(), row.n_prefix_granules),
            (20..25, 3..6, 2)
        );
        let (vector, scale) = segment.vector(1);
        assert!((f32::from(vector[7]) * scale - 0.75).abs() < 0.01);
        let (keys, scales) = segment.keys(row.granules());
        assert_eq!((keys.len(), scales.len()), (3 * KEY_BYTES, 3));
        let mut bytes = std::fs::read(&path)?;
        bytes[40] ^= 1;
        std::fs::write(&path, &bytes)?;
        assert!(!Segment::open(&path)?.verify());
        Ok(())
    }
}
