//! A linear layer in f32 whose bias gathers its gradient by a product.

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;

use super::fused::repeated;

/// `weight` is `[out, in]`, `bias` `[out]`.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub fn load(size: usize, out: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get((out, size), "weight")?,
            bias: vb.get(out, "bias")?,
        })
    }

    /// `states` `[…, in]` → `[…, out]`.
    pub fn forward(&self, states: &Tensor) -> Result<Tensor> {
        let mut shape = states.dims().to_vec();
        let rows = states.reshape(((), states.dim(D::Minus1)?))?;
        let bias = repeated(&self.bias, rows.dim(0)?)?;
        let out = (rows.matmul(&self.weight.t()?)? + bias)?;
        shape.pop();
        shape.push(self.bias.dim(0)?);
        out.reshape(shape)
    }
}
