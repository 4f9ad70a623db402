//! The encoder as it learns: the trunk and the granule head in f32, with gradients.
//!
//! What it computes is what the index stores and the question asks: unit vectors, granule keys pooled by idf, and for
//! each word piece of a question its weight and those of the levels. Keys are not quantised here.

use std::{collections::HashMap, ops::Range};

use anyhow::Result;
use candle_core::{D, Device, IndexOp, Tensor};
use candle_nn::ops::softmax;

use super::{
    batch::{Batch, BatchPassage},
    rows::{self, Group, Packing},
};
use crate::{
    model::{
        config::ModelConfig,
        f32_trunk::F32Trunk,
        global::{F32GlobalBlock, GLOBAL_AFTER_LAYERS, GlobalConfig, block_name},
        granule::{GRANULE_TOKENS, GranuleTables, N_LEVELS},
        trunk::Trunk,
        weights::var_builder,
    },
    ops::granule_keys::KEY_DIMENSIONS,
};

/// What the names of the granule head's tensors begin with.
const HEADS: &str = "granules";
/// Keeps a vector of zeros from being divided by nothing.
const TINY: f64 = 1e-12;

/// Trunk, global blocks and granule head.
pub struct Learner {
    trunk: F32Trunk,
    /// One for each of [`GLOBAL_AFTER_LAYERS`], or none.
    blocks: Vec<F32GlobalBlock>,
    projection: Tensor,
    token_weight: Tensor,
    level_weight: Tensor,
    level_bias: Tensor,
    idf: Vec<f32>,
    hidden: usize,
    device: Device,
}

/// What the learner makes of the passages of a batch, in its order.
pub struct Passages {
    /// `[n_passages, hidden]`, unit length.
    pub vectors: Tensor,
    /// `[n_passages, n_granules, KEY_DIMENSIONS]`; granules that a passage lacks are zeros.
    pub keys: Tensor,
}

/// What it makes of the questions, in their order.
pub struct Questions {
    /// `[n_questions, hidden]`, unit length.
    pub vectors: Tensor,
    /// `[n_questions, n_tokens, KEY_DIMENSIONS]`.
    pub keys: Tensor,
    /// `[n_questions, n_tokens]`; each question's add up to 1, padding weighs nothing.
    pub weights: Tensor,
    /// `[n_questions, n_tokens, 4]`: passage, neighbours, section, document; each token's add up to 1.
    pub levels: Tensor,
}

impl Learner {
    /// The model of `tensors`: the trunk's and the blocks' under their names, the granule head's under [`HEADS`].
    pub fn load(
        config: &ModelConfig,
        tensors: HashMap<String, Tensor>,
        idf: &[f32],
        device: &Device,
    ) -> Result<Self> {
        let vb = var_builder(tensors, device);
        let (hidden, heads) = (config.hidden_size, vb.pp(HEADS));
        let block = |shape: &GlobalConfig, layer: usize| {
            F32GlobalBlock::load(shape.clone(), hidden, vb.pp(block_name(layer)))
        };
        let blocks = config.global.iter();
        let blocks = blocks.flat_map(|shape| GLOBAL_AFTER_LAYERS.map(|layer| block(shape, layer)));
        Ok(Self {
            blocks: blocks.collect::<std::result::Result<_, _>>()?,
            projection: heads.get((KEY_DIMENSIONS, hidden), "projection")?,
            token_weight: heads.get((1, hidden), "token_weight")?,
            level_weight: heads.get((N_LEVELS, hidden), "level_weight")?,
            level_bias: heads.get(N_LEVELS, "level_bias")?,
            trunk: F32Trunk::load(config, vb)?,
            idf: idf.to_vec(),
            hidden,
            device: device.clone(),
        })
    }

    /// The granule head as it is now.
    pub fn tables(&self) -> Result<GranuleTables> {
        let values = |tensor: &Tensor| -> Result<Vec<f32>> { Ok(tensor.flatten_all()?.to_vec1()?) };
        Ok(GranuleTables {
            projection: values(&self.projection)?,
            token_weight: values(&self.token_weight)?,
            level_weight: values(&self.level_weight)?,
            level_bias: values(&self.level_bias)?,
            idf: self.idf.clone(),
        })
    }

