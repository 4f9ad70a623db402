//! The passages whose vectors are nearest to the question's: an exact scan in int8.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::{
    model::weights::quantise,
    ops::{
        int8_product::dot,
        simd::{Instructions, Isa, Kernel},
    },
    store::Snapshot,
};

/// A question's vector in int8.
#[derive(Debug, Clone)]
pub struct QueryVector {
    codes: Vec<i8>,
    scale: f32,
}

impl QueryVector {
    /// Quantises a vector, `[hidden]`.
    pub fn new(vector: &[f32]) -> Self {
        let (codes, scales) = quantise(vector, vector.len().max(1));
        Self {
            codes,
            scale: scales.first().copied().unwrap_or_default(),
        }
    }

    /// The cosine of one passage.
    pub fn cosine(&self, snapshot: &Snapshot, passage: usize) -> f32 {
        let document = snapshot.document_of(passage);
        let (segment, first) = snapshot.segment_of(document);
        let local = first + passage - snapshot.passages_of(document).start;
        let (codes, scale) = segment.vector(local);
        dot(codes, &self.codes) as f32 * scale * self.scale
    }
}

/// The `count` nearest passages and their cosines, nearest first.
pub fn nearest(snapshot: &Snapshot, query: &QueryVector, count: usize) -> Vec<(usize, f32)> {
    let scan = |mut nearest: Nearest, document| {
        let passages = snapshot.passages_of(document);
        let (segment, first) = snapshot.segment_of(document);
        let (codes, scales) = segment.vectors(first..first + passages.len());
        nearest.scan(query, codes, scales, passages.start);
        nearest
    };
    let nearest = (0..snapshot.body.documents.len())
        .into_par_iter()
        .with_min_len(256)
        .fold(|| Nearest::new(count), scan)
        .reduce(|| Nearest::new(count), Nearest::merge);
    nearest.into_sorted()
}

/// The nearest of what was scanned so far, with some that will be dropped.
struct Nearest {
    found: Vec<(usize, f32)>,
    count: usize,
    /// What a passage must exceed to be among the nearest.
    threshold: f32,
}

impl Nearest {
    fn new(count: usize) -> Self {
        Self {
            found: Vec::new(),
            count,
            threshold: f32::NEG_INFINITY,
        }
    }

    /// Scans consecutive passages: `codes` is `[n, hidden]`, `scales` `[n]`.
    fn scan(&mut self, query: &QueryVector, codes: &[i8], scales: &[f32], first: usize) {
        Instructions::best().run(Scan {
            query,
            codes,
            scales,
            first,
            nearest: self,
        });
    }

    #[inline(always)]
    fn offer(&mut self, passage: usize, cosine: f32) {
        if cosine > self.threshold {
            self.found.push((passage, cosine));
            if self.found.len() >= 4 * self.count.max(64) {
                self.shrink();
            }
        }
    }

    /// Keeps the nearest and raises the threshold to the last of them.
    fn shrink(&mut self) {
        if self.found.len() > self.count {
            self.found.select_nth_unstable_by(self.count, nearer);
            self.found.truncate(self.count);
            let cosines = self.found.iter().map(|&(_, cosine)| cosine);
            self.threshold = cosines.fold(f32::INFINITY, f32::min);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.found.extend(other.found);
        self.shrink();
        self
    }

    fn into_sorted(mut self) -> Vec<(usize, f32)> {
        self.shrink();
        self.found.sort_unstable_by(nearer);
        self.found
    }
}

fn nearer(a: &(usize, f32), b: &(usize, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

struct Scan<'a> {
    query: &'a QueryVector,
    codes: &'a [i8],
    scales: &'a [f32],
    first: usize,
    nearest: &'a mut Nearest,
}

impl Kernel for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let vectors = self.codes.chunks_exact(self.query.codes.len());
        for (at, (codes, scale)) in vectors.zip(self.scales).enumerate() {
            let product = isa.dot(codes, &self.query.codes) as f32;
            self.nearest
                .offer(self.first + at, product * scale * self.query.scale);
        }
    }
}
