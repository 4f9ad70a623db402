//! One global block in f32 over tensors: the twin of the int8 form, and what training starts from.
//!
//! All weights but the indexer's have a gradient. Lists are chosen as in int8, from detached projections.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::{
    super::{ModelError, weights::var_builder},
    block::Columns,
    config::{GlobalConfig, Relevance},
    context::Context,
    f32_context::{F32Context, means, spread},
    f32_weights::F32Weights,
    form::{Document, Global, Reading},
    lists::{Lists, Rules, relevance_of},
    weights::{GlobalWeights, N_BRANCHES, N_RELEVANCES},
};
use crate::ops::{
    gates::gate,
    sparse_attention::{ChunkRange, KeyLists, KeyRange, sparse_attention},
    tensors::numbers,
};

/// Scores of relevance are cut here, far beyond where a level counts for nothing, so that logarithms stay finite.
const MAX_RELEVANCE_SCORE: f64 = 60.0;

/// A global block whose weights are tensors.
pub struct F32GlobalBlock {
    config: GlobalConfig,
    weights: F32Weights,
    hidden: usize,
    device: Device,
}

/// The lists of all granules as keys.
#[derive(Default)]
struct Branches {
    /// Tokens.
    window: KeyLists,
    selected: KeyLists,
    /// Nodes, level behind level: a list for each relevance that levels have.
    cover: [KeyLists; N_RELEVANCES],
    /// Borders of granules in queries.
    granules: Vec<u32>,
}

impl F32GlobalBlock {
    /// A block over states of `hidden` dimensions.
    pub fn new(
        config: GlobalConfig,
        weights: &GlobalWeights,
        hidden: usize,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        let tensors = weights.tensors(&config, hidden, device)?;
        Self::load(config, hidden, var_builder(tensors, device))
    }

    /// Reads the block's tensors; `vb` stands at its name.
    pub fn load(
        config: GlobalConfig,
        hidden: usize,
        vb: VarBuilder,
    ) -> std::result::Result<Self, ModelError> {
        config.check()?;
        Ok(Self {
            device: vb.device().clone(),
            weights: F32Weights::load(&config, hidden, vb)?,
            config,
            hidden,
        })
    }

    /// The states of one document, `[n_tokens, hidden]`, with what its passages find in the rest of it added.
    ///
    /// `starts` are the borders of passages.
    pub fn forward(&self, states: &Tensor, starts: &[usize]) -> Result<Tensor> {
        if starts.len() <= self.config.least_passages {
            return Ok(states.clone());
        }
        let context = self.context(self.latents(states)?, starts)?;
        self.attend(&context, 0, states, starts)
    }

    /// `[n_tokens, head_size]`.
    fn latents(&self, states: &Tensor) -> Result<Tensor> {
        states.matmul(&self.weights.latent.t()?)
    }

    fn context(&self, latents: Tensor, starts: &[usize]) -> Result<F32Context> {
        F32Context::over(&self.config, &self.weights, latents, starts)
    }

    /// The states of consecutive passages from number `first_passage` on with what they find added.
    fn attend(
        &self,
        seen: &F32Context,
        first_passage: usize,
        states: &Tensor,
        starts: &[usize],
    ) -> Result<Tensor> {
        let (heads, size) = (self.config.heads, self.config.head_size);
        let n_tokens = states.dim(0)?;
        let weights = &self.weights;
        let queries = states.matmul(&weights.query.t()?)?; // [n_tokens, heads * size]
        let relevance = states.matmul(&weights.relevance.t()?)?; // [n_tokens, N_RELEVANCES]
        let gates = states
            .matmul(&weights.gates.t()?)?
            .broadcast_add(&weights.gate_bias)?;
        let projected = self.projected(states, [&queries, &gates, &relevance])?;
        let lists = self.lists(&seen.context, first_passage, &projected, starts)?;
        let lists = Branches::new(seen, &lists);
        let queries = queries.reshape((n_tokens, heads, size))?;
        let no_sizes: Arc<[f32]> = vec![0.0; seen.tokens.dim(0)?].into();
        let tokens = |lists: KeyLists| {
            let (lists, sizes) = (Arc::new(lists), Arc::clone(&no_sizes));
            sparse_attention(&queries, &seen.tokens, &weights.distance, lists, sizes)?
                .narrow(2, 0, size)
        };
        let relevance = self.log_relevance(&relevance, &lists.granules)?;
        let cover = self.cover(seen, &queries, relevance, lists.cover)?;
        let branches = [tokens(lists.window)?, cover, tokens(lists.selected)?];
        let branches = Tensor::stack(&branches, 0)?; // [N_BRANCHES, n_tokens, heads, size]
        let mixed = gate(&gates.reshape((n_tokens, N_BRANCHES, heads))?, &branches)?;
        let mixed = mixed.reshape((n_tokens, heads * size))?;
        states + mixed.matmul(&weights.output.t()?)?
    }

