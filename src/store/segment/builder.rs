//! Collects what the encoder made of documents, and writes it down as a segment.

use std::{ops::Range, path::Path};

use half::f16;

use super::{Counts, DocumentRow, MAGIC, PassageRow, Segment};
use crate::{
    model::{PassageEncoding, weights::quantise},
    ops::{
        granule_keys::{GranuleKeys, KEY_BYTES, KEY_DIMENSIONS, dequantise},
        similarity::{normalise, product},
    },
    store::{StoreError, mapped},
};

/// A document of more granules answers with the keys of its nodes, so that what it costs stays bounded.
const MAX_DOCUMENT_GRANULES: usize = 2_000;
/// Granules of a node.
pub(super) const NODE_GRANULES: usize = 16;

/// Collects documents for a segment file.
#[derive(Default)]
pub struct SegmentBuilder {
    documents: Vec<DocumentRow>,
    passages: Vec<PassageRow>,
    vectors: Vectors,
    means: Vectors,
    keys: GranuleKeys,
    nodes: GranuleKeys,
}

impl SegmentBuilder {
    /// Adds a document by its passages, as bytes of its text, and the encodings of all or of the first of them;
    /// returns its number in the segment.
    pub fn push(
        &mut self,
        passages: impl IntoIterator<Item = Range<usize>>,
        encodings: &[PassageEncoding],
    ) -> u32 {
        let mut document = DocumentRow {
            first_passage: self.passages.len() as u32,
            first_vector: self.vectors.scales.len() as u32,
            n_encoded: encodings.len() as u32,
            mean: self.means.scales.len() as u32,
            first_node: self.nodes.len() as u32,
            ..DocumentRow::default()
        };
        for (at, span) in passages.into_iter().enumerate() {
            self.push_passage(span, encodings.get(at));
        }
        let added = &self.passages[document.first_passage as usize..];
        document.n_passages = added.len() as u32;
        if encodings.len() > 1 {
            document.spread = self.means.push_mean(encodings);
        }
        let granules = || added.iter().map(|passage| usize::from(passage.n_granules));
        if granules().sum::<usize>() > MAX_DOCUMENT_GRANULES {
            for passage in added {
                push_nodes(&self.keys, passage.granules(), &mut self.nodes);
            }
        }
        document.n_nodes = self.nodes.len() as u32 - document.first_node;
        self.documents.push(document);
        self.documents.len() as u32 - 1
    }

    /// Adds a document of another segment as it is and returns its number in this one.
    pub fn copy(&mut self, segment: &Segment, row: &DocumentRow) -> u32 {
        let passages = &segment.rows()[row.passages()];
        let shift = |granule: u32| {
            let first = passages.first().map_or(0, |first| first.first_granule);
            granule - first + self.keys.len() as u32
        };
        let own = DocumentRow {
            first_passage: self.passages.len() as u32,
            first_vector: self.vectors.scales.len() as u32,
            mean: self.means.scales.len() as u32,
            first_node: self.nodes.len() as u32,
            ..*row
        };
        let shifted = passages.iter().map(|passage| PassageRow {
            first_granule: shift(passage.first_granule),
            ..*passage
        });
        self.passages.extend(shifted);
        self.vectors.extend(segment.vectors(row.vectors()));
        if let Some((codes, scale)) = segment.mean(row).filter(|_| row.n_encoded > 1) {
            self.means.extend((codes, &[scale]));
        }
        let granules = match (passages.first(), passages.last()) {
            (Some(first), Some(last)) => first.granules().start..last.granules().end,
            _ => 0..0,
        };
        for (keys, (codes, scales)) in [
            (&mut self.keys, segment.keys(granules)),
            (&mut self.nodes, segment.nodes(row)),
        ] {
            keys.codes.extend_from_slice(codes);
            keys.scales.extend_from_slice(scales);
        }
        self.documents.push(own);
        self.documents.len() as u32 - 1
    }

