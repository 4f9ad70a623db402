//! The neighbour graph of documents, and the smoothing of vectors over it.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{
    Edge, TreeDocument, TreeOptions,
    neighbours::{Neighbours, approximate, exact},
    rows::Rows,
};
use crate::ops::{
    pointwise::{Block, LANES},
    similarity::normalise,
};

/// How sharply an edge falls with distance.
const TEMPERATURE: f32 = 0.1;
/// What a document keeps of its own vector in each round.
const OWN_SHARE: f32 = 0.1;
/// What a link counts beside a near neighbour's 1, and what a shared folder adds to a similarity.
const LINK_WEIGHT: f32 = 0.5;
const FOLDER_BONUS: f32 = 0.1;

/// Neighbours and edge weights of every document, symmetric.
pub struct Graph {
    /// All edges, those of one document behind those of another.
    edges: Vec<(u32, f32)>,
    /// Where each document's edges end.
    ends: Vec<usize>,
}

/// The next number of a seeded sequence (SplitMix64).
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Graph {
    /// Joins each document with its nearest neighbours and with those it links to.
    pub fn new(
        documents: &[TreeDocument],
        rows: &Rows,
        links: &[Edge],
        options: &TreeOptions,
    ) -> Self {
        let folders = folders(documents);
        let bonus = |own: usize, other: usize| match folders[own] == folders[other] {
            true => FOLDER_BONUS,
            false => 0.0,
        };
        let nearest = match options.is_large(rows.len()) {
            true => approximate(rows, options.neighbours, options.seed, &bonus),
            false => exact(rows, options.neighbours, &bonus),
        };
        Self::of(&joined(&nearest, links), rows.len())
    }

    /// The graph of `pairs`, in both directions; of two between the same documents the heavier counts.
    fn of(pairs: &[(u32, u32, f32)], len: usize) -> Self {
        let mut starts = vec![0; len + 1];
        for &(a, b, _) in pairs {
            starts[a as usize + 1] += 1;
            starts[b as usize + 1] += 1;
        }
        for own in 0..len {
            starts[own + 1] += starts[own];
        }
        let mut places = starts.clone();
        let mut edges = vec![(0, 0f32); starts[len]];
        for &(a, b, weight) in pairs {
            for (from, to) in [(a, b), (b, a)] {
                edges[places[from as usize]] = (to, weight);
                places[from as usize] += 1;
            }
        }
        let (mut kept, mut ends) = (0, Vec::with_capacity(len));
        for own in 0..len {
            let range = starts[own]..starts[own + 1];
            edges[range.clone()].sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
            let mut last = None;
            for at in range {
                if last != Some(edges[at].0) {
                    last = Some(edges[at].0);
                    edges[kept] = edges[at];
                    kept += 1;
                }
            }
            ends.push(kept);
        }
        edges.truncate(kept);
        edges.shrink_to_fit();
        Self { edges, ends }
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Those that a document is joined with, by number, and how closely.
    pub fn edges(&self, own: usize) -> &[(u32, f32)] {
        &self.edges[self.range(own)]
    }

    fn range(&self, own: usize) -> std::ops::Range<usize> {
        let start = own.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[own]
    }

    /// Y ← 0.1·X + 0.9·S·Y with the symmetrically normalised graph S; rows of length 1.
    ///
    /// No dimension needs another, so a few at a time pass through all rounds, and no second copy is held.
    pub fn diffuse(&self, rows: &mut Rows, rounds: usize) {
        let shares = self.shares();
        for first in (0..rows.dimensions()).step_by(LANES) {
            let width = LANES.min(rows.dimensions() - first);
            let mut own: Vec<Block> = vec![[0.0; LANES]; rows.len()];
            own.par_iter_mut()
                .enumerate()
                .for_each(|(row, block)| rows.read(row, first, &mut block[..width]));
            let mut smoothed = own.clone();
            let mut next = own.clone();
            for _ in 0..rounds {
                next.par_iter_mut().enumerate().for_each(|(row, next)| {
                    *next = own[row].map(|value| OWN_SHARE * value);
                    let shares = &shares[self.range(row)];
                    for ((other, _), share) in self.edges(row).iter().zip(shares) {
                        let other = &smoothed[*other as usize];
                        (0..LANES).for_each(|lane| next[lane] += share * other[lane]);
                    }
                });
                std::mem::swap(&mut smoothed, &mut next);
            }
            rows.update(first, width, |row, values| {
                values.copy_from_slice(&smoothed[row][..width]);
            });
        }
        rows.update(0, rows.dimensions(), |_, vector| normalise(vector));
    }

    /// What each edge counts in a round.
    fn shares(&self) -> Vec<f32> {
        let degree = |own| {
            let weights = self.edges(own).iter().map(|(_, weight)| weight);
            weights.sum::<f32>().max(f32::MIN_POSITIVE)
        };
        let degrees: Vec<f32> = (0..self.len()).map(degree).collect();
        let shares = (0..self.len()).flat_map(|own| {
            let share = |&(other, weight): &(u32, f32)| {
                (1.0 - OWN_SHARE) * weight / (degrees[own] * degrees[other as usize]).sqrt()
            };
            self.edges(own).iter().map(share).collect::<Vec<f32>>()
        });
        shares.collect()
    }
}

/// All pairs of near or linked documents, and how closely they are joined.
fn joined(nearest: &Neighbours, links: &[Edge]) -> Vec<(u32, u32, f32)> {
    let weight = |similarity: f32| ((similarity - 1.0) / TEMPERATURE).exp();
    let pairs = nearest.iter().enumerate().flat_map(|(own, nearest)| {
        let pair = move |&(other, similarity): &(u32, f32)| (own as u32, other, weight(similarity));
        nearest.iter().map(pair)
    });
    // A link is worth a share of what the document's nearest neighbour is worth to it.
    let strongest = |own: usize| {
        let similarities = nearest[own].iter().map(|(_, similarity)| *similarity);
        weight(similarities.fold(0.0, f32::max))
    };
    let links = links.iter().filter(|link| link.from != link.to);
    let links = links.map(|link| {
        let weight = LINK_WEIGHT * strongest(link.from).min(strongest(link.to));
        (link.from as u32, link.to as u32, weight)
    });
    pairs.chain(links).collect()
}

/// The folder of every document, by number.
fn folders(documents: &[TreeDocument]) -> Vec<u32> {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let folders = documents.iter().map(|document| {
        let next = numbers.len() as u32;
        *numbers.entry(folder(document.path)).or_insert(next)
    });
    folders.collect()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
