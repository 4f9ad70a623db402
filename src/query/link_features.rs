//! What speaks for following a link: what of the question its source leaves open, and what stands around the link.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::{
    IndexedText, QueryError, RankedPassage, SourceText, best_granules, by_score,
    links::{Edge, followed, targets},
    mention::mention,
};
use crate::{
    model::{Encoder, ModelError, QueryEncoding, granule::GRANULE_TOKENS},
    store::Snapshot,
    text::{Token, Tokenizer},
};

/// The best passages of a document that are looked at.
const LOOKED_AT: usize = 3;
/// Word pieces on each side of a link that stand around it.
const AROUND: usize = 8;
/// What of the source's match lies around a link, on average: what is taken where the link is not found in the text.
const USUAL_SHARE: f32 = 0.6;

/// A question, and the best candidates of each document, best first.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    encoder: &'a Encoder,
    query: &'a QueryEncoding,
    /// All word pieces of the question.
    pieces: HashSet<u32>,
    best: HashMap<usize, Vec<usize>>,
}

/// The links of the best documents to other candidates, and what is known of each.
pub fn edges(
    snapshot: &Snapshot,
    encoder: &Encoder,
    query: &QueryEncoding,
    question: &str,
    passages: &[RankedPassage],
) -> Result<Vec<Edge>, QueryError> {
    let pieces = encoder
        .tokenizer()
        .ids(question)
        .map_err(ModelError::from)?;
    let mut ranked: Vec<&RankedPassage> = passages.iter().collect();
    ranked.sort_by(|a, b| by_score(a, b));
    let mut best: HashMap<usize, Vec<usize>> = HashMap::new();
    for own in ranked {
        let best = best.entry(own.document).or_default();
        if best.len() < LOOKED_AT {
            best.push(own.passage);
        }
    }
    let asked = Asked {
        snapshot,
        encoder,
        query,
        pieces: pieces.into_iter().collect(),
        best,
    };
    let sources = followed(passages);
    let edges: Vec<Vec<Edge>> = sources
        .par_iter()
        .map(|&from| asked.edges_from(from))
        .collect::<Result<_, _>>()?;
    Ok(edges.concat())
}

impl Asked<'_> {
    fn edges_from(&self, from: usize) -> Result<Vec<Edge>, QueryError> {
        let targets: Vec<usize> = targets(self.snapshot, from).collect();
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let matches = self.matches(from);
        let answered = self.weighted(&matches);
        let texts = self.texts(from)?;
        let n_links = (targets.len() as f32).ln();
        let known = targets.par_iter();
        let known = known.filter(|target| self.best.contains_key(target));
        let edges = known.map(|&to| {
            let better = self.matches(to).into_iter().zip(&matches);
            let better: Vec<f32> = better.map(|(own, other)| (own - other).max(0.0)).collect();
            let around = texts.iter().filter_map(|text| self.around(text, to));
            let around = around.reduce(f32::max).unwrap_or(USUAL_SHARE * answered);
            let added = self.weighted(&better);
            let features = [n_links, self.named(to)?, answered, added, around];
            Ok(Edge { from, to, features })
        });
        edges.collect()
    }

    /// The best similarity of each question token to a document's best passages.
    fn matches(&self, document: usize) -> Vec<f32> {
        let mut best = vec![0.0f32; self.query.weights.len()];
        for &passage in self.best.get(&document).into_iter().flatten() {
            let (segment, row) = self.snapshot.row_of(passage);
            let (codes, scales) = segment.keys(row.granules());
            let own = best_granules(self.query, codes, scales);
            best.iter_mut()
                .zip(own)
                .for_each(|(best, own)| *best = best.max(own));
        }
        best
    }

    fn weighted(&self, matches: &[f32]) -> f32 {
        let matches = matches.iter().zip(&self.query.weights);
        matches.map(|(own, weight)| own * weight).sum()
    }

    /// The share of the word pieces of a title, without its bracketed part, that stand in the question.
    fn named(&self, document: usize) -> Result<f32, QueryError> {
        let title = &self.snapshot.body.documents[document].title;
        let title = title.split(" (").next().unwrap_or(title);
        let pieces = self.encoder.tokenizer().ids(title);
        let pieces = pieces.map_err(ModelError::from)?;
        let asked = pieces.iter().filter(|piece| self.pieces.contains(piece));
        Ok(asked.count() as f32 / pieces.len().max(1) as f32)
    }

    /// The texts of a document's best passages; none where its file has changed.
    fn texts(&self, document: usize) -> Result<Vec<PassageText>, QueryError> {
        let source = SourceText::read(self.snapshot, document).ok();
        let Some(source) = source.filter(|source| source.is_current) else {
            return Ok(Vec::new());
        };
        let passages = self.best.get(&document).into_iter().flatten();
        let texts = passages.map(|&passage| {
            let span = self.snapshot.row_of(passage).1.span();
            let body = source.text.get(span).unwrap_or("");
            PassageText::read(self.snapshot, passage, body, self.encoder.tokenizer())
        });
        texts.collect()
    }

    /// How the question matches the words around the link to a document.
    fn around(&self, text: &PassageText, to: usize) -> Option<f32> {
        let place = mention(&text.body, &self.snapshot.body.documents[to])?;
        let tokens = &text.tokens;
        let first = tokens.partition_point(|token| token.end as usize <= place.start);
        let last = tokens.partition_point(|token| (token.start as usize) < place.end);
        let last = (last + AROUND).min(tokens.len());
        let first = first.saturating_sub(AROUND).min(last);
        let (segment, row) = self.snapshot.row_of(text.passage);
        let granules = row.granules();
        let start = granules.start + usize::from(row.n_prefix_granules);
        let end = (start + last.div_ceil(GRANULE_TOKENS)).min(granules.end);
        let (codes, scales) = segment.keys((start + first / GRANULE_TOKENS).min(end)..end);
        Some(self.weighted(&best_granules(self.query, codes, scales)))
    }
}

/// What of a passage's text was indexed.
struct PassageText {
    passage: usize,
    body: String,
    tokens: Vec<Token>,
}

impl PassageText {
    fn read(
        snapshot: &Snapshot,
        passage: usize,
        body: &str,
        tokenizer: &Tokenizer,
    ) -> Result<Self, QueryError> {
        let indexed = IndexedText::read(snapshot, passage, body, tokenizer);
        Ok(Self {
            passage,
            body: body.to_owned(),
            tokens: indexed.map_err(ModelError::from)?.tokens,
        })
    }
}
