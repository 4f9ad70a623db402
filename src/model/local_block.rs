//! One layer of the trunk: attention inside a passage, then the feed-forward half.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::{attention::Attention, config::ModelConfig, feed_forward::FeedForward};

/// A local block.
pub struct LocalBlock {
    attention: Attention,
    feed_forward: FeedForward,
}

impl LocalBlock {
    pub fn load(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            attention: Attention::load(config, vb.pp("attention"))?,
            feed_forward: FeedForward::load(config, vb)?,
        })
    }

    /// `states` `[batch, length, hidden]`, `mask` `[batch, 1, 1, length]` → the shape of `states`.
    pub fn forward(&self, states: &Tensor, mask: &Tensor) -> Result<Tensor> {
        self.feed_forward
            .forward(&self.attention.forward(states, mask)?)
    }
}
