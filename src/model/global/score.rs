//! Who scores nodes for a granule: the lightning indexer, or the attention to compressed nodes itself.

use super::{block::GlobalBlock, context::Context, lists::Looks, select::Score};
use crate::ops::{
    lightning_index::{IndexQueries, IndexScratch, score},
    pointwise::dot,
    simd::Isa,
};

/// The lightning indexer.
pub struct Lightning<'a, I> {
    isa: I,
    context: &'a Context,
    queries: IndexQueries,
    scratch: IndexScratch,
}

impl<'a, I: Isa> Lightning<'a, I> {
    /// Reads the queries of a granule.
    #[inline(always)]
    pub fn new(isa: I, block: &GlobalBlock, context: &'a Context, looks: &Looks) -> Self {
        let (config, columns) = (block.config(), looks.columns);
        let mut queries = IndexQueries::default();
        let share = columns.total as f32 / looks.projected.len() as f32;
        for query in looks.projected.chunks_exact(columns.total) {
            for head in 0..config.index_heads {
                let at = columns.index_query + head * config.index_size;
                let weight = query[columns.index_weight + head] * share;
                queries.push::<I>(&query[at..at + config.index_size], weight);
            }
        }
        Self {
            isa,
            context,
            queries,
            scratch: IndexScratch::default(),
        }
    }
}

impl<I: Isa> Score for Lightning<'_, I> {
    #[inline(always)]
    fn score(&mut self, level: usize, nodes: &[u32], scores: &mut Vec<f32>) {
        let keys = &self.context.keys[level - self.context.pyramid.leaf_level()];
        score(
            self.isa,
            &self.queries,
            keys,
            nodes,
            &mut self.scratch,
            scores,
        );
    }
}

/// Block importance: the attention that compressed nodes get among those at hand, summed over queries and heads.
pub struct Importance<'a, I> {
    isa: std::marker::PhantomData<I>,
    block: &'a GlobalBlock,
    context: &'a Context,
    looks: &'a Looks<'a>,
}

impl<'a, I: Isa> Importance<'a, I> {
    pub fn new(_: I, block: &'a GlobalBlock, context: &'a Context, looks: &'a Looks) -> Self {
        Self {
            isa: std::marker::PhantomData,
            block,
            context,
            looks,
        }
    }
}

impl<I: Isa> Score for Importance<'_, I> {
    #[inline(always)]
    fn score(&mut self, level: usize, nodes: &[u32], scores: &mut Vec<f32>) {
        let (config, columns) = (self.block.config(), self.looks.columns);
        let size = config.head_size;
        let latents = &self.context.latents[level - 1];
        scores.clear();
        scores.resize(nodes.len(), 0.0);
        let mut weights = vec![0.0; nodes.len()];
        for query in self.looks.projected.chunks_exact(columns.total) {
            for query in query[..columns.index_query].chunks_exact(size) {
                let mut largest = 0f32;
                for (weight, node) in weights.iter_mut().zip(nodes) {
                    let latent = &latents[*node as usize * size..][..size];
                    *weight = dot::<I>(query, latent) / (size as f32).sqrt();
                    largest = largest.max(*weight);
                }
                let mut total = 0.0;
                for weight in &mut weights {
                    *weight = (*weight - largest).exp();
                    total += *weight;
                }
                for (score, weight) in scores.iter_mut().zip(&weights) {
                    *score += weight / total;
                }
            }
        }
    }
}
