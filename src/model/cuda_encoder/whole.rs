//! Documents whose passages see each other: the layers of the trunk and the global blocks in turn, over the states of
//! the whole document, which stay on the GPU.

use std::{ops::Range, sync::Arc};

use candle_core::cuda_backend::cudarc::driver::{CudaStream, result};
use half::bf16;

use super::{
    Slot, batches,
    global::{Document, GlobalBlock, Layout, ProjectionRoom, refusal},
    memory::{Address, Buffer, HIDDEN, failed},
    trunk::{ROWS_STEP, Trunk},
};
use crate::model::{
    Encoder, ModelError, PassageEncoding, PassageInput,
    global::{GLOBAL_AFTER_LAYERS, GlobalConfig, GlobalWeights, block_name},
    save::GLOBAL_FILE,
    weights::WeightFile,
};

/// Bytes of a token's state.
const STATE_BYTES: usize = HIDDEN * size_of::<bf16>();

/// The global blocks of a model.
pub struct Blocks {
    config: GlobalConfig,
    blocks: Vec<GlobalBlock>,
}

/// Passages that go through the layers together, and their tokens in the document.
struct Chunk {
    passages: Range<usize>,
    tokens: Range<usize>,
}

impl Blocks {
    /// The blocks of `encoder`'s model, if it has any.
    ///
    /// # Errors
    /// When they cannot be read, or are of a kind that runs on the CPU only.
    pub fn load(encoder: &Encoder, stream: &Arc<CudaStream>) -> Result<Option<Self>, ModelError> {
        let Some(config) = &encoder.config().global else {
            return Ok(None);
        };
        let file = WeightFile::open(&encoder.folder().join(GLOBAL_FILE))?;
        let names = GLOBAL_AFTER_LAYERS.map(block_name);
        let weights = names
            .iter()
            .map(|name| GlobalWeights::load(&file, name, config, HIDDEN))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(reason) = refusal(config, &weights) {
            return Err(ModelError::GpuBlocks(reason));
        }
        let blocks = weights.iter();
        let blocks = blocks.map(|own| GlobalBlock::new(config, own, stream));
        Ok(Some(Self {
            config: config.clone(),
            blocks: blocks.collect::<Result<_, _>>()?,
        }))
    }

    /// Documents of fewer passages pass unchanged.
    pub fn least_passages(&self) -> usize {
        self.config.least_passages
    }

    /// Encodes the passages of one document, in order.
    pub fn encode(
        &mut self,
        trunk: &mut Trunk,
        slot: &mut Slot,
        passages: &[PassageInput],
    ) -> Result<Vec<PassageEncoding>, ModelError> {
        let stream = slot.stream.clone();
        let borders = borders(passages);
        let n_tokens = borders[passages.len()] as usize;
        let n_rows = n_tokens.next_multiple_of(ROWS_STEP);
        let states = Buffer::new(n_rows * STATE_BYTES, &stream)?;
        let document = Document::new(Layout::new(&self.config, &borders), n_rows, &stream)?;
        let projections = ProjectionRoom::new(&self.config, n_rows, &stream)?;
        let chunks: Vec<Chunk> = batches(passages)
            .into_iter()
            .map(|own| Chunk {
                tokens: borders[own.start] as usize..borders[own.end] as usize,
                passages: own,
            })
            .collect();
        let mut done = 0;
        for (block, layer) in self.blocks.iter_mut().zip(GLOBAL_AFTER_LAYERS) {
            for chunk in &chunks {
                slot.lay_out(&passages[chunk.passages.clone()])?;
                match done {
                    0 => trunk.embed(&slot.batch, &slot.room, &stream)?,
                    _ => chunk.copy(
                        &stream,
                        (&states, chunk.tokens.start),
                        (&slot.room.states, 0),
                    )?,
                }
                trunk.run(&slot.batch, done..layer, &slot.room, &stream)?;
                chunk.copy(
                    &stream,
                    (&slot.room.states, 0),
                    (&states, chunk.tokens.start),
                )?;
            }
            done = layer;
            let lt = (trunk.library(), &slot.room.workspace);
            block.run(lt, &stream, (&states, &document), &projections)?;
        }
        let mut encodings = Vec::with_capacity(passages.len());
        for chunk in &chunks {
            slot.lay_out(&passages[chunk.passages.clone()])?;
            chunk.copy(
                &stream,
                (&states, chunk.tokens.start),
                (&slot.room.states, 0),
            )?;
            trunk.run(&slot.batch, done..trunk.n_layers(), &slot.room, &stream)?;
            trunk.finish(&slot.batch, &slot.room, &stream)?;
            slot.room.fetch(&slot.batch, &stream)?;
            encodings.extend(slot.unpack()?);
        }
        Ok(encodings)
    }
}

impl Chunk {
    /// Copies the chunk's states between buffers, from and to the rows that are given.
    fn copy(
        &self,
        stream: &CudaStream,
        from: (&Buffer, usize),
        to: (&Buffer, usize),
    ) -> Result<(), ModelError> {
        let place =
            |(buffer, row): (&Buffer, usize)| buffer.address() + (row * STATE_BYTES) as Address;
        let n_bytes = self.tokens.len() * STATE_BYTES;
        // SAFETY: both buffers hold the chunk's rows, and the stream keeps the order of what uses them.
        unsafe { result::memcpy_dtod_async(place(to), place(from), n_bytes, stream.cu_stream()) }
            .map_err(failed)
    }
}

/// Borders of passages in tokens, `[CLS]` and `[SEP]` included.
fn borders(passages: &[PassageInput]) -> Vec<u32> {
    let mut borders = vec![0];
    for passage in passages {
        let length = passage.prefix.len() + passage.body.len() + 2;
        borders.push(borders[borders.len() - 1] + length as u32);
    }
    borders
}
