//! What speaks for a sentence, as one score.

use super::sentence::{ReadPassage, Support};
use crate::query::Ranking;

/// What each part of a sentence's support counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SentenceWeights {
    pub passage: f32,
    pub granules: f32,
    pub vector: f32,
    pub words: f32,
    pub wanted: f32,
    pub span: f32,
    pub read: f32,
    /// A neighbour joins a sentence where its score is less than this below; 0 quotes single sentences.
    pub joined: f32,
}

impl SentenceWeights {
    /// The baseline: the passage's score and the best granules, sentence by sentence.
    pub const GRANULES: Self = Self {
        passage: 1.0,
        granules: 12.0,
        vector: 0.0,
        words: 0.0,
        wanted: 0.0,
        span: 0.0,
        read: 0.0,
        joined: 0.0,
    };

    /// With the joint reader, and without; fitted on questions of QED's training part.
    const READ: Self = Self {
        passage: 0.4,
        granules: 4.0,
        vector: 4.0,
        words: 1.0,
        wanted: 0.6,
        span: 3.0,
        read: 0.5,
        joined: 2.5,
    };
    const FAST: Self = Self {
        passage: 0.4,
        granules: 6.0,
        vector: 6.0,
        words: 1.0,
        wanted: 0.6,
        span: 0.0,
        read: 0.0,
        joined: 2.5,
    };

    /// What serves a ranking: with the joint reader's part where it has read.
    pub fn of(ranking: &Ranking) -> Self {
        match ranking.readings.is_empty() {
            true => Self::FAST,
            false => Self::READ,
        }
    }

    fn score(&self, support: &Support, unread: f32) -> f32 {
        self.passage * support.passage
            + self.granules * support.granules
            + self.vector * support.vector
            + self.words * support.words
            + self.wanted * support.wanted
            + self.span * support.span
            + self.read * support.read.unwrap_or(unread)
    }
}

/// The scores of all sentences, `[n_passages][n_sentences]`.
///
/// One that the reader was not given counts as the worst of those that it was.
pub fn scores(passages: &[ReadPassage], weights: &SentenceWeights) -> Vec<Vec<f32>> {
    let read = passages.iter().flat_map(|own| &own.sentences);
    let read = read.filter_map(|own| own.support.read);
    let unread = read.fold(f32::INFINITY, f32::min);
    let unread = if unread.is_finite() { unread } else { 0.0 };
    let of_passage = |own: &ReadPassage| {
        let sentences = own.sentences.iter();
        sentences
            .map(|own| weights.score(&own.support, unread))
            .collect()
    };
    passages.iter().map(of_passage).collect()
}

/// The best sentences before the reader is asked, as passage and sentence.
pub fn best(
    passages: &[ReadPassage],
    weights: &SentenceWeights,
    count: usize,
) -> Vec<(usize, usize)> {
    let mut order: Vec<(usize, usize, f32)> = scores(passages, weights)
        .into_iter()
        .enumerate()
        .flat_map(|(passage, own)| {
            let own = own.into_iter().enumerate();
            own.map(move |(sentence, score)| (passage, sentence, score))
        })
        .collect();
    order.sort_by(|a, b| b.2.total_cmp(&a.2));
    order.truncate(count);
    order
        .into_iter()
        .map(|(passage, sentence, _)| (passage, sentence))
        .collect()
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
            words: 1.0,
            wanted: 1.0,
            span: 1.0,
            read: Some(1.0),
            ..nothing
        };
        for weights in [
            SentenceWeights::READ,
            SentenceWeights::FAST,
            SentenceWeights::GRANULES,
        ] {
            assert_eq!(weights.score(&nothing, 0.0), 0.0);
            assert!(weights.score(&full, 0.0) > 6.0);
            let behind = Support {
                passage: -1.0,
                ..nothing
            };
            assert!(weights.score(&behind, 0.0) < 0.0);
        }
    }
}
