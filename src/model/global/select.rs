//! Which nodes a granule opens: the descent from the top of the pyramid to the leaves.

use std::ops::Range;

use super::pyramid::Pyramid;

/// A node of the pyramid; level 1 stands above the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRef {
    pub level: usize,
    pub node: u32,
}

/// What was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Leaves whose tokens are attended to, ascending.
    pub leaves: Vec<u32>,
    /// Nodes that together hold every token outside the own passage once, each at the finest level that was opened.
    pub cover: Vec<NodeRef>,
}

/// How far a descent goes.
#[derive(Debug, Clone, Copy)]
pub struct Breadth {
    /// Nodes that are opened a level.
    pub opened: usize,
    /// Leaves that are kept.
    pub leaves: usize,
}

/// Gives the scores of some nodes of a level.
pub trait Score {
    /// Replaces `scores` by those of `nodes`.
    fn score(&mut self, level: usize, nodes: &[u32], scores: &mut Vec<f32>);
}

/// Descends to the best leaves outside the passage that holds the tokens `own`.
///
/// Its ancestors are opened beyond the count, so that the cover is exact; it is neither chosen nor covered.
#[inline(always)]
pub fn descend(
    pyramid: &Pyramid,
    own: &Range<usize>,
    breadth: Breadth,
    score: &mut impl Score,
) -> Selection {
    let mut selection = Selection::default();
    let mut scores = Vec::new();
    let mut level = pyramid.levels.len();
    let mut candidates: Vec<u32> = (0..pyramid.levels[level - 1].len() as u32).collect();
    while level > pyramid.leaf_level() {
        let nodes = &pyramid.levels[level - 1];
        let (mut opened, mut others) = (Vec::new(), Vec::new());
        for &node in &candidates {
            let tokens = nodes.tokens_of(node as usize);
            match tokens.start < own.end && own.start < tokens.end {
                // The passage itself, or an ancestor.
                true if tokens == *own => {}
                true => opened.push(node),
                false => others.push(node),
            }
        }
        if others.len() > breadth.opened && breadth.opened > 0 {
            score.score(level, &others, &mut scores);
        }
        let closed = keep_best(&mut others, &scores, breadth.opened);
        selection
            .cover
            .extend(closed.into_iter().map(|node| NodeRef { level, node }));
        opened.extend(others);
        opened.sort_unstable();
        candidates.clear();
        for node in opened {
            let children = nodes.children_of(node as usize);
            candidates.extend(children.start as u32..children.end as u32);
        }
        level -= 1;
    }
    let leaves = &pyramid.levels[level - 1];
    candidates.retain(|&leaf| {
        let tokens = leaves.tokens_of(leaf as usize);
        tokens.end <= own.start || own.end <= tokens.start
    });
    selection
        .cover
        .extend(candidates.iter().map(|&node| NodeRef { level, node }));
    if candidates.len() > breadth.leaves && breadth.leaves > 0 {
        score.score(level, &candidates, &mut scores);
    }
    keep_best(&mut candidates, &scores, breadth.leaves);
    selection.leaves = candidates;
    selection
}

/// Chooses among all leaves; the cover is all of them.
#[inline(always)]
pub fn choose_flat(
    pyramid: &Pyramid,
    own: &Range<usize>,
    count: usize,
    score: &mut impl Score,
) -> Selection {
    let level = pyramid.leaf_level();
    let leaves = &pyramid.levels[level - 1];
    let inside = leaves.nodes_in(own.clone());
    let all = (0..inside.start).chain(inside.end..leaves.len());
    let mut candidates: Vec<u32> = all.map(|leaf| leaf as u32).collect();
    let cover = candidates
        .iter()
        .map(|&node| NodeRef { level, node })
        .collect();
    let mut scores = Vec::new();
    if candidates.len() > count {
        score.score(level, &candidates, &mut scores);
    }
    keep_best(&mut candidates, &scores, count);
    Selection {
        leaves: candidates,
        cover,
    }
}

