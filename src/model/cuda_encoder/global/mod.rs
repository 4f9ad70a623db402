//! What does a document say elsewhere that matters here, said by a GPU? The global block over the states of a whole
//! document; its processor's form is [`GlobalBlock`](crate::model::global::GlobalBlock).

mod document;
mod kernels;
mod layout;

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::CudaStream;
use half::bf16;

pub use self::{
    document::{Document, Functions, Lists, MAX_SELECTED, PoolWeights, Projections},
    layout::Layout,
};
use super::{
    memory::{Buffer, HIDDEN},
    product::{Epilogue, Library, Out, Product},
    trunk::ROWS_STEP,
};
use crate::model::{
    ModelError,
    global::{
        config::{GlobalConfig, Indexer, Relevance, Selection},
        weights::{GlobalWeights, N_BRANCHES, N_RELEVANCES},
    },
};

/// A block, ready to run.
pub struct GlobalBlock {
    config: GlobalConfig,
    functions: Functions,
    pool: PoolWeights,
    latent: Product,
    query: Product,
    index_query: Product,
    /// Gates, relevances and the weights of the indexer's heads.
    controls: Product,
    control_stride: usize,
    output: Product,
}

/// Room for the projections of a document's tokens.
pub struct ProjectionRoom {
    queries: Buffer,
    index_queries: Buffer,
    controls: Buffer,
    out: Buffer,
}

impl ProjectionRoom {
    /// Room for the projections of so many tokens.
    pub fn new(
        config: &GlobalConfig,
        n_tokens: usize,
        stream: &Arc<CudaStream>,
    ) -> Result<Self, ModelError> {
        let inner = config.heads * config.head_size;
        let index = config.index_heads * config.index_size;
        let rows = |columns, bytes| Buffer::new(n_tokens * columns * bytes, stream);
        Ok(Self {
            queries: rows(inner, size_of::<bf16>())?,
            index_queries: rows(index, size_of::<bf16>())?,
            controls: rows(control_stride(config), size_of::<f32>())?,
            out: rows(inner, size_of::<bf16>())?,
        })
    }
}

/// Why blocks of this shape or with these weights do not run on a GPU.
pub fn refusal(config: &GlobalConfig, weights: &[GlobalWeights]) -> Option<&'static str> {
    let zero = |values: &[f32]| values.iter().all(|&value| value == 0.0);
    let levels = || weights.iter().flat_map(|own| &own.levels);
    let within = config.within_levels && !levels().all(|own| zero(&own.within_output));
    let between =
        config.parents_and_children && !levels().all(|own| zero(&own.up) && zero(&own.down));
    if config.indexer != Indexer::Hierarchical || config.selection != Selection::Granule {
        return Some("only hierarchical selections by granule run on the GPU");
    }
    if config.relevance != Relevance::Weights {
        return Some("relevance by threshold runs on the CPU only");
    }
    if within || between {
        return Some("attention within and between levels runs on the CPU only");
    }
    None
}

fn control_stride(config: &GlobalConfig) -> usize {
    let n_controls = N_BRANCHES * config.heads + N_RELEVANCES + config.index_heads;
    n_controls.next_multiple_of(8)
}

impl GlobalBlock {
    /// Packs the weights of a block.
    pub fn new(
        config: &GlobalConfig,
        weights: &GlobalWeights,
        stream: &Arc<CudaStream>,
    ) -> Result<Self, ModelError> {
        let product =
            |weight: &[f32], depth| Product::new(weight, &[], Epilogue::None, stream, depth);
        let stride = control_stride(config);
        let mut controls = weights.gates.clone();
        controls.extend_from_slice(&weights.relevance);
        controls.extend_from_slice(&weights.index_weight);
        controls.resize(stride * HIDDEN, 0.0);
        let mut bias = weights.gate_bias.clone();
        bias.resize(bias.len() + N_RELEVANCES, 0.0);
        bias.extend_from_slice(&weights.index_weight_bias);
        bias.resize(stride, 0.0);
        // One head serves all levels, or each has its own.
        let n_levels = config.levels - 1;
        let level = |at: usize| &weights.levels[at.min(weights.levels.len() - 1)];
        let queries: Vec<f32> = (0..n_levels)
            .flat_map(|at| level(at).pool_query.clone())
            .collect();
        let residuals: Vec<f32> = (0..n_levels)
            .flat_map(|at| level(at).pool_residual.clone())
            .collect();
        Ok(Self {
            functions: Functions::load(config, stream)?,
            pool: PoolWeights {
                queries: Buffer::bf16(&queries, stream)?,
                residuals: Buffer::bf16(&residuals, stream)?,
                index_key: Buffer::bf16(&weights.index_key, stream)?,
                distance: Buffer::f32(&weights.distance, stream)?,
            },
            latent: product(&weights.latent, HIDDEN)?,
            query: product(&weights.query, HIDDEN)?,
            index_query: product(&weights.index_query, HIDDEN)?,
            controls: Product::into(Out::F32, (&controls, &bias), Epilogue::Bias, stream, HIDDEN)?,
            control_stride: stride,
            output: Product::new(
                &weights.output,
                &[0.0; HIDDEN],
                Epilogue::BiasAndAddend,
                stream,
                config.heads * config.head_size,
            )?,
            config: config.clone(),
        })
    }

    /// Adds to a document's states, bf16 `[n_tokens, hidden]`, what its tokens find in the rest of it.
    ///
    /// All buffers have room for the next multiple of [`ROWS_STEP`] rows.
    pub fn run(
        &mut self,
        lt: (&Library, &Buffer),
        stream: &Arc<CudaStream>,
        (states, document): (&Buffer, &Document),
        room: &ProjectionRoom,
    ) -> Result<(), ModelError> {
        if document.layout.n_passages() < 2 {
            return Ok(());
        }
        let n_rows = document.layout.n_tokens().next_multiple_of(ROWS_STEP);
        let states = states.address();
        let tokens = document.tokens.address();
        let projections = Projections {
            queries: room.queries.address(),
            index_queries: room.index_queries.address(),
            controls: room.controls.address(),
            control_stride: self.control_stride,
            index_weights_at: N_BRANCHES * self.config.heads + N_RELEVANCES,
            out: room.out.address(),
            log_sums: 0,
        };
        self.latent.apply(lt, stream, n_rows, (states, tokens))?;
        self.query
            .apply(lt, stream, n_rows, (states, projections.queries))?;
        self.index_query
            .apply(lt, stream, n_rows, (states, projections.index_queries))?;
        self.controls
            .apply(lt, stream, n_rows, (states, projections.controls))?;
        let (functions, config) = (&self.functions, &self.config);
        functions.build(stream, document, &self.pool, config)?;
        functions.descend(stream, document, &projections, config)?;
        functions.attend(stream, document, &projections, (&self.pool, config))?;
        self.output
            .apply(lt, stream, n_rows, (projections.out, states))
    }
}
