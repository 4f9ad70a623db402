//! What the tree compares documents by: the model's vectors beside lexical ones.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::{
    TreeDocument,
    graph::split_mix,
    rows::{Precision, Rows},
    words,
};
use crate::ops::similarity::normalise;

/// Dimensions that words are projected to.
const LEXICAL_DIMENSIONS: usize = 100;

/// The model's vectors and the lexical ones, each of length 1; put together a row at a time, for they are large.
pub struct Joint<'a> {
    documents: &'a [TreeDocument<'a>],
    lexical: Rows,
    /// How much of each text the model can read.
    read: Vec<f32>,
    /// Dimensions of the model's vectors.
    dimensions: usize,
    precision: Precision,
}

impl<'a> Joint<'a> {
    /// The model reads English: where a text is Chinese, Japanese or Korean its vector says little more than that,
    /// and counts as little.
    pub fn new(documents: &'a [TreeDocument<'a>], seed: u64, precision: Precision) -> Self {
        let read = documents.par_iter();
        let read = read.map(|document| 1.0 - words::cjk_share(document.text));
        let dimensions = documents.iter().map(|document| document.vector.len());
        Self {
            documents,
            lexical: lexical(documents, seed, precision),
            read: read.collect(),
            dimensions: dimensions.max().unwrap_or(0),
            precision,
        }
    }

    /// All rows, of length 1.
    pub fn rows(&self) -> Rows {
        let width = self.dimensions + LEXICAL_DIMENSIONS;
        let mut rows = Rows::new(self.documents.len(), width, self.precision);
        rows.update(0, width, |row, joint| {
            let (model, words) = joint.split_at_mut(self.dimensions);
            let values = model.iter_mut().zip(self.documents[row].vector);
            values.for_each(|(value, own)| *value = self.read[row] * own);
            self.lexical.read(row, 0, words);
            normalise(joint);
        });
        rows
    }
}

/// What the tree compares documents by: the model's vector beside a lexical one, `[n_documents]` rows of length 1.
pub fn joint_vectors(documents: &[TreeDocument], seed: u64) -> Vec<Vec<f32>> {
    let joint = Joint::new(documents, seed, Precision::Full);
    let width = joint.dimensions + LEXICAL_DIMENSIONS;
    let rows = joint.rows();
    let vector = |row| {
        let mut vector = vec![0.0; width];
        rows.read(row, 0, &mut vector);
        vector
    };
    (0..documents.len()).map(vector).collect()
}

/// Terms by their idf, projected at random.
fn lexical(documents: &[TreeDocument], seed: u64, precision: Precision) -> Rows {
    let counts: Vec<BTreeMap<String, f32>> = documents
        .par_iter()
        .map(|document| {
            let mut counts = BTreeMap::new();
            let parts = [
                document.title,
                document.title,
                &document.tags.join(" ").replace('/', " "),
            ];
            let text = parts.join("\n") + "\n" + &words::plain(document.text);
            for term in words::terms(&text) {
                *counts.entry(term).or_default() += 1.0;
            }
            counts
        })
        .collect();
    let mut frequency: HashMap<&str, f32> = HashMap::new();
    for counts in &counts {
        counts
            .keys()
            .for_each(|term| *frequency.entry(term).or_default() += 1.0);
    }
    let total = documents.len() as f32;
    let mut rows = Rows::new(documents.len(), LEXICAL_DIMENSIONS, precision);
    rows.update(0, LEXICAL_DIMENSIONS, |row, lexical| {
        for (term, count) in &counts[row] {
            let documents = frequency[term.as_str()];
            if documents >= 2.0 || total < 3.0 {
                let weight = (1.0 + count.ln()) * ((total + 1.0) / (documents + 0.5)).ln();
                project(term, weight, seed, lexical);
            }
        }
        normalise(lexical);
    });
    rows
}

/// Adds a term at its random signs: a random projection whose matrix is never held.
fn project(term: &str, weight: f32, seed: u64, lexical: &mut [f32]) {
    let mut state = term
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut bits = 0u64;
    for (index, value) in lexical.iter_mut().enumerate() {
        if index % 64 == 0 {
            bits = split_mix(&mut state);
        }
        *value += if bits & 1 == 0 { weight } else { -weight };
        bits >>= 1;
    }
}
