//! The operation on NVIDIA GPUs: inputs and the gradient of the result in bf16, sums in f32. The contracts and the
//! geometry of launches stand in `kernels/sparse_attention_lists.cu` and in the two files of its backward.

use std::{ops::Deref, sync::Arc};

use candle_core::{
    CudaStorage, DType, Error, Layout, Result, Shape, Storage, Tensor,
    backend::BackendStorage,
    cuda_backend::{
        CudaDType,
        cudarc::driver::{
            CudaFunction, CudaSlice, CudaStream, CudaView, LaunchArgs, PushKernelArg,
        },
    },
    op::BackpropOp,
};
use half::bf16;

use super::{KeyLists, KeyRange, N_BUCKETS};
use crate::ops::cuda::{Kernels, geometry, kernels, n_multiprocessors};

const FORWARD: Kernels = kernels!("sparse_attention_lists");
const QUERIES: Kernels = kernels!("sparse_attention_backward");
const KEYS: Kernels = kernels!("sparse_attention_keys_backward");

/// The head size that the kernels know.
const SIZE: usize = 64;
/// Queries of a group, at most.
const MAX_GROUP: usize = 16;
/// Up to so many queries a group, a warp takes a query and not a head.
const FEW_QUERIES: usize = 4;
/// Keys of a block of the inverted lists, and entries of a work item.
const BLOCK_KEYS: usize = 64;
const ITEM_ENTRIES: usize = 128;
const FORWARD_SHARED_BYTES: usize = 80_992;
const QUERIES_SHARED_BYTES: usize = 81_024;
/// A group of four warps' sums of the bias's gradient.
const BIAS_SHARED_BYTES: usize = 16_384;
const KEYS_SHARED_BYTES: usize = 144_488;

/// The lists on the GPU, and how rows are laid over warps.
struct Lists {
    offsets: CudaSlice<u32>,
    /// Start, end and bucket of each range.
    ranges: CudaSlice<u32>,
    queries: CudaSlice<u32>,
    log_sizes: CudaSlice<f32>,
    n_groups: usize,
    n_entries: usize,
    /// A warp takes a query, not a head.
    by_query: bool,
    /// Groups of four warps of a block, and blocks that share a group's heads.
    width: usize,
    parts: usize,
}

impl Lists {
    fn new(
        lists: &KeyLists,
        log_sizes: &[f32],
        heads: usize,
        stream: &Arc<CudaStream>,
    ) -> Result<Self> {
        let groups = lists
            .queries
            .windows(2)
            .map(|own| (own[1] - own[0]) as usize);
        let largest = groups.max().unwrap_or(0);
        if largest > MAX_GROUP {
            let reason = format!("a group of {largest} queries; the GPU takes {MAX_GROUP} at most");
            return Err(Error::Msg(reason));
        }
        let by_query = largest <= FEW_QUERIES;
        let quarters = if by_query { 1 } else { heads.div_ceil(4) };
        let parts = quarters.div_ceil(3);
        let numbers = |own: &KeyRange| [own.start, own.end, u32::from(own.bucket)];
        // An allocation of nothing is an error.
        let ranges = lists.ranges.iter().flat_map(numbers).chain([0; 3]);
        let ranges: Vec<u32> = ranges.collect();
        let blocks = |own: &KeyRange| {
            (own.end as usize).div_ceil(BLOCK_KEYS) - own.start as usize / BLOCK_KEYS
        };
        Ok(Self {
            offsets: stream.clone_htod(&lists.offsets).map_err(Error::wrap)?,
            ranges: stream.clone_htod(&ranges).map_err(Error::wrap)?,
            queries: stream.clone_htod(&lists.queries).map_err(Error::wrap)?,
            log_sizes: stream.clone_htod(log_sizes).map_err(Error::wrap)?,
            n_groups: lists.n_groups(),
            n_entries: lists.ranges.iter().map(blocks).sum(),
            by_query,
            width: quarters.div_ceil(parts),
            parts,
        })
    }

