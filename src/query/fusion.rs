//! The one place where parts become a score.

use super::{Candidate, Parts, RankedPassage};
pub use crate::model::config::FusionWeights;

/// A part that varies less than this over the pool tells nothing.
const MIN_DEVIATION: f32 = 1e-6;

/// `values` less their mean, over their deviation.
pub fn z_scores(values: &[f32]) -> Vec<f32> {
    let count = values.len().max(1) as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f32>()
        / count;
    let deviation = variance.sqrt();
    match deviation > MIN_DEVIATION {
        true => values
            .iter()
            .map(|value| (value - mean) / deviation)
            .collect(),
        false => vec![0.0; values.len()],
    }
}

/// Adds the z-scores of the parts over all pools together.
pub(super) fn fuse(pools: &[Vec<Candidate>], weights: &FusionWeights) -> Vec<Vec<RankedPassage>> {
    // What is not encoded yet has the pool's mean, so that it is neither helped nor harmed.
    let column = |part: fn(&Candidate) -> Option<f32>| -> Vec<f32> {
        let all = || pools.iter().flatten().map(part);
        let known: Vec<f32> = all().flatten().collect();
        let mut scores = z_scores(&known).into_iter();
        all()
            .map(|part| part.and_then(|_| scores.next()).unwrap_or(0.0))
            .collect()
    };
    let bm25 = column(|candidate| Some(candidate.bm25));
    let passage = column(|candidate| candidate.dense);
    let granule = column(|candidate| candidate.late);
    let mut parts = (0..bm25.len()).map(|at| Parts {
        bm25: bm25[at],
        passage: passage[at],
        granule: granule[at],
        tree: 0.0,
        near: 0.0,
        links: 0.0,
        reader: 0.0,
    });
    let ranked = |(candidate, parts): (&Candidate, Parts)| RankedPassage {
        passage: candidate.passage,
        document: candidate.document,
        score: weights.bm25 * parts.bm25
            + weights.passage * parts.passage
            + weights.granule * parts.granule,
        parts,
    };
    let pools = pools.iter();
    pools
        .map(|pool| pool.iter().zip(parts.by_ref()).map(ranked).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z_scores_have_mean_zero_and_deviation_one() {
        let scores = z_scores(&[1.0, 2.0, 3.0, 6.0]);
        assert!(scores.iter().sum::<f32>().abs() < 1e-5);
        assert!((scores.iter().map(|score| score * score).sum::<f32>() / 4.0 - 1.0).abs() < 1e-5);
        assert_eq!(z_scores(&[2.0, 2.0]), [0.0, 0.0]);
        assert!(z_scores(&[]).is_empty());
    }
}
