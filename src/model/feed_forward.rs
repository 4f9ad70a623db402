//! The feed-forward half of a local block: expand, GELU (by erf), contract, residual, LayerNorm.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::{config::ModelConfig, layer_norm::LayerNorm, linear::Linear};

/// The feed-forward layer of the trunk.
pub struct FeedForward {
    expand: Linear,
    contract: Linear,
    norm: LayerNorm,
}

impl FeedForward {
    pub fn load(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            expand: Linear::load(hidden, inner, vb.pp("intermediate").pp("dense"))?,
            contract: Linear::load(inner, hidden, vb.pp("output").pp("dense"))?,
            norm: LayerNorm::load(
                hidden,
                config.layer_norm_eps,
                vb.pp("output").pp("LayerNorm"),
            )?,
        })
    }

    /// `states` `[batch, length, hidden]` → the same shape.
    pub fn forward(&self, states: &Tensor) -> Result<Tensor> {
        let inner = self.expand.forward(states)?.gelu_erf()?;
        self.norm
            .forward(&(self.contract.forward(&inner)? + states)?)
    }
}
