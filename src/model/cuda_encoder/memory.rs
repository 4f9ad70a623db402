//! Where a batch lies: pinned on the host, and its buffers on the GPU.

use std::{error::Error, ops::Range, sync::Arc};

use bytemuck::cast_slice;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, PinnedHostSlice, result,
};
use half::{bf16, f16};

use super::batch::{
    Batch, MAX_BATCH_GRANULES, MAX_BATCH_PASSAGES, MAX_BATCH_TOKENS, MAX_BATCH_WORDS,
};
use crate::{
    model::ModelError,
    ops::granule_keys::{KEY_BYTES, KEY_DIMENSIONS},
};

/// Dimensions of the states: the kernels know no others.
pub const HIDDEN: usize = 384;
/// Dimensions between the two halves of the feed-forward layer.
pub const INNER: usize = 1_536;

/// Bytes that cuBLASLt may use for a product.
pub const WORKSPACE_BYTES: usize = 32 << 20;
/// Bytes of a passage's vector.
const VECTOR_BYTES: usize = HIDDEN * size_of::<f32>();
const FETCHED_BYTES: usize =
    MAX_BATCH_PASSAGES * VECTOR_BYTES + MAX_BATCH_GRANULES * (KEY_BYTES + size_of::<f16>());

/// An address on the GPU.
pub type Address = u64;

/// What went wrong on the GPU, as the model's error.
pub fn failed(error: impl Error + Send + Sync + 'static) -> ModelError {
    ModelError::Tensor(candle_core::Error::Cuda(Box::new(error)))
}

/// Memory on the GPU, used by address.
pub struct Buffer {
    address: Address,
    // Freed with the buffer.
    _memory: CudaSlice<u8>,
}

impl Buffer {
    /// Zeroed memory: what no batch has written yet is a number.
    pub fn new(n_bytes: usize, stream: &Arc<CudaStream>) -> Result<Self, ModelError> {
        Ok(Self::of(
            stream.alloc_zeros(n_bytes).map_err(failed)?,
            stream,
        ))
    }

    /// Values in bf16.
    pub fn bf16(values: &[f32], stream: &Arc<CudaStream>) -> Result<Self, ModelError> {
        let values: Vec<bf16> = values.iter().copied().map(bf16::from_f32).collect();
        let memory = stream.clone_htod(cast_slice::<_, u8>(&values));
        Ok(Self::of(memory.map_err(failed)?, stream))
    }

    /// Values as they are.
    pub fn f32(values: &[f32], stream: &Arc<CudaStream>) -> Result<Self, ModelError> {
        let memory = stream.clone_htod(cast_slice::<_, u8>(values));
        Ok(Self::of(memory.map_err(failed)?, stream))
    }

    /// Bytes as they are, at least one of them.
    pub fn bytes(values: &[u8], stream: &Arc<CudaStream>) -> Result<Self, ModelError> {
        match values {
            [] => Self::new(1, stream),
            _ => Ok(Self::of(stream.clone_htod(values).map_err(failed)?, stream)),
        }
    }

    pub fn address(&self) -> Address {
        self.address
    }

    fn of(memory: CudaSlice<u8>, stream: &Arc<CudaStream>) -> Self {
        let address = memory.device_ptr(stream).0;
        Self {
            address,
            _memory: memory,
        }
    }
}

/// The buffers of a batch.
pub struct Room {
    words: Buffer,
    /// Vectors, codes and scales.
    results: Buffer,
    /// bf16 `[n_tokens, 384]`.
    pub states: Buffer,
    /// bf16 `[n_tokens, 3 · 384]`.
    pub qkv: Buffer,
    /// bf16 `[n_tokens, 384]`.
    pub mixed: Buffer,
    /// bf16 `[n_tokens, 1536]`.
    pub inner: Buffer,
    /// bf16 `[n_tokens, 128]`.
    pub keys: Buffer,
    pub workspace: Buffer,
    staged: PinnedHostSlice<u32>,
    fetched: PinnedHostSlice<u8>,
}

/// Where the parts of a batch and its results lie on the GPU.
pub struct Addresses {
    pub token_ids: Address,
    pub starts: Address,
    pub prefixes: Address,
    pub granules: Address,
    pub vectors: Address,
    pub codes: Address,
    pub scales: Address,
}

