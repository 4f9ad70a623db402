//! What do queries read from the keys that they were given? Latents mixed by attention, over lists of keys.
//!
//! All heads share one latent a key, which is key and value alike. The logit of a key is q·c/√dimensions + the log of
//! how many tokens it stands for + a learned bias of its bucket of distance; beside the list there is a *null key* with
//! logit 0 and value zero, so a query may find nothing. The result is `[n_queries, heads, dimensions + 1]`: the mixed
//! latents, and last the log of the sum of exponentials (the null key's 1 included).

mod backward;
mod candle;
#[cfg(feature = "cuda")]
mod cuda;
mod definition;
mod forward;
mod int8;
pub(super) mod inverted;
mod keys_backward;
mod lists;
pub(super) mod tile;

pub use backward::{Gradients, backward};
pub use candle::sparse_attention;
pub use definition::sparse_attention_slow;
pub use forward::forward;
pub use int8::{
    CHUNK, ChunkRange, PackedLatents, SharedQueries, SingleLatents, SparseScratch, attend_chunks,
    attend_singles,
};
pub use lists::{KeyLists, KeyRange, N_BUCKETS, log_bucket};

/// What the operation reads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T = f32> {
    /// `[n_queries, heads, dimensions]`.
    pub queries: &'a [T],
    /// `[n_keys, dimensions]`.
    pub latents: &'a [T],
    /// How many tokens each key stands for, as a logarithm: `[n_keys]`.
    pub log_sizes: &'a [T],
    /// `[heads, N_BUCKETS]`.
    pub bias: &'a [T],
    pub lists: &'a KeyLists,
    pub heads: usize,
    /// A multiple of 16.
    pub dimensions: usize,
}

impl<T> Inputs<'_, T> {
    /// Number of keys.
    pub fn n_keys(&self) -> usize {
        self.log_sizes.len()
    }

    /// Panics unless the sizes agree, so that the loops need not check.
    fn check(&self) {
        let n_rows = self.lists.n_queries() * self.heads;
        assert_eq!(self.dimensions % crate::ops::pointwise::LANES, 0);
        assert_eq!(self.queries.len(), n_rows * self.dimensions);
        assert_eq!(self.latents.len(), self.n_keys() * self.dimensions);
        assert_eq!(self.bias.len(), self.heads * N_BUCKETS);
        let inside = |range: &KeyRange| {
            range.start <= range.end
                && range.end as usize <= self.n_keys()
                && usize::from(range.bucket) < N_BUCKETS
        };
        assert!(self.lists.ranges.iter().all(inside));
    }
}

#[cfg(test)]
mod tests;
