//! The trunk in int8 on the processor: packs of whole passages, each through all layers on one thread.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use rayon::prelude::*;

use super::{
    ModelError,
    config::ModelConfig,
    int8_block::{BlockScratch, Int8Block, Norm},
    packed::PackedBatch,
    trunk::Trunk,
    weights::{MappedMatrix, WeightFile},
};
use crate::ops::simd::{Instructions, Isa, Kernel};

/// Tokens from which on a pack takes no further passage: its states fit into the second cache.
const PACK_TOKENS: usize = 256;

/// The pretrained trunk in int8.
pub struct Int8Trunk {
    words: MappedMatrix,
    /// Position and segment embedding added, `[max_positions, hidden]`.
    positions: Vec<f32>,
    norm: Norm,
    blocks: Vec<Int8Block>,
    hidden: usize,
    instructions: Instructions,
    /// Room to work in, one for each thread that has run.
    pool: Mutex<Vec<BlockScratch>>,
}

/// Consecutive passages and their states.
struct Pack<'a> {
    token_ids: &'a [u32],
    /// Borders of the passages within the pack.
    starts: Vec<usize>,
    states: &'a mut [f32],
}

impl Int8Trunk {
    /// Loads the trunk of a weight file in int8.
    pub fn load(config: &ModelConfig, file: &WeightFile) -> Result<Self, ModelError> {
        Self::load_with(config, file, file)
    }

    /// Loads the embeddings of one file and the layers of another.
    pub fn load_with(
        config: &ModelConfig,
        file: &WeightFile,
        layers: &WeightFile,
    ) -> Result<Self, ModelError> {
        let hidden = config.hidden_size;
        let mut positions = file
            .matrix("embeddings.position_embeddings.weight", hidden)?
            .dequantised();
        // Passages have one segment, so only the first row of the two is used.
        let segment = file
            .matrix("embeddings.token_type_embeddings.weight", hidden)?
            .dequantised();
        for position in positions.chunks_exact_mut(hidden) {
            position
                .iter_mut()
                .zip(&segment)
                .for_each(|(position, segment)| *position += segment);
        }
        let blocks = (0..config.num_hidden_layers).into_par_iter();
        Ok(Self {
            words: file.matrix("embeddings.word_embeddings.weight", hidden)?,
            positions,
            norm: Norm::load(file, "embeddings.LayerNorm", config)?,
            blocks: blocks
                .map(|layer| Int8Block::load(layers, &format!("encoder.layer.{layer}"), config))
                .collect::<Result<_, _>>()?,
            hidden,
            instructions: Instructions::best(),
            pool: Mutex::default(),
        })
    }

    fn packs<'a>(&self, batch: &'a PackedBatch, mut states: &'a mut [f32]) -> Vec<Pack<'a>> {
        let mut packs = Vec::new();
        let mut first = 0;
        for passage in 0..batch.len() {
            let tokens = batch.starts[first]..batch.starts[passage + 1];
            if tokens.len() < PACK_TOKENS && passage + 1 < batch.len() {
                continue;
            }
            let (own, rest) = std::mem::take(&mut states).split_at_mut(tokens.len() * self.hidden);
            states = rest;
            let borders = batch.starts[first..=passage + 1].iter();
            packs.push(Pack {
                token_ids: &batch.token_ids[tokens.clone()],
                starts: borders.map(|border| border - tokens.start).collect(),
                states: own,
            });
            first = passage + 1;
        }
        packs
    }
}

impl Trunk for Int8Trunk {
    fn n_layers(&self) -> usize {
        self.blocks.len()
    }

    fn run(
        &self,
        batch: &PackedBatch,
        layers: Range<usize>,
        states: &mut [f32],
    ) -> Result<(), ModelError> {
        let packs = self.packs(batch, states);
        packs.into_par_iter().for_each(|pack| {
            let pool = || self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            let mut scratch = pool().pop().unwrap_or_default();
            self.instructions.run(PackKernel {
                trunk: self,
                pack,
                layers: layers.clone(),
                scratch: &mut scratch,
            });
            pool().push(scratch);
        });
        Ok(())
    }
}

struct PackKernel<'a> {
    trunk: &'a Int8Trunk,
    pack: Pack<'a>,
    layers: Range<usize>,
    scratch: &'a mut BlockScratch,
}

impl Kernel for PackKernel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self {
            trunk,
            pack,
            layers,
            scratch,
        } = self;
        if layers.start == 0 {
            trunk.embed::<I>(pack.token_ids, &pack.starts, pack.states);
        }
        for block in &trunk.blocks[layers] {
            block.forward(isa, pack.states, &pack.starts, scratch);
        }
    }
}

impl Int8Trunk {
    /// The first states: word, position (from 0 in every passage) and segment embedding, then LayerNorm.
    #[inline(always)]
    fn embed<I: Isa>(&self, token_ids: &[u32], starts: &[usize], states: &mut [f32]) {
        let hidden = self.hidden;
        for tokens in starts.windows(2).map(|border| border[0]..border[1]) {
            let states =
                states[tokens.start * hidden..tokens.end * hidden].chunks_exact_mut(hidden);
            let positions = self.positions.chunks_exact(hidden);
            for ((state, position), id) in states.zip(positions).zip(&token_ids[tokens]) {
                let scale = self.words.scales[*id as usize];
                let word = self.words.row(*id as usize);
                for ((state, position), code) in state.iter_mut().zip(position).zip(word) {
                    *state = f32::from(*code) * scale + position;
                }
            }
        }
        self.norm.forward::<I>(states);
    }
}
