//! nDCG and recall as the field computes them.

use std::{cmp::Ordering, collections::BTreeMap};

use serde::Serialize;

/// Figures of one ranking, or their mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Metrics {
    pub ndcg10: f64,
    pub recall5: f64,
    pub recall10: f64,
}

impl Metrics {
    /// Judges `ranked`, best first, by the gain of each relevant record.
    pub fn of(ranked: &[&str], gains: &BTreeMap<String, u32>) -> Self {
        let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let gain = |record: &str| f64::from(gains.get(record).copied().unwrap_or(0));
        let dcg: f64 = ranked
            .iter()
            .take(10)
            .enumerate()
            .map(|(rank, record)| gain(record) * discount(rank))
            .sum();
        let mut ideal: Vec<u32> = gains.values().copied().collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        let ideal: f64 = ideal
            .iter()
            .take(10)
            .enumerate()
            .map(|(rank, gain)| f64::from(*gain) * discount(rank))
            .sum();
        let recall = |depth: usize| {
            let found = ranked
                .iter()
                .take(depth)
                .filter(|record| gain(record) > 0.0)
                .count();
            found as f64 / gains.len().max(1) as f64
        };
        Self {
            ndcg10: if ideal > 0.0 { dcg / ideal } else { 0.0 },
            recall5: recall(5),
            recall10: recall(10),
        }
    }

    /// The mean of each figure.
    pub fn mean(all: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        let mut count = 0.0;
        for figures in all {
            sum.ndcg10 += figures.ndcg10;
            sum.recall5 += figures.recall5;
            sum.recall10 += figures.recall10;
            count += 1.0;
        }
        let count = f64::max(count, 1.0);
        Self {
            ndcg10: sum.ndcg10 / count,
            recall5: sum.recall5 / count,
            recall10: sum.recall10 / count,
        }
    }
}

/// How often a figure of `with` is above one of `without`; a tie counts half.
pub fn auc(with: &[f32], without: &[f32]) -> f64 {
    let pairs = with
        .iter()
        .flat_map(|one| without.iter().map(move |other| (one, other)));
    let won = pairs.map(|(one, other)| match one.total_cmp(other) {
        Ordering::Greater => 1.0,
        Ordering::Equal => 0.5,
        Ordering::Less => 0.0,
    });
    won.sum::<f64>() / (with.len() * without.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_match_a_hand_count() {
        let gains = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let figures = Metrics::of(&["x", "a", "y", "z", "w", "b"], &gains);
        let ideal = 2.0 + 1.0 / 3f64.log2();
        let found = 2.0 / 3f64.log2() + 1.0 / 7f64.log2();
        assert!((figures.ndcg10 - found / ideal).abs() < 1e-12);
        assert_eq!((figures.recall5, figures.recall10), (0.5, 1.0));
    }
}
