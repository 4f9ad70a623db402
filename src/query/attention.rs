//! The question's attention at every level of the pyramid, and with it the level that answers best.
//!
//! The scores of the pool, sharpened, are a distribution over passages. A node answers well when that
//! distribution looks like the node's own: much of it inside, and spread evenly there. Both are one figure,
//! the Bhattacharyya coefficient of the distribution with the uniform one over the node's passages, squared.
//! A level's weight is that of its best node, divided by the sum over levels; a node's share is in proportion too.
//! Below the passages, a granule's share is what it gives to its passage's match: every question token attends to
//! its best granule.

use std::collections::{BTreeMap, HashMap};

use super::{
    Attention, Level, LevelAttention, NodeAttention, RankedPassage, Target, best_granules, descent,
};
use crate::{model::QueryEncoding, store::Snapshot, tree};

/// Score that makes a passage e times as likely.
const TEMPERATURE: f32 = 0.8;
/// Nodes that are kept of a level.
const KEPT: usize = 8;

/// Sums up the attention of ranked passages, best first, at every level.
pub fn attend(snapshot: &Snapshot, query: &QueryEncoding, passages: &[RankedPassage]) -> Attention {
    let Some(best) = passages.first() else {
        return Attention::default();
    };
    let raw: Vec<f32> = passages
        .iter()
        .map(|ranked| ((ranked.score - best.score) / TEMPERATURE).exp())
        .collect();
    let total: f32 = raw.iter().sum();
    let shares: Vec<(usize, f32)> = passages
        .iter()
        .zip(&raw)
        .map(|(ranked, raw)| (ranked.passage, raw / total))
        .collect();
    let coefficients = coefficients(snapshot, &shares);
    let best = |nodes: &[(Target, f32)]| nodes.iter().fold(0f32, |best, node| best.max(node.1));
    let total: f32 = coefficients.values().map(|nodes| best(nodes)).sum();
    let mut levels: Vec<LevelAttention> = coefficients
        .into_iter()
        .map(|(level, nodes)| LevelAttention {
            level,
            weight: best(&nodes) / total.max(f32::MIN_POSITIVE),
            nodes: kept(&nodes),
        })
        .collect();
    let granules = kept(&granules(
        snapshot,
        query,
        &shares[..KEPT.min(shares.len())],
    ));
    if !granules.is_empty() {
        levels.push(LevelAttention {
            level: Level::Granule,
            weight: 0.0,
            nodes: granules,
        });
    }
    Attention { levels }
}

/// The best nodes of a level; of equally good ones the first.
fn kept(nodes: &[(Target, f32)]) -> Vec<NodeAttention> {
    let scored = nodes.iter().enumerate().filter(|(_, node)| node.1 > 0.0);
    let scored = scored.map(|(index, node)| (index, node.1.ln())).collect();
    let attended = descent::attend(scored, KEPT).into_iter();
    let nodes = attended.map(|attended| NodeAttention {
        target: nodes[attended.node].0,
        share: attended.share,
    });
    nodes.collect()
}

/// The nodes that hold any of the passages, and their coefficients.
fn coefficients(
    snapshot: &Snapshot,
    shares: &[(usize, f32)],
) -> BTreeMap<Level, Vec<(Target, f32)>> {
    let mut levels: BTreeMap<Level, Vec<(Target, f32)>> = BTreeMap::new();
    let mut offer = |level: Level, root_sum: f32, places: usize, target: Target| {
        let coefficient = root_sum * root_sum / places.max(1) as f32;
        if coefficient > 0.0 {
            levels.entry(level).or_default().push((target, coefficient));
        }
    };
    for &(passage, share) in shares {
        offer(Level::Passage, share.sqrt(), 1, Target::Passage(passage));
    }
    for (document, sum) in by_document(snapshot, shares) {
        let places = snapshot.passages_of(document).len();
        offer(Level::Document, sum, places, Target::Document(document));
    }
    for ((document, section), sum) in by_section(snapshot, shares) {
        let sections = snapshot.body.documents[document].passage_sections.iter();
        let places = sections.filter(|&&own| own as usize == section).count();
        let target = Target::Section(document, section);
        offer(Level::Section, sum, places, target);
    }
    let nodes = &snapshot.body.tree.nodes;
    for (node, (sum, places)) in nodes.iter().zip(by_node(snapshot, shares)) {
        let level = match node.level {
            tree::Level::Domain => Level::Domain,
            tree::Level::Category(_) => Level::Category,
            tree::Level::Entity => Level::Entity,
        };
        offer(level, sum, places, Target::Node(node.id));
    }
    levels
}

