//! NVIDIA GPUs, whose libraries are looked for when one is asked for.

use candle_core::{Device, cuda_backend::cudarc::*};

pub fn open(number: usize) -> Result<Device, String> {
    // A library that is missing would end the process at its first call.
    // SAFETY: loading the vendor's libraries runs their initialisers, as linking them would.
    let found = unsafe {
        [
            ("the NVIDIA driver", driver::sys::is_culib_present()),
            ("libcublas.so.13", cublas::sys::is_culib_present()),
            ("libcurand.so.10", curand::sys::is_culib_present()),
        ]
    };
    if let Some((missing, _)) = found.iter().find(|(_, present)| !present) {
        return Err(format!(
            "{missing} was not found; add its folder to LD_LIBRARY_PATH"
        ));
    }
    Device::new_cuda(number).map_err(|error| format!("GPU {number} cannot be used: {error}"))
}
