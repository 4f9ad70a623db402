//! The joint reader reads the best passages with the question.
//!
//! More of them where the first ones are close together. What it finds is added to the score, in the measure in which
//! the scores of what it reads differ, and never replaces it.

use std::collections::HashMap;

use super::{IndexedText, QueryError, RankedPassage, SourceText, fusion::z_scores};
use crate::{
    model::{Encoder, ModelError, PassageInput, config::LAYOUT, reader::Reading},
    store::{SectionRecord, Snapshot},
    text::{Section, context_prefix},
};

/// Passages that are read where the ranking is clear, and where it is not.
const FEW: usize = 8;
const MANY: usize = 20;
/// The ranking is clear where the best is ahead of the second by this many deviations of the best [`MANY`].
const CLEAR: f32 = 1.0;

/// Where a ranked passage stands: the ranking, and the place in it.
type Place = (usize, usize);

/// The word pieces of a passage.
struct Pieces {
    prefix: Vec<u32>,
    body: Vec<u32>,
}

/// What was read, by the passage's number in its snapshot.
pub type Readings = HashMap<usize, Reading>;

/// Adds `weight` times the reader's opinion to the best passages of all rankings together, and gives what was read.
///
/// A passage whose file has changed is not read. A model without a reader adds nothing.
pub fn add(
    snapshots: &[&Snapshot],
    encoder: &Encoder,
    question: &str,
    rankings: &mut [Vec<RankedPassage>],
    weight: f32,
) -> Result<Vec<Readings>, QueryError> {
    let mut readings = vec![Readings::new(); rankings.len()];
    if weight == 0.0 {
        return Ok(readings);
    }
    let Some(reader) = encoder.reader()? else {
        return Ok(readings);
    };
    let mut best = best(rankings);
    let score = |&(ranking, at): &Place| rankings[ranking][at].score;
    let scores: Vec<f32> = best.iter().map(score).collect();
    let spread = deviation(&scores);
    if let [first, second, ..] = scores[..]
        && first - second > CLEAR * spread
    {
        best.truncate(FEW);
    }
    let read = pieces(snapshots, encoder, rankings, &best)?;
    let inputs: Vec<PassageInput> = read
        .iter()
        .map(|(_, pieces)| PassageInput {
            prefix: &pieces.prefix,
            body: &pieces.body,
        })
        .collect();
    let asked = encoder
        .tokenizer()
        .ids(question)
        .map_err(ModelError::from)?;
    let found = reader.read(&asked, &inputs)?;
    let relevance: Vec<f32> = found.iter().map(|own| own.relevance).collect();
    let scores = z_scores(&relevance).into_iter();
    for ((&((ranking, at), _), score), found) in read.iter().zip(scores).zip(found) {
        let ranked = &mut rankings[ranking][at];
        // What a link led to answers only together with where the link stands.
        let least = match ranked.parts.links > 0.0 {
            true => 0.0,
            false => f32::NEG_INFINITY,
        };
        ranked.parts.reader = (weight * spread * score).max(least);
        ranked.score += ranked.parts.reader;
        readings[ranking].insert(ranked.passage, found);
    }
    Ok(readings)
}

/// The word pieces of ranked passages, as they were encoded; those whose file is another now are left out.
fn pieces(
    snapshots: &[&Snapshot],
    encoder: &Encoder,
    rankings: &[Vec<RankedPassage>],
    best: &[Place],
) -> Result<Vec<(Place, Pieces)>, QueryError> {
    let mut sources: HashMap<Place, Option<SourceText>> = HashMap::new();
    let mut read = Vec::with_capacity(best.len());
    for &(ranking, at) in best {
        let ranked = &rankings[ranking][at];
        let snapshot = snapshots[ranking];
        let source = sources.entry((ranking, ranked.document));
        let source = source.or_insert_with(|| SourceText::read(snapshot, ranked.document).ok());
        let Some(source) = source.as_ref().filter(|source| source.is_current) else {
            continue;
        };
        let record = &snapshot.body.documents[ranked.document];
        let sections: Vec<Section> = record.sections.iter().map(SectionRecord::section).collect();
        let section = snapshot.section_of(ranked.passage);
        let tokenizer = encoder.tokenizer();
        let prefix = context_prefix(&sections, section, tokenizer, LAYOUT.max_prefix);
        let span = snapshot.row_of(ranked.passage).1.span();
        let body = source.text.get(span).unwrap_or("");
        let indexed = IndexedText::read(snapshot, ranked.passage, body, tokenizer);
        let tokens = indexed.map_err(ModelError::from)?.tokens;
        let pieces = Pieces {
            prefix: prefix.map_err(ModelError::from)?,
            body: tokens.iter().map(|token| token.id).collect(),
        };
        read.push(((ranking, at), pieces));
    }
    Ok(read)
}

/// The best passages of all, best first.
fn best(rankings: &[Vec<RankedPassage>]) -> Vec<Place> {
    let mut all: Vec<Place> = rankings
        .iter()
        .enumerate()
        .flat_map(|(ranking, passages)| (0..passages.len()).map(move |at| (ranking, at)))
        .collect();
    let score = |&(ranking, at): &Place| rankings[ranking][at].score;
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
