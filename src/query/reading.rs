//! The joint reader reads the best passages with the question.
//!
//! More of them where the first ones are close together. What it finds is added to the score, in the measure in which
//! the scores of what it reads differ, and never replaces it.

use std::collections::HashMap;

use super::{QueryError, RankedPassage, SourceText, fusion::z_scores};
use crate::{
    model::{Encoder, ModelError, PassageInput, config::LAYOUT},
    store::{SectionRecord, Snapshot},
    text::{Section, Token, context_prefix},
};

/// Passages that are read where the ranking is clear, and where it is not.
const FEW: usize = 8;
const MANY: usize = 20;
/// The ranking is clear where the best is ahead of the second by this many deviations of the best [`MANY`].
const CLEAR: f32 = 1.0;

/// A passage that is read: its place in the rankings, and its word pieces.
struct Read {
    ranking: usize,
    at: usize,
    prefix: Vec<u32>,
    tokens: Vec<Token>,
    /// First byte of the passage.
    start: usize,
}

/// Adds `weight` times the reader's opinion to the best passages of all rankings together, and marks their answers.
///
/// A passage whose file has changed is not read. A model without a reader adds nothing.
pub fn add(
    snapshots: &[&Snapshot],
    encoder: &Encoder,
    question: &str,
    rankings: &mut [Vec<RankedPassage>],
    weight: f32,
) -> Result<(), QueryError> {
    let Some(reader) = encoder.reader().filter(|_| weight > 0.0) else {
        return Ok(());
    };
    let best = best(rankings);
    let scores: Vec<f32> = best
        .iter()
        .map(|&(ranking, at)| rankings[ranking][at].score)
        .collect();
    let count = match scores[..] {
        [first, second, ..] if first - second > CLEAR * deviation(&scores) => FEW,
        _ => MANY,
    };
    let mut sources = HashMap::new();
    let mut reads = Vec::new();
    for &(ranking, at) in best.iter().take(count) {
        let ranked = &rankings[ranking][at];
        let snapshot = snapshots[ranking];
        let source = sources.entry((ranking, ranked.document));
        let source = source.or_insert_with(|| SourceText::read(snapshot, ranked.document).ok());
        if let Some(source) = source.as_ref().filter(|source| source.is_current) {
            reads.push(Read {
                ranking,
                at,
                ..read(snapshot, encoder, ranked, source)?
            });
        }
    }
    let bodies: Vec<Vec<u32>> = reads
        .iter()
        .map(|read| read.tokens.iter().map(|token| token.id).collect())
        .collect();
    let inputs: Vec<PassageInput> = reads
        .iter()
        .zip(&bodies)
        .map(|(read, body)| PassageInput {
            prefix: &read.prefix,
            body,
        })
        .collect();
    let tokens = encoder
        .tokenizer()
        .tokenize(question)
        .map_err(ModelError::from)?;
    let tokens: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    let readings = reader.read(&tokens, &inputs)?;
    let relevance: Vec<f32> = readings.iter().map(|reading| reading.relevance).collect();
    let scale = weight * deviation(&scores[..scores.len().min(count)]);
    for ((read, reading), score) in reads.iter().zip(&readings).zip(z_scores(&relevance)) {
        let ranked = &mut rankings[read.ranking][read.at];
        ranked.parts.reader = scale * score;
        ranked.score += ranked.parts.reader;
        let answer = &read.tokens[reading.answer.clone()];
        if let [first, .., last] | [first @ last] = answer {
            ranked.answer = Some(read.start + first.start as usize..read.start + last.end as usize);
        }
    }
    Ok(())
}

/// Ranking and place of the best passages of all, best first.
fn best(rankings: &[Vec<RankedPassage>]) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = rankings
        .iter()
        .enumerate()
        .flat_map(|(ranking, passages)| (0..passages.len()).map(move |at| (ranking, at)))
        .collect();
    let score = |&(ranking, at): &(usize, usize)| rankings[ranking][at].score;
    all.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    all.truncate(MANY);
    all
}

fn deviation(scores: &[f32]) -> f32 {
    let count = scores.len().max(1) as f32;
    let mean = scores.iter().sum::<f32>() / count;
    let squares = scores.iter().map(|score| (score - mean).powi(2));
    (squares.sum::<f32>() / count).sqrt()
}

/// The word pieces of a passage, as they were encoded.
fn read(
    snapshot: &Snapshot,
    encoder: &Encoder,
    ranked: &RankedPassage,
    source: &SourceText,
) -> Result<Read, QueryError> {
    let record = &snapshot.body.documents[ranked.document];
    let sections: Vec<Section> = record.sections.iter().map(SectionRecord::section).collect();
    let section = snapshot.section_of(ranked.passage);
    let tokenizer = encoder.tokenizer();
    let span = snapshot.row_of(ranked.passage).1.span();
    let body = source.text.get(span.clone()).unwrap_or("");
    let prefix = context_prefix(&sections, section, tokenizer, LAYOUT.max_prefix);
    Ok(Read {
        ranking: 0,
        at: 0,
        prefix: prefix.map_err(ModelError::from)?,
        tokens: tokenizer.tokenize(body).map_err(ModelError::from)?,
        start: span.start,
    })
}
