//! The descent: from the top of a pyramid of keys, open the best nodes of each level until the leaves.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    IndexKeys, IndexQueries, Indexer, Ranked, ascending, keep_best,
    keys::GroupRows,
    scores::{Scratch, score},
};

/// A level of the pyramid.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndexLevel {
    pub keys: IndexKeys,
    /// Node `j` has the children `children[j]..children[j + 1]` of the level below, all of them in their order; the
    /// level of the leaves has none.
    pub children: Vec<u32>,
}

/// The keys of all nodes, from the leaves to the top.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndexPyramid {
    levels: Vec<IndexLevel>,
    /// Node `j` of a level has the leaves `spans[level][j]..spans[level][j + 1]`.
    spans: Vec<Vec<u32>>,
}

/// Queries that share a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub queries: Range<u32>,
    /// The leaves of their own passage, which are never selected.
    pub own: Range<u32>,
}

/// A node of the pyramid; level 0 is that of the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    pub level: u8,
    pub index: u32,
}

/// What a group reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The best leaves, ascending.
    pub leaves: Vec<u32>,
    /// Nodes that together hold every leaf outside the own passage once: those that were scored and not opened, and
    /// all leaves that were scored.
    pub cover: Vec<Node>,
}

impl IndexPyramid {
    /// The pyramid of these levels, the leaves first.
    pub fn new(levels: Vec<IndexLevel>) -> Self {
        let mut spans: Vec<Vec<u32>> = Vec::with_capacity(levels.len());
        for level in &levels {
            let borders = level.children.iter();
            spans.push(match spans.last() {
                None => (0..=level.keys.len() as u32).collect(),
                Some(below) => borders.map(|child| below[*child as usize]).collect(),
            });
        }
        Self { levels, spans }
    }

    /// The keys of the leaves.
    pub fn leaves(&self) -> Option<&IndexKeys> {
        self.levels.first().map(|level| &level.keys)
    }

    /// The selection of each group; costs O(log n) a group.
    ///
    /// Ancestors of the own passage are always opened, beside the best, so that the cover stays exact.
    pub fn descend(
        &self,
        indexer: &Indexer,
        queries: &IndexQueries,
        groups: &[Group],
    ) -> Vec<Selection> {
        let select = |scratch: &mut Scratch, group: &Group| {
            let rows = GroupRows::new(indexer, queries, group.queries.clone());
            self.select(indexer, &rows, &group.own, scratch)
        };
        groups
            .par_iter()
            .map_init(Scratch::default, select)
            .collect()
    }

    fn select(
        &self,
        indexer: &Indexer,
        rows: &GroupRows,
        own: &Range<u32>,
        scratch: &mut Scratch,
    ) -> Selection {
        let mut selection = Selection::default();
        let n_top = self.levels.last().map_or(0, |top| top.keys.len() as u32);
        let mut open: Vec<u32> = (0..n_top).collect();
        for (level, keys) in self.levels.iter().enumerate().rev() {
            let (scored, ancestors) = self.part(level, &open, own);
            let leaf = level == 0;
            let count = if leaf { indexer.leaves } else { indexer.kept };
            let mut best: Vec<Ranked> = match count < scored.len() {
                true => {
                    score(rows, &keys.keys, &scored, scratch);
                    let scores = scratch.scores.iter().copied();
                    scores.zip(scored.iter().copied()).collect()
                }
                // All are kept, whatever they score.
                false => scored.iter().map(|node| (0.0, *node)).collect(),
            };
            keep_best(&mut best, count);
            let mut best = ascending(&best);
            let closed = |node: &u32| leaf || best.binary_search(node).is_err();
            let cover = scored.into_iter().filter(closed).map(|index| Node {
                level: level as u8,
                index,
            });
            selection.cover.extend(cover);
            if leaf {
                selection.leaves = best;
                break;
            }
            best.extend(ancestors);
            best.sort_unstable();
            let children =
                |node: u32| keys.children[node as usize]..keys.children[node as usize + 1];
            open = best.into_iter().flat_map(children).collect();
        }
        selection
    }

    /// Nodes without a leaf of the own passage, and those with some: the own passage's ancestors. Nodes that hold
    /// nothing else are in neither.
    fn part(&self, level: usize, nodes: &[u32], own: &Range<u32>) -> (Vec<u32>, Vec<u32>) {
        let (mut scored, mut ancestors) = (Vec::new(), Vec::new());
        for node in nodes {
            let spans = &self.spans[level][*node as usize..];
            let (start, end) = (spans[0], spans[1]);
            let apart = own.is_empty() || end <= own.start || own.end <= start;
            let inside = own.start <= start && end <= own.end;
            if start == end {
                continue;
            } else if apart {
                scored.push(*node);
            } else if !inside {
                ancestors.push(*node);
            }
        }
        (scored, ancestors)
    }
}
