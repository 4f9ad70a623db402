//! A document as the f32 form sees it: the same pyramid, its latents as tensors with a gradient.
//!
//! What is chosen (groups, lists) comes from the numbers of these tensors by the rules of the int8 form, and has no
//! gradient.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use super::{
    config::GlobalConfig,
    context::{Context, chunks_of_leaves, extend_borders},
    exchange,
    f32_weights::F32Weights,
    pool,
};
use crate::ops::{
    abstraction_pool::{Nodes, PoolTensors, Pooling, abstraction_pool, group_affinities},
    permute::{Permutation, permute},
    sparse_attention::{KeyLists, KeyRange, N_BUCKETS, sparse_attention},
    tensors::numbers,
};

/// What the queries of a document attend to.
pub struct F32Context {
    /// What lists are made from; it has no packed tokens.
    pub context: Context,
    /// Latents of all tokens, `[n_tokens, size]`.
    pub tokens: Tensor,
    /// Latents of all nodes from the leaves up, `[n, size]`, the first of each level, and their logarithms of tokens.
    pub nodes: Tensor,
    pub firsts: Vec<usize>,
    pub log_sizes: Arc<[f32]>,
}

/// The pyramid while it is built.
struct Builder<'a> {
    config: &'a GlobalConfig,
    weights: &'a F32Weights,
    context: Context,
    /// Of each learned level, `[n_nodes, size]`.
    levels: Vec<Tensor>,
}

impl F32Context {
    /// The pyramid over the latents of all tokens; `starts` are the borders of passages.
    pub fn over(
        config: &GlobalConfig,
        weights: &F32Weights,
        tokens: Tensor,
        starts: &[usize],
    ) -> Result<Self> {
        let lengths = starts.windows(2).map(|border| border[1] - border[0]);
        let mut builder = Builder {
            config,
            weights,
            context: Context::empty(config, lengths.max().unwrap_or(0)),
            levels: Vec::new(),
        };
        builder.pool(&tokens, starts)?;
        builder.exchange()?;
        builder.finish(tokens)
    }
}

impl Builder<'_> {
    /// Pools all learned levels.
    fn pool(&mut self, tokens: &Tensor, starts: &[usize]) -> Result<()> {
        let (config, size) = (self.config, self.config.head_size);
        let affinity = numbers(&self.weights.affinity)?;
        let n_learned = self.context.pyramid.n_learned;
        let mut groups: Vec<Vec<Vec<u32>>> = vec![Vec::new(); starts.len() - 1];
        let mut passages = starts.to_vec();
        let mut sizes = vec![1.0; tokens.dim(0)?];
        for level in 1..=n_learned {
            let children = self.levels.last().unwrap_or(tokens).clone();
            let values = numbers(&children)?;
            let mut borders = vec![0];
            let mut parents = vec![0];
            for (groups, own) in groups.iter_mut().zip(passages.windows(2)) {
                let values = &values[own[0] * size..own[1] * size];
                let own_groups = pool::groups(config, &affinity, values, level == n_learned);
                borders.extend(own_groups[1..].iter().map(|at| own[0] as u32 + at));
                parents.push(borders.len() - 1);
                groups.push(own_groups);
            }
            let parent_sizes = sums(&sizes, &borders);
            self.levels
                .push(self.pool_level(&children, level, sizes, borders)?);
            (sizes, passages) = (parent_sizes, parents);
        }
        for (groups, own) in groups.iter().zip(starts.windows(2)) {
            let group = |level: usize, _| groups[level - 1].clone();
            self.context.pyramid.push_passage(own[1] - own[0], group);
        }
        Ok(())
    }

    fn pool_level(
        &self,
        children: &Tensor,
        level: usize,
        sizes: Vec<f32>,
        borders: Vec<u32>,
    ) -> Result<Tensor> {
        let last = level == self.context.pyramid.n_learned;
        let affinities = match pool::by_content(self.config, last) {
            true => group_affinities(children, &self.weights.affinity, &borders)?,
            false => Tensor::zeros(sizes.len(), children.dtype(), children.device())?,
        };
        let weights = self.weights.level(level);
        let tensors = PoolTensors {
            children,
            affinities: &affinities,
            query: &weights.pool_query,
            residual: &weights.pool_residual,
        };
        let nodes = Nodes {
            pooling: pool::pooling(self.config),
            sizes,
            borders,
        };
        abstraction_pool(&tensors, Arc::new(nodes))
    }

    /// As [`exchange::exchange`].
    fn exchange(&mut self) -> Result<()> {
        if self.config.within_levels {
            for level in 1..=self.levels.len() {
                self.levels[level - 1] = self.within(level)?;
            }
        }
        if self.config.parents_and_children {
            let before = self.levels.clone();
            for level in 2..=before.len() {
                let weights = self.weights.level(level);
                let borders = &self.context.pyramid.levels[level - 1].children;
                let up = means(&before[level - 2], borders)?.matmul(&weights.up.t()?)?;
                let down = spread(&before[level - 1], borders)?.matmul(&weights.down.t()?)?;
                self.levels[level - 1] = (&self.levels[level - 1] + up)?;
                self.levels[level - 2] = (&self.levels[level - 2] + down)?;
            }
        }
        Ok(())
    }

    /// A level with what its nodes attend to there added.
    fn within(&self, level: usize) -> Result<Tensor> {
        let size = self.config.head_size;
        let latents = &self.levels[level - 1];
        let weights = self.weights.level(level);
        let index_key = numbers(&self.weights.index_key)?;
        let keys = pool::project(&numbers(latents)?, &index_key, size);
        let mut lists = KeyLists::default();
        for seen in exchange::seen(&self.context.pyramid, level, &keys, self.config.index_size) {
            let key = |node: usize| KeyRange {
                start: node as u32,
                end: node as u32 + 1,
                bucket: 0,
            };
            lists.push(1, seen.into_iter().map(key));
        }
        let queries = latents.matmul(&weights.within_query.t()?)?.unsqueeze(1)?;
        let bias = Tensor::zeros((1, N_BUCKETS), latents.dtype(), latents.device())?;
        let log_sizes = vec![0.0; latents.dim(0)?].into();
        let mixed = sparse_attention(&queries, latents, &bias, Arc::new(lists), log_sizes)?;
        let mixed = mixed.squeeze(1)?.narrow(1, 0, size)?.contiguous()?; // [n_nodes, size]
        latents + mixed.matmul(&weights.within_output.t()?)?
    }

    /// Adds the index, and the levels above the passages.
    fn finish(mut self, tokens: Tensor) -> Result<F32Context> {
        let leaf_level = self.context.pyramid.leaf_level();
        let leaves = &self.context.pyramid.levels[leaf_level - 1].tokens;
        let (chunk_lengths, leaf_lengths) = chunks_of_leaves(leaves);
        extend_borders(&mut self.context.chunk_tokens, &chunk_lengths);
        extend_borders(&mut self.context.leaf_chunks, &leaf_lengths);
        self.context.latents = self.levels.iter().map(numbers).collect::<Result<_>>()?;
        self.context
            .index(self.config, &numbers(&self.weights.index_key)?);
        let levels = &self.context.pyramid.levels;
        while let Some(level) = levels.get(self.levels.len()) {
            let below = &levels[self.levels.len() - 1].tokens;
            let sizes = below
                .windows(2)
                .map(|border| (border[1] - border[0]) as f32);
            let children = &self.levels[self.levels.len() - 1];
            let weights = self.weights.level(1);
            let tensors = PoolTensors {
                children,
                affinities: &Tensor::zeros(children.dim(0)?, children.dtype(), children.device())?,
                query: &weights.pool_query,
                residual: &weights.pool_residual,
            };
            let nodes = Nodes {
                pooling: Pooling::Mean,
                sizes: sizes.collect(),
                borders: level.children.clone(),
            };
            self.levels
                .push(abstraction_pool(&tensors, Arc::new(nodes))?);
        }
        let mut firsts = vec![0];
        for nodes in &self.context.nodes {
            firsts.push(firsts[firsts.len() - 1] + nodes.log_sizes.len());
        }
        let log_sizes = self.context.nodes.iter().flat_map(|nodes| &nodes.log_sizes);
        Ok(F32Context {
            tokens,
            nodes: Tensor::cat(&self.levels[leaf_level - 1..], 0)?,
            firsts,
            log_sizes: log_sizes.copied().collect(),
            context: self.context,
        })
    }
}

