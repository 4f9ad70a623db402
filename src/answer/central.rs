//! The most central sentences of a node or a document: those nearest to its vector and to the question.

use std::cmp::Ordering;

use super::sentence::ReadPassage;
use crate::{
    model::{Encoder, PassageInput},
    ops::similarity::{normalise, product},
    query::{QueryError, dense::QueryVector},
    store::Snapshot,
};

/// Passages of a node that are looked at, at most; of more only the first of each document.
const LOOKED_AT: usize = 2_000;

/// The vector of what an answer is about and of what was asked, half and half.
pub fn aim(own: &[f32], question: &[f32]) -> Vec<f32> {
    let mut aim: Vec<f32> = match own.len() == question.len() {
        true => own.iter().zip(question).map(|(a, b)| a + b).collect(),
        // A node of documents without text has no direction.
        false => question.to_vec(),
    };
    normalise(&mut aim);
    aim
}

/// The passages nearest to `aim`, one of each document, best first.
pub fn passages(snapshot: &Snapshot, documents: &[usize], aim: &[f32], count: usize) -> Vec<usize> {
    let vector = QueryVector::new(aim);
    let all = documents
        .iter()
        .map(|&document| snapshot.passages_of(document).len());
    let only_first = all.sum::<usize>() > LOOKED_AT;
    let mut best: Vec<(usize, f32)> = documents
        .iter()
        .filter_map(|&document| {
            let all = snapshot.passages_of(document);
            let n_looked_at = if only_first { 1 } else { all.len() };
            let scored = all
                .take(n_looked_at)
                .filter_map(|passage| Some((passage, vector.cosine(snapshot, passage)?)));
            scored.max_by(by_score)
        })
        .collect();
    best.sort_by(|a, b| by_score(b, a).then(a.0.cmp(&b.0)));
    best.truncate(count);
    best.into_iter().map(|(passage, _)| passage).collect()
}

fn by_score(a: &(usize, f32), b: &(usize, f32)) -> Ordering {
    a.1.total_cmp(&b.1)
}

/// How near each sentence lies to `aim`, `[n_passages][n_sentences]`, as cosines.
pub fn scores(
    encoder: &Encoder,
    passages: &[ReadPassage],
    aim: &[f32],
) -> Result<Vec<Vec<f32>>, QueryError> {
    let mut bodies: Vec<Vec<u32>> = Vec::new();
    for passage in passages {
        bodies.extend((0..passage.sentences.len()).map(|sentence| passage.pieces_of(sentence)));
    }
    let mut rest = bodies.iter();
    let mut inputs: Vec<PassageInput> = Vec::with_capacity(bodies.len());
    for passage in passages {
        let own = rest.by_ref().take(passage.sentences.len());
        inputs.extend(own.map(|body| PassageInput {
            prefix: &passage.prefix,
            body,
        }));
    }
    // Every sentence is a document of its own, so that none sees another.
    let alone: Vec<&[PassageInput]> = inputs.chunks(1).collect();
    let encoded = encoder.encode_documents(&alone)?;
    let mut nearness = encoded
        .iter()
        .flatten()
        .map(|own| product(&own.vector, aim));
    let of_passage =
        |passage: &ReadPassage| nearness.by_ref().take(passage.sentences.len()).collect();
    Ok(passages.iter().map(of_passage).collect())
}

/// The mean of a document's passage vectors; empty before any is encoded.
pub fn vector_of(snapshot: &Snapshot, document: usize) -> Vec<f32> {
    let (segment, row) = snapshot.segment_of(document);
    segment.mean_direction(&row)
}
