//! What is written down of a document: its record, its units in the text index, what became of its file.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Encoded, Pending};
use crate::{
    corpus::{Document, Skipped},
    store::{
        DocumentRecord, FileState, FileStatus, SectionRecord, StoreError, StoreWriter, TextUnit,
    },
};

/// The record of a document that has this number in its segment.
pub(super) fn record(encoded: &Encoded, row: u32) -> DocumentRecord {
    let Encoded {
        pending, layout, ..
    } = encoded;
    let Pending { document, id, hash } = pending;
    let sections = layout.sections.iter().map(|section| SectionRecord {
        heading: section.heading.clone(),
        level: section.level,
        start: section.span.start as u32,
        end: section.span.end as u32,
        parent: section.parent.map(|parent| parent as u32),
    });
    let passages = &layout.passages;
    DocumentRecord {
        id: *id,
        path: document.path.clone(),
        title: document.title.clone(),
        aliases: document.aliases.clone(),
        tags: document.tags.clone(),
        hash: *hash,
        segment: 0,
        row,
        n_passages: passages.len() as u32,
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
        links: Vec::new(),
    }
}

/// Adds a document's units to the text index: its records, else its passages.
pub(super) fn add_text(encoded: &Encoded, store: &StoreWriter) -> Result<(), StoreError> {
    let Encoded {
        pending, layout, ..
    } = encoded;
    let document = pending.document;
    let tags = document.tags.join(" ");
    let unit = |ordinal: usize, headings: &str, span: std::ops::Range<usize>| {
        store.text.add(&TextUnit {
            document: pending.id,
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

/// What became of each file.
pub(super) fn statuses(documents: &[Document], skipped: &[Skipped]) -> Vec<FileStatus> {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let indexed = documents.iter().map(|document| FileStatus {
        path: document.path.clone(),
        state: FileState::Indexed,
        reason: None,
        time,
    });
    let skipped = skipped.iter().map(|skipped| FileStatus {
        path: skipped.path.clone(),
        state: if skipped.failed {
            FileState::Failed
        } else {
            FileState::Skipped
        },
        reason: Some(skipped.reason.clone()),
        time,
    });
    indexed.chain(skipped).collect()
}
