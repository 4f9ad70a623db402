//! The same answer as a ladder: from the domain that holds it down to the sentence that says it.

use std::collections::HashSet;

use serde::Serialize;

use super::{
    Citation, central,
    explain::nodes_above,
    quote::Quote,
    sentence::{Asked, Sources},
};
use crate::{
    model::Encoder,
    query::{QueryError, Ranking},
    store::Snapshot,
    tree::{self, Node},
};

/// Documents that a rung names.
const NAMED: usize = 3;
/// Passages of the document that its central sentence is taken from.
const PASSAGES: usize = 4;

/// How far down a ladder goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    Domain,
    Category,
    Entity,
    Document,
    Sentence,
}

impl Depth {
    /// From overview to sentence.
    pub const ALL: [Self; 5] = [
        Self::Domain,
        Self::Category,
        Self::Entity,
        Self::Document,
        Self::Sentence,
    ];

    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Category => "category",
            Self::Entity => "entity",
            Self::Document => "document",
            Self::Sentence => "sentence",
        }
    }

    fn of(node: &Node) -> Self {
        match node.level {
            tree::Level::Domain => Self::Domain,
            tree::Level::Category(_) => Self::Category,
            tree::Level::Entity => Self::Entity,
        }
    }
}

impl std::str::FromStr for Depth {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|depth| depth.name() == name);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no depth is called `{name}`; the depths are {names}")
        })
    }
}

/// One rung: what the answer is part of, and what that rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rung {
    pub depth: Depth,
    /// Of the node, the document, or the document and section that the sentence stands in.
    pub name: String,
    /// The node's summary, the document's most central sentence, or the answer itself.
    pub text: String,
    /// The documents that a node stands for here: those of its own that answer best.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Place>,
    /// How many documents the node holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_documents: Option<u32>,
    /// Where the text stands, word for word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citation: Option<Citation>,
}

/// A document that a rung rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Place {
    pub title: String,
    pub path: String,
}

/// The rungs from the top of the tree down to `depth`, above and including the sentence that was quoted first.
pub fn ladder(
    snapshot: &Snapshot,
    encoder: &Encoder,
    asked: Asked,
    (document, quoted): (usize, &Citation),
    depth: Depth,
) -> Result<Vec<Rung>, QueryError> {
    let above = nodes_above(snapshot, document).into_iter();
    let mut rungs: Vec<Rung> = above
        .map(|node| of_node(snapshot, asked.ranking, node))
        .collect();
    let record = &snapshot.body.documents[document];
    if depth >= Depth::Document {
        let citation = central_sentence(snapshot, encoder, asked, document)?;
        rungs.push(Rung {
            depth: Depth::Document,
            name: record.title.clone(),
            text: citation
                .as_ref()
                .map_or_else(String::new, |own| own.quote.clone()),
            documents: Vec::new(),
            n_documents: None,
            citation,
        });
    }
    rungs.push(Rung {
        depth: Depth::Sentence,
        name: record.title.clone(),
        text: quoted.quote.clone(),
        documents: Vec::new(),
        n_documents: None,
        citation: Some(quoted.clone()),
    });
    rungs.retain(|rung| rung.depth <= depth);
    Ok(rungs)
}

/// The documents of a node that the ranking puts first stand for it; where it ranks none, its own first ones.
fn of_node(snapshot: &Snapshot, ranking: &Ranking, node: &Node) -> Rung {
    let tree = &snapshot.body.tree;
    let below = tree.documents_below(node);
    let held: HashSet<u32> = below.iter().copied().collect();
    let id = |document: usize| snapshot.body.documents[document].id;
    let ranked = ranking.documents().map(|ranked| ranked.document);
    let mut best: Vec<usize> = ranked
        .filter(|&own| held.contains(&id(own)))
        .take(NAMED)
        .collect();
    if best.is_empty() {
        let own = below.iter().filter_map(|&id| snapshot.document_with_id(id));
        best = own.take(NAMED).collect();
    }
    let documents = best.into_iter().map(|document| {
        let record = &snapshot.body.documents[document];
        Place {
            title: record.title.clone(),
            path: record.path.clone(),
        }
    });
    Rung {
        depth: Depth::of(node),
        name: node.name.clone(),
        text: node.summary.clone(),
        documents: documents.collect(),
        n_documents: Some(node.n_documents),
        citation: None,
    }
}

/// The sentence of a document nearest to the document as a whole and to the question.
fn central_sentence(
    snapshot: &Snapshot,
    encoder: &Encoder,
    asked: Asked,
    document: usize,
) -> Result<Option<Citation>, QueryError> {
    let mut sources = Sources::default();
    let aim = central::aim(
        &central::vector_of(snapshot, document),
        &asked.ranking.query.vector,
    );
    let passages: Vec<usize> = snapshot.passages_of(document).take(PASSAGES).collect();
    let read = super::read(snapshot, encoder, asked, &passages, &mut sources)?;
    let scores = central::scores(encoder, &read, &aim)?;
    let sentences = scores.iter().enumerate().flat_map(|(passage, own)| {
        own.iter()
            .enumerate()
            .map(move |(sentence, &score)| (passage, sentence, score))
    });
    let best = sentences.max_by(|a, b| a.2.total_cmp(&b.2));
    Ok(best.and_then(|(passage, sentence, score)| {
        let quote = Quote {
            passage,
            sentence,
            span: read[passage].sentences[sentence].span.clone(),
            score,
            also: Vec::new(),
        };
        super::cite(snapshot, &read, &quote, &mut sources)
    }))
}
