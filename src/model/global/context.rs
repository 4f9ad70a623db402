//! What a global block keeps of a document while its tokens attend to it: latents of tokens and nodes, keys of nodes.

use rayon::prelude::*;

use super::{
    block::GlobalBlock,
    config::GlobalConfig,
    exchange, pool,
    pyramid::{Level, Pyramid},
};
use crate::ops::{
    lightning_index::{IndexKeys, IndexLevel, IndexPyramid},
    pointwise,
    simd::{Instructions, Isa, Kernel},
    sparse_attention::{CHUNK, PackedLatents},
};

/// A document as the queries of one global block see it.
pub struct Context {
    pub pyramid: Pyramid,
    /// Latents of all tokens; every leaf starts a chunk.
    pub tokens: PackedLatents,
    /// First token of each chunk, and one more at the end.
    pub chunk_tokens: Vec<u32>,
    /// First chunk of each leaf, and one more at the end.
    pub leaf_chunks: Vec<u32>,
    /// Latents of each level, `latents[l - 1]` is `[n_nodes, size]`.
    pub latents: Vec<Vec<f32>>,
    /// What is attended to, from the leaves up.
    pub nodes: Vec<NodeCodes>,
    /// The indexer's keys of these, and of what it looks at below.
    pub index: IndexPyramid,
}

/// The latents of a level in codes with the signed zero point.
#[derive(Debug, Default)]
pub struct NodeCodes {
    /// `[n_nodes, size]`.
    pub codes: Vec<u8>,
    pub scales: Vec<f32>,
    /// Logarithms of how many tokens each stands for.
    pub log_sizes: Vec<f32>,
}

/// What was made of one passage, before it is appended.
pub struct PassageLatents {
    pub length: usize,
    /// Borders of groups below each learned level.
    pub borders: Vec<Vec<u32>>,
    /// Latents of each learned level.
    pub latents: Vec<Vec<f32>>,
    pub tokens: PackedLatents,
    /// Tokens of each chunk, and chunks of each leaf.
    pub chunk_lengths: Vec<u32>,
    pub leaf_lengths: Vec<u32>,
}

impl Context {
    /// Nothing of a document whose passages have at most `longest` tokens.
    pub fn new(block: &GlobalBlock, longest: usize) -> Self {
        Self::empty(block.config(), longest)
    }

    /// As [`Context::new`], for blocks of this shape.
    pub(super) fn empty(config: &GlobalConfig, longest: usize) -> Self {
        let pyramid = Pyramid::new(config, longest);
        Self {
            tokens: PackedLatents::new(config.head_size),
            chunk_tokens: vec![0],
            leaf_chunks: vec![0],
            latents: vec![Vec::new(); pyramid.n_learned],
            nodes: Vec::new(),
            index: IndexPyramid::default(),
            pyramid,
        }
    }

    /// Appends passages, whose `states` are `[n_tokens, hidden]`, with borders `starts` in them.
    pub fn read(&mut self, block: &GlobalBlock, states: &[f32], starts: &[usize]) {
        let hidden = block.hidden();
        let n_learned = self.pyramid.n_learned;
        let passages: Vec<PassageLatents> = starts
            .par_windows(2)
            .map(|border| block.read(&states[border[0] * hidden..border[1] * hidden], n_learned))
            .collect();
        passages.iter().for_each(|passage| self.append(passage));
    }

    fn append(&mut self, passage: &PassageLatents) {
        let borders = &passage.borders;
        self.pyramid
            .push_passage(passage.length, |level, _| borders[level - 1].clone());
        for (all, own) in self.latents.iter_mut().zip(&passage.latents) {
            all.extend_from_slice(own);
        }
        self.tokens.append(&passage.tokens);
        extend_borders(&mut self.chunk_tokens, &passage.chunk_lengths);
        extend_borders(&mut self.leaf_chunks, &passage.leaf_lengths);
    }

    /// Adds what needs the whole document: the exchange between nodes, the index-only levels, codes and keys.
    pub fn close(&mut self, block: &GlobalBlock) {
        exchange::exchange(self, block);
        self.index(block.config(), &block.weights.index_key);
    }

    /// Adds the index-only levels, codes and keys, once the latents of all learned levels are there.
    pub(super) fn index(&mut self, config: &GlobalConfig, index_key: &[f32]) {
        self.pyramid.close();
        let size = config.head_size;
        for level in self.pyramid.n_learned..self.pyramid.levels.len() {
            let means = self.means(level, size);
            self.latents.push(means);
        }
        let mut keys: Vec<f32> = Vec::new();
        let mut index = Vec::new();
        let leaf_level = self.pyramid.leaf_level();
        let lowest = config.lowest_index_level(leaf_level);
        for level in lowest..=self.pyramid.levels.len() {
            let own = &self.pyramid.levels[level - 1];
            keys = match level <= self.pyramid.n_learned {
                true => pool::project(&self.latents[level - 1], index_key, size),
                false => own
                    .children
                    .windows(2)
                    .flat_map(|border| {
                        mean_rows(
                            &keys,
                            config.index_size,
                            border[0] as usize..border[1] as usize,
                        )
                    })
                    .collect(),
            };
            index.push(IndexLevel {
                keys: IndexKeys::new(&keys, config.index_size),
                children: match index.is_empty() {
                    true => Vec::new(),
                    false => own.children.clone(),
                },
            });
            if level < leaf_level {
                continue;
            }
            let sizes = own
                .tokens
                .windows(2)
                .map(|border| ((border[1] - border[0]) as f32).ln());
            self.nodes.push(Instructions::best().run(Encode {
                latents: &self.latents[level - 1],
                log_sizes: sizes.collect(),
            }));
        }
        self.index = IndexPyramid::new(index, leaf_level - lowest);
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.chunk_tokens.last().map_or(0, |&end| end as usize)
    }

