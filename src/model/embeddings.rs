//! Token, position and segment embeddings, then LayerNorm: the first states of a passage.

use candle_core::{Result, Tensor};
use candle_nn::{Embedding, Module, VarBuilder, embedding};

use super::{config::ModelConfig, layer_norm::LayerNorm};

/// The embedding layer of the trunk.
pub struct Embeddings {
    words: Embedding,
    positions: Tensor,
    segment: Tensor,
    norm: LayerNorm,
}

impl Embeddings {
    pub fn load(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let hidden = config.hidden_size;
        Ok(Self {
            words: embedding(config.vocab_size, hidden, vb.pp("word_embeddings"))?,
            positions: vb
                .pp("position_embeddings")
                .get((config.max_position_embeddings, hidden), "weight")?,
            // Passages have one segment, so only the first row of the two is used.
            segment: vb
                .pp("token_type_embeddings")
                .get((2, hidden), "weight")?
                .narrow(0, 0, 1)?,
            norm: LayerNorm::load(hidden, config.layer_norm_eps, vb.pp("LayerNorm"))?,
        })
    }

    /// `token_ids` `[batch, length]` → states `[batch, length, hidden]`; positions start at 0 in each row.
    pub fn forward(&self, token_ids: &Tensor) -> Result<Tensor> {
        let length = token_ids.dim(1)?;
        let states = self
            .words
            .forward(token_ids)?
            .broadcast_add(&self.positions.narrow(0, 0, length)?)?
            .broadcast_add(&self.segment)?;
        self.norm.forward(&states)
    }
}
