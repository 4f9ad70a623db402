//! Which numbers make an attention? The operations of the model and of the read path, without tensors.

pub mod granule_keys;
pub mod int8_attention;
pub mod int8_product;
pub mod lightning_index;
pub mod passage_attention;
pub mod pointwise;
pub mod simd;
pub mod similarity;
pub mod sparse_attention;