    /// The function for this layout of rows.
    fn function(
        &self,
        kernels: Kernels,
        [granules, singles]: [&'static str; 2],
        stream: &CudaStream,
        shared_bytes: usize,
    ) -> Result<CudaFunction> {
        let name = if self.by_query { singles } else { granules };
        kernels.function(stream.context(), name, shared_bytes)
    }

    fn threads(&self) -> usize {
        128 * (self.width + 1)
    }
}

/// As [`forward`](super::forward), where the GPU holds queries, latents and bias (f32, contiguous).
pub fn forward(
    [queries, latents, bias]: [(&CudaStorage, &Layout); 3],
    lists: &KeyLists,
    log_sizes: &[f32],
) -> Result<(CudaStorage, Shape)> {
    let (n_queries, heads, size) = queries.1.shape().dims3()?;
    if size != SIZE {
        return Err(Error::Msg(format!(
            "heads of {size} dimensions; the GPU knows {SIZE}"
        )));
    }
    let device = queries.0.device().clone();
    let stream = device.cuda_stream();
    let n_rows = n_queries * heads;
    let shape = Shape::from((n_queries, heads, SIZE + 1));
    let packed = zeros::<f32>(&stream, n_rows * (SIZE + 1))?;
    let mut packed = CudaStorage::wrap_cuda_slice(packed, device.clone());
    if n_rows == 0 {
        return Ok((packed, shape));
    }
    let lists = Lists::new(lists, log_sizes, heads, &stream)?;
    let queries = queries.0.to_dtype(queries.1, DType::BF16)?;
    let latents = latents.0.to_dtype(latents.1, DType::BF16)?;
    let bias = bias
        .0
        .as_cuda_slice::<f32>()?
        .slice(bias.1.start_offset()..);
    let mut out = zeros::<f32>(&stream, n_rows * SIZE)?;
    let mut log_sums = zeros::<f32>(&stream, n_rows)?;
    let names = [
        "sparse_attention_granules_f32",
        "sparse_attention_singles_f32",
    ];
    let function = lists.function(FORWARD, names, &stream, FORWARD_SHARED_BYTES)?;
    let n_heads = heads as i32;
    let mut launch = stream.launch_builder(&function);
    launch.arg(queries.as_cuda_slice::<bf16>()?);
    launch.arg(latents.as_cuda_slice::<bf16>()?);
    launch.arg(&lists.log_sizes).arg(&bias);
    launch
        .arg(&lists.offsets)
        .arg(&lists.ranges)
        .arg(&lists.queries);
    launch.arg(&n_heads).arg(&mut out).arg(&mut log_sums);
    let grid = (lists.n_groups, lists.parts);
    run(launch, grid, lists.threads(), FORWARD_SHARED_BYTES)?;
    let out = CudaStorage::wrap_cuda_slice(out, device.clone());
    let log_sums = CudaStorage::wrap_cuda_slice(log_sums, device);
    out.copy2d(&mut packed, n_rows, SIZE, SIZE, SIZE + 1, 0, 0)?;
    log_sums.copy2d(&mut packed, n_rows, 1, 1, SIZE + 1, 0, SIZE)?;
    Ok((packed, shape))
}

/// The gradients of queries, latents and bias.
pub fn backward(
    [queries, latents, bias]: [&Tensor; 3],
    [out, d_out]: [&Tensor; 2],
    lists: &KeyLists,
    log_sizes: &[f32],
) -> Result<[Tensor; 3]> {
    let (n_queries, heads, _) = queries.dims3()?;
    let n_keys = latents.dim(0)?;
    if n_queries == 0 || n_keys == 0 {
        return Ok([
            queries.zeros_like()?,
            latents.zeros_like()?,
            bias.zeros_like()?,
        ]);
    }
    let device = queries.device().as_cuda_device()?.clone();
    let stream = device.cuda_stream();
    let part = |packed: &Tensor, first, length| packed.narrow(2, first, length)?.force_contiguous();
    let tensors = [
        queries.to_dtype(DType::BF16)?.contiguous()?,
        latents.to_dtype(DType::BF16)?.contiguous()?,
        part(&d_out.to_dtype(DType::BF16)?, 0, SIZE)?,
        bias.contiguous()?,
        part(out, 0, SIZE)?,
        part(out, SIZE, 1)?,
        part(d_out, SIZE, 1)?,
    ];
    let storages = tensors.each_ref().map(|tensor| tensor.storage_and_layout());
    let [queries, latents, d_out, ..] = &storages;
    let [.., bias, out, log_sums, d_log_sums] = &storages;
    let run = Backward {
        stream: &stream,
        lists: Lists::new(lists, log_sizes, heads, &stream)?,
        queries: numbers(queries)?,
        latents: numbers(latents)?,
        d_out: numbers(d_out)?,
        bias: numbers(bias)?,
        n_queries,
        n_keys,
        heads,
    };
    let terms = run.row_terms([numbers(out)?, numbers(log_sums)?, numbers(d_log_sums)?])?;
    let (d_queries, d_bias) = run.queries(&terms)?;
    let d_latents = run.latents(&terms)?;
    let tensor = |slice, shape: Shape| {
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, device.clone()));
        Tensor::from_storage(storage, shape, BackpropOp::none(), false)
    };
    Ok([
        tensor(d_queries, (n_queries, heads, SIZE).into()),
        tensor(d_latents, (n_keys, SIZE).into()),
        tensor(d_bias, (heads, N_BUCKETS).into()),
    ])
}

