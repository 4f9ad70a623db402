//! Stage 1: trunk and granule head by contrast of passages.
//!
//! A question's passages are told from all of the batch, and from the others of their document, once by vectors and
//! once by granules at all levels.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};

use super::{
    Figures, Start, Task,
    batch::Batch,
    learner::{Learner, head_tensors},
    optimiser::{Optimiser, Parameter, learnable},
    recipe::Recipe,
};
use crate::model::save;

/// What cosines are multiplied by before the softmax.
const DENSE_SCALE: f64 = 20.0;
const LATE_SCALE: f64 = 20.0;
/// Stands for −∞ where a gradient passes.
const NEVER: f32 = -1e4;

/// The retrieval stage.
pub struct Retrieval {
    learner: Learner,
    device: Device,
}

impl Retrieval {
    pub fn new(start: &Start, recipe: &Recipe, device: &Device) -> Result<(Self, Vec<Parameter>)> {
        let heads = head_tensors(&start.tables, start.config.hidden_size)?;
        let rates = &recipe.optimiser;
        let rate = |name: &str| {
            let rate = match (heads.contains_key(name), start.global.contains_key(name)) {
                (true, _) => rates.head_learning_rate,
                (_, true) => rates.global_learning_rate,
                _ if learns(name, recipe.frozen_layers) => rates.learning_rate,
                _ => 0.0,
            };
            (rate > 0.0).then_some(rate)
        };
        let all = start.trunk.iter().chain(&heads).chain(&start.global);
        let (tensors, parameters) = learnable(all, rate, device)?;
        let learner = Learner::load(&start.config, tensors, &start.tables.idf, device)?;
        let device = device.clone();
        Ok((Self { learner, device }, parameters))
    }

    /// Dense and late scores, `[n_questions, n_passages]` each.
    fn scores(&self, batch: &Batch) -> Result<[(&'static str, Tensor); 2]> {
        let passages = self.learner.passages(batch)?;
        let questions = self.learner.questions(batch)?;
        let dense = (questions.dense(&passages)? * DENSE_SCALE)?;
        let late = (questions.late(&passages, batch)? * LATE_SCALE)?;
        Ok([("dense", dense), ("late", late)])
    }
}

impl Task for Retrieval {
    fn loss(&self, batch: &Batch) -> Result<(Tensor, Figures)> {
        let asked = &batch.questions;
        let right = mask(batch, &self.device, |question, passage| {
            asked[question].passages.contains(&passage)
        })?;
        let same = mask(batch, &self.device, |question, passage| {
            asked[question].document.contains(&passage)
        })?;
        let mut total = Tensor::zeros((), DType::F32, &self.device)?;
        let mut figures = Figures::new();
        for (name, scores) in self.scores(batch)? {
            let own = (&scores + &right)?.log_sum_exp(D::Minus1)?;
            let all = (scores.log_sum_exp(D::Minus1)? - &own)?.mean_all()?;
            let near = ((&scores + &same)?.log_sum_exp(D::Minus1)? - &own)?.mean_all()?;
            figures.insert(format!("{name}/all"), f64::from(all.to_scalar::<f32>()?));
            figures.insert(
                format!("{name}/document"),
                f64::from(near.to_scalar::<f32>()?),
            );
            total = ((total + all)? + near)?;
        }
        Ok((total, figures))
    }

    /// Mean reciprocal rank of the first right passage in the batch.
    fn validate(&self, batch: &Batch) -> Result<Figures> {
        let [(_, dense), (_, late)] = self.scores(batch)?;
        let sum = (&dense + &late)?;
        let mut figures = Figures::new();
        for (name, scores) in [("dense", dense), ("late", late), ("sum", sum)] {
            let scores: Vec<Vec<f32>> = scores.to_vec2()?;
            let ranks = scores
                .iter()
                .zip(&batch.questions)
                .map(|(scores, question)| {
                    let best = question
                        .passages
                        .iter()
                        .map(|&at| scores[at])
                        .fold(f32::MIN, f32::max);
                    1.0 / (1 + scores.iter().filter(|&&score| score > best).count()) as f64
                });
            let mean = ranks.sum::<f64>() / batch.questions.len().max(1) as f64;
            figures.insert(format!("{name}/mrr"), mean);
        }
        Ok(figures)
    }

    fn save(
        &self,
        optimiser: &Optimiser,
        start: &Start,
        share: f64,
        folder: &std::path::Path,
    ) -> Result<()> {
        let mut trunk: HashMap<String, Tensor> = start.trunk.clone();
        for parameter in optimiser.parameters() {
            if let Some(first) = start.trunk.get(&parameter.name) {
                let trained = parameter.var.to_device(&Device::Cpu)?;
                let mixed = ((trained * share)? + (first * (1.0 - share))?)?;
                trunk.insert(parameter.name.clone(), mixed);
            }
        }
        save::trunk(&trunk, &folder.join("model.safetensors"))?;
        save::granules(&self.learner.tables()?, folder)?;
        if !start.global.is_empty() {
            let parameters = optimiser.parameters().iter();
            let trained = parameters.map(|own| (own.name.clone(), own.var.as_tensor().clone()));
            let mut blocks = start.global.clone();
            blocks.extend(trained.filter(|(name, _)| start.global.contains_key(name)));
            save::trunk(&blocks, &folder.join(save::GLOBAL_FILE))?;
        }
        Ok(())
    }
}

/// `[n_questions, n_passages]`: 0 where `holds`, [`NEVER`] elsewhere.
fn mask(batch: &Batch, device: &Device, holds: impl Fn(usize, usize) -> bool) -> Result<Tensor> {
    let shape = (batch.questions.len(), batch.passages.len());
    let mut values = Vec::with_capacity(shape.0 * shape.1);
    for question in 0..shape.0 {
        values.extend((0..shape.1).map(|passage| match holds(question, passage) {
            true => 0.0,
            false => NEVER,
        }));
    }
    Ok(Tensor::from_vec(values, shape, device)?)
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
