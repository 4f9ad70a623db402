//! How are the weights made? Here is a recipe, gimme a model's folder: [`train`].
//!
//! A step draws a batch by its number, so a run that was stopped goes on from its last checkpoint as if it had not
//! been. What a stage adds to this loop is a [`Task`].

mod abstraction;
mod batch;
mod checkpoint;
mod examples;
mod headings;
mod learner;
mod optimiser;
mod reader;
mod recipe;
mod recurring;
mod retrieval;
mod rows;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        config::ModelConfig,
        global::{GLOBAL_AFTER_LAYERS, GlobalConfig, GlobalWeights, block_name},
        granule::GranuleTables,
        load_config, save,
        weights::WeightFile,
    },
    text::Tokenizer,
};

pub use abstraction::{
    AbstractionRecipe, AbstractionStage, LearnedAbstraction, Sibling, learn_abstraction,
};
use batch::{Batch, Part, Pool, Sampler};
use checkpoint::Checkpoint;
pub use headings::{Headings, Named, read_headings};
use optimiser::{Gradients, Optimiser, Parameter};
pub use recipe::{Recipe, Stage};

/// Named numbers of a step.
pub type Figures = BTreeMap<String, f64>;

/// Where a run reads and writes.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The model that training starts from.
    pub start: PathBuf,
    /// What the recipe's sources are below.
    pub data: PathBuf,
    /// Gets the model, `metrics.jsonl` and the checkpoint.
    pub output: PathBuf,
    pub device: Device,
}

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: usize,
    pub n_steps: usize,
    pub loss: f64,
    /// The parts of the loss.
    pub parts: Figures,
    /// Length of the gradient before clipping.
    pub gradient: f64,
    /// Learning rate of the trunk.
    pub rate: f64,
    pub tokens_per_second: f64,
    /// Figures on held-out documents, where the step took a look.
    #[serde(default, skip_serializing_if = "Figures::is_empty")]
    pub validation: Figures,
}

/// The model that training starts from.
struct Start {
    /// With the global blocks that the recipe trains, and no others.
    config: ModelConfig,
    tokenizer: Tokenizer,
    trunk: HashMap<String, Tensor>,
    tables: GranuleTables,
    /// Of the blocks.
    global: HashMap<String, Tensor>,
}

impl Start {
    fn load(folder: &Path, global: Option<&GlobalConfig>) -> Result<Self> {
        let mut config = load_config(folder)?;
        let trunk = WeightFile::open(&folder.join("model.safetensors"))?;
        let tables = WeightFile::open(&folder.join("granules.safetensors"))?;
        let tables = GranuleTables::load(&tables, config.hidden_size, config.vocab_size)?;
        let blocks = match global {
            Some(shape) if config.global.as_ref() == Some(shape) => {
                WeightFile::open(&folder.join(save::GLOBAL_FILE))?.dequantised(&Device::Cpu)?
            }
            Some(shape) => fresh_blocks(shape, &tables, config.hidden_size)?,
            None => HashMap::new(),
        };
        config.global = global.cloned();
        Ok(Self {
            trunk: trunk.dequantised(&Device::Cpu)?,
            tokenizer: Tokenizer::from_file(&folder.join("tokenizer.json"))?,
            tables,
            global: blocks,
            config,
        })
    }
}

