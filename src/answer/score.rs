//! What speaks for a sentence, as one score.

use super::{
    kind::Kind,
    sentence::{ReadPassage, Support},
};
use crate::query::Ranking;

/// What the opening of a document counts where a concept is asked for.
const OPENING: f32 = 0.75;

/// What each part of a sentence's support counts.
///
/// The share of the question's words that stand in it word for word, and the joint reader's opinion of the sentence
/// alone, were tried as well: beside the vector and the span they added nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SentenceWeights {
    pub passage: f32,
    pub granules: f32,
    pub vector: f32,
    pub wanted: f32,
    pub span: f32,
    pub opening: f32,
    /// A neighbour joins a sentence where its score is less than this below; 0 quotes single sentences.
    pub joined: f32,
}

impl SentenceWeights {
    /// The baseline: the passage's score and the best granules, sentence by sentence.
    pub const GRANULES: Self = Self {
        passage: 1.0,
        granules: 12.0,
        vector: 0.0,
        wanted: 0.0,
        span: 0.0,
        opening: 0.0,
        joined: 0.0,
    };

    /// With the joint reader, and without; fitted listwise on 516 questions of QED's training part, but for the span:
    /// those questions taught the reader, so its part was picked of five on CLAPnq and the bundled questions.
    const READ: Self = Self {
        passage: 0.54,
        granules: 0.0,
        vector: 6.1,
        wanted: 0.85,
        span: 2.0,
        opening: 0.0,
        joined: 2.0,
    };
    const FAST: Self = Self {
        passage: 0.65,
        granules: 3.0,
        vector: 6.1,
        wanted: 1.4,
        span: 0.0,
        opening: 0.0,
        joined: 2.0,
    };

    /// What serves a ranking: with the joint reader's part where it has read.
    pub fn of(ranking: &Ranking, kind: Kind) -> Self {
        let weights = match ranking.readings.is_empty() {
            true => Self::FAST,
            false => Self::READ,
        };
        Self {
            opening: if kind == Kind::Concept { OPENING } else { 0.0 },
            ..weights
        }
    }

    fn score(&self, support: &Support) -> f32 {
        self.passage * support.passage
            + self.granules * support.granules
            + self.vector * support.vector
            + self.wanted * support.wanted
            + self.span * support.span
            + self.opening * support.opening
    }
}

/// The scores of all sentences, `[n_passages][n_sentences]`.
pub fn scores(passages: &[ReadPassage], weights: &SentenceWeights) -> Vec<Vec<f32>> {
    let of_passage = |own: &ReadPassage| {
        let sentences = own.sentences.iter();
        sentences.map(|own| weights.score(&own.support)).collect()
    };
    passages.iter().map(of_passage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let nothing = Support::default();
        let full = Support {
            granules: 1.0,
            vector: 1.0,
            wanted: 1.0,
            span: 1.0,
            ..nothing
        };
        for weights in [
            SentenceWeights::READ,
            SentenceWeights::FAST,
            SentenceWeights::GRANULES,
        ] {
            assert_eq!(weights.score(&nothing), 0.0);
            assert!(weights.score(&full) > 6.0);
            let behind = Support {
                passage: -1.0,
                ..nothing
            };
            assert!(weights.score(&behind) < 0.0);
        }
    }
}
