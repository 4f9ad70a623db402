//! The nearest neighbours of every document: exact in a library of ordinary size, by inverted lists in a large one.

use rayon::prelude::*;

use super::{
    TreeDocument, TreeOptions,
    joint::Joint,
    panels::Panels,
    partition::{Centres, keep_best},
    rows::{Precision, Rows},
};
use crate::ops::similarity::products;

/// Lists that each document stands in.
const LISTS: usize = 3;
/// Lists for each root of the number of documents: as much work to find a document's lists as to search them.
const LISTS_SHARE: f64 = 2.0;
/// A longer list is cut: what is so alike has neighbours in every part of it.
const MAX_LIST: usize = 4_096;
/// Lists that are searched before what was found is gathered.
const WAVE: usize = 256;
/// Rows that are multiplied at a time.
const BLOCK_ROWS: usize = 64;

/// Other documents and how similar they are, for each document.
pub type Neighbours = Vec<Vec<(u32, f32)>>;

/// What is added to the similarity of two documents.
pub type Bonus<'a> = &'a (dyn Fn(usize, usize) -> f32 + Sync);

/// The `count` nearest of all others.
pub fn exact(rows: &Rows, count: usize, bonus: Bonus) -> Neighbours {
    let vectors = rows.gather(0..rows.len());
    let nearest = |own: usize| best_of(own, &products(&vectors[own], &vectors), count, bonus);
    (0..rows.len()).into_par_iter().map(nearest).collect()
}

/// The `count` nearest of those that share one of a document's nearest clusters: n·√n products.
pub fn approximate(rows: &Rows, count: usize, seed: u64, bonus: Bonus) -> Neighbours {
    let n_lists = (LISTS_SHARE * (rows.len() as f64).sqrt()).ceil() as usize;
    let centres = Centres::new(rows, n_lists.max(LISTS), seed);
    let mut lists: Vec<Vec<u32>> = vec![Vec::new(); centres.count()];
    for (row, nearest) in centres.nearest::<LISTS>(rows).into_iter().enumerate() {
        let nearest = nearest.into_iter().take(centres.count());
        nearest.for_each(|list| lists[list as usize].push(row as u32));
    }
    let lists: Vec<&[u32]> = lists
        .iter()
        .flat_map(|list| list.chunks(MAX_LIST))
        .collect();
    let mut nearest: Neighbours = vec![Vec::new(); rows.len()];
    for wave in lists.chunks(WAVE) {
        let found = wave.par_iter().map(|list| within(rows, list, count, bonus));
        let found: Vec<Neighbours> = found.collect();
        for (list, found) in wave.iter().zip(found) {
            for (&row, found) in list.iter().zip(found) {
                merge(&mut nearest[row as usize], found, count);
            }
        }
    }
    nearest
}

/// The nearest of each member of a list among its members.
fn within(rows: &Rows, list: &[u32], count: usize, bonus: Bonus) -> Neighbours {
    let vectors = rows.block(list.iter().map(|&row| row as usize));
    let panels = Panels::new(&vectors, rows.dimensions());
    let mut nearest = Vec::with_capacity(list.len());
    let blocks = vectors.chunks(BLOCK_ROWS * rows.dimensions());
    for (block, owns) in blocks.zip(list.chunks(BLOCK_ROWS)) {
        let mut products = vec![0f32; owns.len() * panels.stride()];
        panels.multiply(block, &mut products);
        for (&own, products) in owns.iter().zip(products.chunks_exact(panels.stride())) {
            let mut best = Vec::with_capacity(count + 1);
            for (&other, product) in list.iter().zip(products) {
                if other != own {
                    let similarity = product + bonus(own as usize, other as usize);
                    keep_best(&mut best, count, (other, similarity));
                }
            }
            nearest.push(best);
        }
    }
    nearest
}

/// Takes what another list found; the same document may stand in both.
fn merge(nearest: &mut Vec<(u32, f32)>, found: Vec<(u32, f32)>, count: usize) {
    if nearest.is_empty() {
        *nearest = found;
        return;
    }
    for next in found {
        if nearest.iter().all(|held| held.0 != next.0) {
            keep_best(nearest, count, next);
        }
    }
}

/// The `count` best of all products of a row but that with itself.
fn best_of(own: usize, products: &[f32], count: usize, bonus: Bonus) -> Vec<(u32, f32)> {
    let mut best = Vec::with_capacity(count + 1);
    for (other, product) in products.iter().enumerate() {
        if other != own {
            keep_best(
                &mut best,
                count,
                (other as u32, product + bonus(own, other)),
            );
        }
    }
    best
}

/// The share of the exact neighbours of `sample` documents that are found as those of a large library are.
pub fn recall(documents: &[TreeDocument], sample: usize, options: &TreeOptions) -> f64 {
    let rows = Joint::new(documents, options.seed, Precision::Half).rows();
    let (count, bonus) = (options.neighbours, &|_, _| 0.0);
    let found = approximate(&rows, count, options.seed, bonus);
    let vectors = rows.gather(0..rows.len());
    let owns = (0..rows.len()).step_by((rows.len() / sample).max(1));
    let shares = owns.map(|own| {
        let exact = best_of(own, &products(&vectors[own], &vectors), count, bonus);
        let is_found = |own: &&(u32, f32)| exact.iter().any(|other| other.0 == own.0);
        found[own].iter().filter(is_found).count() as f64 / exact.len().max(1) as f64
    });
    let shares: Vec<f64> = shares.collect();
    shares.iter().sum::<f64>() / shares.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::similarity::normalise,
        tree::{graph::split_mix, rows::Precision},
    };

    #[test]
    fn approximate_neighbours_are_nearly_the_exact_ones() {
        let mut state = 3;
        let mut random = move || (split_mix(&mut state) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        let centres: Vec<f32> = (0..40 * 32).map(|_| random()).collect();
        let noise: Vec<f32> = (0..2_000 * 32).map(|_| random()).collect();
        let mut rows = Rows::new(2_000, 32, Precision::Half);
        rows.update(0, 32, |row, values| {
            for (dimension, value) in values.iter_mut().enumerate() {
                *value = centres[row % 40 * 32 + dimension] + noise[row * 32 + dimension];
            }
            normalise(values);
        });
        let same = |a: usize, b: usize| if a % 7 == b % 7 { 0.01 } else { 0.0 };
        let exact = exact(&rows, 15, &same);
        let approximate = approximate(&rows, 15, 7, &same);
        let found = exact.iter().zip(&approximate).map(|(exact, approximate)| {
            let is_found = |own: &&(u32, f32)| approximate.iter().any(|other| other.0 == own.0);
            exact.iter().filter(is_found).count()
        });
        let recall = found.sum::<usize>() as f64 / (15 * rows.len()) as f64;
        assert!(recall > 0.9, "{recall}");
    }
}
