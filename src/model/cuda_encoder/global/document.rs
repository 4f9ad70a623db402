//! A document on the GPU while its tokens attend to it: the pyramid, the indexer's keys, and the lists of granules.

use std::sync::Arc;

use bytemuck::cast_slice;
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaStream, PushKernelArg};
use half::bf16;

use super::{
    super::{
        memory::{Address, Buffer, failed},
        tensor_map::TensorMap,
    },
    kernels::{AttentionInputs, Descent, IndexOnly},
    layout::Layout,
};
use crate::{
    model::{
        ModelError,
        global::{
            GRANULE,
            config::{Abstraction, GlobalConfig},
        },
    },
    ops::cuda::{Kernels, geometry, kernels, n_multiprocessors},
};

const POOL: Kernels = kernels!("abstraction_pool");
const KEYS: Kernels = kernels!("index_keys");
const INDEX: Kernels = kernels!("lightning_index");
const ATTENTION: Kernels = kernels!("sparse_attention");

/// Dimensions of latents and of the indexer's keys.
pub const SIZE: usize = 64;
pub const INDEX_SIZE: usize = 32;
/// Leaves that a granule's list has room for.
pub const MAX_SELECTED: usize = 32;
/// Index-only levels that are made at once.
const LEVELS_AT_ONCE: u32 = 3;

/// The functions, loaded for a shape of the block.
pub struct Functions {
    pool: CudaFunction,
    keys: CudaFunction,
    index_only: CudaFunction,
    descend: CudaFunction,
    attend: CudaFunction,
    attend_shared_bytes: usize,
    n_multiprocessors: usize,
}

/// What pools children and makes keys of nodes.
pub struct PoolWeights {
    /// bf16 `[n_levels, 64]` and `[n_levels, 64, 64]`, a level each.
    pub queries: Buffer,
    pub residuals: Buffer,
    /// bf16 `[32, 64]`.
    pub index_key: Buffer,
    /// f32 `[heads, N_BUCKETS]`.
    pub distance: Buffer,
}

/// What the tokens of a document ask for.
#[derive(Debug, Clone, Copy)]
pub struct Projections {
    /// bf16 `[n_tokens, heads, 64]`.
    pub queries: Address,
    /// bf16 `[n_tokens, 4, 32]`.
    pub index_queries: Address,
    /// f32 `[n_tokens, control_stride]`: gates, relevances, and behind them the weights of the indexer's heads.
    pub controls: Address,
    pub control_stride: usize,
    pub index_weights_at: usize,
    /// bf16 `[n_tokens, heads, 64]`, where the result goes.
    pub out: Address,
    /// f32 `[3, n_tokens, heads]`, or 0.
    pub log_sums: Address,
}

/// Where the lists of granules lie, all u32.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    /// `[n_granules, MAX_SELECTED]`, leaves counted in their level, and how many, `[n_granules]`.
    pub selected: Address,
    pub n_selected: Address,
    /// `[n_granules, cover_stride]` nodes, and how many, `[n_granules]`.
    pub cover: Address,
    pub n_cover: Address,
    pub cover_stride: usize,
    /// First tokens of all nodes, `[n_nodes]`.
    pub node_starts: Address,
}

/// The buffers of one document.
pub struct Document {
    pub layout: Layout,
    /// bf16 `[n_tokens, 64]`, written before [`Functions::build`].
    pub tokens: Buffer,
    passages: Buffer,
    first_nodes: Buffer,
    granules: Buffer,
    nodes: Buffer,
    node_starts: Buffer,
    first_children: Buffer,
    log_sizes: Buffer,
    codes: Buffer,
    scales: Buffer,
    keys: Buffer,
    selected: Buffer,
    n_selected: Buffer,
    cover: Buffer,
    n_cover: Buffer,
    cover_stride: usize,
}

impl Document {
    /// Room for a document of this layout, and for the latents of `n_rows` tokens, of which the document has fewer.
    pub fn new(
        layout: Layout,
        n_rows: usize,
        stream: &Arc<CudaStream>,
    ) -> Result<Self, ModelError> {
        let buffer = |n_values: usize, bytes: usize| Buffer::new((n_values * bytes).max(1), stream);
        let n_nodes = layout.n_nodes();
        let n_granules = layout.granules.len();
        let n_keys = n_nodes - layout.start(layout.lowest);
        let n_kept = n_nodes - layout.start(layout.levels.n_learned - 1);
        let n_scored = (layout.levels.n_levels - layout.leaf_level) as usize;
        let cover_stride = n_scored * layout.capacity as usize;
        Ok(Self {
            tokens: buffer(n_rows * SIZE, size_of::<bf16>())?,
            passages: Buffer::bytes(cast_slice(&layout.passages), stream)?,
            first_nodes: Buffer::bytes(cast_slice(&layout.first_nodes), stream)?,
            granules: Buffer::bytes(cast_slice(&layout.granules), stream)?,
            nodes: buffer(n_nodes * SIZE, size_of::<bf16>())?,
            node_starts: buffer(n_nodes, 4)?,
            first_children: buffer(n_nodes + 1, 4)?,
            log_sizes: buffer(n_nodes, 4)?,
            codes: buffer(n_keys * INDEX_SIZE, 1)?,
            scales: buffer(n_keys, 4)?,
            keys: buffer(n_kept * INDEX_SIZE, 4)?,
            selected: buffer(n_granules * MAX_SELECTED, 4)?,
            n_selected: buffer(n_granules, 4)?,
            cover: buffer(n_granules * cover_stride, 4)?,
            n_cover: buffer(n_granules, 4)?,
            cover_stride,
            layout,
        })
    }

