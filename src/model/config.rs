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
    /// What the parts of a ranking count with these weights, where it was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion: Option<FusionWeights>,
    /// How far links lead, where it was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<LinkWeights>,
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

/// What each part of a ranking counts: z-scores over the pool of candidates, and what follows them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FusionWeights {
    pub bm25: f32,
    pub passage: f32,
    pub granule: f32,
    /// What the tree's evidence and that of near passages count where no link is followed and documents are short.
    pub tree: f32,
    pub near: f32,
    /// How much of what links say is heard: all of it, 1; no link is followed, 0.
    pub link: f32,
    /// What the joint reader counts beside all of these; 0 leaves it out.
    pub reader: f32,
}

impl Default for FusionWeights {
    fn default() -> Self {
        Self::UNTRAINED
    }
}

impl FusionWeights {
    /// What serves a model that says nothing of it: picked from a small grid, the same for every corpus.
    pub const UNTRAINED: Self = Self {
        bm25: 1.0,
        passage: 0.7,
        granule: 1.0,
        tree: 0.3,
        near: 0.8,
        link: 1.0,
        reader: 0.5,
    };

    /// The baseline: BM25 and passage vectors in equal parts, nothing else.
    pub const SUM: Self = Self {
        passage: 1.0,
        ..Self::BM25
    };

    /// BM25 alone.
    pub const BM25: Self = Self {
        bm25: 1.0,
        passage: 0.0,
        granule: 0.0,
        tree: 0.0,
        near: 0.0,
        link: 0.0,
        reader: 0.0,
    };

    /// Passage vectors alone.
    pub const DENSE: Self = Self {
        bm25: 0.0,
        ..Self::SUM
    };

    /// The same without the joint reader.
    pub fn without_reader(self) -> Self {
        Self {
            reader: 0.0,
            ..self
        }
    }
}

/// What is known of a link, in the order of [`LinkWeights::weights`]:
///
/// 0. the logarithm of the number of links beside it,
/// 1. the share of the word pieces of the title that it leads to which stand in the question,
/// 2. how well what links answers the question: the similarity of its word pieces to their best granules,
/// 3. by how much what is linked answers some of them better,
/// 4. the same similarity to the words around the link alone.
pub const N_LINK_FEATURES: usize = 5;

/// How far a link leads: the linked document is carried so much of the way to the score of the one that links to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkWeights {
    pub bias: f32,
    pub weights: [f32; N_LINK_FEATURES],
}

impl Default for LinkWeights {
    /// Four fifths of the way, whatever is known: what serves a model that says nothing of it.
    fn default() -> Self {
        Self {
            bias: 1.4,
            weights: [0.0; N_LINK_FEATURES],
        }
    }
}

impl LinkWeights {
    /// The share of the way, between 0 and 1.
    pub fn share(&self, features: &[f32; N_LINK_FEATURES]) -> f32 {
        let products = self.weights.iter().zip(features);
        let logit = self.bias + products.map(|(weight, own)| weight * own).sum::<f32>();
        1.0 / (1.0 + (-logit).exp())
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
/// `[MASK]` stands for a word that is hidden while training.
pub const MASK_TOKEN: u32 = 103;