    fn push_passage(&mut self, span: Range<usize>, encoding: Option<&PassageEncoding>) {
        self.passages.push(PassageRow {
            start: span.start as u32,
            end: span.end as u32,
            first_granule: self.keys.len() as u32,
            n_granules: encoding.map_or(0, |encoding| encoding.keys.len()) as u16,
            n_prefix_granules: encoding.map_or(0, |encoding| encoding.n_prefix_granules) as u16,
        });
        if let Some(encoding) = encoding {
            self.vectors.push(&encoding.vector);
            self.keys.scales.extend_from_slice(&encoding.keys.scales);
            self.keys.codes.extend_from_slice(&encoding.keys.codes);
        }
    }

    /// Number of passages.
    pub fn n_passages(&self) -> usize {
        self.passages.len()
    }

    /// Writes the file whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let counts = Counts {
            dimensions: (self.vectors.codes.len() / self.vectors.scales.len().max(1)) as u32,
            documents: self.documents.len() as u32,
            means: self.means.scales.len() as u32,
            passages: self.passages.len() as u32,
            vectors: self.vectors.scales.len() as u32,
            granules: self.keys.len() as u32,
            nodes: self.nodes.len() as u32,
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(bytemuck::bytes_of(&counts));
        let mut add = |parts: [&[u8]; 2]| {
            for part in parts {
                bytes.extend_from_slice(part);
            }
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        };
        add([bytemuck::cast_slice(&self.documents), &[]]);
        add([bytemuck::cast_slice(&self.passages), &[]]);
        let scales = [&self.vectors.scales, &self.means.scales];
        add(scales.map(|scales| bytemuck::cast_slice(scales)));
        let vectors = [&self.vectors.codes, &self.means.codes];
        add(vectors.map(|codes| bytemuck::cast_slice(codes)));
        let scales = [&self.keys.scales, &self.nodes.scales];
        add(scales.map(|scales: &Vec<f16>| bytemuck::cast_slice(scales)));
        add([&self.keys.codes, &self.nodes.codes]);
        mapped::write(path, bytes)
    }
}

/// Vectors in int8, `[n, dimensions]`, and their scales, `[n]`.
#[derive(Default)]
struct Vectors {
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl Vectors {
    fn push(&mut self, vector: &[f32]) {
        let (codes, scales) = quantise(vector, vector.len().max(1));
        self.codes.extend(codes);
        self.scales.extend(scales);
    }

    fn extend(&mut self, (codes, scales): (&[i8], &[f32])) {
        self.codes.extend_from_slice(codes);
        self.scales.extend_from_slice(scales);
    }

    /// Appends the mean of the vectors of some passages and returns their deviation about it, a dimension.
    fn push_mean(&mut self, encodings: &[PassageEncoding]) -> f32 {
        let share = 1.0 / encodings.len() as f32;
        let mut mean = vec![0.0; encodings[0].vector.len()];
        for encoding in encodings {
            mean.iter_mut()
                .zip(&encoding.vector)
                .for_each(|(mean, value)| *mean += share * value);
        }
        self.push(&mean);
        // Vectors have length 1, so what their mean lacks of it is their variance, summed over dimensions.
        ((1.0 - product(&mean, &mean)).max(0.0) / mean.len() as f32).sqrt()
    }
}

/// Appends the mean key of every 16 granules of a passage.
fn push_nodes(keys: &GranuleKeys, granules: Range<usize>, nodes: &mut GranuleKeys) {
    let mut key = [0.0; KEY_DIMENSIONS];
    for first in granules.clone().step_by(NODE_GRANULES) {
        let mut sum = [0.0; KEY_DIMENSIONS];
        for granule in first..(first + NODE_GRANULES).min(granules.end) {
            let codes = &keys.codes[granule * KEY_BYTES..][..KEY_BYTES];
            dequantise(codes, keys.scales[granule], &mut key);
            sum.iter_mut()
                .zip(key)
                .for_each(|(sum, value)| *sum += value);
        }
        normalise(&mut sum);
        nodes.push(&sum);
    }
}
