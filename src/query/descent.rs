//! Sparse attention to a level of nodes, and down a hierarchy of such levels.
//!
//! A level is attended to by keeping its best nodes and sharing the attention among them; a hierarchy by attending
//! to its top and then, level by level, to the children of what was kept. So a descent costs what is opened, not
//! what there is. Levels of the tree and levels inside documents are attended to by the same function.

/// A node that was kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attended<N> {
    pub node: N,
    pub score: f32,
    /// Of the attention of its level; those of a level add up to 1.
    pub share: f32,
}

/// Levels of nodes that a question can descend.
pub trait Hierarchy {
    type Node: Copy + Ord;

    /// The nodes of the broadest level.
    fn top(&self) -> Vec<Self::Node>;

    /// The nodes of the level below that a node holds.
    fn children(&self, node: Self::Node) -> Vec<Self::Node>;

    /// How well a node fits the question; 1 more makes it e times as likely.
    fn score(&self, node: Self::Node) -> f32;
}

/// Attends to one level: the `kept` best nodes of those `scored`, best first, and of equally good ones the first.
pub fn attend<N: Copy + Ord>(mut scored: Vec<(N, f32)>, kept: usize) -> Vec<Attended<N>> {
    scored.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scored.truncate(kept);
    let Some(&(_, best)) = scored.first() else {
        return Vec::new();
    };
    let likelihood = |score: f32| match score == best {
        // Infinite scores have no difference.
        true => 1.0,
        false => (score - best).exp(),
    };
    let total: f32 = scored.iter().map(|&(_, score)| likelihood(score)).sum();
    let attended = scored.into_iter().map(|(node, score)| Attended {
        node,
        score,
        share: likelihood(score) / total,
    });
    attended.collect()
}

/// Descends a hierarchy from its top, keeping the `kept` best nodes of a level; a level is looked at when the iterator comes to it.
pub fn descend<H: Hierarchy>(
    hierarchy: &H,
    kept: usize,
) -> impl Iterator<Item = Vec<Attended<H::Node>>> {
    let mut open = hierarchy.top();
    std::iter::from_fn(move || {
        // A node of several parents is looked at once.
        open.sort_unstable();
        open.dedup();
        let scored = open.iter().map(|&node| (node, hierarchy.score(node)));
        let level = attend(scored.collect(), kept);
        let children = level
            .iter()
            .flat_map(|attended| hierarchy.children(attended.node));
        open = children.collect();
        (!level.is_empty()).then_some(level)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Levels of nodes by number, each with its score and the numbers of its children.
    #[derive(Debug, Clone)]
    struct Levels(Vec<Vec<(f32, Vec<usize>)>>);

    impl Hierarchy for Levels {
        type Node = (usize, usize);

        fn top(&self) -> Vec<Self::Node> {
            let top = self.0.first().map_or(0, Vec::len);
            (0..top).map(|node| (0, node)).collect()
        }

        fn children(&self, (level, node): Self::Node) -> Vec<Self::Node> {
            let children = self.0[level][node].1.iter();
            children.map(|&child| (level + 1, child)).collect()
        }

        fn score(&self, (level, node): Self::Node) -> f32 {
            self.0[level][node].0
        }
    }

    /// Every node of a level is the child of one or two of the level above.
    fn levels() -> impl Strategy<Value = Levels> {
        let node = (-1.0f32..1.0, any::<(usize, usize)>());
        let level = proptest::collection::vec(node, 1..20);
        proptest::collection::vec(level, 0..5).prop_map(|drawn| {
            let mut levels: Vec<Vec<(f32, Vec<usize>)>> = Vec::new();
            for nodes in drawn {
                if let Some(above) = levels.last_mut() {
                    let count = above.len();
                    for (child, (_, (one, other))) in nodes.iter().enumerate() {
                        above[one % count].1.push(child);
                        above[other % count].1.push(child);
                    }
                }
                levels.push(
                    nodes
                        .into_iter()
                        .map(|(score, _)| (score, Vec::new()))
                        .collect(),
                );
            }
            Levels(levels)
        })
    }

    proptest! {
        #[test]
        fn a_descent_that_keeps_all_is_exhaustive(levels in levels()) {
            let found: Vec<_> = descend(&levels, 20).collect();
            let exhaustive = levels.0.iter().enumerate().map(|(level, nodes)| {
                let scored = nodes.iter().enumerate().map(|(node, own)| ((level, node), own.0));
                attend(scored.collect(), usize::MAX)
            });
            prop_assert_eq!(found, exhaustive.collect::<Vec<_>>());
        }

        #[test]
        fn a_level_is_bounded_sorted_and_shares_one(levels in levels(), kept in 1usize..8) {
            let found: Vec<_> = descend(&levels, kept).collect();
            prop_assert_eq!(&found, &descend(&levels, kept).collect::<Vec<_>>());
            for level in found {
                prop_assert!(level.len() <= kept);
                prop_assert!(level.is_sorted_by(|a, b| a.score >= b.score && a.share >= b.share));
                prop_assert!((level.iter().map(|own| own.share).sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn nothing_is_attended_to_where_there_is_nothing() {
        assert_eq!(descend(&Levels(Vec::new()), 4).count(), 0);
        assert_eq!(
            descend(&Levels(vec![vec![(0.0, Vec::new())]]), 0).count(),
            0
        );
    }

    #[test]
    fn infinite_scores_share_the_attention() {
        let shares = attend(vec![(0, f32::NEG_INFINITY); 2], 4);
        assert!(shares.iter().all(|own| own.share == 0.5));
    }
}