    /// Where the lists of granules lie.
    pub fn lists(&self) -> Lists {
        Lists {
            selected: self.selected.address(),
            n_selected: self.n_selected.address(),
            cover: self.cover.address(),
            n_cover: self.n_cover.address(),
            cover_stride: self.cover_stride,
            node_starts: self.node_starts.address(),
        }
    }
}

impl Functions {
    /// # Errors
    /// When the GPU cannot run them: they need compute capability 9.0.
    pub fn load(config: &GlobalConfig, stream: &CudaStream) -> Result<Self, ModelError> {
        let context = stream.context();
        let (attend, attend_shared_bytes) = match config.heads {
            8 => ("attend_granules_8", 173_056),
            12 => ("attend_granules_12", 190_464),
            _ => return Err(ModelError::GpuShape),
        };
        let pool = match config.abstraction {
            Abstraction::Mean => "abstraction_pool_mean",
            Abstraction::Max => "abstraction_pool_max",
            Abstraction::Attention => "abstraction_pool_attention",
            Abstraction::Affinity => return Err(ModelError::GpuShape),
        };
        let function = |kernels: Kernels, name, shared_bytes| {
            let function = kernels.function(context, name, shared_bytes);
            function.map_err(ModelError::Tensor)
        };
        Ok(Self {
            pool: function(POOL, pool, 0)?,
            keys: function(KEYS, "index_keys", 0)?,
            index_only: function(KEYS, "index_only_levels", 0)?,
            descend: function(INDEX, "descend_bf16", 96 << 10)?,
            attend: function(ATTENTION, attend, attend_shared_bytes)?,
            attend_shared_bytes,
            n_multiprocessors: n_multiprocessors(context).map_err(ModelError::Tensor)?,
        })
    }

    /// Pools the pyramid over the document's token latents, and makes the keys of its nodes.
    pub fn build(
        &self,
        stream: &Arc<CudaStream>,
        document: &Document,
        weights: &PoolWeights,
        config: &GlobalConfig,
    ) -> Result<(), ModelError> {
        let layout = &document.layout;
        let [nodes, starts] = [&document.nodes, &document.node_starts].map(Buffer::address);
        let children = document.first_children.address();
        let log_sizes = document.log_sizes.address();
        let ratio = config.ratio as i32;
        let at = [
            &document.tokens,
            &document.passages,
            &document.first_nodes,
            &weights.queries,
            &weights.residuals,
        ]
        .map(Buffer::address);
        let mut launch = stream.launch_builder(&self.pool);
        at.iter().for_each(|address| {
            launch.arg(address);
        });
        launch.arg(&layout.levels).arg(&ratio);
        launch
            .arg(&nodes)
            .arg(&starts)
            .arg(&children)
            .arg(&log_sizes);
        // SAFETY: the arguments are those of the kernel's contract, and the document's buffers have its sizes.
        unsafe { launch.launch(geometry((layout.n_passages(), 1), 128, 0)) }.map_err(failed)?;

        let lowest = layout.lowest;
        let n_keys = layout.start(layout.levels.n_learned) - layout.start(lowest);
        let index_key = weights.index_key.address();
        let [codes, scales] = [&document.codes, &document.scales].map(Buffer::address);
        let keys = document.keys.address();
        let mut launch = stream.launch_builder(&self.keys);
        launch.arg(&nodes).arg(&index_key).arg(&layout.levels);
        launch.arg(&lowest).arg(&codes).arg(&scales).arg(&keys);
        // SAFETY: likewise.
        unsafe { launch.launch(geometry((n_keys.div_ceil(64), 1), 128, 0)) }.map_err(failed)?;
        self.index_only_levels(stream, document, config.ratio)
    }

