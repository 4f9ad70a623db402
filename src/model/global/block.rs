//! One global block in int8: the rest of the document, added to the states of its passages.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::{
    super::{
        ModelError,
        int8_linear::{Add, GROUP_COLUMNS, Int8Linear, Int8Rows, Write},
    },
    config::GlobalConfig,
    context::{Context, PassageLatents},
    lists::{Lists, Rules},
    pool,
    weights::{GlobalWeights, N_BRANCHES, N_RELEVANCES},
};
use crate::ops::{
    int8_attention::Rows,
    pointwise::quantise,
    simd::{Instructions, Isa, Kernel},
    sparse_attention::{
        N_BUCKETS, SharedQueries, SingleLatents, SparseScratch, attend_chunks, attend_singles,
    },
};

/// Queries that share a selection.
pub const GRANULE: usize = 16;

/// A global block ready to run.
pub struct GlobalBlock {
    config: GlobalConfig,
    pub(super) weights: GlobalWeights,
    /// From a state to its queries, those of the indexer, head weights, gates and relevances, side by side.
    token: Int8Linear,
    latent: Int8Linear,
    output: Int8Linear,
    hidden: usize,
    instructions: Instructions,
    scratch: Mutex<Vec<Scratch>>,
}

/// Where the parts of a token's projections lie.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    pub index_query: usize,
    pub index_weight: usize,
    pub gates: usize,
    pub relevance: usize,
    pub total: usize,
}

/// Room to work in.
#[derive(Default)]
struct Scratch {
    rows: Int8Rows,
    sums: Vec<i32>,
    projected: Vec<f32>,
    queries: Vec<u8>,
    query_scales: Vec<f32>,
    sparse: SparseScratch,
    branches: Vec<f32>,
    context: Vec<f32>,
    node_codes: Vec<u8>,
    node_scales: Vec<f32>,
}

impl GlobalBlock {
    /// Packs the weights of a block over states of `hidden` dimensions.
    pub fn new(
        config: GlobalConfig,
        weights: GlobalWeights,
        hidden: usize,
    ) -> Result<Self, ModelError> {
        config.check()?;
        let columns = Columns::of(&config);
        let mut token = weights.query.clone();
        for part in [
            &weights.index_query,
            &weights.index_weight,
            &weights.gates,
            &weights.relevance,
        ] {
            token.extend_from_slice(part);
        }
        token.resize(columns.total * hidden, 0.0);
        let mut bias = vec![0.0; columns.total];
        bias[columns.index_weight..columns.gates].copy_from_slice(&weights.index_weight_bias);
        bias[columns.gates..columns.relevance].copy_from_slice(&weights.gate_bias);
        Ok(Self {
            token: Int8Linear::with_bias(&token, bias, hidden)?,
            latent: Int8Linear::new(&weights.latent, hidden)?,
            output: Int8Linear::new(&weights.output, config.heads * config.head_size)?,
            config,
            weights,
            hidden,
            instructions: Instructions::best(),
            scratch: Mutex::default(),
        })
    }

    /// The shape.
    pub fn config(&self) -> &GlobalConfig {
        &self.config
    }

    /// Dimensions of the states.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The indexer's keys of nodes, `[n_nodes, index_size]`.
    pub(super) fn index_keys(&self, latents: &[f32]) -> Vec<f32> {
        pool::project(latents, &self.weights.index_key, self.config.head_size)
    }

    /// What one passage's states, `[n_tokens, hidden]`, add to the context.
    pub(super) fn read(&self, states: &[f32], n_learned: usize) -> PassageLatents {
        pool::passage(self, &self.token_latents(states), n_learned)
    }

    /// Latents of tokens, `[n_tokens, head_size]`.
    pub(super) fn token_latents(&self, states: &[f32]) -> Vec<f32> {
        self.latent.apply(states)
    }

    /// Queries, those of the indexer and controls of tokens, side by side: `[n_tokens, columns.total]`.
    pub(super) fn projections(&self, states: &[f32]) -> Vec<f32> {
        self.token.apply(states)
    }

    /// Adds to `states` (`[n_tokens, hidden]`) of consecutive passages what they find in the rest of the document.
    ///
    /// `first_passage` is the number of the first of them in the document, `starts` their borders in `states`.
    pub fn attend(
        &self,
        context: &Context,
        first_passage: usize,
        states: &mut [f32],
        starts: &[usize],
    ) {
        if context.pyramid.passages().len() < 2 {
            return;
        }
        let mut passages = Vec::new();
        let mut rest = states;
        for border in starts.windows(2) {
            let (own, after) = rest.split_at_mut((border[1] - border[0]) * self.hidden);
            passages.push(own);
            rest = after;
        }
        passages
            .into_par_iter()
            .enumerate()
            .for_each(|(at, states)| {
                let pool = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
                let mut scratch = pool().pop().unwrap_or_default();
                self.instructions.run(Attend {
                    block: self,
                    context,
                    passage: first_passage + at,
                    states,
                    scratch: &mut scratch,
                });
                pool().push(scratch);
            });
    }
}