impl Room {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self, ModelError> {
        let buffer = |n_bytes| Buffer::new(n_bytes, stream);
        let rows = |columns| buffer(MAX_BATCH_TOKENS * columns * size_of::<bf16>());
        let context = stream.context();
        // SAFETY: pinned memory is written before it is read.
        let staged = unsafe { context.alloc_pinned_with_flags(MAX_BATCH_WORDS, 0) };
        // SAFETY: likewise.
        let fetched = unsafe { context.alloc_pinned_with_flags(FETCHED_BYTES, 0) };
        Ok(Self {
            words: buffer(MAX_BATCH_WORDS * size_of::<u32>())?,
            results: buffer(FETCHED_BYTES)?,
            states: rows(HIDDEN)?,
            qkv: rows(3 * HIDDEN)?,
            mixed: rows(HIDDEN)?,
            inner: rows(INNER)?,
            keys: rows(KEY_DIMENSIONS)?,
            workspace: buffer(WORKSPACE_BYTES)?,
            staged: staged.map_err(failed)?,
            fetched: fetched.map_err(failed)?,
        })
    }

    /// Where the next batch is laid out.
    pub fn staged(&mut self) -> Result<&mut [u32], ModelError> {
        self.staged.as_mut_slice().map_err(failed)
    }

    /// Starts the copy of a staged batch to the GPU.
    pub fn send(&self, batch: &Batch, stream: &CudaStream) -> Result<(), ModelError> {
        let words = &self.staged.as_slice().map_err(failed)?[..batch.n_words()];
        stream.context().bind_to_thread().map_err(failed)?;
        // SAFETY: both ends hold MAX_BATCH_WORDS, and the words stay as they are until the stream has been waited for.
        unsafe { result::memcpy_htod_async(self.words.address, words, stream.cu_stream()) }
            .map_err(failed)
    }

    /// Starts the copy of a batch's results to the host.
    pub fn fetch(&mut self, batch: &Batch, stream: &CudaStream) -> Result<(), ModelError> {
        let bytes = &mut self.fetched.as_mut_slice().map_err(failed)?[..n_result_bytes(batch)];
        // SAFETY: both ends hold FETCHED_BYTES, and nobody reads them until the stream has been waited for.
        unsafe { result::memcpy_dtoh_async(bytes, self.results.address, stream.cu_stream()) }
            .map_err(failed)
    }

    /// The results of a batch whose stream has been waited for.
    pub fn fetched(&self, batch: &Batch) -> Result<Fetched<'_>, ModelError> {
        let bytes = &self.fetched.as_slice().map_err(failed)?[..n_result_bytes(batch)];
        let (vectors, keys) = bytes.split_at(batch.n_passages * VECTOR_BYTES);
        let (codes, scales) = keys.split_at(batch.n_granules() * KEY_BYTES);
        Ok(Fetched {
            vectors: cast_slice(vectors),
            codes,
            scales: cast_slice(scales),
        })
    }

    pub fn addresses(&self, batch: &Batch) -> Addresses {
        let words = |at: usize| self.words.address + (at * size_of::<u32>()) as Address;
        let starts = batch.n_tokens;
        let prefixes = starts + batch.n_passages + 1;
        let vectors = self.results.address;
        let codes = vectors + (batch.n_passages * VECTOR_BYTES) as Address;
        Addresses {
            token_ids: words(0),
            starts: words(starts),
            prefixes: words(prefixes),
            granules: words(prefixes + batch.n_passages),
            vectors,
            codes,
            scales: codes + (batch.n_granules() * KEY_BYTES) as Address,
        }
    }
}

fn n_result_bytes(batch: &Batch) -> usize {
    batch.n_passages * VECTOR_BYTES + batch.n_granules() * (KEY_BYTES + size_of::<f16>())
}

/// The results of a batch on the host.
pub struct Fetched<'a> {
    vectors: &'a [f32],
    codes: &'a [u8],
    scales: &'a [f16],
}

impl Fetched<'_> {
    /// The vector of one passage.
    pub fn vector(&self, passage: usize) -> &[f32] {
        &self.vectors[passage * HIDDEN..][..HIDDEN]
    }

    /// The codes of consecutive granules.
    pub fn codes(&self, granules: Range<usize>) -> &[u8] {
        &self.codes[granules.start * KEY_BYTES..granules.end * KEY_BYTES]
    }

    /// Their scales.
    pub fn scales(&self, granules: Range<usize>) -> &[f16] {
        &self.scales[granules]
    }
}