/// Keeps the `count` nodes with the highest scores, in their order, and returns the others; the first of equals wins.
///
/// Scores are not looked at where all are kept or none.
fn keep_best(nodes: &mut Vec<u32>, scores: &[f32], count: usize) -> Vec<u32> {
    if nodes.len() <= count {
        return Vec::new();
    }
    if count == 0 {
        return std::mem::take(nodes);
    }
    let mut order: Vec<u32> = (0..nodes.len() as u32).collect();
    order.select_nth_unstable_by(count - 1, |&a, &b| {
        scores[b as usize]
            .total_cmp(&scores[a as usize])
            .then(a.cmp(&b))
    });
    let mut is_kept = vec![false; nodes.len()];
    order[..count]
        .iter()
        .for_each(|&at| is_kept[at as usize] = true);
    let (mut kept, mut others) = (Vec::with_capacity(count), Vec::new());
    for (&node, is_kept) in nodes.iter().zip(is_kept) {
        if is_kept { &mut kept } else { &mut others }.push(node);
    }
    *nodes = kept;
    others
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::global::config::GlobalConfig;

    struct Pseudorandom;

    impl Score for Pseudorandom {
        fn score(&mut self, level: usize, nodes: &[u32], scores: &mut Vec<f32>) {
            let mix = |node: u32| (node.wrapping_mul(2_654_435_761) ^ level as u32) % 1_009;
            *scores = nodes.iter().map(|&node| mix(node) as f32).collect();
        }
    }

    fn check(
        lengths: &[usize],
        config: &GlobalConfig,
        own: usize,
        breadth: Breadth,
        is_flat: bool,
    ) {
        let mut starts = vec![0];
        for length in lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        let pyramid = Pyramid::over(config, &starts);
        let own = starts[own]..starts[own + 1];
        let selection = match is_flat {
            true => choose_flat(&pyramid, &own, breadth.leaves, &mut Pseudorandom),
            false => descend(&pyramid, &own, breadth, &mut Pseudorandom),
        };
        let mut covered: Vec<Range<usize>> = selection
            .cover
            .iter()
            .map(|at| pyramid.levels[at.level - 1].tokens_of(at.node as usize))
            .chain([own.clone()])
            .collect();
        covered.sort_by_key(|tokens| tokens.start);
        let mut next = 0;
        for tokens in covered {
            assert_eq!(tokens.start, next, "the cover has a hole or an overlap");
            next = tokens.end;
        }
        assert_eq!(next, starts[starts.len() - 1]);
        let leaves = &pyramid.levels[pyramid.leaf_level() - 1];
        let outside = leaves.len() - leaves.nodes_in(own.clone()).len();
        assert!(selection.leaves.len() <= breadth.leaves.min(outside));
        assert!(selection.leaves.is_sorted_by(|a, b| a < b));
        for &leaf in &selection.leaves {
            let tokens = leaves.tokens_of(leaf as usize);
            assert!(tokens.end <= own.start || own.end <= tokens.start);
        }
    }

    proptest! {
        #[test]
        fn the_cover_holds_the_rest_of_the_document_once(
            lengths in proptest::collection::vec(1usize..257, 1..300),
            (levels, ratio) in (2usize..7, 2usize..6),
            (opened, leaves) in (0usize..20, 0usize..40),
            own in any::<prop::sample::Index>(),
            is_flat in any::<bool>(),
        ) {
            let config = GlobalConfig { levels, ratio, ..GlobalConfig::default() };
            let own = own.index(lengths.len());
            check(&lengths, &config, own, Breadth { opened, leaves }, is_flat);
        }
    }

    #[test]
    fn ties_go_to_the_first() {
        let mut nodes = vec![3, 5, 8, 9];
        let others = keep_best(&mut nodes, &[1.0, 2.0, 1.0, 1.0], 2);
        assert_eq!((nodes, others), (vec![3, 5], vec![8, 9]));
    }
}
