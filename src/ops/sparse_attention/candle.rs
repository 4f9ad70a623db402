//! The operation for candle: inputs queries, latents and bias, output packed with log-sum-exp.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{Inputs, KeyLists, backward, forward};
use crate::ops::tensors::{gradient, numbers, output, values};

/// Attention of `queries` (`[n_queries, heads, dimensions]`) to `latents` (`[n_keys, dimensions]`) under `bias`
/// (`[heads, N_BUCKETS]`): `[n_queries, heads, dimensions + 1]`, log-sum-exp last.
///
/// # Errors
///
/// Fails for types other than f32; a GPU takes heads of 64 dimensions and groups of 16 queries at most.
pub fn sparse_attention(
    queries: &Tensor,
    latents: &Tensor,
    bias: &Tensor,
    lists: Arc<KeyLists>,
    log_sizes: Arc<[f32]>,
) -> Result<Tensor> {
    let operation = SparseAttention { lists, log_sizes };
    queries
        .contiguous()?
        .apply_op3(&latents.contiguous()?, &bias.contiguous()?, operation)
}

struct SparseAttention {
    lists: Arc<KeyLists>,
    log_sizes: Arc<[f32]>,
}

impl SparseAttention {
    fn inputs<'a>(&'a self, numbers: [&'a [f32]; 3], shape: (usize, usize, usize)) -> Inputs<'a> {
        Inputs {
            queries: numbers[0],
            latents: numbers[1],
            log_sizes: &self.log_sizes,
            bias: numbers[2],
            lists: &self.lists,
            heads: shape.1,
            dimensions: shape.2,
        }
    }
}

impl CustomOp3 for SparseAttention {
    fn name(&self) -> &'static str {
        "sparse-attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        latents: &CpuStorage,
        latents_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n_queries, heads, dimensions) = queries_layout.shape().dims3()?;
        let numbers = [
            values(queries, queries_layout)?,
            values(latents, latents_layout)?,
            values(bias, bias_layout)?,
        ];
        let out = forward(&self.inputs(numbers, (n_queries, heads, dimensions)));
        output(out, (n_queries, heads, dimensions + 1))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        queries: &candle_core::CudaStorage,
        queries_layout: &Layout,
        latents: &candle_core::CudaStorage,
        latents_layout: &Layout,
        bias: &candle_core::CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let inputs = [
            (queries, queries_layout),
            (latents, latents_layout),
            (bias, bias_layout),
        ];
        super::cuda::forward(inputs, &self.lists, &self.log_sizes)
    }

    fn bwd(
        &self,
        queries: &Tensor,
        latents: &Tensor,
        bias: &Tensor,
        out: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if queries.device().is_cuda() {
            let inputs = [queries, latents, bias];
            let [queries, latents, bias] =
                super::cuda::backward(inputs, [out, d_out], &self.lists, &self.log_sizes)?;
            return Ok((Some(queries), Some(latents), Some(bias)));
        }
        let shape = queries.dims3()?;
        let owned = [numbers(queries)?, numbers(latents)?, numbers(bias)?];
        let inputs = self.inputs(owned.each_ref().map(Vec::as_slice), shape);
        let gradients = backward(&inputs, &numbers(out)?, &numbers(d_out)?);
        Ok((
            gradient(gradients.queries, queries)?,
            gradient(gradients.latents, latents)?,
            gradient(gradients.bias, bias)?,
        ))
    }
}
