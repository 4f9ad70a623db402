//! The shape of the model, read from `config.json` beside the weights.

use serde::{Deserialize, Serialize};

use super::global::GlobalConfig;
use crate::text::LayoutOptions;

/// The shape of the encoder; the field names of the trunk are those of BERT's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    pub layer_norm_eps: f64,
    /// The global blocks, whose weights lie in `global.safetensors`; none where they are untrained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalConfig>,
    /// Names the weights and the tokenizer beside it, so that they need not be read whole to be told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

impl ModelConfig {
    /// Dimensions of one attention head of the trunk.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

/// The most tokens of a passage, special tokens and context prefix included.
pub const MAX_PASSAGE_TOKENS: usize = 256;
/// The most of them that the context prefix may take.
pub const MAX_PREFIX_TOKENS: usize = 24;
/// How documents are cut for the encoder.
pub const LAYOUT: LayoutOptions = LayoutOptions {
    max_tokens: MAX_PASSAGE_TOKENS,
    max_prefix: MAX_PREFIX_TOKENS,
};
/// `[CLS]` opens every passage and every question.
pub const CLS_TOKEN: u32 = 101;
/// `[SEP]` closes them.
pub const SEP_TOKEN: u32 = 102;
