//! The encoder as it learns: the trunk and the granule head in f32, with gradients.
//!
//! What it computes is what the index stores and the question asks: unit vectors, granule keys pooled by idf, and for
//! each word piece of a question its weight and those of the levels. Keys are not quantised here.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{D, Device, IndexOp, Tensor, Var};
use candle_nn::ops::softmax;

use super::{
    batch::{Batch, BatchPassage},
    optimiser::Parameter,
    recipe::Recipe,
    rows::{self, Group},
};
use crate::{
    model::{
        config::ModelConfig,
        f32_trunk::F32Trunk,
        granule::{GRANULE_TOKENS, GranuleTables},
        weights::var_builder,
    },
    ops::granule_keys::KEY_DIMENSIONS,
};

/// Rows of tables that are learned; idf stays.
const HEADS: &str = "granules.";
/// Keeps a vector of zeros from being divided by nothing.
const TINY: f64 = 1e-12;

/// Trunk and granule head.
pub struct Learner {
    trunk: F32Trunk,
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
    /// The model of the start, and what of it `recipe` lets learn.
    pub fn new(
        config: &ModelConfig,
        trunk: &HashMap<String, Tensor>,
        tables: &GranuleTables,
        recipe: &Recipe,
        device: &Device,
    ) -> Result<(Self, Vec<Parameter>)> {
        let mut parameters = Vec::new();
        let mut learned = |name: &str, tensor: &Tensor, rate: f64| -> Result<Tensor> {
            let var = Var::from_tensor(&tensor.to_device(device)?)?;
            let tensor = var.as_tensor().clone();
            let name = name.to_owned();
            parameters.push(Parameter { name, var, rate });
            Ok(tensor)
        };
        let mut tensors = HashMap::new();
        let mut names: Vec<&String> = trunk.keys().collect();
        names.sort_unstable();
        for name in names {
            let tensor = match learns(name, recipe.frozen_layers) {
                true => learned(name, &trunk[name], recipe.optimiser.learning_rate)?,
                false => trunk[name].to_device(device)?,
            };
            tensors.insert(name.clone(), tensor);
        }
        let hidden = config.hidden_size;
        let rate = recipe.optimiser.head_learning_rate;
        let mut head = |name: &str, values: &[f32], shape: &[usize]| {
            let tensor = Tensor::from_slice(values, shape, &Device::Cpu)?;
            learned(&format!("{HEADS}{name}"), &tensor, rate)
        };
        let learner = Self {
            projection: head("projection", &tables.projection, &[KEY_DIMENSIONS, hidden])?,
            token_weight: head("token_weight", &tables.token_weight, &[1, hidden])?,
            level_weight: head("level_weight", &tables.level_weight, &[4, hidden])?,
            level_bias: head("level_bias", &tables.level_bias, &[4])?,
            trunk: F32Trunk::load(config, var_builder(tensors, device))?,
            idf: tables.idf.clone(),
            hidden,
            device: device.clone(),
        };
        Ok((learner, parameters))
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
        for group in &groups {
            let states = self.trunk.forward(&group.token_ids, &group.mask)?;
            vectors.push(self.mean(&states, group)?);
            let length = group.length;
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

    /// Vectors, keys and weights of a batch's questions.
    pub fn questions(&self, batch: &Batch) -> Result<Questions> {
        let tokens: Vec<&[u32]> = batch
            .questions
            .iter()
            .map(|own| own.tokens.as_slice())
            .collect();
        // One group, so that the questions share a length.
        let group = rows::group((0..tokens.len()).collect(), &tokens, &self.device)?;
        let states = self.trunk.forward(&group.token_ids, &group.mask)?;
        let mut idf = vec![0f32; tokens.len() * group.length];
        for (row, tokens) in idf.chunks_exact_mut(group.length).zip(&tokens) {
            row.iter_mut()
                .zip(*tokens)
                .for_each(|(idf, token)| *idf = self.idf[*token as usize]);
        }
        let idf = Tensor::from_vec(idf, (tokens.len(), group.length), &self.device)?;
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

    /// The states behind the last layer of one group.
    pub fn states(&self, group: &Group) -> Result<Tensor> {
        Ok(self.trunk.forward(&group.token_ids, &group.mask)?)
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
        let shares = group.shares.reshape((batch, 1, group.length))?;
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

/// Whether a tensor of the trunk learns when the lowest layers do not.
fn learns(name: &str, frozen_layers: usize) -> bool {
    let layer = name.strip_prefix("encoder.layer.");
    let layer = layer.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    match layer {
        Some(layer) => layer >= frozen_layers,
        None => frozen_layers == 0,
    }
}

/// Rows of the last dimension to unit length.
fn unit(values: &Tensor) -> Result<Tensor> {
    let length = (values.sqr()?.sum_keepdim(D::Minus1)? + TINY)?.sqrt()?;
    Ok(values.broadcast_div(&length)?)
}