/// Blocks that add nothing yet.
fn fresh_blocks(
    shape: &GlobalConfig,
    tables: &GranuleTables,
    hidden: usize,
) -> Result<HashMap<String, Tensor>> {
    let weights = GlobalWeights::start(shape, &tables.projection, hidden);
    let mut tensors = HashMap::new();
    for layer in GLOBAL_AFTER_LAYERS {
        let own = weights.tensors(shape, hidden, &Device::Cpu)?.into_iter();
        let prefix = block_name(layer);
        tensors.extend(own.map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
    }
    Ok(tensors)
}

/// What a stage learns by.
trait Task {
    /// The loss of a batch, with gradients, and its parts.
    fn loss(&self, batch: &Batch) -> Result<(Tensor, Figures)>;

    /// How good the model is on a batch of held-out documents.
    fn validate(&self, batch: &Batch) -> Result<Figures>;

    /// Writes the weights, of which `share` are trained and the rest the start's.
    fn save(&self, optimiser: &Optimiser, start: &Start, share: f64, folder: &Path) -> Result<()>;
}

/// Follows `recipe` and writes the model; `progress` hears of every step.
///
/// A run that was stopped goes on from its last checkpoint when it is started again.
///
/// # Errors
/// When a file cannot be read or written; the message names it.
pub fn train(
    recipe: &Recipe,
    options: &TrainOptions,
    progress: &dyn Fn(&StepReport),
) -> Result<()> {
    let start = Start::load(&options.start, recipe.global.as_ref())?;
    let pools = pools(recipe, &options.data, &start.tokenizer)?;
    let sampler = Sampler::new(pools, recipe.batch, recipe.seed)?;
    // Products of f32 in fewer bits, where the device has units for that.
    candle_core::cuda::set_gemm_reduced_precision_f32(true);
    let (task, parameters) = task(recipe, &start, &options.device)?;
    let mut optimiser = Optimiser::new(parameters, recipe.optimiser, recipe.steps)?;
    std::fs::create_dir_all(&options.output)
        .with_context(|| format!("cannot create {}", options.output.display()))?;
    let checkpoint = Checkpoint::new(&options.output, recipe);
    checkpoint.resume(&mut optimiser, &options.device)?;
    let mut metrics = checkpoint.metrics(optimiser.done())?;
    while optimiser.done() < recipe.steps {
        let report = step(recipe, &sampler, task.as_ref(), &mut optimiser)?;
        metrics.write(&report)?;
        progress(&report);
        if report.step.is_multiple_of(recipe.validation.every) {
            checkpoint.save(&optimiser)?;
        }
    }
    task.save(&optimiser, &start, recipe.trained_share, &options.output)?;
    finish(recipe, options)?;
    checkpoint.remove()
}

fn task(
    recipe: &Recipe,
    start: &Start,
    device: &Device,
) -> Result<(Box<dyn Task>, Vec<Parameter>)> {
    match recipe.stage {
        Stage::Retrieval => {
            let (task, parameters) = retrieval::Retrieval::new(start, recipe, device)?;
            Ok((Box::new(task), parameters))
        }
        Stage::Reader => {
            let (task, parameters) = reader::ReaderStage::new(start, recipe, device)?;
            Ok((Box::new(task), parameters))
        }
    }
}

fn pools(recipe: &Recipe, data: &Path, tokenizer: &Tokenizer) -> Result<Vec<Pool>> {
    let sources = recipe.sources.iter();
    sources
        .map(|source| {
            let path = data.join(&source.path);
            let examples = examples::read(&path, source.kind, tokenizer)?;
            let share = recipe.validation.share;
            Ok(Pool::new(
                examples,
                source.kind,
                source.weight,
                share,
                recipe.seed,
            ))
        })
        .collect()
}

/// One step: the gradients of its batches, a move, and a look at held-out documents where it is time.
fn step(
    recipe: &Recipe,
    sampler: &Sampler,
    task: &dyn Task,
    optimiser: &mut Optimiser,
) -> Result<StepReport> {
    let begun = Instant::now();
    let accumulate = recipe.optimiser.accumulate;
    let mut gradients = Gradients::default();
    let (mut loss, mut parts, mut n_tokens) = (0.0, Figures::new(), 0);
    for micro in 0..accumulate {
        let batch = sampler.draw(Part::Training, optimiser.done() * accumulate + micro);
        n_tokens += batch.n_tokens();
        let (own, own_parts) = task.loss(&batch)?;
        let own = (own / accumulate as f64)?;
        loss += f64::from(own.to_scalar::<f32>()?);
        for (name, value) in own_parts {
            *parts.entry(name).or_default() += value / accumulate as f64;
        }
        gradients.add(optimiser.parameters(), &own.backward()?)?;
    }
    let rate = optimiser.schedule() * recipe.optimiser.learning_rate;
    let gradient = optimiser.step(&gradients)?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut validation = Figures::new();
    let is_last = optimiser.done() == recipe.steps;
    if is_last || optimiser.done().is_multiple_of(recipe.validation.every) {
        for number in 0..recipe.validation.batches {
            let batch = sampler.draw(Part::Validation, number);
            for (name, value) in task.validate(&batch)? {
                *validation.entry(name).or_default() += value / recipe.validation.batches as f64;
            }
        }
    }
    Ok(StepReport {
        step: optimiser.done(),
        n_steps: recipe.steps,
        loss,
        parts,
        gradient,
        rate,
        tokens_per_second: n_tokens as f64 / seconds,
        validation,
    })
}

/// Makes the output a whole model: what was not trained is the start's, and the seal is new.
fn finish(recipe: &Recipe, options: &TrainOptions) -> Result<()> {
    let (start, output) = (&options.start, &options.output);
    let mut config = load_config(start)?;
    if recipe.global.is_some() {
        config.global = recipe.global.clone();
    }
    save::config(&config, output)?;
    let names = [
        "tokenizer.json",
        "model.safetensors",
        "granules.safetensors",
        save::GLOBAL_FILE,
    ];
    for name in names {
        let (from, to) = (start.join(name), output.join(name));
        if !to.exists() && from.exists() {
            save::copy(&from, &to)?;
        }
    }
    Ok(save::seal(output)?)
}

#[cfg(test)]
mod tests;
