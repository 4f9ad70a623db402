//! How far groups agree with classes: mutual information, the adjusted Rand index, purity.

use std::collections::BTreeMap;

use serde::Serialize;

/// Figures of one partition against the classes of one depth; 1 is perfect in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// Mutual information over the arithmetic mean of both entropies.
    pub nmi: f64,
    /// The Rand index, with what chance gives taken off.
    pub ari: f64,
    /// The share of documents that are of their group's commonest class.
    pub purity: f64,
}

impl Agreement {
    /// Judges the group of each document; those without a class don't count.
    pub fn of(groups: &[usize], classes: &[Option<usize>]) -> Self {
        let mut cells: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for (&group, class) in groups.iter().zip(classes) {
            if let Some(class) = class {
                *cells.entry((group, *class)).or_default() += 1.0;
            }
        }
        let mut of_group: BTreeMap<usize, f64> = BTreeMap::new();
        let mut of_class: BTreeMap<usize, f64> = BTreeMap::new();
        let mut largest: BTreeMap<usize, f64> = BTreeMap::new();
        for (&(group, class), &count) in &cells {
            *of_group.entry(group).or_default() += count;
            *of_class.entry(class).or_default() += count;
            let largest = largest.entry(group).or_default();
            *largest = largest.max(count);
        }
        let total: f64 = of_group.values().sum();
        if total == 0.0 {
            return Self::default();
        }
        let shared: f64 = cells
            .iter()
            .map(|((group, class), count)| {
                count / total * (count * total / (of_group[group] * of_class[class])).ln()
            })
            .sum();
        let entropies = entropy(&of_group, total) + entropy(&of_class, total);
        Self {
            nmi: match entropies > 0.0 {
                true => 2.0 * shared / entropies,
                false => 1.0,
            },
            ari: rand_index(&cells, &of_group, &of_class, total),
            purity: largest.values().sum::<f64>() / total,
        }
    }
}

fn entropy(sizes: &BTreeMap<usize, f64>, total: f64) -> f64 {
    let shares = sizes.values().map(|size| size / total);
    -shares.map(|share| share * share.ln()).sum::<f64>()
}

fn rand_index(
    cells: &BTreeMap<(usize, usize), f64>,
    of_group: &BTreeMap<usize, f64>,
    of_class: &BTreeMap<usize, f64>,
    total: f64,
) -> f64 {
    let together: f64 = cells.values().copied().map(pairs).sum();
    let in_groups: f64 = of_group.values().copied().map(pairs).sum();
    let in_classes: f64 = of_class.values().copied().map(pairs).sum();
    let chance = in_groups * in_classes / pairs(total).max(1.0);
    let best = (in_groups + in_classes) / 2.0;
    match best > chance {
        true => (together - chance) / (best - chance),
        false => 1.0,
    }
}

/// Pairs that can be drawn from so many.
pub fn pairs(count: f64) -> f64 {
    count * (count - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_match_a_hand_count() {
        let check = |groups: &[usize], classes: &[Option<usize>], expected: [f64; 3]| {
            let found = Agreement::of(groups, classes);
            for (found, expected) in [found.nmi, found.ari, found.purity].iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{groups:?}: {found} {expected}"
                );
            }
        };
        let halves = [Some(0), Some(0), Some(1), Some(1)];
        check(&[5, 5, 3, 3], &halves, [1.0, 1.0, 1.0]);
        // Everything in one group: no information, chance level, half of it pure.
        check(&[0, 0, 0, 0], &halves, [0.0, 0.0, 0.5]);
        // Each group has one of each class: one of 6 pairs is together by class and 2 by group, none by both.
        check(&[0, 1, 0, 1], &halves, [0.0, -0.5, 0.5]);
        // Groups of 3 and 1. H(groups) = ln 4 − ¾ ln 3, H(classes) = ln 2; what both share is
        // ½ ln(4/3) + ¼ ln(2/3) + ¼ ln 2. Pairs: 1 together, 3 in groups, 2 in classes, of 6: chance 1, best 2.5.
        let shared = 0.5 * (4.0f64 / 3.0).ln() + 0.25 * (2.0f64 / 3.0).ln() + 0.25 * 2f64.ln();
        let entropies = 4f64.ln() - 0.75 * 3f64.ln() + 2f64.ln();
        check(
            &[0, 0, 0, 1],
            &halves,
            [2.0 * shared / entropies, 0.0, 0.75],
        );
        // What has no class counts for nothing.
        check(
            &[5, 5, 3, 3, 5, 3],
            &[Some(0), Some(0), Some(1), Some(1), None, None],
            [1.0, 1.0, 1.0],
        );
        check(&[0, 1], &[None, None], [0.0, 0.0, 0.0]);
    }
}
