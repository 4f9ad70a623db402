//! `shas watch`: the index follows the files.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use notify::{EventKind, RecursiveMode, Watcher};

use super::{Common, commands, indexing, output, output::say, paths};
use crate::{
    ingest::{self, IndexOptions, Outcome},
    model::PassageEncoder,
    store::StoreWriter,
};

/// Files are read when none has changed for so long: editors write beside a file, then rename.
const QUIET: Duration = Duration::from_millis(250);
/// But they wait no longer than this.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Indexes `path`, then again whenever something in it changes, until the process ends.
pub fn run(common: &Common, path: &Path, options: &IndexOptions) -> Result<()> {
    let folder = paths::index_of(common, path)?;
    let full = indexing::corpus_of(path)?;
    let encoder = commands::passage_encoder(common)?;
    let mut store = StoreWriter::open(&folder, encoder.fingerprint(), "shas watch")?;
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // What is only read changes nothing; an error means that events were lost, so it counts as one.
        let is_change = event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_)));
        if is_change {
            // Nobody listens when the command is about to end.
            sender.send(()).unwrap_or_default();
        }
    })
    .context("the system does not watch files; run `shas index` when they have changed")?;
    watcher
        .watch(&full, RecursiveMode::Recursive)
        .with_context(|| {
            format!(
                "{} cannot be watched; Linux watches as many folders as fs.inotify.max_user_watches says",
                full.display()
            )
        })?;
    let bar = indexing::Bar::default();
    let progress = |event| bar.show(event);
    let outcome = ingest::update(&full, &mut store, &*encoder, options, &progress)?;
    bar.finish();
    indexing::tell(&outcome.skipped);
    say!("{} documents; watching {}", outcome.indexed, full.display());
    while wait(&events) {
        follow(&full, &mut store, &*encoder, options)?;
    }
    Ok(())
}

/// Waits for a change and until no other follows; false when there will be none.
fn wait(events: &Receiver<()>) -> bool {
    if events.recv().is_err() {
        return false;
    }
    let first = Instant::now();
    while first.elapsed() < MAX_WAIT {
        match events.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    events.try_iter().for_each(drop);
    true
}

fn follow(
    corpus: &Path,
    store: &mut StoreWriter,
    encoder: &dyn PassageEncoder,
    options: &IndexOptions,
) -> Result<()> {
    let start = Instant::now();
    let before = store.n_writes();
    let outcome = ingest::update(corpus, store, encoder, options, &|_| true)?;
    indexing::tell(&outcome.skipped);
    let changed = outcome.indexed - outcome.unchanged;
    if changed + outcome.renamed + outcome.removed > 0 {
        say!(
            "{}  {}",
            output::now(),
            summary(
                &outcome,
                changed,
                store.n_writes() - before,
                start.elapsed()
            )
        );
    }
    Ok(())
}

fn summary(outcome: &Outcome, changed: usize, n_writes: usize, took: Duration) -> String {
    format!(
        "{changed} read, {} renamed, {} removed, {} tokens, {n_writes} store writes, {:.2} s",
        outcome.renamed,
        outcome.removed,
        outcome.tokens,
        took.as_secs_f64()
    )
}
