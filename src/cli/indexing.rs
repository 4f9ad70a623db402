//! `shas index`: what is told while it works, and what it came to.

use std::{
    cell::Cell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Common, commands, output, output::say, paths};
use crate::{
    corpus::{self, Skipped},
    ingest::{self, Event, IndexOptions, Outcome, Stream},
};

/// Files left out that are told one by one; `shas status` has all of them.
const TOLD: usize = 20;

pub fn index(common: &Common, path: &Path, rebuild: bool, options: &IndexOptions) -> Result<()> {
    let folder = paths::index_of(common, path)?;
    if rebuild {
        crate::store::remove(&folder)?;
    }
    let outcome = index_into(common, path, &folder, options)?;
    tell_outcome(common, &outcome, &folder)
}

/// Indexes the JSON lines on standard input.
pub fn index_lines(
    common: &Common,
    name: &str,
    folder: &Path,
    options: &IndexOptions,
) -> Result<Outcome> {
    let encoder = commands::passage_encoder(common)?;
    let stream = Stream {
        name: name.to_owned(),
        documents: corpus::open_lines(std::io::stdin(), name),
    };
    let bar = Bar::default();
    let outcome =
        ingest::index_stream(stream, folder, &*encoder, options, &|event| bar.show(event))?;
    bar.finish();
    tell(&outcome.skipped);
    if outcome.indexed == 0 {
        bail!(
            "nothing came that could be indexed; give one JSON object with a \"text\" on each line"
        );
    }
    Ok(outcome)
}

/// Says what indexing came to.
pub fn tell_outcome(common: &Common, outcome: &Outcome, folder: &Path) -> Result<()> {
    if common.json {
        return output::json(&json!({
            "index": folder,
            "indexed": outcome.indexed,
            "unchanged": outcome.unchanged,
            "renamed": outcome.renamed,
            "removed": outcome.removed,
            "skipped": outcome.skipped.len(),
            "tokens": outcome.tokens,
            "writes": outcome.writes,
            "seconds": outcome.seconds,
        }));
    }
    print(outcome, folder);
    Ok(())
}

fn print(outcome: &Outcome, folder: &Path) {
    say!(
        "{} documents indexed ({} unchanged, {} renamed, {} removed), {} files left out; index: {}",
        outcome.indexed,
        outcome.unchanged,
        outcome.renamed,
        outcome.removed,
        outcome.skipped.len(),
        folder.display()
    );
    let seconds = outcome.seconds;
    say!(
        "{} tokens, {} store writes; seconds: read {:.1}, tokenise {:.1}, encode {:.1}, store {:.1}, link {:.1}, tree {:.1}",
        outcome.tokens,
        outcome.writes,
        seconds.read,
        seconds.tokenise,
        seconds.encode,
        seconds.store,
        seconds.link,
        seconds.tree
    );
}

/// Brings the index in `folder` up to date, with progress on stderr.
pub fn index_into(
    common: &Common,
    path: &Path,
    folder: &Path,
    options: &IndexOptions,
) -> Result<Outcome> {
    // A missing path is told before the model is loaded.
    let full = corpus_of(path)?;
    let bar = Bar::default();
    let encoder = commands::passage_encoder(common)?;
    let outcome = ingest::index(&full, folder, &*encoder, options, &|event| bar.show(event))?;
    bar.finish();
    tell(&outcome.skipped);
    if outcome.indexed == 0 {
        bail!(
            "nothing in {} could be indexed; it needs notes or documents, the README lists the formats",
            path.display()
        );
    }
    Ok(outcome)
}

/// Says what indexing would take.
pub fn forecast(common: &Common, path: &Path) -> Result<()> {
    let forecast = ingest::forecast(&corpus_of(path)?, &commands::encoder(common)?)?;
    if common.json {
        return output::json(&forecast);
    }
    say!(
        "{} files ({}), {} left out by the walk; {:.0}% of them read for this",
        forecast.files,
        HumanBytes(forecast.bytes),
        forecast.skipped,
        1e2 * forecast.sampled
    );
    say!(
        "about {} documents, {} word pieces",
        forecast.documents,
        forecast.tokens
    );
    let duration = |seconds: f64| HumanDuration(Duration::from_secs_f64(seconds));
    say!(
        "on this machine: found by their text after {}, by their meaning after {} more; index: {}",
        duration(forecast.reading_seconds),
        duration(forecast.encoding_seconds),
        HumanBytes(forecast.disk_bytes)
    );
    Ok(())
}

/// The full path of a corpus.
pub fn corpus_of(path: &Path) -> Result<PathBuf> {
    let missing = |_| corpus::CorpusError::Missing {
        path: path.to_owned(),
    };
    Ok(path.canonicalize().map_err(missing)?)
}

/// Says on stderr what was left out: the first files, and of the others how many for which reason.
pub fn tell(skipped: &[Skipped]) {
    let (told, others) = skipped.split_at(skipped.len().min(TOLD));
    for Skipped { path, reason, .. } in told {
        eprintln!("{path}: {reason}");
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for skipped in others {
        *reasons.entry(&skipped.reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        eprintln!("{count} more: {reason} (`shas status --state skipped` has their names)");
    }
}

/// A progress bar on stderr: files while they are read, documents while they are encoded.
pub struct Bar {
    bar: ProgressBar,
    tokens: Cell<usize>,
}

impl Default for Bar {
    fn default() -> Self {
        Self {
            bar: ProgressBar::new(0),
            tokens: Cell::new(0),
        }
    }
}

impl Bar {
    /// Shows an event; true, because nothing here stops the work.
    pub fn show(&self, event: Event) -> bool {
        match event {
            Event::Found { files } => {
                self.style("{bar:30} {pos}/{len} files read{msg}");
                self.bar.set_length(files as u64);
            }
            Event::Read { files, documents } => {
                self.bar.set_position(files as u64);
                self.bar.set_message(format!(", {documents} documents"));
            }
            Event::Waiting { documents } => {
                self.style("{bar:30} {pos}/{len} documents encoded{msg}, {eta} left");
                self.bar.set_length(documents as u64);
                self.bar.set_position(0);
                self.bar.set_message("");
                self.bar.reset_elapsed();
            }
            Event::Done { documents, tokens } => {
                self.tokens.set(self.tokens.get() + tokens);
                let rate = self.tokens.get() as f64 / self.bar.elapsed().as_secs_f64().max(1e-3);
                self.bar.set_message(format!(", {rate:.0} tokens/s"));
                self.bar.set_position(documents as u64);
            }
            Event::Linking => self.bar.set_message(", following links"),
            Event::Organising => self.bar.set_message(", growing the tree"),
        }
        true
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn style(&self, template: &str) {
        // A template that cannot be parsed leaves the plain bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}
