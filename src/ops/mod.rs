//! Which numbers make an attention? The operations of the model and of the read path.
//!
//! The global attention's operations have a folder each: a definition that is easy to read (`_slow`), a fast form for
//! the processor, a backward, and an operation for candle. None ever holds a number for each query and key.

pub mod abstraction_pool;
pub mod gates;
pub mod granule_keys;
pub mod int8_attention;
pub mod int8_product;
pub mod lightning_index;
pub mod passage_attention;
pub mod permute;
pub mod pointwise;
pub mod simd;
pub mod similarity;
pub mod small_product;
pub mod sparse_attention;
pub mod window_attention;

#[cfg(feature = "cuda")]
pub mod cuda;
mod rows;
pub(crate) mod tensors;
#[cfg(test)]
pub(crate) mod samples;
