//! How results look on a terminal and as JSON.

use serde::Serialize;

use crate::{
    answer::Answer,
    store::{FileState, Snapshot},
    tree::{Level, Node},
};

/// One hit of `search`.
#[derive(Serialize)]
pub struct Hit {
    pub id: u64,
    pub level: &'static str,
    pub name: String,
    pub path: String,
    pub line: usize,
    pub score: f32,
    pub parts: HitParts,
    #[serde(skip)]
    pub snippet: String,
}

/// The parts of a hit's score, as z-scores; what the tree and links add is weighted already.
#[derive(Serialize)]
pub struct HitParts {
    pub bm25: f32,
    pub passage: f32,
    pub granule: f32,
    pub tree: f32,
    pub links: f32,
}

/// Prints any value as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

pub fn print_hits(hits: &[Hit]) {
    for hit in hits {
        println!(
            "{:6.2}  {}  ({}:{})",
            hit.score, hit.name, hit.path, hit.line
        );
        println!("        {}", hit.snippet);
    }
}

pub fn print_answer(answer: &Answer) {
    println!("{}\n", answer.answer.text);
    for citation in &answer.citations {
        println!("  {}:{}", citation.path, citation.line_start);
        println!(
            "    “{}”",
            citation
                .quote
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        );
    }
    let levels: Vec<String> = answer
        .levels
        .iter()
        .map(|(level, weight)| format!("{level} {:.0}%", weight * 100.0))
        .collect();
    println!(
        "\nanswered at the level of the {}; attention: {}",
        answer.answer.level,
        levels.join(", ")
    );
}

/// Prints the tree down to its entities, each with its first documents.
pub fn print_tree(snapshot: &Snapshot) {
    let tree = &snapshot.body.tree;
    for node in tree.nodes.iter().filter(|node| node.level == Level::Domain) {
        print_node(snapshot, node, 0);
    }
}

fn print_node(snapshot: &Snapshot, node: &Node, depth: usize) {
    let indent = "  ".repeat(depth);
    println!("{indent}{} ({})", node.name, node.n_documents);
    for child in node
        .children
        .iter()
        .filter_map(|&child| snapshot.body.tree.node(child))
    {
        print_node(snapshot, child, depth + 1);
    }
    let titles: Vec<&str> = node
        .documents
        .iter()
        .filter_map(|&id| snapshot.document_with_id(id))
        .map(|document| snapshot.body.documents[document].title.as_str())
        .collect();
    if !titles.is_empty() {
        println!("{indent}  · {}", titles.join(" · "));
    }
}

/// Counts of statuses, by state.
#[derive(Serialize)]
pub struct Counts {
    pub indexed: usize,
    pub skipped: usize,
    pub failed: usize,
}

pub fn counts(snapshot: &Snapshot) -> Counts {
    let count = |state| {
        snapshot
            .body
            .statuses
            .iter()
            .filter(|status| status.state == state)
            .count()
    };
    Counts {
        indexed: count(FileState::Indexed),
        skipped: count(FileState::Skipped),
        failed: count(FileState::Failed),
    }
}
