//! Seeded k-means by mini-batches: the clusters of a library too large to be looked at in every round.

use rayon::prelude::*;

use super::{cluster::first_centres, graph::split_mix, panels::Panels, rows::Rows};
use crate::ops::similarity::normalise;

/// Rounds, and what a batch holds for each cluster.
const BATCHES: usize = 24;
const BATCH_SHARE: usize = 16;
/// What the first centres are chosen from, for each of them.
const START_SHARE: usize = 8;
/// What a centre keeps of the batches before in each round.
const MEMORY: f32 = 0.8;
/// Rows that are multiplied at a time.
const BLOCK_ROWS: usize = 64;

/// Centres of length 1.
pub struct Centres {
    /// `[count, dimensions]`.
    values: Vec<f32>,
    dimensions: usize,
    panels: Panels,
}

impl Centres {
    /// Looks for `count` centres of `rows`.
    pub fn new(rows: &Rows, count: usize, seed: u64) -> Self {
        let order = shuffled(rows.len(), seed);
        let starts = order.iter().take(START_SHARE * count);
        let starts = rows.gather(starts.map(|&row| row as usize));
        let all: Vec<usize> = (0..starts.len()).collect();
        let first = first_centres(&starts, &all, count.min(all.len()), seed).concat();
        let mut centres = Self::of(first, rows.dimensions());
        let mut sums = vec![0f32; centres.values.len()];
        let mut weights = vec![0f32; centres.count()];
        let size = rows.len().min(BATCH_SHARE * count);
        for batch in 0..BATCHES {
            let own = |at| order[(batch * size + at) % order.len()] as usize;
            let block = rows.block((0..size).map(own));
            centres = centres.moved(&block, &mut sums, &mut weights);
        }
        centres
    }

    fn of(values: Vec<f32>, dimensions: usize) -> Self {
        Self {
            panels: Panels::new(&values, dimensions),
            values,
            dimensions,
        }
    }

    /// The number of centres.
    pub fn count(&self) -> usize {
        self.panels.count()
    }

    /// The centres at the mean of what was and is nearest to them; one that nothing is near to starts anew.
    fn moved(self, block: &[f32], sums: &mut [f32], weights: &mut [f32]) -> Self {
        let Self {
            mut values,
            dimensions,
            panels,
        } = self;
        let mut found = vec![[(0, 0f32)]; block.len() / dimensions];
        let chunks = found.par_chunks_mut(BLOCK_ROWS);
        let blocks = block.par_chunks(BLOCK_ROWS * dimensions);
        chunks
            .zip(blocks)
            .for_each(|(found, block)| best(&panels, block, found));
        sums.iter_mut().for_each(|sum| *sum *= MEMORY);
        weights.iter_mut().for_each(|weight| *weight *= MEMORY);
        for ([(centre, _)], row) in found.iter().zip(block.chunks_exact(dimensions)) {
            weights[*centre as usize] += 1.0;
            let sums = &mut sums[*centre as usize * dimensions..][..dimensions];
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += value);
        }
        let mut lonely: Vec<usize> = (0..found.len()).collect();
        lonely.sort_by(|&a, &b| found[a][0].1.total_cmp(&found[b][0].1));
        let mut lonely = lonely.into_iter();
        let centres = values.chunks_exact_mut(dimensions);
        let sums = sums.chunks_exact_mut(dimensions);
        for ((centre, sum), weight) in centres.zip(sums).zip(weights) {
            if *weight < 0.5
                && let Some(row) = lonely.next()
            {
                sum.copy_from_slice(&block[row * dimensions..][..dimensions]);
                *weight = 1.0;
            }
            centre.copy_from_slice(sum);
            normalise(centre);
        }
        Self::of(values, dimensions)
    }

    /// The `N` centres nearest to each row, the nearest first.
    pub fn nearest<const N: usize>(&self, rows: &Rows) -> Vec<[u32; N]> {
        let mut nearest = vec![[0; N]; rows.len()];
        let chunks = nearest.par_chunks_mut(BLOCK_ROWS).enumerate();
        chunks.for_each(|(at, nearest)| {
            let first = at * BLOCK_ROWS;
            let block = rows.block(first..first + nearest.len());
            let mut found = vec![[(0, 0f32); N]; nearest.len()];
            best(&self.panels, &block, &mut found);
            for (nearest, found) in nearest.iter_mut().zip(found) {
                *nearest = found.map(|(centre, _)| centre);
            }
        });
        nearest
    }

    /// Those of the centres that `keeps` names.
    fn only(&self, keeps: impl Fn(usize) -> bool) -> Self {
        let centres = self.values.chunks_exact(self.dimensions).enumerate();
        let kept = centres.filter(|(own, _)| keeps(*own));
        let kept: Vec<&[f32]> = kept.map(|(_, centre)| centre).collect();
        Self::of(kept.concat(), self.dimensions)
    }
}

/// Assigns each row to one of about `count` clusters, each of `least` rows or more; returns their number as well.
pub fn partition(rows: &Rows, count: usize, least: usize, seed: u64) -> (Vec<usize>, usize) {
    let centres = Centres::new(rows, count, seed);
    let mut sizes = vec![0; centres.count()];
    for [centre] in centres.nearest::<1>(rows) {
        sizes[centre as usize] += 1;
    }
    let centres = match sizes.iter().any(|&size| size >= least) {
        true => centres.only(|own| sizes[own] >= least),
        false => centres,
    };
    let assigned = centres.nearest::<1>(rows).into_iter();
    let assigned = assigned.map(|[centre]| centre as usize).collect();
    (assigned, centres.count())
}

/// The `N` best of the vectors for each row of `block`; of equally good ones the first.
fn best<const N: usize>(panels: &Panels, block: &[f32], found: &mut [[(u32, f32); N]]) {
    let stride = panels.stride();
    let mut products = vec![0f32; found.len() * stride];
    panels.multiply(block, &mut products);
    for (found, products) in found.iter_mut().zip(products.chunks_exact(stride)) {
        let mut kept = Vec::with_capacity(N + 1);
        for (own, &product) in products[..panels.count()].iter().enumerate() {
            keep_best(&mut kept, N, (own as u32, product));
        }
        found
            .iter_mut()
            .zip(kept)
            .for_each(|(found, kept)| *found = kept);
    }
}

/// Takes `next` among the `count` best, if it is one of them; of equally good ones the first stays ahead.
#[inline]
pub fn keep_best(best: &mut Vec<(u32, f32)>, count: usize, next: (u32, f32)) {
    if best.len() == count && best.last().is_none_or(|last| next.1 <= last.1) {
        return;
    }
    let at = best.partition_point(|own| own.1 >= next.1);
    best.insert(at, next);
    best.truncate(count);
}

/// The numbers below `count` in a random order.
pub fn shuffled(count: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_by_cached_key(|&own| split_mix(&mut (seed ^ (u64::from(own) << 20))));
    order
}
