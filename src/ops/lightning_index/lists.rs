//! Selections as lists of keys, for [`sparse_attention`](crate::ops::sparse_attention).
//!
//! Queries are tokens here: a group's first query is the token that distances are taken from.

use super::{Group, Selection};
use crate::ops::sparse_attention::{KeyLists, KeyRange, log_bucket};

/// The tokens of the selected leaves; leaf `j` is the tokens `borders[j]..borders[j + 1]`.
pub fn selected_lists(selections: &[Selection], groups: &[Group], borders: &[u32]) -> KeyLists {
    let mut lists = KeyLists::default();
    for (selection, group) in selections.iter().zip(groups) {
        let range = |leaf: &u32| {
            let (start, end) = (borders[*leaf as usize], borders[*leaf as usize + 1]);
            KeyRange {
                start,
                end,
                bucket: log_bucket(start.abs_diff(group.queries.start) as usize),
            }
        };
        lists.push(group.queries.len(), selection.leaves.iter().map(range));
    }
    lists
}

/// The nodes of the covers, as keys that lie level behind level, the leaves first; node `j` of a level is the tokens
/// `borders[level][j]..borders[level][j + 1]`.
pub fn cover_lists(selections: &[Selection], groups: &[Group], borders: &[Vec<u32>]) -> KeyLists {
    let mut firsts = vec![0];
    for level in borders {
        firsts.push(firsts[firsts.len() - 1] + level.len() as u32 - 1);
    }
    let mut lists = KeyLists::default();
    for (selection, group) in selections.iter().zip(groups) {
        let ranges = selection.cover.iter().map(|node| {
            let level = usize::from(node.level);
            let token = borders[level][node.index as usize];
            let key = firsts[level] + node.index;
            KeyRange {
                start: key,
                end: key + 1,
                bucket: log_bucket(token.abs_diff(group.queries.start) as usize),
            }
        });
        lists.push(group.queries.len(), ranges);
    }
    lists
}
