//! Dense multi-head attention inside a passage, with its output projection, residual and LayerNorm.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::{config::ModelConfig, fused::softmax, layer_norm::LayerNorm, linear::Linear};

/// Self-attention of the trunk.
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: LayerNorm,
    heads: usize,
    head_size: usize,
}

impl Attention {
    pub fn load(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let hidden = config.hidden_size;
        let projections = vb.pp("self");
        Ok(Self {
            query: Linear::load(hidden, hidden, projections.pp("query"))?,
            key: Linear::load(hidden, hidden, projections.pp("key"))?,
            value: Linear::load(hidden, hidden, projections.pp("value"))?,
            output: Linear::load(hidden, hidden, vb.pp("output").pp("dense"))?,
            norm: LayerNorm::load(
                hidden,
                config.layer_norm_eps,
                vb.pp("output").pp("LayerNorm"),
            )?,
            heads: config.num_attention_heads,
            head_size: config.head_size(),
        })
    }

    /// `states` `[batch, length, hidden]`, `mask` `[batch, 1, 1, length]` (0 or −∞) → the same shape as `states`.
    pub fn forward(&self, states: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (batch, length, hidden) = states.dims3()?;
        let split = |projection: &Linear| -> Result<Tensor> {
            projection
                .forward(states)?
                .reshape((batch, length, self.heads, self.head_size))?
                .transpose(1, 2)? // [batch, heads, length, head_size]
                .contiguous()
        };
        let query = (split(&self.query)? / (self.head_size as f64).sqrt())?;
        let (key, value) = (split(&self.key)?, split(&self.value)?);
        let scores = query.matmul(&key.t()?)?.broadcast_add(mask)?; // [batch, heads, length, length]
        let mixed = softmax(&scores)?
            .matmul(&value)?
            .transpose(1, 2)?
            .reshape((batch, length, hidden))?;
        self.norm.forward(&(self.output.forward(&mixed)? + states)?)
    }
}
