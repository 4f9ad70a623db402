//! What a run leaves behind on its way: a checkpoint to go on from, and a line of metrics a step.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use candle_core::{Device, safetensors};
use serde::{Deserialize, Serialize};

use super::{StepReport, optimiser::Optimiser, recipe::Recipe};

/// The checkpoint in a run's output folder.
pub struct Checkpoint {
    folder: PathBuf,
    recipe: Recipe,
}

#[derive(Serialize, Deserialize)]
struct Note {
    /// Steps done.
    done: usize,
    recipe: Recipe,
}

impl Checkpoint {
    pub fn new(folder: &Path, recipe: &Recipe) -> Self {
        let (folder, recipe) = (folder.to_owned(), recipe.clone());
        Self { folder, recipe }
    }

    fn tensors(&self) -> PathBuf {
        self.folder.join("checkpoint.safetensors")
    }

    fn note(&self) -> PathBuf {
        self.folder.join("checkpoint.json")
    }

    /// Replaces the checkpoint by the run's state; a crash leaves the old one or the new one.
    pub fn save(&self, optimiser: &Optimiser) -> Result<()> {
        let note = Note {
            done: optimiser.done(),
            recipe: self.recipe.clone(),
        };
        let tensors = self.tensors();
        let fresh = tensors.with_extension("new");
        let write = || -> Result<()> {
            // The note goes first and comes last: without it there is no checkpoint.
            let _ = fs::remove_file(self.note());
            safetensors::save(&optimiser.state(), &fresh)?;
            fs::rename(&fresh, &tensors)?;
            Ok(fs::write(
                self.note(),
                serde_json::to_string_pretty(&note)?,
            )?)
        };
        write().with_context(|| format!("cannot write the checkpoint {}", tensors.display()))
    }

    /// Takes up the run that was stopped, if there is one.
    ///
    /// # Errors
    /// When the checkpoint belongs to another recipe, or is damaged.
    pub fn resume(&self, optimiser: &mut Optimiser, device: &Device) -> Result<()> {
        let note = self.note();
        let Ok(text) = fs::read_to_string(&note) else {
            return Ok(());
        };
        let what = || {
            format!(
                "cannot go on from {}; remove it to begin anew",
                note.display()
            )
        };
        let Note { done, recipe } = serde_json::from_str(&text).with_context(what)?;
        if recipe != self.recipe {
            bail!(
                "{} is of another recipe; remove it or give another --output",
                note.display()
            );
        }
        let state = safetensors::load(self.tensors(), device).with_context(what)?;
        optimiser.resume(&state, done).with_context(what)
    }

    /// The run's metrics behind its first `done` steps.
    pub fn metrics(&self, done: usize) -> Result<Metrics> {
        let path = self.folder.join("metrics.jsonl");
        let what = || format!("cannot write {}", path.display());
        let old = fs::read_to_string(&path).unwrap_or_default();
        let kept: String = old.split_inclusive('\n').take(done).collect();
        fs::write(&path, kept).with_context(what)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(what)?;
        Ok(Metrics { file })
    }

    /// Removes what only an unfinished run needs.
    pub fn remove(&self) -> Result<()> {
        for path in [self.note(), self.tensors()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => (),
            }
        }
        Ok(())
    }
}

/// `metrics.jsonl`: one line a step.
pub struct Metrics {
    file: File,
}

impl Metrics {
    pub fn write(&mut self, report: &StepReport) -> Result<()> {
        let line = serde_json::to_string(report)?;
        writeln!(self.file, "{line}").context("cannot write metrics.jsonl")
    }
}
