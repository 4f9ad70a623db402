//! Products of states on Hopper by `kernels/local_product.cu`: the contract and the geometry stand there.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaStream, PushKernelArg};

use super::{
    batch::MAX_BATCH_TOKENS,
    memory::{Address, Buffer, HIDDEN, failed},
    tensor_map::TensorMap,
};
use crate::{
    model::ModelError,
    ops::cuda::{Kernels, geometry, kernels, n_multiprocessors},
};

const KERNELS: Kernels = kernels!("local_product");
/// Columns of a block, which its threads, its shared memory and the boxes of its maps follow.
const BLOCK_COLUMNS: usize = 192;
const THREADS: usize = 288;
const SHARED_BYTES: usize = 230_656;
const ROW_BYTES: u64 = (HIDDEN * 2) as u64;

/// The functions, loaded.
pub struct HopperKernels {
    project: CudaFunction,
    expand: CudaFunction,
    n_multiprocessors: usize,
}

impl HopperKernels {
    /// Nothing where the GPU is no Hopper.
    pub fn load(stream: &CudaStream) -> Result<Option<Self>, ModelError> {
        let context = stream.context();
        if context.compute_capability().map_err(failed)? != (9, 0) {
            return Ok(None);
        }
        Ok(Some(Self {
            project: KERNELS.function(context, "project", SHARED_BYTES)?,
            expand: KERNELS.function(context, "expand", SHARED_BYTES)?,
            n_multiprocessors: n_multiprocessors(context)?,
        }))
    }
}

/// `out[t, n] = Σ_k states[t, k] · weight[n, k] + bias[n]`, with GELU or without.
pub struct HopperProduct {
    function: CudaFunction,
    weight: TensorMap,
    /// Named by the map.
    _weight: Buffer,
    bias: Buffer,
    n_columns: usize,
    n_blocks: usize,
}

impl HopperProduct {
    /// `weight` is `[n_columns, 384]`, `bias` `[n_columns]`; GELU follows where `expands`.
    pub fn new(
        kernels: &HopperKernels,
        (weight, bias): (&[f32], &[f32]),
        expands: bool,
        stream: &Arc<CudaStream>,
    ) -> Result<Self, ModelError> {
        let n_columns = bias.len();
        let weight = Buffer::bf16(weight, stream)?;
        // A thread's accumulators are those of eight neighbouring columns when rows come in this order.
        let map = TensorMap::new(
            weight.address(),
            &[HIDDEN as u64, 2, 4, 4, (n_columns / 32) as u64],
            &[1, 8, 2, 32].map(|rows| rows * ROW_BYTES),
            &[64, 2, 4, 4, 6],
        )?;
        let n_tiles = n_columns / BLOCK_COLUMNS;
        let function = match expands {
            true => &kernels.expand,
            false => &kernels.project,
        };
        Ok(Self {
            function: function.clone(),
            weight: map,
            _weight: weight,
            bias: Buffer::f32(bias, stream)?,
            n_columns,
            n_blocks: kernels.n_multiprocessors / n_tiles * n_tiles,
        })
    }

    /// Starts the product of `n_rows` rows; bf16 `[n_rows, 384]` at `states`, `[n_rows, n_columns]` at `out`.
    pub fn apply(
        &self,
        stream: &Arc<CudaStream>,
        n_rows: usize,
        (states, out): (Address, Address),
    ) -> Result<(), ModelError> {
        let states = TensorMap::new(
            states,
            &[HIDDEN as u64, MAX_BATCH_TOKENS as u64],
            &[ROW_BYTES],
            &[64, 64],
        )?;
        let (n_columns, n_rows) = (self.n_columns as i32, n_rows as i32);
        let bias = self.bias.address();
        let mut launch = stream.launch_builder(&self.function);
        launch.arg(&states).arg(&self.weight).arg(&bias);
        launch.arg(&out).arg(&n_columns).arg(&n_rows);
        let geometry = geometry((self.n_blocks, 1), THREADS, SHARED_BYTES);
        // SAFETY: the arguments are those of the kernel's contract, and the buffers hold the largest batch.
        unsafe { launch.launch(geometry) }.map_err(failed)?;
        Ok(())
    }
}
