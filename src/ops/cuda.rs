//! The functions of `kernels/` on candle's GPUs: `kernels/build.sh` compiles them, the binary holds them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use candle_core::{
    Error, Result,
    cuda_backend::cudarc::{
        driver::{CudaContext, CudaFunction, LaunchConfig, sys},
        nvrtc::Ptx,
    },
};

/// A compiled file of `kernels/`.
#[derive(Debug, Clone, Copy)]
pub struct Kernels {
    pub name: &'static str,
    pub binary: &'static [u8],
}

/// The compiled file of this name.
macro_rules! kernels {
    ($name:literal) => {
        $crate::ops::cuda::Kernels {
            name: $name,
            binary: include_bytes!(concat!(env!("SHAS_KERNELS"), "/", $name, ".fatbin")),
        }
    };
}
pub(crate) use kernels;

/// Which file of which GPU, and which function of it.
type Key = (usize, &'static str, &'static str);

static FUNCTIONS: Mutex<Option<HashMap<Key, CudaFunction>>> = Mutex::new(None);

impl Kernels {
    /// A function that may use so many bytes of dynamic shared memory.
    ///
    /// # Errors
    /// When the driver cannot load it: the GPU is older than any that it was compiled for.
    pub fn function(
        self,
        context: &Arc<CudaContext>,
        name: &'static str,
        shared_bytes: usize,
    ) -> Result<CudaFunction> {
        let mut functions = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let functions = functions.get_or_insert_default();
        let key = (Arc::as_ptr(context).addr(), self.name, name);
        if let Some(function) = functions.get(&key) {
            return Ok(function.clone());
        }
        let image = Ptx::from_binary(self.binary.to_vec());
        let module = context.load_module(image).map_err(Error::wrap)?;
        let function = module.load_function(name).map_err(Error::wrap)?;
        let limit = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function
            .set_attribute(limit, shared_bytes as i32)
            .map_err(Error::wrap)?;
        functions.insert(key, function.clone());
        Ok(function)
    }
}

/// The geometry of a launch.
pub fn geometry(grid: (usize, usize), threads: usize, shared_bytes: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (grid.0 as u32, grid.1 as u32, 1),
        block_dim: (threads as u32, 1, 1),
        shared_mem_bytes: shared_bytes as u32,
    }
}

/// How many blocks run at once where each has a multiprocessor for itself.
pub fn n_multiprocessors(context: &CudaContext) -> Result<usize> {
    let count = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
    let count = context.attribute(count).map_err(Error::wrap)?;
    Ok(count.unsigned_abs() as usize)
}
