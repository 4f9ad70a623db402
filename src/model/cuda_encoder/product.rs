//! Products with a weight by cuBLASLt: bf16 in, bf16 or f32 out, f32 sums, bias and GELU in the epilogue.

use std::{collections::HashMap, ffi::c_void, sync::Arc};

use candle_core::cuda_backend::cudarc::{
    cublaslt::{
        result::{self, CublasError},
        sys::{self, cublasLtMatmulDescAttributes_t as Attribute},
    },
    driver::CudaStream,
};

use super::memory::{Address, Buffer, WORKSPACE_BYTES, failed};
use crate::model::ModelError;

/// A handle of cuBLASLt that ends with its owner.
struct Owned<T: Copy> {
    handle: T,
    destroy: unsafe fn(T) -> Result<(), CublasError>,
}

// SAFETY: cuBLASLt's handles may be used from any thread, one at a time.
unsafe impl<T: Copy> Send for Owned<T> {}

impl<T: Copy> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the handle was made for this owner; nothing can be done about an error.
        unsafe { (self.destroy)(self.handle) }.unwrap_or_default();
    }
}

/// The library, opened.
pub struct Library(Owned<sys::cublasLtHandle_t>);

impl Library {
    pub fn open() -> Result<Self, ModelError> {
        Ok(Self(Owned {
            handle: result::create_handle().map_err(failed)?,
            destroy: result::destroy_handle,
        }))
    }
}

/// What a product is written in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Out {
    Bf16,
    F32,
}

impl Out {
    fn kind(self) -> sys::cudaDataType {
        match self {
            Self::Bf16 => sys::cudaDataType::CUDA_R_16BF,
            Self::F32 => sys::cudaDataType::CUDA_R_32F,
        }
    }
}

/// What follows the sums.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Nothing.
    None,
    /// The bias.
    Bias,
    /// The bias, then what the result held before.
    BiasAndAddend,
    /// The bias, then GELU by tanh; it differs from that by erf by less than bf16 can tell.
    BiasAndGelu,
}

/// `out[t, n] = epilogue(Σ_k states[t, k] · weight[n, k])`.
pub struct Product {
    weight: Buffer,
    /// Named by the description.
    _bias: Option<Buffer>,
    n_columns: usize,
    depth: usize,
    epilogue: Epilogue,
    out: Out,
    description: Owned<sys::cublasLtMatmulDesc_t>,
    weight_layout: Owned<sys::cublasLtMatrixLayout_t>,
    /// By number of rows.
    plans: HashMap<usize, Plan>,
}

