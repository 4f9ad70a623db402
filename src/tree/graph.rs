//! The neighbour graph of documents, and the smoothing of vectors over it.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::{Edge, TreeDocument, TreeOptions, words};
use crate::ops::similarity::{normalise, products};

/// Dimensions that words are projected to.
const LEXICAL_DIMENSIONS: usize = 100;
/// How sharply an edge falls with distance.
const TEMPERATURE: f32 = 0.1;
/// What a document keeps of its own vector in each round.
const OWN_SHARE: f32 = 0.1;
/// What a link counts beside a near neighbour's 1, and what a shared folder adds to a similarity.
const LINK_WEIGHT: f32 = 0.5;
const FOLDER_BONUS: f32 = 0.1;

/// Neighbours and edge weights of every document, symmetric.
pub struct Graph {
    pub edges: Vec<Vec<(usize, f32)>>,
}

/// The model's vectors beside lexical ones, each of length 1, then together.
///
/// The model reads English: where a text is Chinese, Japanese or Korean its vector says little more than that,
/// and counts as little.
pub fn joint_vectors(documents: &[TreeDocument], seed: u64) -> Vec<Vec<f32>> {
    let counts: Vec<BTreeMap<String, f32>> = documents
        .par_iter()
        .map(|document| {
            let mut counts = BTreeMap::new();
            let parts = [
                document.title,
                document.title,
                &document.tags.join(" ").replace('/', " "),
            ];
            let text = parts.join("\n") + "\n" + &words::plain(document.text);
            for term in words::terms(&text) {
                *counts.entry(term).or_default() += 1.0;
            }
            counts
        })
        .collect();
    let mut frequency: HashMap<&str, f32> = HashMap::new();
    for counts in &counts {
        counts
            .keys()
            .for_each(|term| *frequency.entry(term).or_default() += 1.0);
    }
    let total = documents.len() as f32;
    documents
        .par_iter()
        .zip(&counts)
        .map(|(document, counts)| {
            let mut lexical = vec![0f32; LEXICAL_DIMENSIONS];
            for (term, count) in counts {
                let documents = frequency[term.as_str()];
                if documents >= 2.0 || total < 3.0 {
                    let weight = (1.0 + count.ln()) * ((total + 1.0) / (documents + 0.5)).ln();
                    project(term, weight, seed, &mut lexical);
                }
            }
            normalise(&mut lexical);
            let read = 1.0 - words::cjk_share(document.text);
            let mut joint: Vec<f32> = document.vector.iter().map(|value| read * value).collect();
            joint.extend(lexical);
            normalise(&mut joint);
            joint
        })
        .collect()
}

/// Adds a term at its random signs: a random projection whose matrix is never held.
fn project(term: &str, weight: f32, seed: u64, lexical: &mut [f32]) {
    let mut state = term
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut bits = 0u64;
    for (index, value) in lexical.iter_mut().enumerate() {
        if index % 64 == 0 {
            bits = split_mix(&mut state);
        }
        *value += if bits & 1 == 0 { weight } else { -weight };
        bits >>= 1;
    }
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
        vectors: &[Vec<f32>],
        links: &[Edge],
        options: &TreeOptions,
    ) -> Self {
        let folders: Vec<&str> = documents
            .iter()
            .map(|document| folder(document.path))
            .collect();
        let nearest: Vec<Vec<(usize, f32)>> = (0..vectors.len())
            .into_par_iter()
            .map(|own| {
                let folder_bonus = |other: usize| match folders[own] == folders[other] {
                    true => FOLDER_BONUS,
                    false => 0.0,
                };
                let mut similar: Vec<(usize, f32)> = products(&vectors[own], vectors)
                    .into_iter()
                    .enumerate()
                    .filter(|&(other, _)| other != own)
                    .map(|(other, similarity)| (other, similarity + folder_bonus(other)))
                    .collect();
                let count = options.neighbours.min(similar.len());
                if count < similar.len() {
                    similar.select_nth_unstable_by(count, |a, b| {
                        b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
                    });
                    similar.truncate(count);
                }
                similar
            })
            .collect();
        let mut weights: Vec<BTreeMap<usize, f32>> = vec![BTreeMap::new(); vectors.len()];
        let mut join = |a: usize, b: usize, weight: f32| {
            for (from, to) in [(a, b), (b, a)] {
                let held = weights[from].entry(to).or_default();
                *held = held.max(weight);
            }
        };
        for (own, nearest) in nearest.iter().enumerate() {
            for &(other, similarity) in nearest {
                join(own, other, ((similarity - 1.0) / TEMPERATURE).exp());
            }
        }
        // A link is worth a share of what the document's nearest neighbour is worth to it.
        for link in links.iter().filter(|link| link.from != link.to) {
            let strongest = |own: usize| {
                let best = nearest[own]
                    .iter()
                    .map(|(_, similarity)| *similarity)
                    .fold(0.0, f32::max);
                ((best - 1.0) / TEMPERATURE).exp()
            };
            join(
                link.from,
                link.to,
                LINK_WEIGHT * strongest(link.from).min(strongest(link.to)),
            );
        }
        Self {
            edges: weights
                .into_iter()
                .map(|edges| edges.into_iter().collect())
                .collect(),
        }
    }

    /// Y ← 0.1·X + 0.9·S·Y with the symmetrically normalised graph S; rows of length 1.
    pub fn diffuse(&self, vectors: &[Vec<f32>], rounds: usize) -> Vec<Vec<f32>> {
        let degrees: Vec<f32> = self
            .edges
            .iter()
            .map(|edges| {
                edges
                    .iter()
                    .map(|(_, weight)| weight)
                    .sum::<f32>()
                    .max(f32::MIN_POSITIVE)
            })
            .collect();
        let mut smoothed = vectors.to_vec();
        for _ in 0..rounds {
            smoothed = (0..vectors.len())
                .into_par_iter()
                .map(|own| {
                    let mut mixed: Vec<f32> =
                        vectors[own].iter().map(|value| OWN_SHARE * value).collect();
                    for &(other, weight) in &self.edges[own] {
                        let share =
                            (1.0 - OWN_SHARE) * weight / (degrees[own] * degrees[other]).sqrt();
                        mixed
                            .iter_mut()
                            .zip(&smoothed[other])
                            .for_each(|(sum, value)| *sum += share * value);
                    }
                    mixed
                })
                .collect();
        }
        smoothed.iter_mut().for_each(|vector| normalise(vector));
        smoothed
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
