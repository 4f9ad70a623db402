//! The descent: from the top of a pyramid of keys, open the best nodes of each level until the leaves.
//!
//! A lookahead of 2 in a pyramid of fours scores sixteen keys a node instead of one, and still O(log n) a group.

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
    /// lowest level has none.
    pub children: Vec<u32>,
}

/// The keys of all nodes, from the parts of the leaves to the top.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IndexPyramid {
    levels: Vec<IndexLevel>,
    /// Levels below that of the leaves, which a lookahead reaches.
    n_below: usize,
    /// Node `j` of a level, counted from the leaves, has the leaves `spans[level][j]..spans[level][j + 1]`.
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

/// Whose scores are asked for, and at which level; 0 is that of the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub group: usize,
    pub level: usize,
}

/// How nodes are scored: those of a level, counted from the leaves, by the level so deep below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookahead {
    pub level: usize,
    pub depth: usize,
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
    /// The pyramid of these levels from the lowest up: `n_below` of parts of leaves, and the leaves.
    pub fn new(levels: Vec<IndexLevel>, n_below: usize) -> Self {
        let mut spans: Vec<Vec<u32>> = Vec::with_capacity(levels.len());
        for level in &levels[n_below..] {
            let borders = level.children.iter();
            spans.push(match spans.last() {
                None => (0..=level.keys.len() as u32).collect(),
                Some(below) => borders.map(|child| below[*child as usize]).collect(),
            });
        }
        Self {
            levels,
            n_below,
            spans,
        }
    }

    /// The keys of the leaves.
    pub fn leaves(&self) -> Option<&IndexKeys> {
        self.levels.get(self.n_below).map(|level| &level.keys)
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
        let init = || (Scratch::default(), None);
        self.descend_by(
            indexer,
            groups,
            init,
            |(scratch, rows), place, nodes, scores| {
                let rows = match rows {
                    Some((group, rows)) if *group == place.group => rows,
                    _ => {
                        let own = groups[place.group].queries.clone();
                        let own = GroupRows::new(indexer, queries, own);
                        &mut rows.insert((place.group, own)).1
                    }
                };
                let from = Lookahead {
                    level: place.level,
                    depth: indexer.lookahead,
                };
                self.score(rows, from, nodes, scratch);
                scores.clone_from(&scratch.scores);
            },
        )
    }

    /// Writes the scores of nodes to the scratch's.
    pub(super) fn score(
        &self,
        rows: &GroupRows,
        from: Lookahead,
        nodes: &[u32],
        scratch: &mut Scratch,
    ) {
        let level = self.n_below + from.level;
        let depth = from.depth.min(level);
        let keys = &self.levels[level - depth].keys;
        if depth == 0 {
            return score(rows, keys, nodes, scratch);
        }
        let below = nodes.iter().map(|&node| self.below(level, depth, node));
        let list: Vec<u32> = below.clone().flatten().collect();
        score(rows, keys, &list, scratch);
        let mut parts = scratch.scores.as_slice();
        let sums = below.map(|own| {
            let (own, rest) = parts.split_at(own.len());
            parts = rest;
            own.iter().sum()
        });
        scratch.scores = sums.collect();
    }

    /// What lies `depth` levels below a node of a level, counted from the lowest.
    fn below(&self, level: usize, depth: usize, node: u32) -> Range<u32> {
        let levels = self.levels[level - depth + 1..=level].iter().rev();
        levels.fold(node..node + 1, |own, level| {
            level.children[own.start as usize]..level.children[own.end as usize]
        })
    }

    /// As [`IndexPyramid::descend`], with scores of any kind: `score` replaces the last argument by those of the nodes.
    pub fn descend_by<S>(
        &self,
        indexer: &Indexer,
        groups: &[Group],
        init: impl Fn() -> S + Sync + Send,
        score: impl Fn(&mut S, Place, &[u32], &mut Vec<f32>) + Sync + Send,
    ) -> Vec<Selection> {
        let groups = groups.par_iter().enumerate();
        groups
            .map_init(init, |state, (group, own)| {
                self.select(indexer, &own.own, |level, nodes, scores| {
                    score(state, Place { group, level }, nodes, scores);
                })
            })
            .collect()
    }

    fn select(
        &self,
        indexer: &Indexer,
        own: &Range<u32>,
        mut score: impl FnMut(usize, &[u32], &mut Vec<f32>),
    ) -> Selection {
        let mut selection = Selection::default();
        let n_top = self.levels.last().map_or(0, |top| top.keys.len() as u32);
        let mut open: Vec<u32> = (0..n_top).collect();
        let mut scores = Vec::new();
        for (level, keys) in self.levels[self.n_below..].iter().enumerate().rev() {
            let (scored, ancestors) = self.part(level, &open, own);
            let leaf = level == 0;
            let count = if leaf { indexer.leaves } else { indexer.kept };
            // Where all are kept it does not matter what they score.
            scores.clear();
            match count < scored.len() {
                true => score(level, &scored, &mut scores),
                false => scores.resize(scored.len(), 0.0),
            }
            let ranked = scores.iter().copied().zip(scored.iter().copied());
            let mut best: Vec<Ranked> = ranked.collect();
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
