//! What the tree and the neighbours of a passage say for it, and how much of that is heard.
//!
//! What lies near in meaning helps broad questions, and hurts where something tells more exactly what else matters: a
//! link does, and so does a long document, whose own sections and passages the attention weighs already. So nothing
//! is heard where the best documents link to any other, and the less the longer they are.

use super::{RankedPassage, by_score, links, neighbours, tree};
use crate::{model::config::FusionWeights, store::Snapshot};

/// Candidates whose documents say how long documents are here.
const LOOKED_AT: usize = 20;
/// Passages of a document up to which everything is heard; of one twice as long, half.
const SHORT: f32 = 4.0;

/// Adds what surroundings say to the score of every passage.
pub fn add(
    snapshot: &Snapshot,
    vector: &[f32],
    passages: &mut [RankedPassage],
    weights: &FusionWeights,
) {
    let asked = weights.tree != 0.0 || weights.near != 0.0;
    if !asked || links::any(snapshot, passages) {
        return;
    }
    let heard = heard(snapshot, passages);
    let near = neighbours::evidence(snapshot, passages);
    let tree = tree::evidence(snapshot, vector, passages);
    for ((ranked, near), tree) in passages.iter_mut().zip(near).zip(tree) {
        ranked.parts.near = heard * weights.near * near;
        ranked.parts.tree = heard * weights.tree * tree;
        ranked.score += ranked.parts.near + ranked.parts.tree;
    }
}

/// All, 1, where the best documents are short.
fn heard(snapshot: &Snapshot, passages: &[RankedPassage]) -> f32 {
    let mut best: Vec<&RankedPassage> = passages.iter().collect();
    best.sort_by(|a, b| by_score(a, b));
    best.truncate(LOOKED_AT);
    let lengths = best.iter().map(|own| snapshot.passages_of(own.document));
    let total: usize = lengths.map(|own| own.len()).sum();
    (SHORT * best.len() as f32 / total.max(1) as f32).min(1.0)
}
