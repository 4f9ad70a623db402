//! What the tree compares documents by: the model's vectors beside lexical ones.

use rayon::prelude::*;

use super::{
    TreeDocument,
    build::dimensions,
    lexical::{LEXICAL_DIMENSIONS, Lexical},
    rows::{Precision, Rows},
    words,
};
use crate::ops::similarity::normalise;

/// What the lexical part's length is beside the model's.
const LEXICAL_WEIGHT: f32 = 0.7;

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
        let learned = Lexical::learn(documents, seed);
        let mut lexical = Rows::new(documents.len(), LEXICAL_DIMENSIONS, precision);
        lexical.update(0, LEXICAL_DIMENSIONS, |row, words| {
            learned.read(&documents[row], words);
        });
        let read = documents.par_iter();
        let read = read.map(|document| 1.0 - words::cjk_share(&document.text()));
        Self {
            documents,
            lexical,
            read: read.collect(),
            dimensions: dimensions(documents),
            precision,
        }
    }

    /// All rows, of length 1.
    pub fn rows(&self) -> Rows {
        let width = self.dimensions + LEXICAL_DIMENSIONS;
        let mut rows = Rows::new(self.documents.len(), width, self.precision);
        rows.update(0, width, |row, joint| {
            let (model, words) = joint.split_at_mut(self.dimensions);
            let vector = self.documents[row].vector();
            let values = model.iter_mut().zip(&*vector);
            values.for_each(|(value, own)| *value = self.read[row] * own);
            self.lexical.read(row, 0, words);
            words.iter_mut().for_each(|value| *value *= LEXICAL_WEIGHT);
            normalise(joint);
        });
        rows
    }
}

/// What the tree compares documents by: the model's vector beside a lexical one, `[n_documents]` rows of length 1.
pub fn joint_vectors(documents: &[TreeDocument], seed: u64) -> Vec<Vec<f32>> {
    let rows = Joint::new(documents, seed, Precision::Full).rows();
    rows.gather(0..documents.len())
}