/// How a product of some number of rows is computed.
struct Plan {
    states: Owned<sys::cublasLtMatrixLayout_t>,
    out: Owned<sys::cublasLtMatrixLayout_t>,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Product {
    /// `weight` is `[n_columns, depth]`, `bias` `[n_columns]`, or nothing for [`Epilogue::None`].
    pub fn new(
        weight: &[f32],
        bias: &[f32],
        epilogue: Epilogue,
        stream: &Arc<CudaStream>,
        depth: usize,
    ) -> Result<Self, ModelError> {
        Self::into(Out::Bf16, (weight, bias), epilogue, stream, depth)
    }

    /// As [`Product::new`], for results of either kind.
    pub fn into(
        out: Out,
        (weight, bias): (&[f32], &[f32]),
        epilogue: Epilogue,
        stream: &Arc<CudaStream>,
        depth: usize,
    ) -> Result<Self, ModelError> {
        let n_columns = weight.len() / depth;
        // The bias is of the result's kind.
        let bias = match (epilogue, out) {
            (Epilogue::None, _) => None,
            (_, Out::Bf16) => Some(Buffer::bf16(bias, stream)?),
            (_, Out::F32) => Some(Buffer::f32(bias, stream)?),
        };
        Ok(Self {
            weight: Buffer::bf16(weight, stream)?,
            n_columns,
            depth,
            epilogue,
            out,
            description: describe(epilogue, bias.as_ref(), out).map_err(failed)?,
            weight_layout: layout(Out::Bf16, depth, n_columns).map_err(failed)?,
            plans: HashMap::new(),
            _bias: bias,
        })
    }

    /// Starts the product of `n_rows` rows; `[n_rows, depth]` at `states`, `[n_rows, n_columns]` at `out`.
    pub fn apply(
        &mut self,
        (library, workspace): (&Library, &Buffer),
        stream: &CudaStream,
        n_rows: usize,
        (states, out): (Address, Address),
    ) -> Result<(), ModelError> {
        if !self.plans.contains_key(&n_rows) {
            let plan = self.plan(library, n_rows).map_err(failed)?;
            self.plans.insert(n_rows, plan);
        }
        let plan = &self.plans[&n_rows];
        let factor = 1f32;
        let kept = f32::from(u8::from(self.epilogue == Epilogue::BiasAndAddend));
        // SAFETY: the layouts are those of the buffers, which hold the largest batch. cuBLASLt's matrices stand in
        // columns, so that weight and states change places and `out` comes transposed, which is how it lies here.
        unsafe {
            result::matmul(
                library.0.handle,
                self.description.handle,
                (&raw const factor).cast(),
                (&raw const kept).cast(),
                self.weight.address() as *const c_void,
                self.weight_layout.handle,
                states as *const c_void,
                plan.states.handle,
                out as *const c_void,
                plan.out.handle,
                out as *mut c_void,
                plan.out.handle,
                &plan.algorithm,
                workspace.address() as *mut c_void,
                WORKSPACE_BYTES,
                stream.cu_stream().cast(),
            )
        }
        .map_err(failed)
    }

    fn plan(&self, library: &Library, n_rows: usize) -> Result<Plan, CublasError> {
        let states = layout(Out::Bf16, self.depth, n_rows)?;
        let out = layout(self.out, self.n_columns, n_rows)?;
        let preference = Owned {
            handle: result::create_matmul_pref()?,
            destroy: result::destroy_matmul_pref,
        };
        let workspace = WORKSPACE_BYTES;
        // SAFETY: all handles are alive, and the attribute is a number of bytes.
        let found = unsafe {
            result::set_matmul_pref_attribute(
                preference.handle,
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                (&raw const workspace).cast(),
                size_of_val(&workspace),
            )?;
            result::get_matmul_algo_heuristic(
                library.0.handle,
                self.description.handle,
                self.weight_layout.handle,
                states.handle,
                out.handle,
                out.handle,
                preference.handle,
            )?
        };
        Ok(Plan {
            states,
            out,
            algorithm: found.algo,
        })
    }
}

/// The layout of `[n_rows, n_columns]`, row by row: for cuBLASLt, its columns.
fn layout(
    out: Out,
    n_columns: usize,
    n_rows: usize,
) -> Result<Owned<sys::cublasLtMatrixLayout_t>, CublasError> {
    let kind = out.kind();
    let handle =
        result::create_matrix_layout(kind, n_columns as u64, n_rows as u64, n_columns as i64)?;
    Ok(Owned {
        handle,
        destroy: result::destroy_matrix_layout,
    })
}

fn describe(
    epilogue: Epilogue,
    bias: Option<&Buffer>,
    out: Out,
) -> Result<Owned<sys::cublasLtMatmulDesc_t>, CublasError> {
    let sums = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
    let description = Owned {
        handle: result::create_matmul_desc(sums, sys::cudaDataType::CUDA_R_32F)?,
        destroy: result::destroy_matmul_desc,
    };
    let transposed = 1i32;
    set(
        &description,
        Attribute::CUBLASLT_MATMUL_DESC_TRANSA,
        &transposed,
    )?;
    let after = match epilogue {
        Epilogue::None => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
        Epilogue::Bias | Epilogue::BiasAndAddend => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
        Epilogue::BiasAndGelu => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU_BIAS,
    };
    set(
        &description,
        Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE,
        &after,
    )?;
    if let Some(bias) = bias {
        let address = bias.address();
        set(
            &description,
            Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER,
            &address,
        )?;
        let kind = out.kind();
        set(
            &description,
            Attribute::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
            &kind,
        )?;
    }
    Ok(description)
}

fn set<T>(
    description: &Owned<sys::cublasLtMatmulDesc_t>,
    attribute: Attribute,
    value: &T,
) -> Result<(), CublasError> {
    let pointer = (value as *const T).cast();
    // SAFETY: the description is alive, and every attribute is given in its own type.
    unsafe {
        result::set_matmul_desc_attribute(description.handle, attribute, pointer, size_of::<T>())
    }
}
