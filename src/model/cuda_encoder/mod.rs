//! What do passages mean, said by a GPU? Here are documents, gimme what [`Encoder`] gives: [`PassageEncoding`].
//!
//! Two batches are under way, each on a stream of its own: while one is computed, the other is copied and unpacked.
//! Only vectors, codes and scales come back.

mod batch;
pub mod global;
mod hopper;
mod kernels;
mod memory;
mod product;
mod tensor_map;
mod trunk;
mod whole;

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

pub use self::memory::{Address, Buffer};

use candle_core::{
    Device,
    cuda_backend::cudarc::{cublaslt, driver::CudaStream},
};
use rayon::prelude::*;

use self::{
    batch::{Batch, MAX_BATCH_PASSAGES, MAX_BATCH_TOKENS},
    memory::{Room, failed},
    trunk::Trunk,
    whole::Blocks,
};
use super::{Encoder, ModelError, PassageEncoder, PassageEncoding, PassageInput};
use crate::{ops::granule_keys::GranuleKeys, text::Tokenizer};

/// Batches under way at once.
const N_SLOTS: usize = 2;
/// Passages that fill all slots twice and again.
const CALL_PASSAGES: usize = 2_048;

/// The encoder that runs on `device`, and why it is not the one asked for.
pub fn encoder_on(device: &Device, encoder: Encoder) -> (Box<dyn PassageEncoder>, Option<String>) {
    let Device::Cuda(device) = device else {
        return (Box::new(encoder), None);
    };
    // SAFETY: loading the vendor's library runs its initialisers, as linking it would.
    if !unsafe { cublaslt::sys::is_culib_present() } {
        let reason = "libcublasLt.so.13 was not found; add its folder to LD_LIBRARY_PATH";
        return (Box::new(encoder), Some(reason.to_owned()));
    }
    match Pipeline::new(&encoder, &device.cuda_stream()) {
        Ok(pipeline) => {
            let pipeline = Mutex::new(pipeline);
            (Box::new(CudaEncoder { encoder, pipeline }), None)
        }
        Err(error) => (Box::new(encoder), Some(error.to_string())),
    }
}

/// The encoder of documents on a GPU; questions are the CPU's.
struct CudaEncoder {
    encoder: Encoder,
    pipeline: Mutex<Pipeline>,
}

impl PassageEncoder for CudaEncoder {
    fn tokenizer(&self) -> &Tokenizer {
        self.encoder.tokenizer()
    }

    fn fingerprint(&self) -> &str {
        self.encoder.fingerprint()
    }

    fn batch_passages(&self) -> usize {
        CALL_PASSAGES
    }

    fn encode_documents(
        &self,
        documents: &[&[PassageInput]],
    ) -> Result<Vec<Vec<PassageEncoding>>, ModelError> {
        let mut pipeline = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        let pipeline = &mut *pipeline;
        let blocks = pipeline.blocks.as_ref();
        let least_passages = blocks.map_or(usize::MAX, Blocks::least_passages);
        let alone = |document: &&[PassageInput]| document.len() < least_passages;
        let shared: Vec<&[PassageInput]> =
            documents.iter().copied().filter(|own| alone(own)).collect();
        let mut shared = pipeline.encode(&shared.concat())?.into_iter();
        let encode = |document: &&[PassageInput]| match (&mut pipeline.blocks, alone(document)) {
            (Some(blocks), false) => {
                blocks.encode(&mut pipeline.trunk, &mut pipeline.slots[0], document)
            }
            _ => Ok(shared.by_ref().take(document.len()).collect()),
        };
        documents.iter().map(encode).collect()
    }
}

/// The model on the GPU and the batches that pass through it.
struct Pipeline {
    trunk: Trunk,
    /// Where the model has any.
    blocks: Option<Blocks>,
    slots: Vec<Slot>,
}

/// A batch under way and its place to work in.
struct Slot {
    stream: Arc<CudaStream>,
    room: Room,
    batch: Batch,
}

