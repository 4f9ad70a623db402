//! Named collections: corpora that are asked by name, one or several at once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Common, indexing, output, output::say, paths};
use crate::{
    ingest::{IndexOptions, STREAM},
    store::{self, Snapshot},
};

/// A corpus with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    pub corpus: PathBuf,
    pub index: PathBuf,
}

/// Names a corpus and indexes it.
pub fn add(common: &Common, name: &str, path: &Path) -> Result<()> {
    let corpus = indexing::corpus_of(path)?;
    check(name, &corpus)?;
    let index = paths::index_of(common, &corpus)?;
    let outcome = indexing::index_into(common, &corpus, &index, &IndexOptions::default())?;
    insert(name, Collection { corpus, index })?;
    say!("{name}: {} documents", outcome.indexed);
    Ok(())
}

/// Indexes the JSON lines on standard input, as a collection: a stream has no path by which to find its index again.
pub fn add_lines(common: &Common, name: &str, rebuild: bool, options: &IndexOptions) -> Result<()> {
    let corpus = PathBuf::from(STREAM);
    check(name, &corpus)?;
    let index = match &common.index {
        Some(index) => index.clone(),
        None => paths::data_folder()?.join(format!("{name}-lines")),
    };
    if rebuild {
        store::remove(&index)?;
    }
    let outcome = indexing::index_lines(common, name, &index, options)?;
    indexing::tell_outcome(common, &outcome, &index)?;
    insert(name, Collection { corpus, index })
}

/// Sees to it that a corpus may have this name.
fn check(name: &str, corpus: &Path) -> Result<()> {
    let is_name = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || !name.chars().all(is_name) {
        bail!("`{name}` is no name; use letters, digits, `-`, `_` and `.`");
    }
    if let Some(other) = read()?.get(name).filter(|own| own.corpus != corpus) {
        bail!(
            "`{name}` is {} already; remove it first with `shas collection remove {name}`",
            other.corpus.display()
        );
    }
    Ok(())
}

fn insert(name: &str, collection: Collection) -> Result<()> {
    let mut all = read()?;
    all.insert(name.to_owned(), collection);
    write(&all)
}

pub fn list(common: &Common) -> Result<()> {
    let all = read()?;
    if common.json {
        return output::json(&json!({ "collections": all }));
    }
    if all.is_empty() {
        say!("there are no collections; add one with `shas collection add NAME PATH`");
    }
    for (name, collection) in all {
        let documents = match Snapshot::open(&collection.index) {
            Ok(snapshot) => format!("{} documents", snapshot.body.documents.len()),
            Err(error) => error.to_string(),
        };
        say!("{name}: {} ({documents})", collection.corpus.display());
    }
    Ok(())
}

/// Forgets a name; the index stays unless it is to go as well. The corpus is never touched.
pub fn remove(name: &str, with_index: bool) -> Result<()> {
    let mut all = read()?;
    let collection = all.remove(name).with_context(|| unknown(name))?;
    if with_index {
        store::remove(&collection.index)?;
        store::edits::forget(&collection.index)?;
    }
    write(&all)?;
    match with_index {
        true => say!("{name} is no collection any more, and its index is gone"),
        false => say!(
            "{name} is no collection any more; its index stays at {}",
            collection.index.display()
        ),
    }
    Ok(())
}

/// The index of a collection.
pub fn index_of(name: &str) -> Result<PathBuf> {
    let collection = read()?.remove(name);
    Ok(collection.with_context(|| unknown(name))?.index)
}

fn unknown(name: &str) -> String {
    format!("there is no collection `{name}`; `shas collection list` has their names")
}

fn file() -> Result<PathBuf> {
    Ok(paths::data_folder()?.join("collections.json"))
}

fn read() -> Result<BTreeMap<String, Collection>> {
    let path = file()?;
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let broken = || format!("{} cannot be read; repair or remove it", path.display());
    let text = std::fs::read(&path).with_context(broken)?;
    serde_json::from_slice(&text).with_context(broken)
}

fn write(all: &BTreeMap<String, Collection>) -> Result<()> {
    let path = file()?;
    let failed = || format!("cannot write {}; check its permissions", path.display());
    std::fs::create_dir_all(paths::data_folder()?).with_context(failed)?;
    let content = serde_json::to_vec_pretty(all)?;
    store::write_atomically(&path, &content).with_context(failed)
}
