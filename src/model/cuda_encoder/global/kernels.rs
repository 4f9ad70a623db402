//! What the kernels of the global block take by value: see the contracts in `kernels/`.

use candle_core::cuda_backend::cudarc::driver::DeviceRepr;

use super::{super::memory::Address, layout::Levels};

/// `IndexOnly` of `index_keys.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IndexOnly {
    pub latents: Address,
    pub node_starts: Address,
    pub first_children: Address,
    pub log_sizes: Address,
    pub codes: Address,
    pub scales: Address,
    pub keys: Address,
    pub levels: Levels,
    pub n_tokens: u32,
    pub ratio: u32,
    pub lowest: u32,
    pub base: u32,
    pub n_made: u32,
}

/// `Descent` of `lightning_index.cu`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Descent {
    pub queries: Address,
    pub weights: Address,
    pub granules: Address,
    pub codes: Address,
    pub scales: Address,
    pub node_starts: Address,
    pub first_children: Address,
    pub selected: Address,
    pub n_selected: Address,
    pub cover: Address,
    pub n_cover: Address,
    pub levels: Levels,
    pub n_granules: u32,
    pub n_tokens: u32,
    pub query_stride: u32,
    pub weight_stride: u32,
    pub lowest: u32,
    pub leaf_level: u32,
    pub lookahead: u32,
    pub opened: u32,
    pub leaves: u32,
    pub capacity: u32,
    pub cover_stride: u32,
}

/// `Inputs` of `granule_tiles.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct AttentionInputs {
    pub granules: Address,
    pub node_starts: Address,
    pub nodes: Address,
    pub node_log_sizes: Address,
    pub selected: Address,
    pub n_selected: Address,
    pub cover: Address,
    pub n_cover: Address,
    pub bias: Address,
    pub controls: Address,
    pub out: Address,
    pub log_sums: Address,
    pub levels: Levels,
    pub leaf_level: u32,
    pub cover_stride: u32,
    pub control_stride: u32,
    pub branches: u32,
    pub n_granules: i32,
    pub n_tokens: i32,
    pub window: i32,
}

// SAFETY: all are plain numbers in C's layout, and the kernels take them by value.
unsafe impl DeviceRepr for Levels {}
// SAFETY: likewise.
unsafe impl DeviceRepr for IndexOnly {}
// SAFETY: likewise.
unsafe impl DeviceRepr for Descent {}
// SAFETY: likewise.
unsafe impl DeviceRepr for AttentionInputs {}