    fn index_only_levels(
        &self,
        stream: &Arc<CudaStream>,
        document: &Document,
        ratio: usize,
    ) -> Result<(), ModelError> {
        let layout = &document.layout;
        let mut base = layout.levels.n_learned - 1;
        while base + 1 < layout.levels.n_levels {
            let n_made = LEVELS_AT_ONCE.min(layout.levels.n_levels - 1 - base);
            let values = IndexOnly {
                latents: document.nodes.address(),
                node_starts: document.node_starts.address(),
                first_children: document.first_children.address(),
                log_sizes: document.log_sizes.address(),
                codes: document.codes.address(),
                scales: document.scales.address(),
                keys: document.keys.address(),
                levels: layout.levels,
                n_tokens: layout.n_tokens() as u32,
                ratio: ratio as u32,
                lowest: layout.lowest,
                base,
                n_made,
            };
            let span = (ratio as u32).pow(n_made);
            let n_base = layout.start(base + 1) - layout.start(base);
            let mut launch = stream.launch_builder(&self.index_only);
            launch.arg(&values).arg(&span);
            let n_blocks = n_base.div_ceil(span as usize);
            // SAFETY: as above.
            unsafe { launch.launch(geometry((n_blocks, 1), 256, 0)) }.map_err(failed)?;
            base += n_made;
        }
        Ok(())
    }

    /// Chooses what every granule looks at.
    pub fn descend(
        &self,
        stream: &Arc<CudaStream>,
        document: &Document,
        projections: &Projections,
        config: &GlobalConfig,
    ) -> Result<(), ModelError> {
        let layout = &document.layout;
        let weights = projections.index_weights_at * size_of::<f32>();
        let n_granules = layout.granules.len();
        let values = Descent {
            queries: projections.index_queries,
            weights: projections.controls + weights as Address,
            granules: document.granules.address(),
            codes: document.codes.address(),
            scales: document.scales.address(),
            node_starts: document.node_starts.address(),
            first_children: document.first_children.address(),
            selected: document.selected.address(),
            n_selected: document.n_selected.address(),
            cover: document.cover.address(),
            n_cover: document.n_cover.address(),
            levels: layout.levels,
            n_granules: n_granules as u32,
            n_tokens: layout.n_tokens() as u32,
            query_stride: (config.index_heads * config.index_size) as u32,
            weight_stride: projections.control_stride as u32,
            lowest: layout.lowest,
            leaf_level: layout.leaf_level,
            lookahead: config.lookahead as u32,
            opened: config.opened as u32,
            leaves: layout.selected,
            capacity: layout.capacity,
            cover_stride: document.cover_stride as u32,
        };
        let mut launch = stream.launch_builder(&self.descend);
        launch.arg(&values);
        let shared_bytes = 80 * layout.capacity as usize + 1_024;
        let shape = geometry((n_granules.div_ceil(4), 1), 128, shared_bytes);
        // SAFETY: the values are those of the kernel's contract, and the document's buffers have its sizes.
        unsafe { launch.launch(shape) }.map_err(failed)?;
        Ok(())
    }

    /// The gated sum of the branches of every token, to `projections.out`.
    pub fn attend(
        &self,
        stream: &Arc<CudaStream>,
        document: &Document,
        projections: &Projections,
        (weights, config): (&PoolWeights, &GlobalConfig),
    ) -> Result<(), ModelError> {
        let layout = &document.layout;
        let n_tokens = layout.n_tokens();
        let branches = &config.branches;
        let on = [branches.window, branches.compressed, branches.selected];
        let on = on
            .iter()
            .rev()
            .fold(0, |bits, &own| bits << 1 | u32::from(own));
        let values = AttentionInputs {
            granules: document.granules.address(),
            node_starts: document.node_starts.address(),
            nodes: document.nodes.address(),
            node_log_sizes: document.log_sizes.address(),
            selected: document.selected.address(),
            n_selected: document.n_selected.address(),
            cover: document.cover.address(),
            n_cover: document.n_cover.address(),
            bias: weights.distance.address(),
            controls: projections.controls,
            out: projections.out,
            log_sums: projections.log_sums,
            levels: layout.levels,
            leaf_level: layout.leaf_level,
            cover_stride: document.cover_stride as u32,
            control_stride: projections.control_stride as u32,
            branches: on,
            n_granules: layout.granules.len() as i32,
            n_tokens: n_tokens as i32,
            window: match branches.window {
                true => config.window as i32,
                false => 0,
            },
        };
        let sizes = [SIZE, config.heads, n_tokens];
        let boxes = [SIZE as u32, 1, GRANULE as u32];
        let queries = TensorMap::of_rows(projections.queries, sizes, boxes)?;
        let boxes = [SIZE as u32, GRANULE as u32];
        let tokens = document.tokens.address();
        let latents = TensorMap::of_rows(tokens, [SIZE, n_tokens], boxes)?;
        let mut launch = stream.launch_builder(&self.attend);
        launch.arg(&queries).arg(&latents).arg(&values);
        let grid = self.n_multiprocessors.min(layout.granules.len());
        let threads = (config.heads + 4) * 32;
        let shape = geometry((grid, 1), threads, self.attend_shared_bytes);
        // SAFETY: as above.
        unsafe { launch.launch(shape) }.map_err(failed)?;
        Ok(())
    }
}
