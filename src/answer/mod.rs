//! What is the answer, and where does it stand? Here is a ranking, gimme an [`Answer`] with citations.
//!
//! A detail is answered by the sentences that say it, a concept by the most central sentences of the node that the
//! attention falls on, a synthesis by points from several documents. Each quote is taken from the file as it is now, and
//! only where that is the file that was indexed. Where support is weak, the answer says so.

mod attention;
mod central;
mod evidence;
mod explain;
mod hit;
mod hop;
mod kind;
mod ladder;
mod prose;
mod quote;
mod score;
mod sentence;
mod support;
mod verify;
mod wanted;
mod written;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::{
    model::Encoder,
    query::{Level, LevelAttention, QueryError, Ranking, Target},
    store::Snapshot,
    tree::Node,
};

pub use crate::query::{SourceText, file_of, line_of};
pub use attention::{AttendedLevel, AttendedNode, attention};
pub use evidence::{Evidence, evidence};
pub use explain::{Candidate, Explanation, GranuleShares, LevelPrior, Part, explain};
pub use hit::{Hit, hit};
pub use hop::NamedHop;
pub use kind::{Kind, n_quotes};
pub use ladder::{Depth, Place, Rung};
pub use score::SentenceWeights;
pub use support::Judgement;
pub use verify::{Check, check};
pub use written::{Prompt, Written, WrittenSentence, prompt, written};

use quote::{Limits, Quote};
use sentence::{Asked, ReadPassage, Sources};

/// Passages that quotes are taken from, and how many of them may be of one document.
const CITED_PASSAGES: usize = 8;
const FROM_ONE_DOCUMENT: usize = 2;
/// Of an answer from several documents, more passages.
const SPREAD_PASSAGES: usize = 14;
/// Citations of a detail.
pub const CITATIONS: usize = 3;
/// A sentence that is this much worse than the best says nothing of a concept.
const OFF_CONCEPT: f32 = 5.0;
/// A span that is likelier than this is marked.
const MARKED: f32 = 0.1;

/// An answer and its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    pub question: String,
    /// Attention by level; the shares add up to 1.
    pub levels: BTreeMap<Level, f32>,
    /// What the attention falls on at each level, broadest first.
    pub attention: Vec<AttendedLevel>,
    /// False where the corpus is taken not to answer; the citations are then the nearest passages.
    #[serde(flatten)]
    pub judgement: Judgement,
    pub answer: AnswerText,
    /// What a language model made of the citations, where one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
    /// Best first.
    pub citations: Vec<Citation>,
    /// The links that led to what is cited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<NamedHop>,
    /// The same answer from overview to sentence, where a depth was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Rung>,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    pub timings_ms: BTreeMap<&'static str, f64>,
}

/// The words of an answer and the level that gave them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerText {
    pub text: String,
    pub level: Level,
    pub kind: Kind,
}

/// A verbatim piece of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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
    /// Where in the quote the answer itself is likely to stand, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marked: Option<(usize, usize)>,
    /// Places that say nearly the same, as `path:line`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    pub score: f32,
}

/// How an answer is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswerOptions {
    /// The level to answer at; else the one that the attention favours.
    pub level: Option<Level>,
    /// How far down a ladder goes; else there is none.
    pub depth: Option<Depth>,
    /// Whether the ranking is explained.
    pub explain: bool,
    /// What speaks for a sentence; else what was measured to serve.
    pub weights: Option<SentenceWeights>,
}

