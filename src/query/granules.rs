//! The question's tokens attend to the granules of a document at several levels.
//!
//! For token t and passage p, m_t(p) is the best granule of p. A passage scores the weighted sum over t of
//! (1 − [`NEIGHBOUR_WEIGHT`] − [`DOCUMENT_WEIGHT`])·m_t(p) + [`NEIGHBOUR_WEIGHT`]·max over p and the passages
//! next to it + [`DOCUMENT_WEIGHT`]·max over the document. A long document answers with the passages at hand and the
//! keys of its nodes, so that its cost stays bounded.

use half::f16;

use crate::{model::QueryEncoding, ops::granule_keys, store::Snapshot};

/// What the passages next to a passage count.
const NEIGHBOUR_WEIGHT: f32 = 0.2;
/// What its document counts.
const DOCUMENT_WEIGHT: f32 = 0.3;

/// The attention of the question to each of `passages`, all of one document.
pub fn attend(
    snapshot: &Snapshot,
    query: &QueryEncoding,
    document: usize,
    passages: &[usize],
) -> Vec<f32> {
    let all = snapshot.passages_of(document);
    let (segment, row) = snapshot.segment_of(document);
    let rows = &segment.rows()[row.passages()];
    let nodes = segment.nodes(&row);
    let large = !nodes.1.is_empty();
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
    if large {
        raise(&mut of_document, &best_granules(query, nodes.0, nodes.1));
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
