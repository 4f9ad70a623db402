//! The question's attention at every level of the tree, and with it the level that answers best.
//!
//! The scores of the pool, sharpened, are a distribution over passages. A node answers well when that
//! distribution looks like the node's own: much of it inside, and spread evenly there. Both are one figure,
//! the Bhattacharyya coefficient of the distribution with the uniform one over the node's passages, squared.
//! A level's weight is that of its best node, divided by the sum over levels.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::RankedPassage;
use crate::{store::Snapshot, tree};

/// Score that makes a passage e times as likely.
const TEMPERATURE: f32 = 0.8;

/// A level that a question can be answered at, broadest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Domain,
    Category,
    Entity,
    Document,
    Section,
    Passage,
}

impl Level {
    /// Every level, broadest first.
    pub const ALL: [Self; 6] = [
        Self::Domain,
        Self::Category,
        Self::Entity,
        Self::Document,
        Self::Section,
        Self::Passage,
    ];

    /// The level's name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Category => "category",
            Self::Entity => "entity",
            Self::Document => "document",
            Self::Section => "section",
            Self::Passage => "passage",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|level| level.name() == name);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no level is called `{name}`; the levels are {names}")
        })
    }
}

/// The best node of one level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelAttention {
    pub level: Level,
    /// Share of the levels' attention.
    pub weight: f32,
    pub target: Target,
}

/// What the attention of a level falls on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The id of a domain, category or entity.
    Node(u64),
    /// Index of a document in the snapshot.
    Document(usize),
    /// Index of a document, and of a section in its record.
    Section(usize, usize),
    /// Number of a passage in the snapshot.
    Passage(usize),
}

/// Sums up the attention of ranked passages, best first, at every level: broadest level first.
pub fn attend(snapshot: &Snapshot, passages: &[RankedPassage]) -> Vec<LevelAttention> {
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
    let mut matches: BTreeMap<Level, (f32, Target)> = BTreeMap::new();
    let mut offer = |level: Level, root_sum: f32, places: usize, target: Target| {
        let coefficient = root_sum * root_sum / places.max(1) as f32;
        let held = matches.entry(level).or_insert((coefficient, target));
        if coefficient > held.0 {
            *held = (coefficient, target);
        }
    };
    offer(
        Level::Passage,
        shares[0].1.sqrt(),
        1,
        Target::Passage(best.passage),
    );
    for (document, sum) in by_document(snapshot, &shares) {
        let places = snapshot.passages_of(document).len();
        offer(Level::Document, sum, places, Target::Document(document));
    }
    for ((document, section), sum) in by_section(snapshot, &shares) {
        let sections = &snapshot.body.documents[document].passage_sections;
        let places = sections
            .iter()
            .filter(|&&own| own as usize == section)
            .count();
        offer(
            Level::Section,
            sum,
            places,
            Target::Section(document, section),
        );
    }
    let nodes = &snapshot.body.tree.nodes;
    for (node, (sum, places)) in nodes.iter().zip(by_node(snapshot, &shares)) {
        let level = match node.level {
            tree::Level::Domain => Level::Domain,
            tree::Level::Category(_) => Level::Category,
            tree::Level::Entity => Level::Entity,
        };
        offer(level, sum, places, Target::Node(node.id));
    }
    let total: f32 = matches.values().map(|(coefficient, _)| coefficient).sum();
    matches
        .into_iter()
        .map(|(level, (coefficient, target))| LevelAttention {
            level,
            weight: coefficient / total.max(f32::MIN_POSITIVE),
            target,
        })
        .collect()
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
