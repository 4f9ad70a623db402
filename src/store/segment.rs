//! Segment files: what the encoder made of many documents, immutable and memory-mapped.
//!
//! All little-endian, every part padded to 4 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `SHASSEG3` |
//! | 7 × 4 | counts: dimensions D, documents N, documents of several vectors M, passages P, vectors V, granules G, nodes K |
//! | 32 N | [`DocumentRow`] |
//! | 16 P | [`PassageRow`] |
//! | 4 (V + M) | f32 scales of the vectors |
//! | D (V + M) | int8 vectors: of the encoded passages, then the means of documents of several |
//! | 2 (G + K) | f16 scales of the keys |
//! | 64 (G + K) | keys, 4 bits a dimension: of the granules, then of the nodes of 16 granules of long documents |
//! | 4 | crc32 of everything before |
//!
//! Of a document none, the first or all passages are encoded: texts can be searched before that.

mod builder;

use std::{ops::Range, path::Path};

use bytemuck::{Pod, Zeroable};
use half::f16;
use memmap2::Mmap;

use super::{
    StoreError,
    mapped::{self, CHECKSUM_BYTES},
};
use crate::ops::{granule_keys::KEY_BYTES, similarity::normalise};

use builder::NODE_GRANULES;
pub use builder::SegmentBuilder;

const MAGIC: &[u8; 8] = b"SHASSEG3";
const HEADER_BYTES: usize = 36;

/// Where a document lies in its segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct DocumentRow {
    /// First passage in the segment.
    pub first_passage: u32,
    pub n_passages: u32,
    /// First vector in the segment.
    first_vector: u32,
    /// So many of the first passages are encoded.
    pub n_encoded: u32,
    /// Number of its mean among the means; one of a single vector has none and shares that.
    mean: u32,
    /// First node among the nodes.
    first_node: u32,
    n_nodes: u32,
    /// Standard deviation of its passages' vectors about their mean, a dimension.
    pub spread: f32,
}

impl DocumentRow {
    /// Passages in the segment.
    pub fn passages(&self) -> Range<usize> {
        let first = self.first_passage as usize;
        first..first + self.n_passages as usize
    }

    /// Vectors in the segment, those of its first passages.
    pub fn vectors(&self) -> Range<usize> {
        let first = self.first_vector as usize;
        first..first + self.n_encoded as usize
    }
}

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

/// An open segment file.
pub struct Segment {
    map: Mmap,
    counts: Counts,
}