impl Columns {
    pub(super) fn of(config: &GlobalConfig) -> Self {
        let index_query = config.heads * config.head_size;
        let index_weight = index_query + config.index_heads * config.index_size;
        let gates = index_weight + config.index_heads;
        let relevance = gates + N_BRANCHES * config.heads;
        Self {
            index_query,
            index_weight,
            gates,
            relevance,
            total: (relevance + N_RELEVANCES).next_multiple_of(GROUP_COLUMNS),
        }
    }
}

/// All queries of one passage.
struct Attend<'a> {
    block: &'a GlobalBlock,
    context: &'a Context,
    passage: usize,
    states: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self {
            block,
            context,
            passage,
            states,
            scratch,
        } = self;
        let (hidden, config) = (block.hidden, &block.config);
        let inner = config.heads * config.head_size;
        let n_tokens = states.len() / hidden;
        let columns = block.token.columns();
        let mut projected = std::mem::take(&mut scratch.projected);
        projected.resize(n_tokens * columns, 0.0);
        let Scratch { rows, sums, .. } = &mut *scratch;
        rows.fill::<I>(states, hidden);
        block.token.forward(
            isa,
            rows,
            sums,
            &mut Write {
                out: &mut projected,
                columns,
            },
        );
        let mut mixed = std::mem::take(&mut scratch.context);
        mixed.resize(n_tokens * inner, 0.0);
        let lists = block.lists(context, passage, &projected);
        let first = lists.first().map_or(0, |lists| lists.tokens.start);
        for lists in lists {
            let tokens = lists.tokens.start - first..lists.tokens.end - first;
            let projected = &projected[tokens.start * columns..tokens.end * columns];
            let out = &mut mixed[tokens.start * inner..tokens.end * inner];
            block.granule(isa, context, projected, &lists, scratch, out);
        }
        let Scratch { rows, sums, .. } = &mut *scratch;
        rows.fill::<I>(&mixed, inner);
        block
            .output
            .forward(isa, rows, sums, &mut Add { states, hidden });
        scratch.projected = projected;
        scratch.context = mixed;
    }
}

impl GlobalBlock {
    /// What each granule of a passage looks at, by the projections of its tokens.
    pub(super) fn lists(&self, context: &Context, passage: usize, projected: &[f32]) -> Vec<Lists> {
        let rules = Rules {
            config: &self.config,
            distance: &self.weights.distance,
        };
        rules.lists(context, passage, projected)
    }

    /// The gated sum of the branches of one granule, into `out`, `[n_queries, heads * head_size]`.
    #[inline(always)]
    fn granule<I: Isa>(
        &self,
        isa: I,
        context: &Context,
        projected: &[f32],
        lists: &Lists,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let (heads, size) = (self.config.heads, self.config.head_size);
        let columns = Columns::of(&self.config);
        let n_rows = projected.len() / columns.total * heads;
        scratch.queries.resize(n_rows * size, 0);
        scratch.query_scales.resize(n_rows, 0.0);
        for row in 0..n_rows {
            let values = &projected[row / heads * columns.total + row % heads * size..][..size];
            let codes = &mut scratch.queries[row * size..][..size];
            scratch.query_scales[row] = quantise::<I>(values, codes);
        }
        scratch.branches.resize(n_rows * size, 0.0);
        out.fill(0.0);
        for branch in 0..N_BRANCHES {
            if self.branch(isa, context, lists, branch, scratch) {
                let first = columns.gates + branch * heads;
                let gates = projected.chunks_exact(columns.total);
                let gates = gates.flat_map(|row| &row[first..first + heads]);
                let rows = out.chunks_exact_mut(size);
                let rows = rows.zip(scratch.branches.chunks_exact(size)).zip(gates);
                for ((out, branch), gate) in rows {
                    let gate = 1.0 / (1.0 + (-gate).exp());
                    for (out, value) in out.iter_mut().zip(branch) {
                        *out += gate * value;
                    }
                }
            }
        }
    }

    /// What the coded queries find by one branch, into the scratch; false where it has nothing to look at.
    #[inline(always)]
    fn branch<I: Isa>(
        &self,
        isa: I,
        context: &Context,
        lists: &Lists,
        branch: usize,
        scratch: &mut Scratch,
    ) -> bool {
        let size = self.config.head_size;
        let rows = |codes, scales| Rows {
            codes,
            scales,
            size,
        };
        let queries = SharedQueries {
            rows: rows(&scratch.queries, &scratch.query_scales),
            bias: &self.weights.distance,
            n_buckets: N_BUCKETS,
        };
        let (sparse, out) = (&mut scratch.sparse, &mut scratch.branches[..]);
        let chunks: &[_] = match branch {
            0 => &lists.window,
            1 => &[],
            _ => &lists.selected,
        };
        if !chunks.is_empty() {
            attend_chunks(isa, queries, &context.tokens, chunks, sparse, out);
            return true;
        }
        if branch != 1 || lists.cover.is_empty() {
            return false;
        }
        let (codes, scales) = (&mut scratch.node_codes, &mut scratch.node_scales);
        lists.gather_cover(context, size, codes, scales);
        let latents = SingleLatents {
            rows: rows(codes, scales),
            log_sizes: &lists.cover_log_sizes,
            buckets: &lists.cover_buckets,
        };
        attend_singles(isa, queries, latents, sparse, out);
        true
    }
}
