//! A recipe: what is trained, on which data, for how long. One TOML file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::model::global::GlobalConfig;

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub stage: Stage,
    pub steps: usize,
    pub seed: u64,
    /// Lower layers of the trunk that stay as they are; the embeddings stay with them.
    #[serde(default)]
    pub frozen_layers: usize,
    /// Global blocks behind the layers, those of the start where it has some of this shape.
    #[serde(default)]
    pub global: Option<GlobalConfig>,
    /// How much of the trained trunk is kept, the rest is the start's: weight averaging.
    #[serde(default = "one")]
    pub trained_share: f64,
    pub optimiser: OptimiserOptions,
    pub batch: BatchOptions,
    pub validation: ValidationOptions,
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Trunk and granule head, by contrast of passages.
    Retrieval,
    /// The joint reader, by the passages that the encoder confuses.
    Reader,
}

/// AdamW under a warm-up and a cosine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserOptions {
    /// Of the trunk, at its highest.
    pub learning_rate: f64,
    /// Of the heads; what has none stays as it is.
    pub head_learning_rate: f64,
    /// Of the global blocks.
    #[serde(default)]
    pub global_learning_rate: f64,
    /// Steps until the highest rate.
    pub warmup: usize,
    /// Of matrices; vectors have none.
    #[serde(default)]
    pub weight_decay: f64,
    /// The longest gradient, all parameters together.
    pub clip: f64,
    /// Batches of one step.
    #[serde(default = "one_batch")]
    pub accumulate: usize,
}

/// How a batch is put together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchOptions {
    /// Windows of documents in a batch.
    pub slots: usize,
    /// Passages of a window; short documents share one.
    pub passages: usize,
    /// Questions of a window, at most.
    pub questions: usize,
    /// Share of the questions that stand behind their document's title.
    pub titled: f64,
    /// Share of the sentences asked for that are taken out of their passage.
    pub cloze_removed: f64,
    /// Share of the words of a passage that are hidden in it, of those that stand in some others of its document too: what
    /// is asked for them can then be found by far context only.
    #[serde(default)]
    pub hidden: f64,
    /// Wrong passages beside a right one that the reader is shown.
    #[serde(default)]
    pub reader_negatives: usize,
    /// Questions of a window, at most, that the reader is asked for the place of the answer alone; where sources have no
    /// more answers, sentences that share a run of words with their passage ask for it.
    #[serde(default)]
    pub spans: usize,
    /// Share of the word pieces that are hidden from the reader as it learns.
    #[serde(default)]
    pub masked: f64,
}

/// How the run is watched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationOptions {
    /// Steps between two looks, and between two checkpoints.
    pub every: usize,
    /// Batches that are looked at.
    pub batches: usize,
    /// Share of the documents that are kept for it.
    pub share: f64,
}

/// Where examples come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Below the data folder.
    pub path: PathBuf,
    pub kind: SourceKind,
    /// How often it is drawn, beside the other sources.
    pub weight: f64,
}

/// How a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// `corpus.jsonl`, `queries.jsonl`, `qrels/train.tsv`.
    Questions,
    /// The same of meetings, whose turns are joined.
    Meetings,
    /// `pairs.jsonl`.
    Pairs,
    /// A folder of documents; their own sentences are the questions.
    Texts,
}

fn one() -> f64 {
    1.0
}

fn one_batch() -> usize {
    1
}

impl Recipe {
    /// Reads and checks a recipe.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the recipe {}", path.display()))?;
        let recipe: Self =
            toml::from_str(&text).with_context(|| format!("{} is no recipe", path.display()))?;
        recipe
            .check()
            .with_context(|| format!("{} cannot be followed", path.display()))?;
        Ok(recipe)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.steps > 0, "`steps` must be at least 1");
        if let Some(global) = &self.global {
            global.check()?;
        }
        ensure!(
            self.optimiser.accumulate > 0,
            "`accumulate` must be at least 1"
        );
        ensure!(!self.sources.is_empty(), "it names no source");
        ensure!(
            self.batch.slots > 0 && self.batch.passages > 1 && self.batch.questions > 0,
            "a batch needs slots, at least two passages and questions"
        );
        ensure!(
            self.validation.every > 0,
            "`validation.every` must be at least 1"
        );
        let shares = [
            self.trained_share,
            self.batch.titled,
            self.batch.cloze_removed,
            self.batch.hidden,
            self.batch.masked,
            self.validation.share,
        ];
        ensure!(
            shares.iter().all(|share| (0.0..=1.0).contains(share)),
            "a share lies between 0 and 1"
        );
        ensure!(
            self.sources.iter().any(|source| source.weight > 0.0)
                && self.sources.iter().all(|source| source.weight >= 0.0),
            "weights of sources are positive"
        );
        ensure!(
            self.stage != Stage::Reader || self.batch.reader_negatives > 0,
            "a reader needs `batch.reader_negatives`"
        );
        Ok(())
    }
}
