//! What is written down of a document: its record, its units in the text index, what became of its file.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    corpus::{Document, Mark, Origin, Skipped},
    model::PassageInput,
    store::{
        DocumentRecord, ExtractedText, FileState, FileStatus, LinkRecord, PassagePieces, PlaceMark,
        SectionRecord, Stamp, StoreError, StoreWriter, TextUnit,
    },
    text::Layout,
};

/// A document with its place in its file, ready to be cut.
pub(super) struct Incoming {
    pub document: Document,
    pub id: u32,
    /// True where the index has no other text of it.
    pub is_new: bool,
    pub hash: [u8; 32],
    pub stamp: Stamp,
    /// The file, where that is not the document's path.
    pub file: Option<String>,
}

/// The record of a document that has not been stored anywhere yet.
pub(super) fn record(incoming: &Incoming, layout: &Layout) -> DocumentRecord {
    let document = &incoming.document;
    let sections = layout.sections.iter().map(|section| SectionRecord {
        heading: section.heading.clone(),
        level: section.level,
        start: section.span.start as u32,
        end: section.span.end as u32,
        parent: section.parent.map(|parent| parent as u32),
    });
    let passages = &layout.passages;
    DocumentRecord {
        id: incoming.id,
        path: document.path.clone(),
        file: incoming.file.clone(),
        title: document.title.clone(),
        aliases: document.aliases.clone(),
        tags: document.tags.clone(),
        is_index: document.is_index(),
        hash: incoming.hash,
        stamp: incoming.stamp,
        n_passages: passages.len() as u32,
        n_lead: n_lead(layout),
        sections: sections.collect(),
        passage_sections: passages
            .iter()
            .map(|passage| passage.section as u32)
            .collect(),
        records: document
            .records
            .iter()
            .map(|record| record.id.clone())
            .collect(),
        passage_records: passages
            .iter()
            .filter_map(|passage| passage.record.map(|record| record as u32))
            .collect(),
        ..DocumentRecord::default()
    }
}

/// The passages before the second heading, or before the first where the text begins without one.
fn n_lead(layout: &Layout) -> u32 {
    let Some(first) = layout.passages.first() else {
        return 0;
    };
    let lead = layout.passages.iter();
    lead.take_while(|passage| passage.section == first.section)
        .count() as u32
}

/// The word pieces of every passage.
pub(super) fn pieces(layout: &Layout) -> Vec<PassagePieces> {
    let pieces = layout.passages.iter().map(|passage| PassagePieces {
        prefix: passage.prefix.clone(),
        body: passage.tokens.iter().map(|token| token.id).collect(),
    });
    pieces.collect()
}

/// Passages as the encoder takes them.
pub(super) fn inputs(pieces: &[PassagePieces]) -> Vec<PassageInput<'_>> {
    let inputs = pieces.iter().map(|own| PassageInput {
        prefix: &own.prefix,
        body: &own.body,
    });
    inputs.collect()
}

/// The text of a document that is not its file.
pub(super) fn extracted(document: &Document) -> Option<ExtractedText> {
    let Origin::Extracted(marks) = &document.origin else {
        return None;
    };
    let mark = |mark: &Mark| PlaceMark {
        start: mark.start as u32,
        name: mark.name.clone(),
        line: mark.line,
    };
    Some(ExtractedText {
        text: document.text.clone(),
        marks: marks.iter().map(mark).collect(),
    })
}

/// What a document refers to, mentions not looked for yet.
pub(super) fn links(document: &Document) -> LinkRecord {
    let mut targets: Vec<String> = document
        .links
        .iter()
        .map(|link| link.target.clone())
        .filter(|target| !target.is_empty())
        .collect();
    targets.sort_unstable();
    targets.dedup();
    LinkRecord {
        targets,
        mentions: Vec::new(),
    }
}

/// Adds a document's units to the text index: its records, else its passages.
pub(super) fn add_text(
    incoming: &Incoming,
    layout: &Layout,
    store: &StoreWriter,
) -> Result<(), StoreError> {
    let document = &incoming.document;
    let tags = document.tags.join(" ");
    let unit = |ordinal: usize, headings: &str, span: std::ops::Range<usize>| {
        store.text.add(&TextUnit {
            document: incoming.id,
            ordinal: ordinal as u32,
            title: &document.title,
            headings,
            tags: &tags,
            body: &document.text[span],
        })
    };
    for (ordinal, record) in document.records.iter().enumerate() {
        unit(ordinal, "", record.span.clone())?;
    }
    if !document.records.is_empty() {
        return Ok(());
    }
    for (ordinal, passage) in layout.passages.iter().enumerate() {
        let mut headings = Vec::new();
        let mut at = Some(passage.section).filter(|&section| section > 0);
        while let Some(section) = at.filter(|&section| section > 0) {
            headings.push(layout.sections[section].heading.as_str());
            at = layout.sections[section].parent;
        }
        unit(ordinal, &headings.join(". "), passage.span.clone())?;
    }
    if layout.passages.is_empty() {
        unit(0, &document.aliases.join(". "), 0..0)?;
    }
    Ok(())
}

/// The status of a file that was read.
pub(super) fn indexed(path: &str) -> FileStatus {
    FileStatus {
        path: path.to_owned(),
        state: FileState::Indexed,
        reason: None,
        time: now(),
    }
}

/// The status of what was left out.
pub(super) fn left_out(skipped: &Skipped) -> FileStatus {
    FileStatus {
        path: skipped.path.clone(),
        state: match skipped.failed {
            true => FileState::Failed,
            false => FileState::Skipped,
        },
        reason: Some(skipped.reason.clone()),
        time: now(),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}
