//! How the copy engine of a Hopper finds boxes of a bf16 tensor, in the 128-byte swizzle.

use std::mem::zeroed;

use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, sys};

use super::memory::{Address, failed};
use crate::model::ModelError;

/// A map, which kernels take by value.
#[repr(transparent)]
pub struct TensorMap(sys::CUtensorMap);

// SAFETY: a kernel takes the map by value, as the 128 bytes that the driver has made.
unsafe impl DeviceRepr for TensorMap {}

impl TensorMap {
    /// `shape` and `boxes` are in elements, the innermost first; `strides` in bytes, without the innermost.
    ///
    /// # Errors
    /// When the driver refuses the shape.
    pub fn new(
        address: Address,
        shape: &[u64],
        strides: &[u64],
        boxes: &[u32],
    ) -> Result<Self, ModelError> {
        let steps = vec![1u32; shape.len()];
        // SAFETY: the map is plain data, and the driver fills it.
        let mut map: sys::CUtensorMap = unsafe { zeroed() };
        // SAFETY: the slices are as long as the rank says.
        let result = unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut map,
                sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                shape.len() as u32,
                address as *mut _,
                shape.as_ptr(),
                strides.as_ptr(),
                boxes.as_ptr(),
                steps.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        result.result().map_err(failed)?;
        Ok(Self(map))
    }

    /// The map of rows of 64 numbers one behind another, in boxes of so many.
    ///
    /// # Errors
    /// As [`TensorMap::new`].
    pub fn of_rows<const N: usize>(
        address: Address,
        shape: [usize; N],
        boxes: [u32; N],
    ) -> Result<Self, ModelError> {
        let mut stride = size_of::<half::bf16>() as u64;
        let strides = shape.map(|size| {
            stride *= size as u64;
            stride
        });
        let shape = shape.map(|size| size as u64);
        Self::new(address, &shape, &strides[..N - 1], &boxes)
    }
}