impl Segment {
    /// Maps a segment file and checks its size; [`Segment::verify`] checks its content.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let map = mapped::open(path, MAGIC, HEADER_BYTES, "segment")?;
        let counts: Counts = bytemuck::pod_read_unaligned(&map[MAGIC.len()..HEADER_BYTES]);
        if map.len() != counts.part(Part::Checksum).end {
            return Err(StoreError::damaged(path, "wrong length"));
        }
        Ok(Self { map, counts })
    }

    /// True when the checksum holds.
    pub fn verify(&self) -> bool {
        mapped::verify(&self.map)
    }

    /// Number of passages.
    pub fn n_passages(&self) -> usize {
        self.counts.passages as usize
    }

    /// Number of granules.
    pub fn n_granules(&self) -> usize {
        self.counts.granules as usize
    }

    /// Rows of all documents.
    pub fn documents(&self) -> &[DocumentRow] {
        bytemuck::cast_slice(self.part(Part::Documents))
    }

    /// Rows of all passages, `[n_passages]`.
    pub fn rows(&self) -> &[PassageRow] {
        bytemuck::cast_slice(self.part(Part::Passages))
    }

    /// Int8 vectors `[n, dimensions]` and scales `[n]`.
    pub fn vectors(&self, vectors: Range<usize>) -> (&[i8], &[f32]) {
        let dimensions = self.counts.dimensions as usize;
        let codes: &[i8] = bytemuck::cast_slice(self.part(Part::Vectors));
        let scales: &[f32] = bytemuck::cast_slice(self.part(Part::VectorScales));
        (
            &codes[vectors.start * dimensions..vectors.end * dimensions],
            &scales[vectors],
        )
    }

    /// An int8 vector, `[dimensions]`, and its scale.
    pub fn vector(&self, vector: usize) -> (&[i8], f32) {
        let (codes, scales) = self.vectors(vector..vector + 1);
        (codes, scales[0])
    }

    /// The mean of a document's vectors, not of unit length, as [`Segment::vector`]; none where nothing is encoded.
    pub fn mean(&self, document: &DocumentRow) -> Option<(&[i8], f32)> {
        match document.n_encoded {
            0 => None,
            1 => Some(self.vector(document.first_vector as usize)),
            _ => Some(self.vector(self.counts.vectors as usize + document.mean as usize)),
        }
    }

    /// The same of unit length; empty where nothing is encoded.
    pub fn mean_direction(&self, document: &DocumentRow) -> Vec<f32> {
        let Some((codes, scale)) = self.mean(document) else {
            return Vec::new();
        };
        let mut mean: Vec<f32> = codes.iter().map(|&code| f32::from(code) * scale).collect();
        normalise(&mut mean);
        mean
    }

    /// Keys `[n, KEY_BYTES]` and scales `[n]` of granules.
    pub fn keys(&self, granules: Range<usize>) -> (&[u8], &[f16]) {
        let scales: &[f16] = bytemuck::cast_slice(self.part(Part::KeyScales));
        let codes = self.part(Part::Keys);
        (
            &codes[granules.start * KEY_BYTES..granules.end * KEY_BYTES],
            &scales[granules],
        )
    }

    /// Keys and scales of a document's nodes, as [`Segment::keys`]; none where it is short.
    pub fn nodes(&self, document: &DocumentRow) -> (&[u8], &[f16]) {
        let first = self.n_granules() + document.first_node as usize;
        self.keys(first..first + document.n_nodes as usize)
    }

    /// Keys and scales of the nodes of some of a document's passages, as [`Segment::keys`]; none where it is short.
    pub fn nodes_of(&self, document: &DocumentRow, passages: Range<usize>) -> (&[u8], &[f16]) {
        if document.n_nodes == 0 {
            return (&[], &[]);
        }
        let rows = self.rows();
        let count = |passages: Range<usize>| -> usize {
            let rows = rows[passages].iter();
            rows.map(|row| usize::from(row.n_granules).div_ceil(NODE_GRANULES))
                .sum()
        };
        let before = count(document.first_passage as usize..passages.start);
        let first = self.n_granules() + document.first_node as usize + before;
        self.keys(first..first + count(passages))
    }

    fn part(&self, part: Part) -> &[u8] {
        &self.map[self.counts.part(part)]
    }
}

/// The counts of the header.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Counts {
    dimensions: u32,
    documents: u32,
    means: u32,
    passages: u32,
    vectors: u32,
    granules: u32,
    nodes: u32,
}

/// What follows the header, in this order.
#[derive(Debug, Clone, Copy)]
enum Part {
    Documents,
    Passages,
    VectorScales,
    Vectors,
    KeyScales,
    Keys,
    Checksum,
}