    /// The level whose nodes a selection opens.
    pub fn leaves(&self) -> &Level {
        &self.pyramid.levels[self.pyramid.leaf_level() - 1]
    }

    /// The means of the latents below an index-only level, weighted by tokens.
    fn means(&self, level: usize, size: usize) -> Vec<f32> {
        let own = &self.pyramid.levels[level];
        let below = &self.pyramid.levels[level - 1];
        let latents = &self.latents[level - 1];
        let mut means = vec![0.0; own.len() * size];
        for (node, mean) in means.chunks_exact_mut(size).enumerate() {
            let total = own.tokens_of(node).len() as f32;
            for child in own.children_of(node) {
                let share = below.tokens_of(child).len() as f32 / total;
                let latent = &latents[child * size..][..size];
                for (mean, value) in mean.iter_mut().zip(latent) {
                    *mean += share * value;
                }
            }
        }
        means
    }

    /// Chunks of a leaf.
    pub fn chunks_of_leaf(&self, leaf: usize) -> std::ops::Range<usize> {
        self.leaf_chunks[leaf] as usize..self.leaf_chunks[leaf + 1] as usize
    }

    /// Chunks that hold any of these tokens, of which there is at least one.
    pub fn chunks_of(&self, tokens: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        let first = self
            .chunk_tokens
            .partition_point(|&own| own as usize <= tokens.start)
            - 1;
        let end = self
            .chunk_tokens
            .partition_point(|&own| (own as usize) < tokens.end);
        first..end
    }
}

/// The mean of some rows of `[n, size]`.
fn mean_rows(rows: &[f32], size: usize, range: std::ops::Range<usize>) -> Vec<f32> {
    let share = 1.0 / range.len() as f32;
    let mut mean = vec![0.0; size];
    for row in rows[range.start * size..range.end * size].chunks_exact(size) {
        for (mean, value) in mean.iter_mut().zip(row) {
            *mean += share * value;
        }
    }
    mean
}

pub(super) fn extend_borders(borders: &mut Vec<u32>, lengths: &[u32]) {
    let mut last = borders[borders.len() - 1];
    for length in lengths {
        last += length;
        borders.push(last);
    }
}

/// Packs the tokens of leaves, and returns the tokens of each chunk and the chunks of each leaf.
pub fn pack_leaves(
    latents: &[f32],
    size: usize,
    leaves: &[u32],
) -> (PackedLatents, Vec<u32>, Vec<u32>) {
    let mut packed = PackedLatents::new(size);
    for leaf in leaves
        .windows(2)
        .map(|border| border[0] as usize..border[1] as usize)
    {
        packed.push(&latents[leaf.start * size..leaf.end * size]);
    }
    let (chunk_lengths, leaf_lengths) = chunks_of_leaves(leaves);
    (packed, chunk_lengths, leaf_lengths)
}

/// The tokens of each chunk and the chunks of each leaf; every leaf starts a chunk.
pub(super) fn chunks_of_leaves(leaves: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (mut chunk_lengths, mut leaf_lengths) = (Vec::new(), Vec::new());
    for leaf in leaves
        .windows(2)
        .map(|border| border[0] as usize..border[1] as usize)
    {
        let chunks = leaf.len().div_ceil(CHUNK);
        leaf_lengths.push(chunks as u32);
        chunk_lengths.extend((0..chunks).map(|chunk| CHUNK.min(leaf.len() - chunk * CHUNK) as u32));
    }
    (chunk_lengths, leaf_lengths)
}

struct Encode<'a> {
    latents: &'a [f32],
    log_sizes: Vec<f32>,
}

impl Kernel for Encode<'_> {
    type Output = NodeCodes;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> NodeCodes {
        let n_nodes = self.log_sizes.len();
        let size = self.latents.len() / n_nodes.max(1);
        let mut codes = vec![0; self.latents.len()];
        let mut scales = vec![0.0; n_nodes];
        for (node, scale) in scales.iter_mut().enumerate() {
            let own = node * size..(node + 1) * size;
            *scale = pointwise::quantise::<I>(&self.latents[own.clone()], &mut codes[own]);
        }
        NodeCodes {
            codes,
            scales,
            log_sizes: self.log_sizes,
        }
    }
}
