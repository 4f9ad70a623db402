//! The links that led from one document to another, in words.

use std::ops::Range;

use serde::Serialize;

use super::sentence::Sources;
use crate::{
    query::{Hop, Ranking},
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
    /// What it adds to the score of the passages that it leads to.
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
        let place = link_to(&source.text, &to.title, &to.path)?;
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
        gain: hop.gain,
    }
}

/// Where `text` links to a document first: by a wikilink, by a path, else by its title.
fn link_to(text: &str, title: &str, path: &str) -> Option<Range<usize>> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let wikilinks = text.match_indices("[[").filter_map(|(start, _)| {
        let inner = &text[start + 2..];
        let end = inner.find("]]")?;
        let target = inner[..end].split(['|', '#', '^']).next()?.trim();
        let target = target.rsplit('/').next()?;
        let is_it = [stem, file, title]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(target));
        is_it.then_some(start..start + 2 + end + 2)
    });
    let named = || {
        let names = [file, title, stem]
            .into_iter()
            .filter(|name| !name.is_empty());
        let mut places = names.filter_map(|name| text.find(name).map(|at| at..at + name.len()));
        places.next()
    };
    let mut wikilinks = wikilinks;
    wikilinks.next().or_else(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_as_they_are_written() {
        let check = |text: &str, expected: Option<&str>| {
            let found = link_to(text, "Gluten", "Bread/Gluten.md").map(|place| &text[place]);
            assert_eq!(found, expected, "{text}");
        };
        check(
            "See [[Rye]] and [[gluten#Web|the web]].",
            Some("[[gluten#Web|the web]]"),
        );
        check("See [[Bread/Gluten]].", Some("[[Bread/Gluten]]"));
        check("See [it](../Gluten.md).", Some("Gluten.md"));
        check("Gluten is strong.", Some("Gluten"));
        check("[[Gluten is never closed", Some("Gluten"));
        check("Nothing.", None);
    }
}
