//! The question's tokens attend to the granules of a document at several levels.
//!
//! For token t and passage p, m_t(p) is the best granule of p. A passage scores the weighted sum over t of
//! (1 − [`NEIGHBOUR_WEIGHT`] − [`DOCUMENT_WEIGHT`])·m_t(p) + [`NEIGHBOUR_WEIGHT`]·max over p and the passages
//! next to it + [`DOCUMENT_WEIGHT`]·max over the document.

use half::f16;

use crate::{
    model::QueryEncoding,
    ops::granule_keys::{self, GranuleKeys, KEY_BYTES, KEY_DIMENSIONS},
    store::{Segment, Snapshot},
};

/// What the passages next to a passage count.
const NEIGHBOUR_WEIGHT: f32 = 0.2;
/// What its document counts.
const DOCUMENT_WEIGHT: f32 = 0.3;
/// A document of more granules answers with the keys of 16 granules each, so that its cost stays bounded.
const MAX_DOCUMENT_GRANULES: usize = 2_000;
const NODE_GRANULES: usize = 16;

/// The attention of the question to each of `passages`, all of one document.
pub fn attend(
    snapshot: &Snapshot,
    query: &QueryEncoding,
    document: usize,
    passages: &[usize],
) -> Vec<f32> {
    let all = snapshot.passages_of(document);
    let (segment, first) = snapshot.segment_of(document);
    let rows = &segment.rows()[first..first + all.len()];
    let n_granules: usize = rows.iter().map(|row| usize::from(row.n_granules)).sum();
    let large = n_granules > MAX_DOCUMENT_GRANULES;
    let mut matches: Vec<Option<Vec<f32>>> = vec![None; all.len()];
    let wanted: Vec<usize> = if large {
        passages
            .iter()
            .flat_map(|&passage| around(passage - all.start, all.len()))
            .collect()
    } else {
        (0..all.len()).collect()
    };
    for local in wanted {
        if matches[local].is_none() {
            let (codes, scales) = segment.keys(rows[local].granules());
            matches[local] = Some(best_granules(query, codes, scales));
        }
    }
    let mut of_document = vec![0.0; query.weights.len()];
    for matches in matches.iter().flatten() {
        raise(&mut of_document, matches);
    }
    if large && let (Some(first), Some(last)) = (rows.first(), rows.last()) {
        let nodes = nodes(segment, first.granules().start..last.granules().end);
        raise(
            &mut of_document,
            &best_granules(query, &nodes.codes, &nodes.scales),
        );
    }
    let none = vec![0.0; query.weights.len()];
    let of = |local: usize| matches[local].as_ref().unwrap_or(&none);
    passages
        .iter()
        .map(|&passage| {
            let local = passage - all.start;
            let mut near = none.clone();
            around(local, all.len()).for_each(|local| raise(&mut near, of(local)));
            let own = of(local);
            let tokens = query.weights.iter().enumerate();
            tokens
                .map(|(token, weight)| {
                    weight
                        * ((1.0 - NEIGHBOUR_WEIGHT - DOCUMENT_WEIGHT) * own[token]
                            + NEIGHBOUR_WEIGHT * near[token]
                            + DOCUMENT_WEIGHT * of_document[token])
                })
                .sum()
        })
        .collect()
}

/// The best similarity of each question token to any of the granules, `[n_tokens]`.
pub fn best_granules(query: &QueryEncoding, codes: &[u8], scales: &[f16]) -> Vec<f32> {
    let mut best = vec![0.0; query.weights.len()];
    granule_keys::attend(&query.keys, codes, scales, &mut best);
    best
}

/// The passage and those next to it.
fn around(local: usize, count: usize) -> std::ops::Range<usize> {
    local.saturating_sub(1)..(local + 2).min(count)
}

fn raise(best: &mut [f32], matches: &[f32]) {
    best.iter_mut()
        .zip(matches)
        .for_each(|(best, other)| *best = best.max(*other));
}

/// The mean key of every 16 granules.
fn nodes(segment: &Segment, granules: std::ops::Range<usize>) -> GranuleKeys {
    let (codes, scales) = segment.keys(granules);
    let mut nodes = GranuleKeys::default();
    let mut key = [0.0; KEY_DIMENSIONS];
    for (codes, scales) in codes
        .chunks(NODE_GRANULES * KEY_BYTES)
        .zip(scales.chunks(NODE_GRANULES))
    {
        let mut sum = [0.0; KEY_DIMENSIONS];
        for (granule, scale) in codes.chunks_exact(KEY_BYTES).zip(scales) {
            granule_keys::dequantise(granule, *scale, &mut key);
            sum.iter_mut()
                .zip(key)
                .for_each(|(sum, value)| *sum += value);
        }
        crate::model::granule::normalise(&mut sum);
        nodes.push(&sum);
    }
    nodes
}
