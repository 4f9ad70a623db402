//! LayerNorm over the last dimension.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::fused;

/// `weight` and `bias` are `[size]`.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    pub fn load(size: usize, epsilon: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get(size, "weight")?,
            bias: vb.get(size, "bias")?,
            epsilon,
        })
    }

    /// `states` `[…, size]` → the same shape.
    pub fn forward(&self, states: &Tensor) -> Result<Tensor> {
        fused::layer_norm(states, &self.weight, &self.bias, self.epsilon)
    }
}
