//! The question's tokens attend to the granules of a document at several levels.
//!
//! For token t and passage p, m_t(p) is the best granule of p. A passage scores the weighted sum over t of
//! a·m_t(p) + b·max over p and the passages next to it + c·max over its section and those below + d·max over the
//! document, where the token itself says what the four count. A long document, and so its sections, answers with the
//! passages at hand and the stored keys of its nodes, so that its cost stays bounded: a node's key is a sixteenth of the
//! granules that it stands for.

use std::{collections::BTreeMap, ops::Range};

use half::f16;

use crate::{
    model::{QueryEncoding, granule::N_LEVELS},
    ops::granule_keys,
    store::{DocumentRow, Segment, Snapshot},
};

/// The attention of the question to each of `passages`, all of one document.
pub fn attend(
    snapshot: &Snapshot,
    query: &QueryEncoding,
    document: usize,
    passages: &[usize],
) -> Vec<f32> {
    let by_level = attend_by_level(snapshot, query, document, passages);
    by_level.iter().map(|levels| levels.iter().sum()).collect()
}

/// The same in its parts: what the passage itself, those next to it, its section and the document give.
pub fn attend_by_level(
    snapshot: &Snapshot,
    query: &QueryEncoding,
    document: usize,
    passages: &[usize],
) -> Vec<[f32; N_LEVELS]> {
    let all = snapshot.passages_of(document);
    let matches = Matches::new(snapshot, query, document, passages);
    let of_document = matches.best(0..all.len());
    let mut of_sections: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    let mut score = |passage: usize| {
        let local = passage - all.start;
        let section = snapshot.section_of(passage);
        let of_section = of_sections.entry(section).or_insert_with(|| {
            let below = snapshot.passages_of_section(document, section);
            match below == all {
                true => of_document.clone(),
                false => matches.best(below.start - all.start..below.end - all.start),
            }
        });
        let mut near = matches.none.clone();
        around(local, all.len()).for_each(|local| raise(&mut near, matches.of(local)));
        let own = matches.of(local);
        let mut given = [0.0; N_LEVELS];
        for (token, (weight, levels)) in query.weights.iter().zip(&query.levels).enumerate() {
            let matches = [
                own[token],
                near[token],
                of_section[token],
                of_document[token],
            ];
            let at_levels = matches.iter().zip(levels);
            for (given, (best, count)) in given.iter_mut().zip(at_levels) {
                *given += weight * best * count;
            }
        }
        given
    };
    passages.iter().map(|&passage| score(passage)).collect()
}

/// The best similarity of each question token to any of the granules, `[n_tokens]`.
pub fn best_granules(query: &QueryEncoding, codes: &[u8], scales: &[f16]) -> Vec<f32> {
    let mut best = vec![0.0; query.weights.len()];
    granule_keys::attend(&query.keys, codes, scales, &mut best);
    best
}

/// The best similarity of each question token to the passages of a document.
struct Matches<'a> {
    query: &'a QueryEncoding,
    segment: &'a Segment,
    row: DocumentRow,
    /// By passage; none where a long document's passage is not at hand.
    passages: Vec<Option<Vec<f32>>>,
    none: Vec<f32>,
}

impl<'a> Matches<'a> {
    fn new(
        snapshot: &'a Snapshot,
        query: &'a QueryEncoding,
        document: usize,
        at_hand: &[usize],
    ) -> Self {
        let all = snapshot.passages_of(document);
        let (segment, row) = snapshot.segment_of(document);
        let rows = &segment.rows()[row.passages()];
        let mut passages: Vec<Option<Vec<f32>>> = vec![None; all.len()];
        let wanted: Vec<usize> = match segment.nodes(&row).1.is_empty() {
            true => (0..all.len()).collect(),
            false => at_hand
                .iter()
                .flat_map(|&passage| around(passage - all.start, all.len()))
                .collect(),
        };
        for local in wanted {
            if passages[local].is_none() {
                let (codes, scales) = segment.keys(rows[local].granules());
                passages[local] = Some(best_granules(query, codes, scales));
            }
        }
        Self {
            query,
            segment,
            row,
            passages,
            none: vec![0.0; query.weights.len()],
        }
    }

    /// Those of one passage.
    fn of(&self, local: usize) -> &[f32] {
        self.passages[local].as_ref().unwrap_or(&self.none)
    }

    /// The best of consecutive passages, by those at hand and by the nodes.
    fn best(&self, passages: Range<usize>) -> Vec<f32> {
        let first = self.row.passages().start;
        let nodes = first + passages.start..first + passages.end;
        let (codes, scales) = self.segment.nodes_of(&self.row, nodes);
        let mut best = best_granules(self.query, codes, scales);
        for matches in self.passages[passages].iter().flatten() {
            raise(&mut best, matches);
        }
        best
    }
}

/// The passage and those next to it.
fn around(local: usize, count: usize) -> Range<usize> {
    local.saturating_sub(1)..(local + 2).min(count)
}

fn raise(best: &mut [f32], matches: &[f32]) {
    best.iter_mut()
        .zip(matches)
        .for_each(|(best, other)| *best = best.max(*other));
}