/// The granules that the question's tokens attend to in some passages, and their part in the passages' shares.
fn granules(
    snapshot: &Snapshot,
    query: &QueryEncoding,
    shares: &[(usize, f32)],
) -> Vec<(Target, f32)> {
    let mut found = Vec::new();
    for &(passage, share) in shares {
        let (segment, row) = snapshot.row_of(passage);
        // Of each token, its best match and the granule that gives it.
        let mut best = vec![(0f32, 0); query.weights.len()];
        for (number, granule) in row.granules().enumerate() {
            let (codes, scales) = segment.keys(granule..granule + 1);
            let matches = best_granules(query, codes, scales);
            for (best, own) in best.iter_mut().zip(matches) {
                if own > best.0 {
                    *best = (own, number);
                }
            }
        }
        let mut parts: BTreeMap<usize, f32> = BTreeMap::new();
        for ((own, number), weight) in best.iter().zip(&query.weights) {
            *parts.entry(*number).or_default() += own * weight;
        }
        let total: f32 = parts.values().sum();
        let parts = parts.into_iter().filter(|(_, part)| *part > 0.0);
        found.extend(parts.map(|(number, part)| {
            let target = Target::Granule(passage, number);
            (target, share * part / total)
        }));
    }
    found
}

/// Σ √share of each document's passages.
fn by_document(snapshot: &Snapshot, shares: &[(usize, f32)]) -> BTreeMap<usize, f32> {
    let mut sums = BTreeMap::new();
    for (passage, share) in shares {
        *sums.entry(snapshot.document_of(*passage)).or_default() += share.sqrt();
    }
    sums
}

/// Σ √share of each section's own passages.
fn by_section(snapshot: &Snapshot, shares: &[(usize, f32)]) -> BTreeMap<(usize, usize), f32> {
    let mut sums = BTreeMap::new();
    for (passage, share) in shares {
        let document = snapshot.document_of(*passage);
        let section = snapshot.section_of(*passage);
        *sums.entry((document, section)).or_default() += share.sqrt();
    }
    sums
}

/// Σ √share over each node's documents, every document standing as one place, and their number.
fn by_node(snapshot: &Snapshot, shares: &[(usize, f32)]) -> Vec<(f32, usize)> {
    let mut mass: HashMap<u32, f32> = HashMap::new();
    for (passage, share) in shares {
        let document = snapshot.document_of(*passage);
        let id = snapshot.body.documents[document].id;
        *mass.entry(id).or_default() += share;
    }
    let nodes = &snapshot.body.tree.nodes;
    let index = snapshot.body.tree.places();
    let mut sums = vec![(0.0, 0); nodes.len()];
    // Children stand after their parents, so every node is whole before it is added to its own parent.
    for (own, node) in nodes.iter().enumerate().rev() {
        let roots = node.documents.iter().filter_map(|id| mass.get(id));
        sums[own].0 += roots.map(|share| share.sqrt()).sum::<f32>();
        sums[own].1 += node.documents.len();
        if let Some(&parent) = node.parent.and_then(|parent| index.get(&parent)) {
            sums[parent].0 += sums[own].0;
            sums[parent].1 += sums[own].1;
        }
    }
    sums
}