impl Pipeline {
    fn new(encoder: &Encoder, stream: &Arc<CudaStream>) -> Result<Self, ModelError> {
        let trunk = Trunk::load(encoder, stream)?;
        let blocks = Blocks::load(encoder, stream)?;
        let slots = (0..N_SLOTS).map(|_| {
            let own = stream.context().new_stream().map_err(failed)?;
            Ok(Slot {
                room: Room::new(&own)?,
                stream: own,
                batch: Batch::default(),
            })
        });
        let slots = slots.collect::<Result<_, ModelError>>()?;
        // Weights and zeroed buffers are in place before another stream reads them.
        stream.context().synchronize().map_err(failed)?;
        Ok(Self {
            trunk,
            blocks,
            slots,
        })
    }

    /// Encodes passages in order.
    fn encode(&mut self, passages: &[PassageInput]) -> Result<Vec<PassageEncoding>, ModelError> {
        let batches = batches(passages);
        let mut encodings = Vec::with_capacity(passages.len());
        for (number, own) in batches.iter().enumerate() {
            if let Some(before) = number.checked_sub(N_SLOTS) {
                encodings.extend(self.finish(before)?);
            }
            self.start(number, &passages[own.clone()])?;
        }
        for number in batches.len().saturating_sub(N_SLOTS)..batches.len() {
            encodings.extend(self.finish(number)?);
        }
        Ok(encodings)
    }

    /// Lays batch `number` out and starts its copies and kernels.
    fn start(&mut self, number: usize, passages: &[PassageInput]) -> Result<(), ModelError> {
        let slot = &mut self.slots[number % N_SLOTS];
        slot.lay_out(passages)?;
        self.trunk.encode(&slot.batch, &slot.room, &slot.stream)?;
        slot.room.fetch(&slot.batch, &slot.stream)
    }

    /// Waits for batch `number` and unpacks it.
    fn finish(&mut self, number: usize) -> Result<Vec<PassageEncoding>, ModelError> {
        self.slots[number % N_SLOTS].unpack()
    }
}

impl Slot {
    /// Waits for what is under way, lays passages out and starts their copy to the GPU.
    fn lay_out(&mut self, passages: &[PassageInput]) -> Result<(), ModelError> {
        self.stream.synchronize().map_err(failed)?;
        self.batch = Batch::pack(passages, self.room.staged()?);
        self.room.send(&self.batch, &self.stream)
    }

    /// Waits for the batch and gives its encodings.
    fn unpack(&self) -> Result<Vec<PassageEncoding>, ModelError> {
        self.stream.synchronize().map_err(failed)?;
        let fetched = self.room.fetched(&self.batch)?;
        let passages = (0..self.batch.n_passages).into_par_iter();
        let encodings = passages.map(|passage| {
            let granules = self.batch.granules(passage);
            PassageEncoding {
                vector: fetched.vector(passage).to_vec(),
                keys: GranuleKeys {
                    codes: fetched.codes(granules.clone()).to_vec(),
                    scales: fetched.scales(granules).to_vec(),
                },
                n_prefix_granules: self.batch.n_prefix_granules[passage],
            }
        });
        Ok(encodings.collect())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // What is under way still uses the buffers; an error leaves nothing to wait for.
        self.stream.synchronize().unwrap_or_default();
    }
}

/// Cuts passages into batches that fit a slot.
fn batches(passages: &[PassageInput]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut first, mut n_tokens) = (0, 0);
    for (at, passage) in passages.iter().enumerate() {
        let length = passage.prefix.len() + passage.body.len() + 2;
        if n_tokens + length > MAX_BATCH_TOKENS || at - first == MAX_BATCH_PASSAGES {
            batches.push(first..at);
            (first, n_tokens) = (at, 0);
        }
        n_tokens += length;
    }
    if first < passages.len() {
        batches.push(first..passages.len());
    }
    batches
}
