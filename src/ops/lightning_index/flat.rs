//! Every leaf scored for every group: what the descent is measured against.

use rayon::prelude::*;

use super::{
    Group, IndexKeys, IndexQueries, Indexer, Ranked, ascending, keep_best,
    keys::GroupRows,
    scores::{Scratch, score},
};

/// Leaves between two prunings: few enough to stay in the cache beside their keys.
const CHUNK_LEAVES: u32 = 512;

/// The best leaves of each group outside its own passage, ascending; O(n) a group.
pub fn select_flat(
    indexer: &Indexer,
    leaves: &IndexKeys,
    queries: &IndexQueries,
    groups: &[Group],
) -> Vec<Vec<u32>> {
    let select = |scratch: &mut Scratch, group: &Group| {
        let rows = GroupRows::new(indexer, queries, group.queries.clone());
        let mut best: Vec<Ranked> = Vec::new();
        let mut list = Vec::new();
        let n_leaves = leaves.len() as u32;
        for start in (0..n_leaves).step_by(CHUNK_LEAVES as usize) {
            list.clear();
            let chunk = start..n_leaves.min(start + CHUNK_LEAVES);
            list.extend(chunk.filter(|leaf| !group.own.contains(leaf)));
            score(&rows, leaves, &list, scratch);
            best.extend(scratch.scores.iter().copied().zip(list.iter().copied()));
            keep_best(&mut best, indexer.leaves);
        }
        ascending(&best)
    };
    groups
        .par_iter()
        .map_init(Scratch::default, select)
        .collect()
}
