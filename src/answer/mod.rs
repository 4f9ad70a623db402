//! What is the answer, and where does it stand? Here is a ranking, gimme an [`Answer`] with citations.
//!
//! A detail is answered by the sentences that the question's tokens attend to most, each checked against the
//! file as it is now; a broad question by the node that its attention falls on.

mod sentence;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use crate::{
    model::Encoder,
    query::{QueryError, Ranking},
    store::Snapshot,
};

pub use sentence::{Evidence, line_of};

/// Documents that evidence is taken from.
const CITED_DOCUMENTS: usize = 5;
/// Citations of an answer.
const CITATIONS: usize = 3;

/// An answer and its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    pub question: String,
    /// Attention by level; the shares add up to 1.
    pub levels: BTreeMap<&'static str, f32>,
    pub answer: AnswerText,
    pub citations: Vec<Citation>,
    pub timings_ms: BTreeMap<&'static str, f64>,
}

/// The words of an answer and the level that gave them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerText {
    pub text: String,
    pub level: String,
}

/// A verbatim piece of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Citation {
    /// Relative to the corpus root.
    pub path: String,
    /// Counted from 1.
    pub line_start: usize,
    pub line_end: usize,
    pub byte_start: usize,
    pub byte_end: usize,
    pub quote: String,
    pub score: f32,
}

/// Answers from a ranking; quotes are read from the files under the snapshot's corpus.
pub fn answer(
    snapshot: &Snapshot,
    encoder: &Encoder,
    question: &str,
    ranking: &Ranking,
) -> Result<Answer, QueryError> {
    let documents = ranking.documents().take(CITED_DOCUMENTS);
    let mut evidence: Vec<Evidence> = Vec::new();
    for ranked in documents {
        evidence.extend(sentence::evidence(
            snapshot,
            encoder,
            &ranking.query,
            ranked,
        )?);
    }
    evidence.sort_by(|a, b| b.score.total_cmp(&a.score));
    let citations: Vec<Citation> = evidence
        .iter()
        .take(CITATIONS)
        .map(Evidence::citation)
        .collect();
    let levels: BTreeMap<&'static str, f32> = ranking
        .levels
        .iter()
        .map(|level| (level.level, level.weight))
        .collect();
    Ok(Answer {
        question: question.to_owned(),
        levels,
        answer: answer_text(snapshot, ranking, &citations),
        citations,
        timings_ms: BTreeMap::new(),
    })
}

/// The text file of a document.
pub fn file_of(snapshot: &Snapshot, path: &str) -> PathBuf {
    let corpus = &snapshot.body.corpus;
    if corpus.is_file() {
        corpus.clone()
    } else {
        corpus.join(path)
    }
}

fn answer_text(snapshot: &Snapshot, ranking: &Ranking, citations: &[Citation]) -> AnswerText {
    let best = ranking
        .levels
        .iter()
        .max_by(|a, b| a.weight.total_cmp(&b.weight));
    let node = best
        .filter(|level| matches!(level.level, "domain" | "category" | "entity"))
        .and_then(|level| snapshot.body.tree.node(level.target));
    let Some(node) = node else {
        let quotes: Vec<&str> = citations
            .iter()
            .map(|citation| citation.quote.as_str())
            .collect();
        let text = match quotes.first() {
            Some(first) => (*first).to_owned(),
            None => "Nothing in this corpus speaks of that.".to_owned(),
        };
        let level = best.map_or("passage", |level| level.level).to_owned();
        return AnswerText { text, level };
    };
    let tree = &snapshot.body.tree;
    let parts: Vec<String> = match node.children.as_slice() {
        [] => node
            .documents
            .iter()
            .filter_map(|&id| snapshot.document_with_id(id))
            .map(|document| snapshot.body.documents[document].title.clone())
            .collect(),
        children => children
            .iter()
            .filter_map(|&id| tree.node(id))
            .map(|child| child.name.clone())
            .collect(),
    };
    AnswerText {
        text: format!(
            "{}: {} In it: {}.",
            node.name,
            node.summary,
            parts.join("; ")
        ),
        level: node.level.to_string(),
    }
}