    /// Vectors and granule keys of a batch's passages.
    pub fn passages(&self, batch: &Batch) -> Result<Passages> {
        let tokens: Vec<&[u32]> = batch
            .passages
            .iter()
            .map(|own| own.tokens.as_slice())
            .collect();
        let pooled: Vec<Vec<Vec<(usize, f32)>>> = batch
            .passages
            .iter()
            .map(|own| self.granules(own))
            .collect();
        let n_granules = pooled.iter().map(Vec::len).max().unwrap_or(1);
        let (mut vectors, mut keys) = (Vec::new(), Vec::new());
        let groups = rows::groups(&tokens, &self.device)?;
        let states = self.states(&tokens, &groups, batch)?;
        for (group, states) in groups.iter().zip(states) {
            vectors.push(self.mean(&states, group)?);
            let length = group.padded.length;
            let mut shares = vec![0f32; group.rows.len() * n_granules * length];
            for (at, &row) in group.rows.iter().enumerate() {
                for (granule, tokens) in pooled[row].iter().enumerate() {
                    for (token, weight) in tokens {
                        shares[(at * n_granules + granule) * length + token] = *weight;
                    }
                }
            }
            let shape = (group.rows.len(), n_granules, length);
            let shares = Tensor::from_vec(shares, shape, &self.device)?;
            keys.push(unit(&shares.matmul(&self.token_keys(&states)?)?)?);
        }
        Ok(Passages {
            vectors: rows::in_order(&vectors, &groups)?,
            keys: rows::in_order(&keys, &groups)?,
        })
    }

    /// The states of every group of a batch's passages, `[batch, length, hidden]` each.
    fn states(&self, tokens: &[&[u32]], groups: &[Group], batch: &Batch) -> Result<Vec<Tensor>> {
        let embed = |group: &Group| self.trunk.embed(&group.padded.token_ids);
        let mut states = groups
            .iter()
            .map(embed)
            .collect::<candle_core::Result<Vec<_>>>()?;
        let mut done = 0;
        if !self.blocks.is_empty() {
            let packing = Packing::new(tokens, groups, &self.device)?;
            for (block, layer) in self.blocks.iter().zip(GLOBAL_AFTER_LAYERS) {
                let own = self.layers(done..layer, states, groups)?;
                states = packing.unpack(&see_documents(block, &packing.pack(&own)?, batch)?)?;
                done = layer;
            }
        }
        self.layers(done..self.trunk.n_layers(), states, groups)
    }

    /// Takes the states of groups through some layers.
    fn layers(
        &self,
        layers: Range<usize>,
        states: Vec<Tensor>,
        groups: &[Group],
    ) -> Result<Vec<Tensor>> {
        let groups = states.into_iter().zip(groups);
        groups
            .map(|(own, group)| {
                let states = self.trunk.layers(layers.clone(), own, &group.padded.mask)?;
                Ok(states)
            })
            .collect()
    }

    /// Vectors, keys and weights of a batch's questions.
    pub fn questions(&self, batch: &Batch) -> Result<Questions> {
        let tokens: Vec<&[u32]> = batch
            .questions
            .iter()
            .map(|own| own.tokens.as_slice())
            .collect();
        // One group, so that the questions share a length.
        let group = rows::group((0..tokens.len()).collect(), &tokens, &self.device)?;
        let states = self
            .trunk
            .forward(&group.padded.token_ids, &group.padded.mask)?;
        let mut idf = vec![0f32; tokens.len() * group.padded.length];
        for (row, tokens) in idf.chunks_exact_mut(group.padded.length).zip(&tokens) {
            row.iter_mut()
                .zip(*tokens)
                .for_each(|(idf, token)| *idf = self.idf[*token as usize]);
        }
        let idf = Tensor::from_vec(idf, (tokens.len(), group.padded.length), &self.device)?;
        let learned = states
            .broadcast_matmul(&self.token_weight.t()?)?
            .squeeze(2)?
            .exp()?;
        let weights = (idf * learned)?;
        let levels = states
            .broadcast_matmul(&self.level_weight.t()?)?
            .broadcast_add(&self.level_bias)?;
        Ok(Questions {
            vectors: self.mean(&states, &group)?,
            keys: self.token_keys(&states)?,
            weights: weights.broadcast_div(&(weights.sum_keepdim(D::Minus1)? + TINY)?)?,
            levels: softmax(&levels, D::Minus1)?,
        })
    }

    /// Which tokens each granule of a passage pools, and with what idf.
    fn granules(&self, passage: &BatchPassage) -> Vec<Vec<(usize, f32)>> {
        let weighted = |token: usize| (token, self.idf[passage.tokens[token] as usize]);
        let head = match passage.n_prefix {
            0 => 0..0,
            n_prefix => 0..1 + n_prefix,
        };
        let body = 1 + passage.n_prefix..passage.tokens.len() - 1;
        let granules = [head, body].into_iter().flat_map(|part| {
            let starts = part.clone().step_by(GRANULE_TOKENS);
            starts.map(move |start| start..(start + GRANULE_TOKENS).min(part.end))
        });
        granules
            .map(|tokens| tokens.map(weighted).collect())
            .collect()
    }

