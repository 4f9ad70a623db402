//! The question descends the knowledge tree, and documents of the entities that it opens rise.

use std::collections::HashMap;

use super::{
    RankedPassage,
    descent::{Hierarchy, descend},
    fusion::z_scores,
};
use crate::{
    ops::similarity::product,
    store::Snapshot,
    tree::{Node, Tree},
};

/// Nodes kept of a level.
const KEPT: usize = 16;
/// Cosine that makes a node e times as likely.
const TEMPERATURE: f32 = 0.05;

/// The z-score of every passage's document by the tree; 0 where the tree says nothing.
pub fn evidence(snapshot: &Snapshot, vector: &[f32], passages: &[RankedPassage]) -> Vec<f32> {
    let opened = opened(&snapshot.body.tree, vector);
    if opened.is_empty() {
        return vec![0.0; passages.len()];
    }
    // An entity that was not opened counts as the least of those that were.
    let least = opened.values().copied().fold(f32::INFINITY, f32::min);
    let of = |ranked: &RankedPassage| {
        let id = snapshot.body.documents[ranked.document].id;
        opened.get(&id).copied().unwrap_or(least)
    };
    z_scores(&passages.iter().map(of).collect::<Vec<f32>>())
}

/// The score of the best opened entity of each document, by the document's id.
fn opened(tree: &Tree, vector: &[f32]) -> HashMap<u32, f32> {
    let question = Question {
        tree,
        places: tree.places(),
        vector,
    };
    let mut scores: HashMap<u32, f32> = HashMap::new();
    for attended in descend(&question, KEPT).flatten() {
        for &document in &tree.nodes[attended.node].documents {
            let score = scores.entry(document).or_insert(attended.score);
            *score = score.max(attended.score);
        }
    }
    scores
}

/// The tree as a question sees it; a node is its index.
struct Question<'a> {
    tree: &'a Tree,
    places: HashMap<u64, usize>,
    vector: &'a [f32],
}

impl Hierarchy for Question<'_> {
    type Node = usize;

    fn top(&self) -> Vec<usize> {
        let is_top = |&index: &usize| self.tree.nodes[index].parent.is_none();
        (0..self.tree.nodes.len()).filter(is_top).collect()
    }

    fn children(&self, node: usize) -> Vec<usize> {
        let children = self.tree.nodes[node].children.iter();
        let places = children.filter_map(|child| self.places.get(child));
        places.copied().collect()
    }

    fn score(&self, node: usize) -> f32 {
        match &self.tree.nodes[node] {
            Node { vector, .. } if vector.len() == self.vector.len() => {
                product(vector, self.vector) / TEMPERATURE
            }
            // A node of documents without text has no direction.
            _ => 0.0,
        }
    }
}
