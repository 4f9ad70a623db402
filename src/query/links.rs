//! The attention follows links: what the best documents link to is carried towards them.
//!
//! A linked document comes some of the way to the score of the one that links to it, and never past it: it answers only
//! together with where the link stands. How much of the way is learned, per question and link.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::RankedPassage;
use crate::{
    model::config::{LinkWeights, N_LINK_FEATURES},
    store::Snapshot,
};

/// Documents whose links are followed.
const FOLLOWED: usize = 5;

/// Documents that the best link to and that are no candidates yet.
pub fn unseen_documents(snapshot: &Snapshot, passages: &[RankedPassage]) -> BTreeSet<usize> {
    let seen: BTreeSet<usize> = passages.iter().map(|ranked| ranked.document).collect();
    let targets = followed(passages)
        .into_iter()
        .flat_map(|document| targets(snapshot, document));
    targets.filter(|target| !seen.contains(target)).collect()
}

/// True when one of the best documents links to any other.
pub fn any(snapshot: &Snapshot, passages: &[RankedPassage]) -> bool {
    let mut best = followed(passages).into_iter();
    best.any(|document| targets(snapshot, document).next().is_some())
}

/// A link that may be followed, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Index of the document that links.
    pub from: usize,
    /// Index of the document that is linked to.
    pub to: usize,
    pub features: [f32; N_LINK_FEATURES],
}

/// A link that was followed: what it adds to the document that it leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hop {
    /// Index of the document that links.
    pub from: usize,
    /// Index of the document that is linked to.
    pub to: usize,
    /// How much of the way to the score of the former it carries the latter.
    pub share: f32,
    pub gain: f32,
}

/// Carries every linked document so much of the way to the score of the one that links to it as `weights` say, times
/// `heard`; of several links the one that carries it farthest counts.
pub fn follow(
    edges: &[Edge],
    passages: &mut [RankedPassage],
    weights: &LinkWeights,
    heard: f32,
) -> Vec<Hop> {
    let scores = scores(passages);
    let mut hops: BTreeMap<usize, Hop> = BTreeMap::new();
    for &Edge { from, to, features } in edges {
        let (Some(source), Some(target)) = (scores.get(&from), scores.get(&to)) else {
            continue;
        };
        let share = heard * weights.share(&features);
        let gain = share * (source - target);
        let hop = Hop {
            from,
            to,
            share,
            gain,
        };
        if gain > hops.get(&to).map_or(0.0, |best| best.gain) {
            hops.insert(to, hop);
        }
    }
    for ranked in passages {
        if let Some(hop) = hops.get(&ranked.document) {
            ranked.parts.links = hop.gain;
            ranked.score += hop.gain;
        }
    }
    hops.into_values().collect()
}

/// What each document scores: its best passage.
pub fn scores(passages: &[RankedPassage]) -> HashMap<usize, f32> {
    let mut scores: HashMap<usize, f32> = HashMap::new();
    for ranked in passages {
        let score = scores.entry(ranked.document).or_insert(f32::MIN);
        *score = score.max(ranked.score);
    }
    scores
}

/// The best documents, best first.
pub(super) fn followed(passages: &[RankedPassage]) -> Vec<usize> {
    let mut scores: Vec<(usize, f32)> = scores(passages).into_iter().collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scores.truncate(FOLLOWED);
    scores.into_iter().map(|(document, _)| document).collect()
}

/// What a document links to.
pub(super) fn targets(snapshot: &Snapshot, document: usize) -> impl Iterator<Item = usize> {
    let links = snapshot.body.documents[document].links.iter();
    links.filter_map(|&id| snapshot.document_with_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_comes_up_to_its_source_and_never_past_it() {
        let passage = |document: usize, score: f32| RankedPassage {
            passage: document,
            document,
            score,
            parts: super::super::Parts::default(),
        };
        let edge = |from: usize, to: usize, added: f32| Edge {
            from,
            to,
            features: [0.0, 0.0, 0.0, added, 0.0],
        };
        let weights = LinkWeights {
            bias: 0.0,
            weights: [0.0, 0.0, 0.0, 10.0, 0.0],
        };
        let check = |edges: &[Edge], heard: f32, expected: [f32; 3]| {
            let mut passages = vec![passage(0, 8.0), passage(1, 4.0), passage(2, -2.0)];
            let hops = follow(edges, &mut passages, &weights, heard);
            for (ranked, expected) in passages.iter().zip(expected) {
                assert!((ranked.score - expected).abs() < 1e-3, "{passages:?}");
            }
            hops.len()
        };
        assert_eq!(check(&[edge(0, 2, 0.0)], 1.0, [8.0, 4.0, 3.0]), 1);
        assert_eq!(check(&[edge(0, 2, 9.0)], 1.0, [8.0, 4.0, 8.0]), 1);
        assert_eq!(check(&[edge(0, 2, 0.0)], 0.0, [8.0, 4.0, -2.0]), 0);
        // Of two links the better counts; what scores more already stays where it is.
        let edges = [edge(1, 2, 9.0), edge(0, 2, 0.0), edge(2, 0, 9.0)];
        assert_eq!(check(&edges, 1.0, [8.0, 4.0, 4.0]), 1);
    }
}
