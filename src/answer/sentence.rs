//! Evidence sentences: where in a passage the question's tokens look.

use std::ops::Range;

use super::{Citation, SourceText};
use crate::{
    model::{Encoder, QueryEncoding, granule::GRANULE_TOKENS},
    query::{QueryError, RankedPassage},
    store::Snapshot,
    text::sentences,
};

/// What a sentence's own match counts beside its passage's score.
const SENTENCE_WEIGHT: f32 = 12.0;
/// Sentences taken from one passage.
const FROM_ONE_PASSAGE: usize = 2;
/// Shorter sentences, in bytes, are headings or crumbs.
const MIN_BYTES: usize = 24;

/// One sentence of a file, verbatim.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    pub path: String,
    pub place: Option<String>,
    pub span: Range<usize>,
    pub lines: Range<usize>,
    pub quote: String,
    pub score: f32,
}

impl Evidence {
    /// As a citation.
    pub fn citation(&self) -> Citation {
        Citation {
            collection: None,
            path: self.path.clone(),
            place: self.place.clone(),
            line_start: self.lines.start,
            line_end: self.lines.end,
            byte_start: self.span.start,
            byte_end: self.span.end,
            quote: self.quote.clone(),
            score: self.score,
        }
    }
}

/// The best sentences of a passage; none where the file has changed since it was indexed.
pub fn evidence(
    snapshot: &Snapshot,
    encoder: &Encoder,
    query: &QueryEncoding,
    ranked: &RankedPassage,
) -> Result<Vec<Evidence>, QueryError> {
    let record = &snapshot.body.documents[ranked.document];
    let source = match SourceText::read(snapshot, ranked.document) {
        Ok(source) if source.is_current => source,
        _ => return Ok(Vec::new()),
    };
    let text = &source.text;
    let (segment, row) = snapshot.row_of(ranked.passage);
    let span = row.span();
    let body = &text[span.clone()];
    let tokens = encoder
        .tokenizer()
        .tokenize(body)
        .map_err(crate::model::ModelError::from)?;
    let quotable = row.granules().start + usize::from(row.n_prefix_granules)..row.granules().end;
    let mut found: Vec<Evidence> = sentences(body)
        .into_iter()
        .filter(|sentence| sentence.len() >= MIN_BYTES && !body[sentence.clone()].starts_with('#'))
        .map(|sentence| {
            // A sentence is matched by every granule that holds one of its word pieces.
            let from = tokens.partition_point(|token| (token.end as usize) <= sentence.start);
            let to = tokens.partition_point(|token| (token.start as usize) < sentence.end);
            let granules = quotable.start + from / GRANULE_TOKENS
                ..(quotable.start + to.div_ceil(GRANULE_TOKENS)).min(quotable.end);
            let granules = granules.start.min(granules.end)..granules.end;
            let (codes, scales) = segment.keys(granules);
            let matches = crate::query::best_granules(query, codes, scales);
            let attention: f32 = matches
                .iter()
                .zip(&query.weights)
                .map(|(m, weight)| m * weight)
                .sum();
            let span = span.start + sentence.start..span.start + sentence.end;
            Evidence {
                path: record.path.clone(),
                place: source.place(span.start).map(str::to_owned),
                lines: source.line(span.start)..source.line(span.end),
                quote: text[span.clone()].to_owned(),
                span,
                score: ranked.score + SENTENCE_WEIGHT * attention,
            }
        })
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(FROM_ONE_PASSAGE);
    Ok(found)
}
