//! How many quotes each kind of answer has.

pub use crate::model::router::Kind;

/// Quotes of an answer, at most.
pub fn n_quotes(kind: Kind) -> usize {
    match kind {
        Kind::Detail => super::CITATIONS,
        Kind::Concept | Kind::Synthesis => 8,
    }
}