/// Answers from a ranking.
///
/// Quotes are read from the files under the snapshot's corpus, or from the texts that were extracted of them; one
/// whose file has changed is left out.
pub fn answer(
    snapshot: &Snapshot,
    encoder: &Encoder,
    question: &str,
    ranking: &Ranking,
    options: &AnswerOptions,
) -> Result<Answer, QueryError> {
    let route = ranking.route(options.level);
    let asked = Asked { question, ranking };
    let node = match route.and_then(LevelAttention::target) {
        Some(Target::Node(id)) => snapshot.body.tree.node(id),
        _ => None,
    };
    let kind = match (node, ranking.kind()) {
        (Some(_), _) if options.level.is_some() => Kind::Concept,
        (_, kind) => kind,
    };
    let mut sources = Sources::default();
    let cited = cited_passages(snapshot, ranking, route, (kind, options.level.is_some()));
    let mut read = read(snapshot, encoder, asked, &cited, &mut sources)?;
    let judgement = support::judge(ranking, &read);
    // Where nothing answers, what is nearest is shown and nothing is made of it.
    let kind = match judgement.supported {
        true => kind,
        false => Kind::Detail,
    };
    let node = node.filter(|_| kind == Kind::Concept);
    let quotes = match node {
        Some(node) => {
            read = members(snapshot, encoder, asked, node, &mut sources)?;
            central_quotes(snapshot, encoder, asked, node, (&read, &mut sources))?
        }
        None => {
            let weights = options.weights;
            let weights = weights.unwrap_or_else(|| SentenceWeights::of(ranking, kind));
            best_quotes(snapshot, (kind, &weights), (&read, &mut sources))
        }
    };
    let documents = quotes.iter().map(|own| read[own.passage].document);
    let documents: Vec<usize> = documents.collect();
    let citations = citations(snapshot, ranking, kind, (&read, &quotes, &mut sources));
    let hops = hop::leading(snapshot, ranking, &documents, &mut sources);
    let ladder = match (options.depth, documents.first(), citations.first()) {
        (Some(depth), Some(&document), Some(quoted)) => {
            ladder::ladder(snapshot, encoder, asked, (document, quoted), depth)?
        }
        _ => Vec::new(),
    };
    Ok(Answer {
        question: question.to_owned(),
        levels: weights_of_levels(ranking),
        attention: attention(snapshot, &ranking.attention),
        judgement,
        answer: AnswerText {
            text: text(snapshot, node, kind, &citations),
            level: route.map_or(Level::Passage, |route| route.level),
            kind,
        },
        written: None,
        citations,
        hops,
        ladder,
        explanation: options.explain.then(|| explain(snapshot, ranking)),
        timings_ms: BTreeMap::new(),
    })
}

/// The share of each level in the attention; they add up to 1.
fn weights_of_levels(ranking: &Ranking) -> BTreeMap<Level, f32> {
    let mut levels: BTreeMap<Level, f32> = Level::ALL.map(|level| (level, 0.0)).into();
    let attended = ranking.attention.answerable();
    levels.extend(attended.map(|own| (own.level, own.weight)));
    levels
}

/// The best passages inside the node, or what else was asked for, that the answer is about.
fn cited_passages(
    snapshot: &Snapshot,
    ranking: &Ranking,
    route: Option<&LevelAttention>,
    (kind, forced): (Kind, bool),
) -> Vec<usize> {
    // Evidence may stand in any document, unless a level was asked for or a node answers.
    let target = route
        .and_then(LevelAttention::target)
        .filter(|target| forced || (kind == Kind::Concept && matches!(target, Target::Node(_))));
    let node = match target {
        Some(Target::Node(id)) => snapshot.body.tree.node(id),
        _ => None,
    };
    let below: HashSet<u32> = node
        .map(|node| snapshot.body.tree.documents_below(node))
        .into_iter()
        .flatten()
        .collect();
    let inside = |document: usize, passage: usize| match target {
        Some(Target::Node(_)) => below.contains(&snapshot.body.documents[document].id),
        Some(Target::Document(own)) => document == own,
        Some(Target::Section(own, section)) => {
            document == own && snapshot.section_of(passage) == section
        }
        Some(Target::Passage(_) | Target::Granule(..)) | None => true,
    };
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let passages = ranking.passages.iter();
    let passages = passages.filter(|ranked| inside(ranked.document, ranked.passage));
    passages
        .filter(|ranked| {
            let count = taken.entry(ranked.document).or_default();
            *count += 1;
            *count <= FROM_ONE_DOCUMENT
        })
        .take(if kind == Kind::Detail {
            CITED_PASSAGES
        } else {
            SPREAD_PASSAGES
        })
        .map(|ranked| ranked.passage)
        .collect()
}

fn read(
    snapshot: &Snapshot,
    encoder: &Encoder,
    asked: Asked,
    passages: &[usize],
    sources: &mut Sources,
) -> Result<Vec<ReadPassage>, QueryError> {
    let mut read = Vec::with_capacity(passages.len());
    for &passage in passages {
        read.extend(sentence::read_passage(
            snapshot, encoder, asked, passage, sources,
        )?);
    }
    Ok(read)
}

/// The passages of a node nearest to it and to the question, one a document.
fn members(
    snapshot: &Snapshot,
    encoder: &Encoder,
    asked: Asked,
    node: &Node,
    sources: &mut Sources,
) -> Result<Vec<ReadPassage>, QueryError> {
    let below = snapshot.body.tree.documents_below(node).into_iter();
    let documents: Vec<usize> = below
        .filter_map(|id| snapshot.document_with_id(id))
        .collect();
    let aim = central::aim(&node.vector, &asked.ranking.query.vector);
    let passages = central::passages(snapshot, &documents, &aim, kind::n_quotes(Kind::Concept));
    read(snapshot, encoder, asked, &passages, sources)
}