impl Counts {
    /// Bytes of a part in the file, without its padding.
    fn part(&self, part: Part) -> Range<usize> {
        let vectors = self.vectors as usize + self.means as usize;
        let keys = self.granules as usize + self.nodes as usize;
        let lengths = [
            size_of::<DocumentRow>() * self.documents as usize,
            size_of::<PassageRow>() * self.passages as usize,
            size_of::<f32>() * vectors,
            self.dimensions as usize * vectors,
            size_of::<f16>() * keys,
            KEY_BYTES * keys,
            CHECKSUM_BYTES,
        ];
        let before = lengths[..part as usize].iter();
        let start = HEADER_BYTES
            + before
                .map(|length| length.next_multiple_of(4))
                .sum::<usize>();
        start..start + lengths[part as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::PassageEncoding,
        ops::granule_keys::{GranuleKeys, KEY_DIMENSIONS},
    };

    #[test]
    fn a_segment_gives_back_what_was_put_in() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("1.seg");
        let encodings: Vec<PassageEncoding> = (0..3usize)
            .map(|passage| {
                let mut keys = GranuleKeys::default();
                // The last passage makes its document a long one.
                for granule in 0..=passage * 1_001 {
                    keys.push(&[granule as f32 + 0.5; KEY_DIMENSIONS]);
                }
                let mut vector = [0.0; 8];
                vector[passage] = 1.0;
                PassageEncoding {
                    vector: vector.to_vec(),
                    keys,
                    n_prefix_granules: passage,
                }
            })
            .collect();
        let mut builder = SegmentBuilder::default();
        let span = |passage: usize| passage * 10..passage * 10 + 5;
        assert_eq!(builder.push([span(0)], &encodings[..1]), 0);
        assert_eq!(builder.push([], &[]), 1);
        assert_eq!(builder.push([span(1), span(2)], &encodings[1..]), 2);
        assert_eq!(builder.push([span(3), span(4)], &encodings[..1]), 3);
        assert_eq!(builder.push([span(5)], &[]), 4);
        builder.write(&path)?;
        let segment = Segment::open(&path)?;
        assert!(segment.verify());
        assert_eq!((segment.n_passages(), segment.n_granules()), (6, 3_007));
        let row = segment.rows()[2];
        assert_eq!(
            (row.span(), row.granules(), row.n_prefix_granules),
            (20..25, 1_003..3_006, 2)
        );
        let (keys, scales) = segment.keys(row.granules());
        assert_eq!((keys.len(), scales.len()), (2_003 * KEY_BYTES, 2_003));
        let [one, none, several, lead, waiting] = *segment.documents() else {
            panic!("five documents");
        };
        assert_eq!(segment.mean(&one), Some(segment.vector(0)));
        assert_eq!(segment.mean(&lead), Some(segment.vector(3)));
        assert_eq!((segment.mean(&none), segment.mean(&waiting)), (None, None));
        assert!(segment.rows()[4].granules().is_empty() && segment.rows()[5].granules().is_empty());
        assert_eq!((waiting.passages(), waiting.vectors()), (5..6, 4..4));
        assert!(none.passages().is_empty() && segment.nodes(&none).1.is_empty());
        let (mean, scale) = segment.mean(&several).ok_or("has a mean")?;
        let mean: Vec<f32> = mean.iter().map(|&code| f32::from(code) * scale).collect();
        assert_eq!(mean, [0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!((one.spread, several.spread), (0.0, 0.25));
        // Each passage has its own nodes: 1,002 granules make 63, 2,003 make 126.
        assert!(segment.nodes(&one).1.is_empty());
        assert_eq!(segment.nodes(&several).1.len(), 63 + 126);
        assert_eq!(
            segment.nodes_of(&several, several.passages()),
            segment.nodes(&several)
        );
        let (keys, scales) = segment.nodes_of(&several, 2..3);
        assert_eq!(scales.len(), 126);
        assert_eq!(keys, &segment.nodes(&several).0[63 * KEY_BYTES..]);
        assert!(segment.nodes_of(&one, 0..1).1.is_empty());
        // Copied in another order, each document is as it was.
        let mut copies = SegmentBuilder::default();
        let order = [2, 4, 0, 3, 1];
        for (number, &document) in order.iter().enumerate() {
            assert_eq!(
                copies.copy(&segment, &segment.documents()[document]),
                number as u32
            );
        }
        let copy_path = folder.path().join("2.seg");
        copies.write(&copy_path)?;
        let copied = Segment::open(&copy_path)?;
        for (own, &document) in copied.documents().iter().zip(&order) {
            let from = &segment.documents()[document];
            assert_eq!(
                copied.vectors(own.vectors()),
                segment.vectors(from.vectors())
            );
            assert_eq!(copied.mean(own), segment.mean(from));
            assert_eq!(copied.nodes(own), segment.nodes(from));
            let rows = copied.rows()[own.passages()].iter();
            for (row, before) in rows.zip(&segment.rows()[from.passages()]) {
                assert_eq!(row.span(), before.span());
                assert_eq!(copied.keys(row.granules()), segment.keys(before.granules()));
            }
        }
        let mut bytes = std::fs::read(&path)?;
        bytes[44] ^= 1;
        std::fs::write(&path, &bytes)?;
        assert!(!Segment::open(&path)?.verify());
        Ok(())
    }
}
