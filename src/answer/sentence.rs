//! The sentences of a passage, and what speaks for each.

use std::{collections::HashMap, ops::Range};

use super::{SourceText, wanted::Wanted};
use crate::{
    model::{Encoder, ModelError, PassageInput, config::LAYOUT, granule::GRANULE_TOKENS},
    ops::granule_keys::{GranuleKeys, KEY_BYTES, KEY_DIMENSIONS, dequantise},
    query::{QueryError, Ranking, best_granules},
    store::{SectionRecord, Snapshot},
    text::{Section, Token, context_prefix, sentences},
};

/// Shorter sentences, in bytes, are headings or crumbs.
const MIN_BYTES: usize = 24;

/// What speaks for a sentence, each on a scale of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Support {
    /// The score of its passage, less that of the best.
    pub passage: f32,
    /// How well the question's word pieces match its granules.
    pub granules: f32,
    /// How well they match the mean of its granules.
    pub vector: f32,
    /// The share of the question's weight that stands in it word for word.
    pub words: f32,
    /// 1 where it holds what the question asks for, −1 where it does not, 0 where nothing is known.
    pub wanted: f32,
    /// How likely the reader sees the answer's span in it.
    pub span: f32,
    /// The reader's log odds that the sentence alone answers.
    pub read: Option<f32>,
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
    let tokens = tokenizer.tokenize(body).map_err(ModelError::from)?;
    let record = &snapshot.body.documents[document];
    let sections: Vec<Section> = record.sections.iter().map(SectionRecord::section).collect();
    let section = snapshot.section_of(passage);
    let prefix = context_prefix(&sections, section, tokenizer, LAYOUT.max_prefix);
    let best = ranking.passages.first().map_or(0.0, |best| best.score);
    let ranked = ranking.passages.iter().find(|own| own.passage == passage);
    let behind = ranked.map_or(0.0, |own| own.score - best);
    let wanted = Wanted::of(question);
    let is_sentence =
        |own: &Range<usize>| own.len() >= MIN_BYTES && !body[own.clone()].starts_with('#');
    let found = sentences(body).into_iter().filter(is_sentence);
    let found = found.map(|own| {
        // A sentence is matched by every granule that holds one of its word pieces.
        let from = tokens.partition_point(|token| (token.end as usize) <= own.start);
        let to = tokens.partition_point(|token| (token.start as usize) < own.end);
        let pieces = from.min(to)..to;
        let mut support = matches(snapshot, ranking, passage, &tokens, pieces.clone());
        support.passage = behind;
        support.wanted = match wanted.map(|own_kind| own_kind.is_in(&body[own.clone()], question)) {
            Some(true) => 1.0,
            Some(false) => -1.0,
            None => 0.0,
        };
        let reading = ranking.readings.get(&passage);
        support.span = reading.map_or(0.0, |reading| {
            let of = |ends: &[f32]| {
                ends.iter()
                    .skip(pieces.start)
                    .take(pieces.len())
                    .sum::<f32>()
            };
            (of(&reading.opens) * of(&reading.closes)).sqrt()
        });
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

/// How the question's word pieces match some of a passage's.
fn matches(
    snapshot: &Snapshot,
    ranking: &Ranking,
    passage: usize,
    tokens: &[Token],
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
    crate::ops::similarity::normalise(&mut mean);
    let mut pooled = GranuleKeys::default();
    pooled.push(&mean);
    let ids = query.token_ids.iter().zip(&query.weights);
    let stands = |id: &u32| tokens[pieces.clone()].iter().any(|token| token.id == *id);
    Support {
        granules: weighted(&best_granules(query, codes, scales)),
        vector: weighted(&best_granules(query, &pooled.codes, &pooled.scales)),
        words: ids
            .filter(|(id, _)| stands(id))
            .map(|(_, weight)| weight)
            .sum(),
        ..Support::default()
    }
}

/// Has the joint reader read sentences alone, each behind its passage's title and heading.
pub fn read_alone(
    encoder: &Encoder,
    question: &str,
    passages: &mut [ReadPassage],
    chosen: &[(usize, usize)],
) -> Result<(), QueryError> {
    let Some(reader) = encoder.reader()? else {
        return Ok(());
    };
    let asked = encoder
        .tokenizer()
        .ids(question)
        .map_err(ModelError::from)?;
    let bodies: Vec<Vec<u32>> = chosen
        .iter()
        .map(|&(passage, sentence)| passages[passage].pieces_of(sentence))
        .collect();
    let inputs: Vec<PassageInput> = chosen
        .iter()
        .zip(&bodies)
        .map(|(&(passage, _), body)| PassageInput {
            prefix: &passages[passage].prefix,
            body,
        })
        .collect();
    let readings = reader.read(&asked, &inputs)?;
    for (&(passage, sentence), reading) in chosen.iter().zip(readings) {
        passages[passage].sentences[sentence].support.read = Some(reading.relevance);
    }
    Ok(())
}