struct Backward<'a> {
    stream: &'a Arc<CudaStream>,
    lists: Lists,
    queries: CudaView<'a, bf16>,
    latents: CudaView<'a, bf16>,
    d_out: CudaView<'a, bf16>,
    bias: CudaView<'a, f32>,
    n_queries: usize,
    n_keys: usize,
    heads: usize,
}

impl Backward<'_> {
    /// Each row's log sum and correction, `[n_queries · heads, 2]`.
    fn row_terms(&self, [out, log_sums, d_log_sums]: [CudaView<f32>; 3]) -> Result<CudaSlice<f32>> {
        let n_rows = self.n_queries * self.heads;
        let mut terms = zeros(self.stream, 2 * n_rows)?;
        let function = QUERIES.function(self.stream.context(), "row_terms_f32", 0)?;
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&self.d_out).arg(&out).arg(&log_sums);
        launch.arg(&d_log_sums).arg(&n_rows).arg(&mut terms);
        run(launch, (self.filling()?, 1), 256, 0)?;
        Ok(terms)
    }

    /// The gradients of queries and bias.
    fn queries(&self, terms: &CudaSlice<f32>) -> Result<(CudaSlice<f32>, CudaSlice<f32>)> {
        let lists = &self.lists;
        let mut d_queries = zeros(self.stream, self.n_queries * self.heads * SIZE)?;
        let mut of_blocks = zeros::<f32>(self.stream, lists.n_groups * self.heads * N_BUCKETS)?;
        let shared_bytes = QUERIES_SHARED_BYTES + lists.width * BIAS_SHARED_BYTES;
        let names = ["queries_backward_granules", "queries_backward_singles"];
        let most = QUERIES_SHARED_BYTES + 3 * BIAS_SHARED_BYTES;
        let function = lists.function(QUERIES, names, self.stream, most)?;
        let (n_groups, a_block, heads) = (lists.n_groups as i32, 1i32, self.heads as i32);
        let mut launch = self.stream.launch_builder(&function);
        launch
            .arg(&self.queries)
            .arg(&self.d_out)
            .arg(&self.latents);
        launch.arg(&lists.log_sizes).arg(&self.bias);
        launch
            .arg(&lists.offsets)
            .arg(&lists.ranges)
            .arg(&lists.queries);
        launch.arg(terms).arg(&n_groups).arg(&a_block).arg(&heads);
        launch.arg(&mut d_queries).arg(&mut of_blocks);
        run(
            launch,
            (lists.n_groups, lists.parts),
            lists.threads(),
            shared_bytes,
        )?;
        let mut d_bias = zeros(self.stream, self.heads * N_BUCKETS)?;
        let function = QUERIES.function(self.stream.context(), "bias_backward", 0)?;
        let mut launch = self.stream.launch_builder(&function);
        launch
            .arg(&of_blocks)
            .arg(&n_groups)
            .arg(&heads)
            .arg(&mut d_bias);
        run(launch, (self.heads, 1), 1_024, 0)?;
        Ok((d_queries, d_bias))
    }

    /// The gradients of latents: each block of keys with the groups that see it.
    fn latents(&self, terms: &CudaSlice<f32>) -> Result<CudaSlice<f32>> {
        let lists = &self.lists;
        let n_blocks = self.n_keys.div_ceil(BLOCK_KEYS);
        let n_items = n_blocks + lists.n_entries / ITEM_ENTRIES;
        let inverted = self.invert(n_blocks, n_items)?;
        let mut next = zeros::<u32>(self.stream, 1)?;
        let mut of_items = zeros::<f32>(self.stream, n_items * BLOCK_KEYS * SIZE)?;
        let (n_keys, heads) = (self.n_keys as u32, self.heads as i32);
        let names = ["keys_backward_granules", "keys_backward_singles"];
        let function = lists.function(KEYS, names, self.stream, KEYS_SHARED_BYTES)?;
        let mut launch = self.stream.launch_builder(&function);
        launch
            .arg(&self.queries)
            .arg(&self.d_out)
            .arg(&self.latents);
        launch.arg(&lists.log_sizes).arg(&self.bias);
        launch.arg(&lists.ranges).arg(&lists.queries).arg(terms);
        launch.arg(&inverted.entries).arg(&inverted.entry_offsets);
        launch
            .arg(&inverted.item_offsets)
            .arg(&inverted.item_blocks);
        launch
            .arg(&n_keys)
            .arg(&heads)
            .arg(&mut next)
            .arg(&mut of_items);
        let n_multiprocessors = n_multiprocessors(self.stream.context())?;
        run(launch, (n_multiprocessors, 1), 512, KEYS_SHARED_BYTES)?;
        let mut d_latents = zeros(self.stream, self.n_keys * SIZE)?;
        let function = KEYS.function(self.stream.context(), "latents_backward", 0)?;
        let accumulate = 0i32;
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&of_items).arg(&inverted.item_offsets);
        launch.arg(&n_keys).arg(&accumulate).arg(&mut d_latents);
        run(launch, (n_blocks, 1), 256, 0)?;
        Ok(d_latents)
    }

    /// Which ranges reach into each block of keys.
    fn invert(&self, n_blocks: usize, n_items: usize) -> Result<Inverted> {
        let lists = &self.lists;
        let context = self.stream.context();
        let mut counts = zeros::<u32>(self.stream, n_blocks)?;
        let mut next = zeros::<u32>(self.stream, 1)?;
        let mut inverted = Inverted {
            entries: zeros(self.stream, 2 * lists.n_entries)?,
            entry_offsets: zeros(self.stream, n_blocks + 1)?,
            item_offsets: zeros(self.stream, n_blocks + 1)?,
            item_blocks: zeros(self.stream, n_items)?,
        };
        let (n_groups, n_blocks_u32) = (lists.n_groups as i32, n_blocks as u32);
        let filling = (self.filling()?, 1);
        let function = KEYS.function(context, "count_entries", 0)?;
        let mut launch = self.stream.launch_builder(&function);
        launch
            .arg(&lists.offsets)
            .arg(&lists.ranges)
            .arg(&n_groups)
            .arg(&mut counts);
        run(launch, filling, 256, 0)?;
        let function = KEYS.function(context, "scan_entries", 0)?;
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&mut counts).arg(&n_blocks_u32);
        launch
            .arg(&mut inverted.entry_offsets)
            .arg(&mut inverted.item_offsets)
            .arg(&mut next);
        run(launch, (1, 1), 1_024, 0)?;
        let function = KEYS.function(context, "fill_entries", 0)?;
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&lists.offsets).arg(&lists.ranges).arg(&n_groups);
        launch
            .arg(&inverted.entry_offsets)
            .arg(&mut counts)
            .arg(&mut inverted.entries);
        run(launch, filling, 256, 0)?;
        let function = KEYS.function(context, "sort_entries", 0)?;
        let mut launch = self.stream.launch_builder(&function);
        launch
            .arg(&inverted.entry_offsets)
            .arg(&inverted.item_offsets);
        launch
            .arg(&mut inverted.entries)
            .arg(&mut inverted.item_blocks);
        run(launch, (n_blocks, 1), 256, 0)?;
        Ok(inverted)
    }

    /// Blocks that fill the GPU.
    fn filling(&self) -> Result<usize> {
        Ok(8 * n_multiprocessors(self.stream.context())?)
    }
}