    /// `states` `[batch, length, hidden]` → unit keys `[batch, length, KEY_DIMENSIONS]`.
    fn token_keys(&self, states: &Tensor) -> Result<Tensor> {
        unit(&states.broadcast_matmul(&self.projection.t()?)?)
    }

    /// `states` `[batch, length, hidden]` → the unit mean of each row's own, `[batch, hidden]`.
    fn mean(&self, states: &Tensor, group: &Group) -> Result<Tensor> {
        let (batch, _, _) = states.dims3()?;
        let shares = group.shares.reshape((batch, 1, group.padded.length))?;
        unit(&shares.matmul(states)?.reshape((batch, self.hidden))?)
    }
}

impl Questions {
    /// The cosine of every question with every passage, `[n_questions, n_passages]`.
    pub fn dense(&self, passages: &Passages) -> Result<Tensor> {
        Ok(self.vectors.matmul(&passages.vectors.t()?)?)
    }

    /// The attention of every question to every passage at all its levels, `[n_questions, n_passages]`.
    pub fn late(&self, passages: &Passages, batch: &Batch) -> Result<Tensor> {
        let (n_questions, n_tokens, _) = self.keys.dims3()?;
        let (n_passages, n_granules, _) = passages.keys.dims3()?;
        let asked = self
            .keys
            .reshape((n_questions * n_tokens, KEY_DIMENSIONS))?;
        let keys = passages
            .keys
            .reshape((n_passages * n_granules, KEY_DIMENSIONS))?;
        let own = asked
            .matmul(&keys.t()?)?
            .reshape((n_questions * n_tokens, n_passages, n_granules))?
            .max(D::Minus1)?; // [n_questions · n_tokens, n_passages]
        let sections: Vec<_> = batch
            .passages
            .iter()
            .map(|own| own.section.clone())
            .collect();
        let documents: Vec<_> = batch
            .passages
            .iter()
            .map(|own| own.document.clone())
            .collect();
        let levels = [
            own.clone(),
            rows::max_beside(&own, &documents)?,
            rows::max_over(&own, &sections)?,
            rows::max_over(&own, &documents)?,
        ];
        let mut score = own.zeros_like()?;
        let shares = self
            .levels
            .reshape((n_questions * n_tokens, levels.len()))?;
        for (level, matches) in levels.iter().enumerate() {
            score = (score + matches.broadcast_mul(&shares.i((.., level..level + 1))?)?)?;
        }
        let weights = self.weights.reshape((n_questions, 1, n_tokens))?;
        let score = score.reshape((n_questions, n_tokens, n_passages))?;
        Ok(weights.matmul(&score)?.squeeze(1)?)
    }
}

/// The states of a batch's tokens, `[n_tokens, hidden]`, with what each document's block adds.
fn see_documents(block: &F32GlobalBlock, states: &Tensor, batch: &Batch) -> Result<Tensor> {
    let mut seen = Vec::new();
    let mut first = 0;
    for passages in batch.passages.chunk_by(|a, b| a.document == b.document) {
        let mut starts = vec![0];
        for passage in passages {
            starts.push(starts[starts.len() - 1] + passage.tokens.len());
        }
        let n_tokens = starts[passages.len()];
        seen.push(block.forward(&states.narrow(0, first, n_tokens)?, &starts)?);
        first += n_tokens;
    }
    Ok(Tensor::cat(&seen, 0)?)
}

/// The granule head's tensors under the names that [`Learner::load`] looks for.
pub fn head_tensors(tables: &GranuleTables, hidden: usize) -> Result<HashMap<String, Tensor>> {
    let heads: [(&str, &[f32], &[usize]); 4] = [
        ("projection", &tables.projection, &[KEY_DIMENSIONS, hidden]),
        ("token_weight", &tables.token_weight, &[1, hidden]),
        ("level_weight", &tables.level_weight, &[N_LEVELS, hidden]),
        ("level_bias", &tables.level_bias, &[N_LEVELS]),
    ];
    let tensors = heads.into_iter().map(|(name, values, shape)| {
        let tensor = Tensor::from_slice(values, shape, &Device::Cpu)?;
        Ok((format!("{HEADS}.{name}"), tensor))
    });
    tensors.collect()
}

/// Rows of the last dimension to unit length.
pub fn unit(values: &Tensor) -> Result<Tensor> {
    let length = (values.sqr()?.sum_keepdim(D::Minus1)? + TINY)?.sqrt()?;
    Ok(values.broadcast_div(&length)?)
}
