//! The links that led from one document to another, in words.

use serde::Serialize;

use super::sentence::Sources;
use crate::{
    query::{Hop, Ranking, mention},
    store::Snapshot,
};

/// Which document led to which, and through which words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NamedHop {
    /// Title of the document that links.
    pub from: String,
    pub from_path: String,
    /// Where the link stands, counted from 1; none where it is not found in the text as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The link as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    pub to: String,
    pub to_path: String,
    /// How much of the way to the score of what links it carries the passages that it leads to, and what that adds.
    pub share: f32,
    pub gain: f32,
}

/// The hops that led to any of some documents.
pub fn leading(
    snapshot: &Snapshot,
    ranking: &Ranking,
    documents: &[usize],
    sources: &mut Sources,
) -> Vec<NamedHop> {
    let hops = ranking.hops.iter();
    let hops = hops.filter(|hop| documents.contains(&hop.to) && has_led(ranking, hop));
    hops.map(|hop| named(snapshot, hop, sources)).collect()
}

/// Whether a hop led from what was better to what was worse without it; between equals the link tells nothing.
fn has_led(ranking: &Ranking, hop: &Hop) -> bool {
    let best = |document: usize| {
        let mut of_document = ranking.passages.iter();
        let best = of_document.find(|own| own.document == document);
        best.map(|own| own.score - own.parts.links)
    };
    best(hop.from) > best(hop.to)
}

/// Names a hop, and looks up where its link stands.
pub fn named(snapshot: &Snapshot, hop: &Hop, sources: &mut Sources) -> NamedHop {
    let record = |document: usize| &snapshot.body.documents[document];
    let (from, to) = (record(hop.from), record(hop.to));
    let source = sources.of(snapshot, hop.from);
    let found = source.and_then(|source| {
        let place = mention(&source.text, to)?;
        Some((source.line(place.start), source.text[place].to_owned()))
    });
    let (line, through) = found.unzip();
    NamedHop {
        from: from.title.clone(),
        from_path: from.path.clone(),
        line,
        through,
        to: to.title.clone(),
        to_path: to.path.clone(),
        share: hop.share,
        gain: hop.gain,
    }
}