/// The sentences of a node's passages that are nearest to it and to the question.
fn central_quotes(
    snapshot: &Snapshot,
    encoder: &Encoder,
    asked: Asked,
    node: &Node,
    (read, sources): (&[ReadPassage], &mut Sources),
) -> Result<Vec<Quote>, QueryError> {
    let aim = central::aim(&node.vector, &asked.ranking.query.vector);
    let scores = central::scores(encoder, read, &aim)?;
    let limits = Limits {
        quotes: kind::n_quotes(Kind::Concept),
        from_one_document: 1,
        below_best: f32::INFINITY,
        joined: 0.0,
    };
    Ok(quote::choose(snapshot, read, &scores, &limits, sources))
}

/// The sentences that say most of what is asked.
fn best_quotes(
    snapshot: &Snapshot,
    (kind, weights): (Kind, &SentenceWeights),
    (read, sources): (&[ReadPassage], &mut Sources),
) -> Vec<Quote> {
    let scores = score::scores(read, weights);
    let limits = Limits {
        quotes: kind::n_quotes(kind),
        from_one_document: match kind {
            Kind::Detail => CITATIONS,
            Kind::Concept => 2,
            Kind::Synthesis => 1,
        },
        below_best: match kind {
            Kind::Concept => OFF_CONCEPT,
            Kind::Detail | Kind::Synthesis => f32::INFINITY,
        },
        joined: weights.joined,
    };
    quote::choose(snapshot, read, &scores, &limits, sources)
}

/// Quotes with their places; of a detail, with the likely answer marked.
fn citations(
    snapshot: &Snapshot,
    ranking: &Ranking,
    kind: Kind,
    (read, quotes, sources): (&[ReadPassage], &[Quote], &mut Sources),
) -> Vec<Citation> {
    let cited = quotes.iter().filter_map(|quote| {
        let citation = cite(snapshot, read, quote, sources)?;
        let marked = marked(ranking, &read[quote.passage], quote);
        Some(Citation {
            marked: marked.filter(|_| kind == Kind::Detail),
            ..citation
        })
    });
    cited.collect()
}

/// A quote with its place in its file.
fn cite(
    snapshot: &Snapshot,
    read: &[ReadPassage],
    quote: &Quote,
    sources: &mut Sources,
) -> Option<Citation> {
    let place_of = |document: usize, byte: usize, sources: &mut Sources| {
        let source = sources.of(snapshot, document)?;
        let path = &snapshot.body.documents[document].path;
        Some(format!("{path}:{}", source.line(byte)))
    };
    let also = quote.also.iter();
    let also = also
        .filter_map(|&(document, byte)| place_of(document, byte, sources))
        .collect();
    let document = read[quote.passage].document;
    let source = sources.of(snapshot, document)?;
    let span = &quote.span;
    Some(Citation {
        collection: None,
        path: snapshot.body.documents[document].path.clone(),
        place: source.place(span.start).map(str::to_owned),
        line_start: source.line(span.start),
        line_end: source.line(span.end),
        byte_start: span.start,
        byte_end: span.end,
        quote: source.text.get(span.clone())?.to_owned(),
        marked: None,
        also,
        score: quote.score,
    })
}

/// Where the joint reader sees the answer in a quote, where it is sure enough.
fn marked(ranking: &Ranking, passage: &ReadPassage, quote: &Quote) -> Option<(usize, usize)> {
    let reading = ranking.readings.get(&passage.passage)?;
    let pieces = passage.sentences[quote.sentence].pieces.clone();
    let (span, likelihood) = reading.span(pieces)?;
    let first = passage.tokens.get(span.start)?;
    let last = passage.tokens.get(span.end - 1)?;
    let at = |byte: u32| (passage.start + byte as usize).checked_sub(quote.span.start);
    (likelihood >= MARKED).then_some((at(first.start)?, at(last.end)?))
}

fn text(snapshot: &Snapshot, node: Option<&Node>, kind: Kind, citations: &[Citation]) -> String {
    if let Some(node) = node {
        return overview(snapshot, node);
    }
    match (kind, citations) {
        (_, []) => "Nothing in this corpus speaks of that.".to_owned(),
        (Kind::Detail, [best, ..]) => best.quote.clone(),
        (Kind::Concept | Kind::Synthesis, points) => {
            let numbered = points.iter().zip(1..);
            let points = numbered.map(|(own, number)| format!("{} [{number}]", own.quote));
            points.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A node's name and what it holds.
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
        "{}, {} documents: {}.",
        node.name,
        node.n_documents,
        parts.join("; ")
    )
}
