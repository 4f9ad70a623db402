//! The question's attention with the names of what it falls on.

use serde::Serialize;

use super::hit::section_name;
use crate::{
    query::{Attention, Level, NodeAttention, Target},
    store::Snapshot,
};

/// The attention of one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttendedLevel {
    pub level: Level,
    /// Share of the levels' attention.
    pub weight: f32,
    /// Best first.
    pub nodes: Vec<AttendedNode>,
}

/// What some of a level's attention falls on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttendedNode {
    /// Of a node of the tree, a document (also for its sections) or a passage (also for its granules).
    pub id: u64,
    /// Number of the section in its document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<usize>,
    /// Number of the granule in its passage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granule: Option<usize>,
    pub name: String,
    /// Share of the level's attention.
    pub share: f32,
}

/// Looks up what the attention falls on.
pub fn attention(snapshot: &Snapshot, attention: &Attention) -> Vec<AttendedLevel> {
    let levels = attention.levels.iter().map(|own| AttendedLevel {
        level: own.level,
        weight: own.weight,
        nodes: own.nodes.iter().map(|node| named(snapshot, node)).collect(),
    });
    levels.collect()
}

fn named(snapshot: &Snapshot, node: &NodeAttention) -> AttendedNode {
    let record = |document: usize| &snapshot.body.documents[document];
    let name_of_passage = |passage: usize| {
        let document = snapshot.document_of(passage);
        section_name(record(document), snapshot.section_of(passage))
    };
    let (id, name) = match node.target {
        Target::Node(id) => {
            let node = snapshot.body.tree.node(id);
            (id, node.map_or_else(String::new, |node| node.name.clone()))
        }
        Target::Document(document) => {
            let record = record(document);
            (u64::from(record.id), record.title.clone())
        }
        Target::Section(document, section) => {
            let record = record(document);
            (u64::from(record.id), section_name(record, section))
        }
        Target::Passage(passage) | Target::Granule(passage, _) => {
            (passage as u64, name_of_passage(passage))
        }
    };
    AttendedNode {
        id,
        section: match node.target {
            Target::Section(_, section) => Some(section),
            _ => None,
        },
        granule: match node.target {
            Target::Granule(_, granule) => Some(granule),
            _ => None,
        },
        name,
        share: node.share,
    }
}
