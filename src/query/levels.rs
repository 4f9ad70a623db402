//! The question's attention at every level of the tree, and with it the level that answers best.
//!
//! The scores of the pool, sharpened, are a distribution over passages. A node answers well when that
//! distribution looks like the node's own: much of it inside, and spread evenly there. Both are one figure,
//! the Bhattacharyya coefficient of the distribution with the uniform one over the node's passages, squared.
//! A level's weight is that of its best node, divided by the sum over levels.

use std::collections::{BTreeMap, HashMap};

use super::RankedPassage;
use crate::{store::Snapshot, tree};

/// Score that makes a passage e times as likely.
const TEMPERATURE: f32 = 0.8;

/// The best node of one level.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelAttention {
    /// `domain`, `category`, `entity`, `document`, `section` or `passage`.
    pub level: &'static str,
    /// Share of the levels' attention.
    pub weight: f32,
    /// The tree node, document index or passage number that it falls on, by level.
    pub target: u64,
}

/// Attention by level, from domain to passage.
pub type Levels = Vec<LevelAttention>;

/// Sums up the attention of ranked passages at every level.
pub fn attend(snapshot: &Snapshot, passages: &[RankedPassage]) -> Levels {
    let Some(best) = passages.first() else {
        return Vec::new();
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
    let mut by_level: BTreeMap<usize, (f32, u64)> = BTreeMap::new();
    let mut offer = |level: usize, (match_, target): (f32, u64)| {
        let held = by_level.entry(level).or_insert((0.0, target));
        if match_ > held.0 {
            *held = (match_, target);
        }
    };
    offer(5, (shares[0].1, best.passage as u64));
    for (document, sum) in by_document(snapshot, &shares) {
        let size = snapshot.passages_of(document).len().max(1);
        offer(3, (sum * sum / size as f32, document as u64));
    }
    for ((document, section), (sum, first)) in by_section(snapshot, &shares) {
        let sections = &snapshot.body.documents[document].passage_sections;
        let size = sections
            .iter()
            .filter(|own| **own == section)
            .count()
            .max(1);
        offer(4, (sum * sum / size as f32, first as u64));
    }
    for (node, (sum, size)) in by_node(snapshot, &shares) {
        let level = match snapshot.body.tree.nodes[node].level {
            tree::Level::Domain => 0,
            tree::Level::Category(_) => 1,
            tree::Level::Entity => 2,
        };
        offer(
            level,
            (
                sum * sum / size.max(1) as f32,
                snapshot.body.tree.nodes[node].id,
            ),
        );
    }
    let total: f32 = by_level.values().map(|(match_, _)| match_).sum();
    const NAMES: [&str; 6] = [
        "domain", "category", "entity", "document", "section", "passage",
    ];
    by_level
        .into_iter()
        .map(|(level, (match_, target))| LevelAttention {
            level: NAMES[level],
            weight: match_ / total.max(f32::MIN_POSITIVE),
            target,
        })
        .collect()
}

/// Σ √share of each document's passages.
fn by_document(snapshot: &Snapshot, shares: &[(usize, f32)]) -> HashMap<usize, f32> {
    let mut sums = HashMap::new();
    for (passage, share) in shares {
        *sums.entry(snapshot.document_of(*passage)).or_default() += share.sqrt();
    }
    sums
}

/// Σ √share of each section's own passages, and its first passage among them.
fn by_section(
    snapshot: &Snapshot,
    shares: &[(usize, f32)],
) -> BTreeMap<(usize, u32), (f32, usize)> {
    let mut sums = BTreeMap::new();
    for (passage, share) in shares {
        let document = snapshot.document_of(*passage);
        let local = passage - snapshot.passages_of(document).start;
        let section = snapshot.body.documents[document].passage_sections[local];
        sums.entry((document, section)).or_insert((0.0, *passage)).0 += share.sqrt();
    }
    sums
}

/// Σ √share over a node's documents, each standing as one place, and their number.
fn by_node(snapshot: &Snapshot, shares: &[(usize, f32)]) -> Vec<(usize, (f32, usize))> {
    let mut mass: HashMap<u32, f32> = HashMap::new();
    for (passage, share) in shares {
        let document = snapshot.document_of(*passage);
        *mass
            .entry(snapshot.body.documents[document].id)
            .or_default() += share;
    }
    let tree = &snapshot.body.tree;
    tree.nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let documents = tree.documents_below(node);
            let sum = documents
                .iter()
                .filter_map(|id| mass.get(id))
                .map(|share| share.sqrt())
                .sum();
            (index, (sum, documents.len()))
        })
        .collect()
}
