//! The one place where parts become a score.

use super::{Candidate, Parts, RankedPassage};

/// A part that varies less than this over the pool tells nothing.
const MIN_DEVIATION: f32 = 1e-6;

/// What each part's z-score counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FusionWeights {
    pub bm25: f32,
    pub passage: f32,
    pub granule: f32,
    /// What the tree's evidence counts where no link is followed.
    pub tree: f32,
    /// What the score of a document counts for those that it links to.
    pub link: f32,
    /// What the joint reader counts beside all of these; 0 leaves it out.
    pub reader: f32,
}

impl Default for FusionWeights {
    fn default() -> Self {
        Self::UNTRAINED
    }
}

impl FusionWeights {
    /// What serves the untrained model: picked from a small grid, the same for every corpus.
    pub const UNTRAINED: Self = Self {
        bm25: 1.0,
        passage: 0.7,
        granule: 1.0,
        tree: 0.2,
        link: 0.35,
        reader: 0.5,
    };

    /// As the default, without the joint reader.
    pub const FAST: Self = Self {
        reader: 0.0,
        ..Self::UNTRAINED
    };

    /// The baseline: BM25 and passage vectors in equal parts, nothing else.
    pub const SUM: Self = Self {
        bm25: 1.0,
        passage: 1.0,
        granule: 0.0,
        tree: 0.0,
        link: 0.0,
        reader: 0.0,
    };
}

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