fn sums(values: &[f32], borders: &[u32]) -> Vec<f32> {
    let sum = |border: &[u32]| values[border[0] as usize..border[1] as usize].iter().sum();
    borders.windows(2).map(sum).collect()
}

/// The means of the rows between borders, `[n_groups, columns]`.
pub fn means(rows: &Tensor, borders: &[u32]) -> Result<Tensor> {
    let groups = Padded::new(borders, rows.device())?;
    let shape = (groups.n_groups, groups.width, rows.dim(1)?);
    permute(rows, groups.pads)?
        .reshape(shape)?
        .broadcast_mul(&groups.shares)?
        .sum(1)
}

/// Each group's row for every member, `[n_rows, columns]`.
pub fn spread(of_groups: &Tensor, borders: &[u32]) -> Result<Tensor> {
    let groups = Padded::new(borders, of_groups.device())?;
    let columns = of_groups.dim(1)?;
    let padded = of_groups
        .unsqueeze(1)?
        .broadcast_as((groups.n_groups, groups.width, columns))?
        .contiguous()?
        .reshape((groups.n_groups * groups.width, columns))?;
    permute(&padded, groups.packs)
}

/// Consecutive rows in groups, each padded to the longest.
struct Padded {
    n_groups: usize,
    width: usize,
    /// From rows to places in groups, and back.
    pads: Arc<Permutation>,
    packs: Arc<Permutation>,
    /// One over the size of its group for each place that has a row, `[n_groups, width, 1]`.
    shares: Tensor,
}

impl Padded {
    fn new(borders: &[u32], device: &Device) -> Result<Self> {
        let lengths = borders.windows(2).map(|own| (own[1] - own[0]) as usize);
        let (n_groups, width) = (lengths.len(), lengths.clone().max().unwrap_or(0));
        let n_rows = borders[n_groups];
        let mut places = Vec::with_capacity(n_rows as usize);
        let mut rows = vec![n_rows; n_groups * width];
        let mut shares = vec![0f32; n_groups * width];
        for (group, length) in lengths.enumerate() {
            let own = group * width..group * width + length;
            rows[own.clone()]
                .iter_mut()
                .zip(borders[group]..)
                .for_each(|(row, number)| *row = number);
            shares[own.clone()].fill(1.0 / length as f32);
            places.extend(own.map(|place| place as u32));
        }
        // A place without a row holds the first.
        let filled: Vec<u32> = rows.iter().map(|&row| row % n_rows.max(1)).collect();
        let tensor = |values: Vec<u32>| Tensor::new(values, device);
        let (rows, places) = (tensor(rows)?, tensor(places)?);
        Ok(Self {
            n_groups,
            width,
            pads: Arc::new(Permutation {
                rows: tensor(filled)?,
                places: places.clone(),
            }),
            packs: Arc::new(Permutation {
                rows: places,
                places: rows,
            }),
            shares: Tensor::from_vec(shares, (n_groups, width, 1), device)?,
        })
    }
}