    /// The numbers of all projections side by side, as [`Columns`] says.
    fn projected(
        &self,
        states: &Tensor,
        [queries, gates, relevance]: [&Tensor; 3],
    ) -> Result<Vec<f32>> {
        let weights = &self.weights;
        let states = states.detach();
        let index_queries = states.matmul(&weights.index_query.t()?)?;
        let index_weights = states
            .matmul(&weights.index_weight.t()?)?
            .broadcast_add(&weights.index_weight_bias)?;
        let parts = [queries, &index_queries, &index_weights, gates, relevance];
        let all = Tensor::cat(&parts.map(Tensor::detach), 1)?;
        let padding = Columns::of(&self.config).total - all.dim(1)?;
        numbers(&all.pad_with_zeros(1, 0, padding)?)
    }

    fn lists(
        &self,
        context: &Context,
        first_passage: usize,
        projected: &[f32],
        starts: &[usize],
    ) -> Result<Vec<Lists>> {
        let distance = numbers(&self.weights.distance)?;
        let rules = Rules {
            config: &self.config,
            distance: &distance,
        };
        let columns = Columns::of(&self.config).total;
        let passages = starts.par_windows(2).enumerate();
        let lists = passages.flat_map_iter(|(at, own)| {
            let projected = &projected[own[0] * columns..own[1] * columns];
            rules.lists(context, first_passage + at, projected)
        });
        Ok(lists.collect())
    }

    /// The logarithm of each level's relevance to each query's granule, `[n_tokens, N_RELEVANCES]`, where it counts.
    fn log_relevance(&self, scores: &Tensor, granules: &[u32]) -> Result<Option<Tensor>> {
        if self.config.relevance != Relevance::Weights {
            return Ok(None);
        }
        let means = means(scores, granules)?.clamp(-MAX_RELEVANCE_SCORE, MAX_RELEVANCE_SCORE)?;
        // Twice the sigmoid, as a logarithm.
        let logs = ((means.neg()?.exp()? + 1.0)?.log()?.neg()? + std::f64::consts::LN_2)?;
        Ok(Some(spread(&logs, granules)?))
    }

    /// The attention to the cover, `[n_tokens, heads, size]`.
    ///
    /// The relevance adds to a logit what depends on the query and on the key's level, so that each level is attended
    /// to by itself, and the results are joined by what their sums and relevances weigh; the null key counts once.
    fn cover(
        &self,
        seen: &F32Context,
        queries: &Tensor,
        relevance: Option<Tensor>,
        lists: [KeyLists; N_RELEVANCES],
    ) -> Result<Tensor> {
        let (_, heads, size) = queries.dims3()?;
        let mut levels = Vec::new();
        let mut top = queries.narrow(2, 0, 1)?.detach().zeros_like()?; // [n_tokens, heads, 1]
        for (level, lists) in lists.into_iter().enumerate() {
            if lists.ranges.is_empty() {
                continue;
            }
            let (lists, sizes) = (Arc::new(lists), Arc::clone(&seen.log_sizes));
            let out = sparse_attention(queries, &seen.nodes, &self.weights.distance, lists, sizes)?;
            let relevance = match &relevance {
                Some(relevance) => relevance.narrow(1, level, 1)?.unsqueeze(1)?, // [n_tokens, 1, 1]
                None => top.narrow(1, 0, 1)?.zeros_like()?,
            };
            let null = relevance.repeat((1, heads, 1))?;
            let sum = (out.narrow(2, size, 1)? + &null)?;
            top = top.maximum(&sum.detach())?;
            levels.push((out.narrow(2, 0, size)?, sum, null));
        }
        let mut mixed = queries.zeros_like()?;
        let mut total = top.neg()?.exp()?;
        for (out, sum, null) in levels {
            let weight = (sum - &top)?.exp()?;
            total = ((total + &weight)? - (null - &top)?.exp()?)?;
            mixed = (mixed + out.broadcast_mul(&weight)?)?;
        }
        mixed.broadcast_div(&total)
    }
}

