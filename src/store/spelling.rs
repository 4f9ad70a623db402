//! Which term was meant? The one of the index that is spelled most like a term that it does not have.

use std::cmp::Reverse;

use tantivy::{Searcher, Term, schema::Field};

use super::StoreError;

/// Shorter terms are taken as they are: too many others are one letter away.
const LEAST_LETTERS: usize = 4;
/// From so many letters on two mistakes are forgiven, not one.
const LONG_LETTERS: usize = 8;

/// How far a term is from what was typed: the least is meant.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    mistakes: usize,
    wrong_from: Reverse<usize>,
    frequency: Reverse<u32>,
}

/// The term of `field` with the fewest mistakes in `term` (a letter more, less, other, or two exchanged), of equals the
/// one that is right for longest, then the most frequent; the first letter has to be right.
pub fn nearest(searcher: &Searcher, field: Field, term: &Term) -> Result<Option<Term>, StoreError> {
    let Some(word) = term.value().as_str().map(str::to_owned) else {
        return Ok(None);
    };
    let letters = word.chars().count();
    if letters < LEAST_LETTERS || !word.chars().all(char::is_alphabetic) {
        return Ok(None);
    }
    let mistakes = if letters < LONG_LETTERS { 1 } else { 2 };
    let first: String = word.chars().take(1).collect();
    let mut best: Option<(Likeness, String)> = None;
    for segment in searcher.segment_readers() {
        let postings = segment.inverted_index(field)?;
        let from = postings.terms().range().ge(first.as_bytes());
        let mut terms = from.into_stream().map_err(tantivy::TantivyError::from)?;
        while terms.advance() {
            let Ok(other) = std::str::from_utf8(terms.key()) else {
                continue;
            };
            if !other.starts_with(&first) {
                break;
            }
            if other.len().abs_diff(word.len()) > mistakes {
                continue;
            }
            let own = Likeness {
                mistakes: strsim::osa_distance(&word, other),
                wrong_from: Reverse(common_prefix(&word, other)),
                frequency: Reverse(terms.value().doc_freq),
            };
            // Of equals the first in the alphabet stays.
            let better = best.as_ref().is_none_or(|(least, _)| own < *least);
            if own.mistakes <= mistakes && better {
                best = Some((own, other.to_owned()));
            }
        }
    }
    Ok(best.map(|(_, other)| Term::from_field_text(field, &other)))
}

/// Letters that two words have in common before they differ.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}
