//! Which far regions deserve attention? A cheap index whose scores choose what the attention reads.
//!
//! I(t, s) = Σ over heads of w\[t, h\] · ReLU(q\[t, h\] · k\[s\]); a group of queries scores a key by its mean over
//! them. Keys and queries are int8 with one scale each. Three ways to choose share the result of ranked keys:
//! [`IndexPyramid::descend`] walks a pyramid of keys from the top and costs O(log n) a group, [`select_flat`] scores every leaf
//! (groups of one query give a choice for each token), and [`most_important`] ranks by what attention itself gives.
//! No form holds a score for each query and key: what is not among the best is dropped as it comes.

mod descend;
mod flat;
mod importance;
mod keys;
mod lists;
mod scores;
mod training;
mod training_backward;
mod training_tile;

pub use descend::{Group, IndexLevel, IndexPyramid, Node, Place, Selection};
pub use flat::select_flat;
pub use importance::most_important;
pub use keys::IndexKeys;
pub use lists::{cover_lists, selected_lists};
pub use scores::{node_score_slow, scores_slow};
pub use training::{ScoreInputs, index_scores, list_scores, list_scores_slow};
pub use training_backward::{ScoreGradients, list_scores_backward};

/// The shape of the index and how much it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexer {
    pub heads: usize,
    /// Dimensions of a head and of a key, a multiple of 4.
    pub dimensions: usize,
    /// Nodes that are opened at each level.
    pub kept: usize,
    /// Leaves that are selected.
    pub leaves: usize,
    /// A node of the descent is scored by the sum over what lies so many levels below it, as far as there are levels: a
    /// mean hides what stands out among those that it is of. 0 is its own key.
    pub lookahead: usize,
}

impl Default for Indexer {
    fn default() -> Self {
        Self {
            heads: 4,
            dimensions: 32,
            kept: 16,
            leaves: 32,
            lookahead: 0,
        }
    }
}

/// What the queries look for.
#[derive(Debug, Clone, Copy)]
pub struct IndexQueries<'a> {
    /// `[n_queries, heads, dimensions]`.
    pub queries: &'a [f32],
    /// The weight of each head: `[n_queries, heads]`.
    pub weights: &'a [f32],
}

/// A score and whose it is.
type Ranked = (f32, u32);

/// Keeps the best `count` of `ranked`, of equals those that come first; their order is left open.
fn keep_best(ranked: &mut Vec<Ranked>, count: usize) {
    if count == 0 {
        ranked.clear();
    } else if ranked.len() > count {
        ranked.select_nth_unstable_by(count - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        ranked.truncate(count);
    }
}

/// The keys of `ranked`, ascending.
fn ascending(ranked: &[Ranked]) -> Vec<u32> {
    let mut keys: Vec<u32> = ranked.iter().map(|(_, key)| *key).collect();
    keys.sort_unstable();
    keys
}

#[cfg(test)]
mod tests;
