//! Where a ranked passage stands, in words and in its file.

use super::SourceText;
use crate::{
    query::RankedPassage,
    store::{DocumentRecord, Snapshot},
};

/// Characters of a snippet.
const SNIPPET_CHARACTERS: usize = 160;

/// A ranked passage as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Title of the document, and its section's heading.
    pub name: String,
    /// Index of the document in the snapshot.
    pub document: usize,
    /// Relative to the corpus root.
    pub path: String,
    /// First byte of the passage.
    pub start: usize,
    /// Page, chapter or article, where the text is not the file's own.
    pub place: Option<String>,
    /// Its line, counted from 1; 1 where the file has changed too much.
    pub line: usize,
    /// How the passage begins behind its headings, on one line.
    pub snippet: String,
}

/// Looks a ranked passage up in its file.
pub fn hit(snapshot: &Snapshot, ranked: &RankedPassage) -> Hit {
    let record = &snapshot.body.documents[ranked.document];
    let span = snapshot.row_of(ranked.passage).1.span();
    // A file that cannot be read has no snippet.
    let source = SourceText::read(snapshot, ranked.document).unwrap_or_default();
    let body = source.text.get(span.clone()).unwrap_or("");
    // The headings are in the name already.
    let is_heading = |line: &&str| line.trim_start_matches('#').len() < line.len();
    let prose = body.lines().filter(|line| !is_heading(line));
    let words: Vec<&str> = prose.flat_map(str::split_whitespace).collect();
    Hit {
        name: section_name(record, snapshot.section_of(ranked.passage)),
        document: ranked.document,
        path: record.path.clone(),
        start: span.start,
        place: source.place(span.start).map(str::to_owned),
        line: match body {
            "" => 1,
            _ => source.line(span.start),
        },
        snippet: words.join(" ").chars().take(SNIPPET_CHARACTERS).collect(),
    }
}

/// Title of a document and heading of one of its sections.
pub(super) fn section_name(record: &DocumentRecord, section: usize) -> String {
    let section = &record.sections[section];
    match section.level {
        0 => record.title.clone(),
        _ if section.heading == record.title => record.title.clone(),
        _ => format!("{} › {}", record.title, section.heading),
    }
}
