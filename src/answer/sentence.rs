//! The sentences of a passage, and what speaks for each.

use std::{collections::HashMap, ops::Range};

use super::{SourceText, prose::quotable, wanted::Wanted};
use crate::{
    model::{Encoder, ModelError, config::LAYOUT, granule::GRANULE_TOKENS},
    ops::{
        granule_keys::{GranuleKeys, KEY_BYTES, KEY_DIMENSIONS, dequantise},
        similarity::normalise,
    },
    query::{IndexedText, QueryError, Ranking, best_granules},
    store::{SectionRecord, Snapshot},
    text::{Section, Token, context_prefix},
};

/// What speaks for a sentence, each on a scale of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Support {
    /// The score of its passage, less that of the best.
    pub passage: f32,
    /// How well the question's word pieces match its granules.
    pub granules: f32,
    /// How well they match the mean of its granules.
    pub vector: f32,
    /// 1 where it holds what the question asks for, −1 where it does not, 0 where nothing is known.
    pub wanted: f32,
    /// How likely the reader sees the answer's span in it.
    pub span: f32,
    /// 1 where it opens its document.
    pub opening: f32,
}

/// One sentence of a passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    /// In the text of its document.
    pub span: Range<usize>,
    /// Word pieces, of the passage's body.
    pub pieces: Range<usize>,
    pub support: Support,
}

/// A passage, cut into its sentences.
pub struct ReadPassage {
    pub passage: usize,
    pub document: usize,
    /// First byte of the passage.
    pub start: usize,
    pub tokens: Vec<Token>,
    pub sentences: Vec<Sentence>,
    /// Word pieces of its title and headings.
    pub prefix: Vec<u32>,
}

impl ReadPassage {
    /// The word pieces of a sentence.
    pub fn pieces_of(&self, sentence: usize) -> Vec<u32> {
        let pieces = self.sentences[sentence].pieces.clone();
        self.tokens[pieces].iter().map(|token| token.id).collect()
    }
}

/// What is asked, and what it was found to attend to.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub question: &'a str,
    pub ranking: &'a Ranking,
}

/// The texts of documents, each read once.
#[derive(Default)]
pub struct Sources(HashMap<usize, Option<SourceText>>);

impl Sources {
    /// The text of a document; none where its file cannot be read or has changed since it was indexed.
    pub fn of(&mut self, snapshot: &Snapshot, document: usize) -> Option<&SourceText> {
        let source = self.0.entry(document).or_insert_with(|| {
            let read = SourceText::read(snapshot, document).ok();
            read.filter(|source| source.is_current)
        });
        source.as_ref()
    }
}

/// Cuts a passage into sentences; nothing where its file has changed.
pub fn read_passage(
    snapshot: &Snapshot,
    encoder: &Encoder,
    asked: Asked,
    passage: usize,
    sources: &mut Sources,
) -> Result<Option<ReadPassage>, QueryError> {
    let Asked { question, ranking } = asked;
    let document = snapshot.document_of(passage);
    let Some(source) = sources.of(snapshot, document) else {
        return Ok(None);
    };
    let span = snapshot.row_of(passage).1.span();
    let body = &source.text[span.clone()];
    let tokenizer = encoder.tokenizer();
    let record = &snapshot.body.documents[document];
    let indexed = IndexedText::read(snapshot, passage, body, tokenizer);
    let IndexedText { parts, tokens } = indexed.map_err(ModelError::from)?;
    let sections: Vec<Section> = record.sections.iter().map(SectionRecord::section).collect();
    let section = snapshot.section_of(passage);
    let prefix = context_prefix(&sections, section, tokenizer, LAYOUT.max_prefix);
    let first_of_document = snapshot.passages_of(document).start;
    let quotable = parts.into_iter().flat_map(|part| {
        let found = quotable(&body[part.clone()]).into_iter();
        found.map(move |own| part.start + own.start..part.start + own.end)
    });
    let found = quotable.enumerate().map(|(number, own)| {
        // A sentence is matched by every granule that holds one of its word pieces.
        let from = tokens.partition_point(|token| (token.end as usize) <= own.start);
        let to = tokens.partition_point(|token| (token.start as usize) < own.end);
        let pieces = from.min(to)..to;
        let matched = matches(snapshot, ranking, passage, pieces.clone());
        let opens = passage == first_of_document && number == 0;
        let support = Support {
            passage: behind(ranking, passage),
            wanted: holds_wanted(question, &body[own.clone()]),
            span: span_within(ranking, passage, &pieces),
            opening: f32::from(u8::from(opens)),
            ..matched
        };
        Sentence {
            span: span.start + own.start..span.start + own.end,
            pieces,
            support,
        }
    });
    Ok(Some(ReadPassage {
        passage,
        document,
        start: span.start,
        sentences: found.collect(),
        prefix: prefix.map_err(ModelError::from)?,
        tokens,
    }))
}

/// The score of a passage, less that of the best; 0 where it is not ranked.
fn behind(ranking: &Ranking, passage: usize) -> f32 {
    let best = ranking.passages.first().map_or(0.0, |best| best.score);
    let ranked = ranking.passages.iter().find(|own| own.passage == passage);
    ranked.map_or(0.0, |own| own.score - best)
}

fn holds_wanted(question: &str, sentence: &str) -> f32 {
    match Wanted::of(question).map(|wanted| wanted.is_in(sentence, question)) {
        Some(true) => 1.0,
        Some(false) => -1.0,
        None => 0.0,
    }
}

/// How likely the joint reader has the answer open and close among some word pieces of a passage.
fn span_within(ranking: &Ranking, passage: usize, pieces: &Range<usize>) -> f32 {
    let Some(reading) = ranking.readings.get(&passage) else {
        return 0.0;
    };
    let of = |ends: &[f32]| -> f32 { ends.iter().skip(pieces.start).take(pieces.len()).sum() };
    (of(&reading.opens) * of(&reading.closes)).sqrt()
}

/// How the question's word pieces match some of a passage's.
fn matches(
    snapshot: &Snapshot,
    ranking: &Ranking,
    passage: usize,
    pieces: Range<usize>,
) -> Support {
    let query = &ranking.query;
    let (segment, row) = snapshot.row_of(passage);
    let quotable = row.granules().start + usize::from(row.n_prefix_granules)..row.granules().end;
    let last = (quotable.start + pieces.end.div_ceil(GRANULE_TOKENS)).min(quotable.end);
    let first = (quotable.start + pieces.start / GRANULE_TOKENS).min(last);
    let (codes, scales) = segment.keys(first..last);
    let weighted = |matches: &[f32]| -> f32 {
        let matches = matches.iter().zip(&query.weights);
        matches.map(|(own, weight)| own * weight).sum()
    };
    let mut mean = [0.0; KEY_DIMENSIONS];
    let mut key = [0.0; KEY_DIMENSIONS];
    for (granule, scale) in codes.chunks_exact(KEY_BYTES).zip(scales) {
        dequantise(granule, *scale, &mut key);
        mean.iter_mut()
            .zip(key)
            .for_each(|(sum, value)| *sum += value);
    }
    normalise(&mut mean);
    let mut pooled = GranuleKeys::default();
    pooled.push(&mean);
    Support {
        granules: weighted(&best_granules(query, codes, scales)),
        vector: weighted(&best_granules(query, &pooled.codes, &pooled.scales)),
        ..Support::default()
    }
}
