//! The passages whose vectors are nearest to the question's, in int8.

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

/// Passages up to which every vector is scanned: some 12 ms on two cores.
const MAX_EXACT_PASSAGES: usize = 1_000_000;
/// How many times as far above its document's mean as expected the best passage may lie.
const REACH: f32 = 2.0;
/// Rounds in which documents are scanned.
const ROUNDS: usize = 16;

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

    /// The cosine of one passage; none before it is encoded.
    pub fn cosine(&self, snapshot: &Snapshot, passage: usize) -> Option<f32> {
        Some(self.product(snapshot.vector_of(passage)?))
    }

    /// The product with a vector in int8 and its scale.
    fn product(&self, (codes, scale): (&[i8], f32)) -> f32 {
        dot(codes, &self.codes) as f32 * scale * self.scale
    }
}

/// The `count` nearest passages and their cosines, nearest first; among very many, nearly all of them.
pub fn nearest(snapshot: &Snapshot, query: &QueryVector, count: usize) -> Vec<(usize, f32)> {
    match snapshot.n_passages() <= MAX_EXACT_PASSAGES {
        true => nearest_exact(snapshot, query, count),
        false => nearest_by_document(snapshot, query, count),
    }
}

/// The `count` nearest passages and their cosines, nearest first: a scan of all.
pub fn nearest_exact(snapshot: &Snapshot, query: &QueryVector, count: usize) -> Vec<(usize, f32)> {
    let documents = (0..snapshot.body.documents.len()).into_par_iter();
    let scan = |nearest, document| scan(snapshot, query, document, nearest);
    let nearest = documents
        .with_min_len(256)
        .fold(|| Nearest::new(count), scan)
        .reduce(|| Nearest::new(count), Nearest::merge);
    nearest.into_sorted()
}

/// As [`nearest_exact`], with the documents as an inverted file: those come first whose best passage is likely to be
/// nearest, and the scan ends where none is likely to be near enough.
pub fn nearest_by_document(
    snapshot: &Snapshot,
    query: &QueryVector,
    count: usize,
) -> Vec<(usize, f32)> {
    let mut order: Vec<(f32, usize)> = (0..snapshot.body.documents.len())
        .into_par_iter()
        .with_min_len(256)
        .filter_map(|document| Some((reach(snapshot, query, document)?, document)))
        .collect();
    order.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut nearest = Nearest::new(count);
    for round in order.chunks(order.len().div_ceil(ROUNDS).max(1)) {
        if round[0].0 < nearest.threshold {
            break;
        }
        let threshold = nearest.threshold;
        let found = round
            .par_iter()
            .with_min_len(16)
            .fold(
                || Nearest {
                    threshold,
                    ..Nearest::new(count)
                },
                |nearest, &(_, document)| scan(snapshot, query, document, nearest),
            )
            .reduce(|| Nearest::new(count), Nearest::merge);
        nearest = nearest.merge(found);
    }
    nearest.into_sorted()
}

/// What the best passage of a document is likely to stay below; none where nothing is encoded.
///
/// A cosine is taken to be normal about that of the mean, so the largest of n lies some √(2 ln n) deviations above.
fn reach(snapshot: &Snapshot, query: &QueryVector, document: usize) -> Option<f32> {
    let (segment, row) = snapshot.segment_of(document);
    let n_encoded = row.n_encoded as f32;
    let above = (2.0 * (1.0 + n_encoded).ln()).sqrt() * row.spread;
    Some(query.product(segment.mean(&row)?) + REACH * above)
}

fn scan(
    snapshot: &Snapshot,
    query: &QueryVector,
    document: usize,
    mut nearest: Nearest,
) -> Nearest {
    let (segment, row) = snapshot.segment_of(document);
    let (codes, scales) = segment.vectors(row.vectors());
    nearest.scan(query, codes, scales, snapshot.passages_of(document).start);
    nearest
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