/// The lists by key: see `kernels/sparse_attention_keys_backward.cu`.
struct Inverted {
    entries: CudaSlice<u32>,
    entry_offsets: CudaSlice<u32>,
    item_offsets: CudaSlice<u32>,
    item_blocks: CudaSlice<u32>,
}

/// Zeros, of which there is at least one: an allocation of nothing is an error.
fn zeros<T>(stream: &Arc<CudaStream>, n: usize) -> Result<CudaSlice<T>>
where
    T: candle_core::cuda_backend::cudarc::driver::DeviceRepr
        + candle_core::cuda_backend::cudarc::driver::ValidAsZeroBits,
{
    stream.alloc_zeros(n.max(1)).map_err(Error::wrap)
}

/// The numbers of a contiguous tensor on a GPU.
fn numbers<'a, T: CudaDType>(
    (storage, layout): &'a (impl Deref<Target = Storage>, &Layout),
) -> Result<CudaView<'a, T>> {
    match &**storage {
        Storage::Cuda(own) => Ok(own.as_cuda_slice::<T>()?.slice(layout.start_offset()..)),
        _ => Err(Error::Msg("the tensors are on several devices".to_owned())),
    }
}

fn run(
    mut launch: LaunchArgs,
    grid: (usize, usize),
    threads: usize,
    shared_bytes: usize,
) -> Result<()> {
    // SAFETY: the arguments are those of the kernel's contract, and the lists were made for its tensors.
    unsafe { launch.launch(geometry(grid, threads, shared_bytes)) }.map_err(Error::wrap)?;
    Ok(())
}
