//! The trunk in f32 by candle: the reference of the int8 form, and what training starts from.
//!
//! Passages of like length share a padded tensor; the states leave packed again.

use std::ops::Range;

use candle_core::{DType, Device, Error, Result, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::{
    ModelError, config::ModelConfig, embeddings::Embeddings, local_block::LocalBlock,
    packed::PackedBatch, padded::PaddedRows, trunk::Trunk,
};

/// Passages that share one padded tensor, at most.
const GROUP_PASSAGES: usize = 16;

/// The pretrained trunk.
pub struct F32Trunk {
    embeddings: Embeddings,
    blocks: Vec<LocalBlock>,
    hidden: usize,
    device: Device,
}

/// Passages of like length, padded to the longest.
struct Group {
    passages: Vec<usize>,
    states: Tensor,
    mask: Tensor,
}

impl F32Trunk {
    pub fn load(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let layers = vb.pp("encoder").pp("layer");
        Ok(Self {
            embeddings: Embeddings::load(config, vb.pp("embeddings"))?,
            blocks: (0..config.num_hidden_layers)
                .map(|layer| LocalBlock::load(config, layers.pp(layer)))
                .collect::<Result<_>>()?,
            hidden: config.hidden_size,
            device: vb.device().clone(),
        })
    }

    /// The states behind the last layer, with gradients where weights have any.
    ///
    /// `token_ids` is `[batch, length]`, `mask` `[batch, 1, 1, length]` (0, or −∞ where a row is padded); the states are
    /// `[batch, length, hidden]`.
    pub fn forward(&self, token_ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        self.layers(0..self.blocks.len(), self.embed(token_ids)?, mask)
    }

    /// The states before the first layer.
    pub fn embed(&self, token_ids: &Tensor) -> Result<Tensor> {
        self.embeddings.forward(token_ids)
    }

    /// Takes states through some layers.
    pub fn layers(&self, layers: Range<usize>, states: Tensor, mask: &Tensor) -> Result<Tensor> {
        let mut blocks = self.blocks[layers].iter();
        blocks.try_fold(states, |states, block| block.forward(&states, mask))
    }

    fn groups(&self, batch: &PackedBatch) -> Result<Vec<Group>> {
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_by_key(|&passage| std::cmp::Reverse(batch.passage(passage).len()));
        order
            .chunks(GROUP_PASSAGES)
            .map(|passages| {
                let rows: Vec<&[u32]> = passages.iter().map(|&own| batch.passage(own)).collect();
                let padded = PaddedRows::new(&rows, &self.device)?;
                Ok(Group {
                    passages: passages.to_vec(),
                    states: self.embeddings.forward(&padded.token_ids)?,
                    mask: padded.mask,
                })
            })
            .collect()
    }

    fn pack(&self, groups: &[Group], batch: &PackedBatch) -> Result<Tensor> {
        let mut rows: Vec<Option<Tensor>> = vec![None; batch.len()];
        for group in groups {
            for (row, &passage) in group.passages.iter().enumerate() {
                let length = batch.passage(passage).len();
                rows[passage] = Some(group.states.get(row)?.narrow(0, 0, length)?);
            }
        }
        let rows: Vec<Tensor> = rows.into_iter().flatten().collect();
        if rows.is_empty() {
            return Tensor::zeros((0, self.hidden), DType::F32, &self.device);
        }
        Tensor::cat(&rows, 0)
    }

    fn unpack(&self, states: &Tensor, groups: &mut [Group], batch: &PackedBatch) -> Result<()> {
        for group in groups {
            let length = group.states.dim(1)?;
            let rows: Vec<Tensor> = group
                .passages
                .iter()
                .map(|&passage| {
                    let own = batch.passage(passage).len();
                    states
                        .narrow(0, batch.starts[passage], own)?
                        .pad_with_zeros(0, 0, length - own)
                })
                .collect::<Result<_>>()?;
            group.states = Tensor::stack(&rows, 0)?;
        }
        Ok(())
    }
}

impl Trunk for F32Trunk {
    fn n_layers(&self) -> usize {
        self.blocks.len()
    }

    fn run(
        &self,
        batch: &PackedBatch,
        layers: Range<usize>,
        states: &mut [f32],
    ) -> std::result::Result<(), ModelError> {
        let mut groups = self.groups(batch)?;
        if layers.start > 0 {
            let shape = (batch.token_ids.len(), self.hidden);
            let states = Tensor::from_slice(states, shape, &self.device)?;
            self.unpack(&states, &mut groups, batch)?;
        }
        for block in &self.blocks[layers] {
            groups.par_iter_mut().try_for_each(|group| {
                group.states = block.forward(&group.states, &group.mask)?;
                Ok::<_, Error>(())
            })?;
        }
        let packed = self.pack(&groups, batch)?.flatten_all()?.to_vec1()?;
        states.copy_from_slice(&packed);
        Ok(())
    }
}
