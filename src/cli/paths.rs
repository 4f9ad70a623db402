//! Where the index and the model are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Common, collections};

/// The index folder of a corpus: as given, else one by the corpus's path under the data directory.
pub fn index_of(common: &Common, corpus: &Path) -> Result<PathBuf> {
    if let Some(index) = &common.index {
        return Ok(index.clone());
    }
    let full = corpus.canonicalize().unwrap_or_else(|_| corpus.to_owned());
    let hash = blake3::hash(full.as_os_str().as_encoded_bytes()).to_hex();
    let name = full
        .file_name()
        .map_or_else(|| "root".into(), |name| name.to_string_lossy());
    Ok(data_folder()?.join(format!("{name}-{}", &hash[..12])))
}

/// The index to read: as given, or of the collection, else the one of the current folder, else the one that was published last.
pub fn index_to_read(common: &Common) -> Result<PathBuf> {
    if let Some(index) = &common.index {
        return Ok(index.clone());
    }
    match common.collection.as_slice() {
        [] => {}
        [one] => return collections::index_of(one),
        _ => bail!("this command reads one collection; only `ask` and `search` take several"),
    }
    let own = index_of(common, Path::new("."))?;
    if own.join("snapshot").exists() {
        return Ok(own);
    }
    let entries = std::fs::read_dir(data_folder()?)
        .into_iter()
        .flatten()
        .flatten();
    let published = entries.filter_map(|entry| {
        let time = entry
            .path()
            .join("snapshot")
            .metadata()
            .ok()?
            .modified()
            .ok()?;
        Some((time, entry.path()))
    });
    match published.max() {
        Some((_, index)) => Ok(index),
        None => bail!("there is no index yet; run `shas index` on your documents first"),
    }
}

/// The folder of the model: as given, else beside the binary, else in the source tree that built it.
pub fn model(common: &Common) -> Result<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("assets/model")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/model");
    let candidates = [
        common.model.clone(),
        beside.filter(|beside| beside.exists()),
        Some(source),
    ];
    candidates
        .into_iter()
        .flatten()
        .next()
        .context("no model; give its folder with --model")
}

/// Where indexes lie that were not told where.
pub fn data_folder() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "shas")
        .context("there is no home folder; say where the index goes with --index")?;
    Ok(folders.data_dir().to_owned())
}
