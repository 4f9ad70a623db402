//! What the kernels of the global block take by value: see the contracts in `kernels/`.

use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, sys};

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

/// How the tensor memory accelerator finds tiles.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct TensorMap(sys::CUtensorMap);

// SAFETY: all are plain numbers in C's layout, and the kernels take them by value.
unsafe impl DeviceRepr for Levels {}
// SAFETY: likewise.
unsafe impl DeviceRepr for IndexOnly {}
// SAFETY: likewise.
unsafe impl DeviceRepr for Descent {}
// SAFETY: likewise.
unsafe impl DeviceRepr for AttentionInputs {}
// SAFETY: likewise.
unsafe impl DeviceRepr for TensorMap {}

impl TensorMap {
    /// The map of bf16 rows in the 128-byte swizzle; `sizes` and `tile` are in elements, the innermost, of 64, first.
    ///
    /// # Errors
    /// When the driver refuses the shape.
    pub fn new<const N: usize>(
        address: Address,
        sizes: [usize; N],
        tile: [u32; N],
    ) -> Result<Self, sys::CUresult> {
        let mut strides = [0u64; N];
        let mut stride = size_of::<half::bf16>();
        for (own, size) in strides.iter_mut().zip(&sizes) {
            stride *= size;
            *own = stride as u64;
        }
        let sizes = sizes.map(|size| size as u64);
        let every = [1u32; N];
        let mut map = std::mem::MaybeUninit::uninit();
        // SAFETY: the arrays have N values, of which the driver reads N, one less of the strides, and it fills the map.
        unsafe {
            sys::cuTensorMapEncodeTiled(
                map.as_mut_ptr(),
                sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                N as u32,
                address as *mut std::ffi::c_void,
                sizes.as_ptr(),
                strides.as_ptr(),
                tile.as_ptr(),
                every.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
            .result()
            .map(|()| Self(map.assume_init()))
            .map_err(|error| error.0)
        }
    }
}
