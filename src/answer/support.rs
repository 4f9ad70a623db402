//! Whether the corpus answers at all: one logistic over what the best passages have to show.
//!
//! Two measures are taken of the best three passages, as a cosine and as log odds, since these mean the same in every
//! corpus while z-scores do not: how well the question's word pieces match the mean of a sentence's granules, and what
//! the joint reader makes of the passage. The weights were fitted on the even places of CLAPnq's questions and of the
//! bundled ones with those that the vault does not answer (`corpora/foreign.jsonl`), the threshold to keep nineteen in
//! twenty of the bundled ones; `shas eval` judges the odd places. CLAPnq alone would have turned down nine in ten of
//! the bundled questions, whose words are seldom those of the notes. A passage that is near and still does not answer,
//! as in CLAPnq, gets a lower figure and is seldom turned down.

use serde::Serialize;

use super::sentence::ReadPassage;
use crate::query::Ranking;

/// Passages that are heard.
const HEARD: usize = 3;
/// The most that the reader's log odds count, either way, and what it is taken to say where it read none of them.
const MOST: f32 = 6.0;

/// A logistic over the measures.
struct Calibration {
    relevance: f32,
    vector: f32,
    bias: f32,
    /// Probability from which on the corpus is taken to answer.
    threshold: f32,
}

/// With the joint reader, and without.
const READ: Calibration = Calibration {
    relevance: 0.15,
    vector: 9.1,
    bias: -3.35,
    threshold: 0.24,
};
const FAST: Calibration = Calibration {
    relevance: 0.0,
    vector: 11.8,
    bias: -4.2,
    threshold: 0.22,
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
    let sentences = heard.iter().flat_map(|own| &own.sentences);
    let vector = sentences.fold(0f32, |best, own| best.max(own.support.vector));
    let read = heard.iter();
    let read = read.filter_map(|own| ranking.readings.get(&own.passage));
    let relevance = read.map(|own| own.relevance).fold(-MOST, f32::max);
    let calibration = match ranking.readings.is_empty() {
        true => FAST,
        false => READ,
    };
    calibration.judge(relevance, vector)
}

impl Calibration {
    fn judge(&self, relevance: f32, vector: f32) -> Judgement {
        let relevance = relevance.clamp(-MOST, MOST);
        let odds = self.relevance * relevance + self.vector * vector + self.bias;
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
            let weak = calibration.judge(-4.0, 0.1);
            assert!(!weak.supported && weak.support < calibration.threshold);
            assert!(calibration.judge(0.0, 0.1).support >= weak.support);
            assert!(calibration.judge(-4.0, 0.3).support > weak.support);
            assert!(calibration.judge(4.0, 0.5).supported);
        }
        assert!(READ.judge(2.0, 0.1).support > READ.judge(-2.0, 0.1).support);
    }
}
