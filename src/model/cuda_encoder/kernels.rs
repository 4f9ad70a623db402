//! The kernels of `kernels/local_block.cu`; the contracts and the geometry of launches stand there.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaStream, LaunchArgs, PushKernelArg,
};

use super::{
    batch::Batch,
    memory::{Address, Addresses, HIDDEN, failed},
};
use crate::{
    model::{ModelError, config::MAX_PASSAGE_TOKENS},
    ops::cuda::{self, geometry, kernels, n_multiprocessors},
};

const KERNELS: cuda::Kernels = kernels!("local_block");
/// Threads of most kernels.
const THREADS: usize = 256;
/// Tokens that so many threads hold at once.
const THREADS_ROWS: usize = THREADS / 16;
/// Pairs of heads.
const HEAD_PAIRS: usize = 6;
/// Bytes of shared memory that the keys and values of a token take.
const ATTEND_BYTES: usize = 256;

/// Weight and bias of a LayerNorm, f32 `[384]` each.
#[derive(Clone, Copy)]
pub struct NormAddresses {
    pub weight: Address,
    pub bias: Address,
}

/// The functions, loaded.
pub struct Kernels {
    embed: CudaFunction,
    attend: CudaFunction,
    normalise: CudaFunction,
    pool_passages: CudaFunction,
    pool_granules: CudaFunction,
    epsilon: f32,
    /// Blocks that fill the GPU.
    full_grid: usize,
}

impl Kernels {
    pub fn load(stream: &CudaStream, epsilon: f64) -> Result<Self, ModelError> {
        let context = stream.context();
        let function = |name, shared_bytes| KERNELS.function(context, name, shared_bytes);
        Ok(Self {
            embed: function("embed", 0)?,
            attend: function("attend", MAX_PASSAGE_TOKENS * ATTEND_BYTES)?,
            normalise: function("normalise", 0)?,
            pool_passages: function("pool_passages", 0)?,
            pool_granules: function("pool_granules", 0)?,
            epsilon: epsilon as f32,
            full_grid: 4 * n_multiprocessors(context)?,
        })
    }

    /// The first states of a batch.
    pub fn embed(
        &self,
        stream: &Arc<CudaStream>,
        batch: (&Batch, &Addresses),
        tables: &(Address, Address, NormAddresses),
        states: Address,
    ) -> Result<(), ModelError> {
        let (batch, at) = batch;
        let (words, positions, norm) = tables;
        let mut launch = stream.launch_builder(&self.embed);
        launch.arg(&at.token_ids).arg(&at.starts);
        launch.arg(words).arg(positions);
        launch.arg(&norm.weight).arg(&norm.bias);
        launch.arg(&self.epsilon).arg(&states);
        run(launch, batch.n_passages, THREADS, 0)
    }

    /// Attention inside the passages of a batch: from `qkv` to `mixed`.
    pub fn attend(
        &self,
        stream: &Arc<CudaStream>,
        batch: (&Batch, &Addresses),
        qkv: Address,
        mixed: Address,
    ) -> Result<(), ModelError> {
        let (batch, at) = batch;
        let mut launch = stream.launch_builder(&self.attend);
        launch.arg(&qkv).arg(&at.starts).arg(&mixed);
        let n_blocks = HEAD_PAIRS * batch.n_passages;
        let shared_bytes = batch.longest.next_multiple_of(16) * ATTEND_BYTES;
        run(launch, n_blocks, THREADS, shared_bytes)
    }

    /// LayerNorm of states in place.
    pub fn normalise(
        &self,
        stream: &Arc<CudaStream>,
        states: Address,
        norm: &NormAddresses,
        n_rows: usize,
    ) -> Result<(), ModelError> {
        let rows = n_rows as u32;
        let mut launch = stream.launch_builder(&self.normalise);
        launch.arg(&states).arg(&norm.weight).arg(&norm.bias);
        launch.arg(&self.epsilon).arg(&rows);
        let n_blocks = n_rows.div_ceil(THREADS_ROWS).min(self.full_grid);
        run(launch, n_blocks, THREADS, 0)
    }

    /// The vectors of passages from the last states.
    pub fn pool_passages(
        &self,
        stream: &Arc<CudaStream>,
        batch: (&Batch, &Addresses),
        states: Address,
    ) -> Result<(), ModelError> {
        let (batch, at) = batch;
        let mut launch = stream.launch_builder(&self.pool_passages);
        launch.arg(&states).arg(&at.starts).arg(&at.vectors);
        run(launch, batch.n_passages, HIDDEN, 0)
    }

    /// The granule keys of passages from their tokens' keys.
    pub fn pool_granules(
        &self,
        stream: &Arc<CudaStream>,
        batch: (&Batch, &Addresses),
        keys: Address,
        idf: Address,
    ) -> Result<(), ModelError> {
        let (batch, at) = batch;
        let mut launch = stream.launch_builder(&self.pool_granules);
        launch.arg(&keys).arg(&at.token_ids).arg(&at.starts);
        launch.arg(&idf).arg(&at.prefixes).arg(&at.granules);
        launch.arg(&at.codes).arg(&at.scales);
        run(launch, batch.n_passages, THREADS, 0)
    }
}

fn run(
    mut launch: LaunchArgs,
    n_blocks: usize,
    n_threads: usize,
    shared_bytes: usize,
) -> Result<(), ModelError> {
    let geometry = geometry((n_blocks, 1), n_threads, shared_bytes);
    // SAFETY: the arguments are those of the kernel's contract, and the buffers hold the largest batch.
    unsafe { launch.launch(geometry) }.map_err(failed)?;
    Ok(())
}
