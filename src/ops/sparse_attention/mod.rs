//! Attention to the latents that a list names.

mod int8;

pub use int8::{
    CHUNK, ChunkRange, PackedLatents, SharedQueries, SingleLatents, SparseScratch, attend_chunks,
    attend_singles,
};

/// Buckets of distances.
pub const N_BUCKETS: usize = 16;

/// 0 for the same place, else 1 + ⌊log₂ distance⌋, at most `N_BUCKETS` − 1.
pub fn log_bucket(distance: usize) -> u8 {
    (usize::BITS - distance.leading_zeros()).min(N_BUCKETS as u32 - 1) as u8
}
