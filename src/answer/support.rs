//! Whether the corpus answers at all: one logistic over what the best passages have to show.
//!
//! Measures are taken of the best three passages as cosines and as log odds, since these mean the same in every corpus
//! while z-scores do not: how well the question's word pieces match the mean of a sentence's granules, how well its best
//! granules, and what the joint reader makes of the passage. The weights were fitted on half of CLAPnq's questions, and
//! on half of the bundled ones beside questions that the vault does not answer; the threshold keeps nine in ten of the
//! latter half that it does. README.md tells what they do on the other halves. A passage that is near and still does not
//! answer, as in CLAPnq, gets a lower figure and is seldom turned down.

use serde::Serialize;

use super::sentence::ReadPassage;
use crate::query::Ranking;

/// Passages that are heard.
const HEARD: usize = 3;
/// What the reader is taken to say where it read none of them.
const UNREAD: f32 = -6.0;

/// A logistic over the measures.
struct Calibration {
    relevance: f32,
    granules: f32,
    vector: f32,
    bias: f32,
    /// Probability from which on the corpus is taken to answer.
    threshold: f32,
}

/// With the joint reader, and without.
const READ: Calibration = Calibration {
    relevance: 0.15,
    granules: 0.1,
    vector: 8.6,
    bias: -3.15,
    threshold: 0.24,
};
const FAST: Calibration = Calibration {
    relevance: 0.0,
    granules: 1.9,
    vector: 9.5,
    bias: -4.2,
    threshold: 0.25,
};

/// What was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Judgement {
    pub supported: bool,
    /// Probability that the corpus answers.
    pub support: f32,
}

/// Judges by the best passages, best first, of which only the first few count.
pub fn judge(ranking: &Ranking, passages: &[ReadPassage]) -> Judgement {
    let heard = &passages[..passages.len().min(HEARD)];
    let supports = heard
        .iter()
        .flat_map(|own| &own.sentences)
        .map(|own| own.support);
    let (mut granules, mut vector) = (0f32, 0f32);
    for support in supports {
        granules = granules.max(support.granules);
        vector = vector.max(support.vector);
    }
    let read = heard
        .iter()
        .filter_map(|own| ranking.readings.get(&own.passage));
    let relevance = read.map(|reading| reading.relevance).fold(UNREAD, f32::max);
    let calibration = match ranking.readings.is_empty() {
        true => FAST,
        false => READ,
    };
    calibration.judge(relevance, granules, vector)
}

impl Calibration {
    fn judge(&self, relevance: f32, granules: f32, vector: f32) -> Judgement {
        let odds = self.relevance * relevance.clamp(-6.0, 6.0)
            + self.granules * granules
            + self.vector * vector
            + self.bias;
        let support = 1.0 / (1.0 + (-odds).exp());
        Judgement {
            supported: support >= self.threshold,
            support,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_grows_with_each_measure() {
        for calibration in [READ, FAST] {
            let weak = calibration.judge(-4.0, 0.2, 0.1);
            assert!(!weak.supported && weak.support < calibration.threshold);
            for (relevance, granules, vector) in
                [(0.0, 0.2, 0.1), (-4.0, 0.5, 0.1), (-4.0, 0.2, 0.4)]
            {
                let other = calibration.judge(relevance, granules, vector);
                assert!(other.support >= weak.support);
            }
            assert!(calibration.judge(4.0, 0.7, 0.6).supported);
        }
    }
}
