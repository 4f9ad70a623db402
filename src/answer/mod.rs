//! What is the answer, and where does it stand? Here is a ranking, gimme an [`Answer`] with citations.
//!
//! A detail is answered by the sentences that the question's tokens attend to most, each checked against the
//! file as it is now; a broad question by the node that its attention falls on.

mod attention;
mod hit;
mod sentence;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::{
    model::Encoder,
    query::{Level, LevelAttention, QueryError, RankedPassage, Ranking, Target},
    store::Snapshot,
    tree::Node,
};

pub use crate::query::{SourceText, file_of, line_of};
pub use attention::{AttendedLevel, AttendedNode, attention};
pub use hit::{Hit, hit};
pub use sentence::Evidence;

/// Passages that evidence is taken from, and how many of them may be of one document.
const CITED_PASSAGES: usize = 8;
const FROM_ONE_DOCUMENT: usize = 2;
/// Citations of an answer.
pub const CITATIONS: usize = 3;

/// An answer and its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    pub question: String,
    /// Attention by level; the shares add up to 1.
    pub levels: BTreeMap<Level, f32>,
    /// What the attention falls on at each level, broadest first.
    pub attention: Vec<AttendedLevel>,
    pub answer: AnswerText,
    /// Best first.
    pub citations: Vec<Citation>,
    pub timings_ms: BTreeMap<&'static str, f64>,
}

/// The words of an answer and the level that gave them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerText {
    pub text: String,
    pub level: Level,
}

/// A verbatim piece of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Citation {
    /// Name of the collection, where several may be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Relative to the corpus root.
    pub path: String,
    /// Page, chapter or article, where the text is not the file's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Counted from 1.
    pub line_start: usize,
    pub line_end: usize,
    pub byte_start: usize,
    pub byte_end: usize,
    pub quote: String,
    pub score: f32,
}

/// Answers from a ranking, at `level` where one is given, else at the level that the attention favours.
///
/// Quotes are read from the files under the snapshot's corpus, or from the texts that were extracted of them; one
/// whose file has changed is left out.
pub fn answer(
    snapshot: &Snapshot,
    encoder: &Encoder,
    question: &str,
    ranking: &Ranking,
    level: Option<Level>,
) -> Result<Answer, QueryError> {
    let route = ranking.route(level);
    let mut evidence: Vec<Evidence> = Vec::new();
    for ranked in cited_passages(snapshot, ranking, route, level.is_some()) {
        let query = &ranking.query;
        evidence.extend(sentence::evidence(snapshot, encoder, query, ranked)?);
    }
    evidence.sort_by(|a, b| b.score.total_cmp(&a.score));
    evidence.truncate(CITATIONS);
    let mut levels: BTreeMap<Level, f32> = Level::ALL.map(|level| (level, 0.0)).into();
    let attended = ranking.attention.answerable();
    levels.extend(attended.map(|own| (own.level, own.weight)));
    Ok(Answer {
        question: question.to_owned(),
        levels,
        attention: attention(snapshot, &ranking.attention),
        answer: AnswerText {
            text: text(snapshot, route, &evidence),
            level: route.map_or(Level::Passage, |route| route.level),
        },
        citations: evidence.iter().map(Evidence::citation).collect(),
        timings_ms: BTreeMap::new(),
    })
}

/// The best passages inside the node, or what else was asked for, that the answer is about.
fn cited_passages<'a>(
    snapshot: &Snapshot,
    ranking: &'a Ranking,
    route: Option<&LevelAttention>,
    forced: bool,
) -> Vec<&'a RankedPassage> {
    // Evidence for a detail may stand in any document; the others answer for what lies below them.
    let target = route
        .and_then(LevelAttention::target)
        .filter(|target| forced || matches!(target, Target::Node(_)));
    let node = match target {
        Some(Target::Node(id)) => snapshot.body.tree.node(id),
        _ => None,
    };
    let below: HashSet<u32> = node
        .map(|node| snapshot.body.tree.documents_below(node))
        .into_iter()
        .flatten()
        .collect();
    let inside = |ranked: &RankedPassage| match target {
        Some(Target::Node(_)) => below.contains(&snapshot.body.documents[ranked.document].id),
        Some(Target::Document(document)) => ranked.document == document,
        Some(Target::Section(document, section)) => {
            ranked.document == document && snapshot.section_of(ranked.passage) == section
        }
        Some(Target::Passage(_) | Target::Granule(..)) | None => true,
    };
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let passages = ranking.passages.iter().filter(|ranked| inside(ranked));
    passages
        .filter(|ranked| {
            let count = taken.entry(ranked.document).or_default();
            *count += 1;
            *count <= FROM_ONE_DOCUMENT
        })
        .take(CITED_PASSAGES)
        .collect()
}

fn text(snapshot: &Snapshot, route: Option<&LevelAttention>, evidence: &[Evidence]) -> String {
    let node = match route.and_then(LevelAttention::target) {
        Some(Target::Node(id)) => snapshot.body.tree.node(id),
        _ => None,
    };
    if let Some(node) = node {
        return overview(snapshot, node);
    }
    match evidence.first() {
        Some(best) => best.quote.clone(),
        None => "Nothing in this corpus speaks of that.".to_owned(),
    }
}

/// A node's name, its summary and what it holds.
fn overview(snapshot: &Snapshot, node: &Node) -> String {
    let tree = &snapshot.body.tree;
    let children = node.children.iter().filter_map(|&id| tree.node(id));
    let documents = node
        .documents
        .iter()
        .filter_map(|&id| snapshot.document_with_id(id));
    let parts: Vec<&str> = children
        .map(|child| child.name.as_str())
        .chain(documents.map(|document| snapshot.body.documents[document].title.as_str()))
        .collect();
    format!(
        "{}: {} In it: {}.",
        node.name,
        node.summary,
        parts.join("; ")
    )
}
