//! Of what size is the answer that a question wants: a passage, a section, a document, a node of the tree?
//!
//! A detail stands in a passage, a synthesis is spread over the documents of a node. A concept may be of any size but a
//! passage: which, shows in how the attention lies at each level, and in whether the question names what it falls on.
//! The weights of the levels are what the router makes of that; a prior, for whoever asks may choose another.

use std::collections::{BTreeSet, HashSet};

use super::{Attention, Level, LevelAttention, NodeAttention, Target};
use crate::{
    model::router::{self, N_SIZE_FEATURES, N_SIZES, Router},
    store::{DocumentRecord, Snapshot},
    tree::terms,
};

/// Places of the features that say whether the question is a document's name, and a node's.
const IS_DOCUMENT: usize = 2 * N_SIZE_FEATURES / N_SIZES - 1;
const IS_NODE: usize = N_SIZE_FEATURES - 1;
/// Added to weights before their logarithm is taken.
const LEAST: f32 = 1e-4;

/// Gives the levels the weights of the router; they add up to 1.
pub fn route(
    router: &Router,
    kinds: [f32; 3],
    size_features: &[f32; N_SIZE_FEATURES],
    attention: &mut Attention,
) {
    let weights = router.weights(kinds, size_features);
    let in_tree = weight_of(attention, 3).max(f32::MIN_POSITIVE);
    for own in &mut attention.levels {
        own.weight = match size_of(own.level) {
            // The levels of the tree share what is its.
            Some(3) => weights[3] * own.weight / in_tree,
            Some(size) => weights[size],
            None => 0.0,
        };
    }
    let total: f32 = attention.levels.iter().map(|own| own.weight).sum();
    for own in &mut attention.levels {
        own.weight /= total.max(f32::MIN_POSITIVE);
    }
}

/// The level that answers.
pub fn favoured(attention: &Attention) -> Option<&LevelAttention> {
    let weights = [0, 1, 2, 3].map(|size| weight_of(attention, size));
    let size = router::favoured(weights);
    let levels = attention.answerable();
    levels
        .filter(|own| size_of(own.level) == Some(size))
        .max_by(|a, b| a.weight.total_cmp(&b.weight))
}

/// The router's number of a level's size; nothing for granules.
fn size_of(level: Level) -> Option<usize> {
    match level {
        Level::Granule => None,
        Level::Passage => Some(0),
        Level::Section => Some(1),
        Level::Document => Some(2),
        Level::Domain | Level::Category | Level::Entity => Some(3),
    }
}

fn weight_of(attention: &Attention, size: usize) -> f32 {
    let levels = attention.levels.iter();
    let levels = levels.filter(|own| size_of(own.level) == Some(size));
    levels.map(|own| own.weight).sum()
}

/// What the router's second head sees, of sections, documents and nodes: the logarithm of their weight over that of
/// passages; and of the names of what is attended to, how well the best is the question's words and these are its, how
/// much of one the question has, and whether one is the question.
pub fn size_features(
    snapshot: &Snapshot,
    text: &str,
    attention: &Attention,
) -> [f32; N_SIZE_FEATURES] {
    let question: HashSet<String> = terms(text).into_iter().collect();
    let weight = |size: usize| {
        let own = attention.levels.iter();
        let own = own.filter(|own| size_of(own.level) == Some(size));
        own.fold(0f32, |best, own| best.max(own.weight))
    };
    let mut features = [0.0; N_SIZE_FEATURES];
    for (size, features) in (1..).zip(features.chunks_exact_mut(N_SIZE_FEATURES / N_SIZES)) {
        features[0] = ((weight(size) + LEAST) / (weight(0) + LEAST)).ln();
        let attended = attention.levels.iter();
        let attended = attended.flat_map(|own| &own.nodes);
        for name in attended.flat_map(|node| names(snapshot, node, size)) {
            let name: HashSet<String> = terms(&name).into_iter().collect();
            let shared = name.intersection(&question).count() as f32;
            let both = (name.len() + question.len()).max(1) as f32;
            features[1] = features[1].max(2.0 * shared / both);
            features[2] = features[2].max(shared / name.len().max(1) as f32);
            features[3] = features[3].max(f32::from(u8::from(2.0 * shared == both)));
        }
    }
    // A folder's or a tag's bare name means what stands there, unless it is a title as well.
    let said = text.trim().to_lowercase();
    let documents = attention.levels.iter().flat_map(|own| &own.nodes);
    let mut groups = documents.flat_map(|node| match node.target {
        Target::Document(document) => groups(&snapshot.body.documents[document]),
        _ => Vec::new(),
    });
    if groups.any(|own| own.to_lowercase() == said) {
        features[IS_NODE] = 1.0;
    }
    if features[IS_DOCUMENT] > 0.0 {
        features[IS_NODE] = 0.0;
    }
    features
}

/// What a question may call something of this size in what is attended to.
fn names(snapshot: &Snapshot, node: &NodeAttention, size: usize) -> Vec<String> {
    let record = |document: usize| &snapshot.body.documents[document];
    match (size, node.target) {
        (1, Target::Section(document, section)) => {
            let (record, section) = (record(document), &record(document).sections[section]);
            match section.level {
                // What stands before the first heading goes by the title, as its document does.
                0 => Vec::new(),
                _ => vec![format!("{} {}", record.title, section.heading)],
            }
        }
        (2, Target::Document(document)) => vec![record(document).title.clone()],
        (3, Target::Node(id)) => {
            let node = snapshot.body.tree.node(id);
            node.map(|node| node.name.clone()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The folders and tags of a document as one says them, without the numbers that sort them.
pub fn groups(record: &DocumentRecord) -> Vec<String> {
    let (folders, file) = record.path.rsplit_once('/').unwrap_or(("", &record.path));
    // In a name of several words dots part no levels.
    let (levels, _) = match file.contains(' ') {
        false => file
            .trim_end_matches(".md")
            .rsplit_once('.')
            .unwrap_or_default(),
        true => ("", ""),
    };
    let tags = record.tags.iter().flat_map(|tag| tag.split('/'));
    let names = folders.split('/').chain(levels.split('.')).chain(tags);
    let names = names.map(|name| {
        let sorts = |own: char| own.is_ascii_digit() || " -.".contains(own);
        name.trim_start_matches(sorts).replace(['-', '_'], " ")
    });
    let names: BTreeSet<String> = names.map(|own| own.trim().to_owned()).collect();
    names.into_iter().filter(|own| !own.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_said_without_numbers() {
        let check = |path: &str, tags: &[&str], expected: &[&str]| {
            let record = DocumentRecord {
                path: path.to_owned(),
                tags: tags.iter().map(|own| (*own).to_owned()).collect(),
                ..DocumentRecord::default()
            };
            assert_eq!(groups(&record), expected, "{path}");
        };
        check(
            "02 - Community_Expansions/Plugins/A. B.md",
            &["project/ai-tools", "2026"],
            &["Community Expansions", "Plugins", "ai tools", "project"],
        );
        check("careers.how-we-work.md", &[], &["careers"]);
        check("notes.md", &[], &[]);
    }
}