impl Branches {
    fn new(seen: &F32Context, lists: &[Lists]) -> Self {
        let mut branches = Self {
            granules: vec![0],
            ..Self::default()
        };
        let tokens = |range: &ChunkRange| {
            let first = seen.context.chunk_tokens[range.chunk as usize];
            KeyRange {
                start: first + u32::from(range.start),
                end: first + u32::from(range.end),
                bucket: range.bucket,
            }
        };
        for lists in lists {
            let n_queries = lists.tokens.len();
            let cover = lists.cover.iter().zip(&lists.cover_buckets);
            let cover = cover.map(|(node, &bucket)| {
                let level = usize::from(node.level);
                let key = seen.firsts[level] as u32 + node.index;
                let range = KeyRange {
                    start: key,
                    end: key + 1,
                    bucket,
                };
                (relevance_of(&seen.context, level), range)
            });
            let cover: Vec<(usize, KeyRange)> = cover.collect();
            branches
                .window
                .push(n_queries, lists.window.iter().map(tokens));
            branches
                .selected
                .push(n_queries, lists.selected.iter().map(tokens));
            for (relevance, branch) in branches.cover.iter_mut().enumerate() {
                let own = cover.iter().filter(|(own, _)| *own == relevance);
                branch.push(n_queries, own.map(|(_, range)| *range));
            }
            branches.granules.push(branches.window.n_queries() as u32);
        }
        branches
    }
}

/// A document that the f32 form reads.
struct F32Reading<'a> {
    block: &'a F32GlobalBlock,
    /// Latents of its tokens, batch by batch.
    latents: Vec<Tensor>,
    starts: Vec<usize>,
}

struct F32Document<'a> {
    block: &'a F32GlobalBlock,
    /// None where there is at most one passage.
    context: Option<F32Context>,
}

impl Global for F32GlobalBlock {
    fn open(&self, _: usize) -> Box<dyn Reading<'_> + '_> {
        Box::new(F32Reading {
            block: self,
            latents: Vec::new(),
            starts: vec![0],
        })
    }
}

impl F32GlobalBlock {
    fn tensor(&self, states: &[f32]) -> Result<Tensor> {
        let shape = (states.len() / self.hidden, self.hidden);
        Tensor::from_slice(states, shape, &self.device)
    }
}

impl<'a> Reading<'a> for F32Reading<'a> {
    fn read(&mut self, states: &[f32], starts: &[usize]) -> std::result::Result<(), ModelError> {
        let latents = self.block.latents(&self.block.tensor(states)?)?;
        self.latents.push(latents.detach());
        let first = self.starts[self.starts.len() - 1];
        self.starts
            .extend(starts[1..].iter().map(|start| first + start));
        Ok(())
    }

    fn close(self: Box<Self>) -> std::result::Result<Box<dyn Document + 'a>, ModelError> {
        let context = match self.starts.len() > 2 {
            true => {
                let latents = Tensor::cat(&self.latents, 0)?;
                Some(self.block.context(latents, &self.starts)?)
            }
            false => None,
        };
        Ok(Box::new(F32Document {
            block: self.block,
            context,
        }))
    }
}

impl Document for F32Document<'_> {
    fn attend(
        &self,
        first_passage: usize,
        states: &mut [f32],
        starts: &[usize],
    ) -> std::result::Result<(), ModelError> {
        if let Some(context) = &self.context {
            let before = self.block.tensor(states)?;
            let after = self.block.attend(context, first_passage, &before, starts)?;
            states.copy_from_slice(&numbers(&after)?);
        }
        Ok(())
    }
}
