//! Vectors of words: terms by their idf, turned to the directions in which the documents of a sample differ most.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::{
    TreeDocument,
    partition::shuffled,
    spectrum::{SparseRows, add_weighted, directions},
    words,
};
use crate::ops::similarity::normalise;

/// Directions that are kept.
pub const LEXICAL_DIMENSIONS: usize = 100;
/// Documents that they are learned from, at most: so the work grows no faster than the library.
const SAMPLE_DOCUMENTS: usize = 20_000;
/// Terms that are told apart, at most: the commonest.
const MAX_TERMS: usize = 100_000;

/// What turns a text into a vector.
pub struct Lexical {
    /// Number and idf of each term that documents share.
    terms: HashMap<String, (u32, f32)>,
    /// `[terms, LEXICAL_DIMENSIONS]`.
    directions: Vec<f32>,
}

impl Lexical {
    /// Learns terms and directions from the documents, or from a sample of many.
    pub fn learn(documents: &[TreeDocument], seed: u64) -> Self {
        let mut sample = shuffled(documents.len(), seed);
        sample.truncate(SAMPLE_DOCUMENTS);
        sample.sort_unstable();
        let counts = sample
            .par_iter()
            .map(|&own| counts(&documents[own as usize]));
        let counts: Vec<BTreeMap<String, f32>> = counts.collect();
        let terms = terms(&counts);
        let rows = counts.par_iter().map(|counts| weights(&terms, counts));
        let rows = SparseRows::new(&rows.collect::<Vec<_>>(), terms.len());
        Self {
            directions: directions(&rows, LEXICAL_DIMENSIONS, seed),
            terms,
        }
    }

    /// Writes a document's vector, of length 1; zero where it shares no term.
    pub fn read(&self, document: &TreeDocument, into: &mut [f32]) {
        into.fill(0.0);
        let entries = weights(&self.terms, &counts(document));
        add_weighted(&entries, &self.directions, into);
        normalise(into);
    }
}

/// How often each term stands in a document.
fn counts(document: &TreeDocument) -> BTreeMap<String, f32> {
    let tags = document.tags.join(" ").replace('/', " ");
    let named = [document.title, document.title, &tags].join("\n");
    let mut counts = BTreeMap::new();
    for term in words::terms(&(named + "\n" + &words::plain(&document.text()))) {
        *counts.entry(term).or_default() += 1.0;
    }
    counts
}

/// The terms that more than one document has, numbered, with their idf.
fn terms(counts: &[BTreeMap<String, f32>]) -> HashMap<String, (u32, f32)> {
    let mut frequency: HashMap<&str, u32> = HashMap::new();
    let all = counts.iter().flat_map(BTreeMap::keys);
    all.for_each(|term| *frequency.entry(term).or_default() += 1);
    // Of two documents no word is shared by chance.
    let least = if counts.len() < 3 { 1 } else { 2 };
    let mut shared: Vec<(&str, u32)> = frequency.into_iter().filter(|own| own.1 >= least).collect();
    shared.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    shared.truncate(MAX_TERMS);
    let total = counts.len() as f32;
    let numbered = shared
        .into_iter()
        .zip(0..)
        .map(|((term, documents), number)| {
            let idf = ((total + 1.0) / (documents as f32 + 0.5)).ln();
            (term.to_owned(), (number, idf))
        });
    numbered.collect()
}

/// The weights of a document's terms, by their numbers, of length 1.
fn weights(terms: &HashMap<String, (u32, f32)>, counts: &BTreeMap<String, f32>) -> Vec<(u32, f32)> {
    let known = counts.iter().filter_map(|(term, count)| {
        let &(number, idf) = terms.get(term)?;
        Some((number, (1.0 + count.ln()) * idf))
    });
    let mut entries: Vec<(u32, f32)> = known.collect();
    let length: f32 = entries.iter().map(|own| own.1 * own.1).sum::<f32>().sqrt();
    let entries_mut = entries.iter_mut();
    entries_mut.for_each(|own| own.1 /= length.max(f32::MIN_POSITIVE));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ops::similarity::product, tree::OwnedDocument};

    #[test]
    fn texts_of_one_subject_are_near() {
        let subjects = ["basalt lava crater", "sonata fugue motet", "酵母面粉烘焙"];
        let document = |own: usize| OwnedDocument {
            text: format!("{} note {own}", subjects[own % 3]),
            ..OwnedDocument::default()
        };
        let owned: Vec<OwnedDocument> = (0..12).map(document).collect();
        let documents: Vec<TreeDocument> = owned.iter().map(OwnedDocument::as_ref).collect();
        let lexical = Lexical::learn(&documents, 7);
        let vector = |own: usize| {
            let mut vector = vec![0.0; LEXICAL_DIMENSIONS];
            lexical.read(&documents[own], &mut vector);
            vector
        };
        for (a, b) in (0..12).flat_map(|a| (0..12).map(move |b| (a, b))) {
            let cosine = product(&vector(a), &vector(b));
            assert_eq!(cosine > 0.9, a % 3 == b % 3, "{a} {b}: {cosine}");
        }
        let strange = OwnedDocument::default();
        let mut vector = vec![1.0; LEXICAL_DIMENSIONS];
        lexical.read(&strange.as_ref(), &mut vector);
        assert_eq!(vector, vec![0.0; LEXICAL_DIMENSIONS]);
    }
}
