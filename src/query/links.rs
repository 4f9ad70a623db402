//! The attention follows links: what the best documents link to rises with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::RankedPassage;
use crate::store::Snapshot;

/// Documents whose links are followed.
const FOLLOWED: usize = 5;

/// Documents that the best link to and that are no candidates yet.
pub fn unseen_documents(snapshot: &Snapshot, passages: &[RankedPassage]) -> BTreeSet<usize> {
    let seen: BTreeSet<usize> = passages.iter().map(|ranked| ranked.document).collect();
    let targets = followed(passages)
        .into_iter()
        .flat_map(|(document, _)| targets(snapshot, document));
    targets.filter(|target| !seen.contains(target)).collect()
}

/// True when one of the best documents links to any other.
pub fn any(snapshot: &Snapshot, passages: &[RankedPassage]) -> bool {
    let mut best = followed(passages).into_iter();
    best.any(|(document, _)| targets(snapshot, document).next().is_some())
}

/// A link that was followed: what it adds to the document that it leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hop {
    /// Index of the document that links.
    pub from: usize,
    /// Index of the document that is linked to.
    pub to: usize,
    pub gain: f32,
}

/// Adds `weight` times the score of the best document that links to it to every linked document; one hop for each.
pub fn follow(snapshot: &Snapshot, passages: &mut [RankedPassage], weight: f32) -> Vec<Hop> {
    let mut hops: BTreeMap<usize, Hop> = BTreeMap::new();
    for (from, score) in followed(passages) {
        let gain = weight * score;
        if gain <= 0.0 {
            continue;
        }
        for to in targets(snapshot, from) {
            let best = hops.entry(to).or_insert(Hop { from, to, gain });
            if gain > best.gain {
                *best = Hop { from, to, gain };
            }
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

/// The best documents and their scores.
fn followed(passages: &[RankedPassage]) -> Vec<(usize, f32)> {
    let mut scores: HashMap<usize, f32> = HashMap::new();
    for ranked in passages {
        let score = scores.entry(ranked.document).or_insert(f32::MIN);
        *score = score.max(ranked.score);
    }
    let mut scores: Vec<(usize, f32)> = scores.into_iter().collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scores.truncate(FOLLOWED);
    scores
}

fn targets(snapshot: &Snapshot, document: usize) -> impl Iterator<Item = usize> {
    let links = snapshot.body.documents[document].links.iter();
    links.filter_map(|&id| snapshot.document_with_id(id))
}
