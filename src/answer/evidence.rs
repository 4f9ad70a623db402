//! The passage that a citation stands in, as its file has it now: what a written answer may rest on.

use super::{Citation, SourceText, hit::section_name};
use crate::{
    model::Encoder,
    query::IndexedText,
    store::{DocumentRecord, Snapshot},
};

/// A passage under its headings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Title of the document and heading of the section.
    pub headings: String,
    /// Without comments.
    pub text: String,
}

/// Looks up the passage of a citation; where its file has changed meanwhile, there is the quote alone.
pub fn evidence(snapshot: &Snapshot, encoder: &Encoder, citation: &Citation) -> Evidence {
    passage_of(snapshot, encoder, citation).unwrap_or_else(|| Evidence {
        headings: String::new(),
        text: citation.quote.clone(),
    })
}

fn passage_of(snapshot: &Snapshot, encoder: &Encoder, citation: &Citation) -> Option<Evidence> {
    let is_cited = |own: &DocumentRecord| own.path == citation.path;
    let document = snapshot.body.documents.iter().position(is_cited)?;
    let source = SourceText::read(snapshot, document).ok()?;
    let source = source.is_current.then_some(source)?;
    let mut passages = snapshot.passages_of(document);
    let span = |passage: usize| snapshot.row_of(passage).1.span();
    let passage = passages.find(|&own| span(own).contains(&citation.byte_start))?;
    let body = source.text.get(span(passage))?;
    let indexed = IndexedText::read(snapshot, passage, body, encoder.tokenizer()).ok()?;
    let parts = indexed.parts.into_iter().filter_map(|part| body.get(part));
    Some(Evidence {
        headings: section_name(
            &snapshot.body.documents[document],
            snapshot.section_of(passage),
        ),
        text: parts.collect::<Vec<_>>().join("\n"),
    })
}
