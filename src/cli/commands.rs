//! One function a command.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{Common, indexing, output, output::say, paths, tree};
use crate::{
    corpus,
    ingest::IndexOptions,
    model::{Encoder, PassageEncoder, convert, encoder_on, save},
    store::Snapshot,
    tree::Level,
    tui,
};

pub fn open(common: &Common, path: &Path) -> Result<()> {
    let folder = paths::index_of(common, path)?;
    indexing::index_into(common, path, &folder, &IndexOptions::default())?;
    let snapshot = Snapshot::open(&folder)?;
    if common.json {
        tree::json(&folder, &snapshot)
    } else if std::io::stdout().is_terminal() {
        Ok(tui::run(snapshot, &tui_options(common, folder)?)?)
    } else {
        top_of_tree(&snapshot)
    }
}

pub fn convert(package: &Path, output: &Path, fit_text: &[PathBuf]) -> Result<()> {
    std::fs::create_dir_all(output)
        .with_context(|| format!("cannot create {}", output.display()))?;
    convert::convert_trunk(package, output)?;
    let mut texts = Vec::new();
    for folder in fit_text {
        let documents = match folder.join("corpus.jsonl").exists() {
            true => corpus::read_beir_documents(folder)?,
            false => corpus::read(folder)?.filter_map(Result::ok).collect(),
        };
        if documents.is_empty() {
            bail!(
                "{} holds no text; give a folder of .md or .txt files, or one with a corpus.jsonl",
                folder.display()
            );
        }
        texts.extend(documents.into_iter().map(|document| document.text));
    }
    if !texts.is_empty() {
        convert::fit_granules(&texts, output)?;
    }
    save::seal(output)?;
    say!("wrote {}", output.display());
    Ok(())
}

/// Loads the model.
pub fn encoder(common: &Common) -> Result<Encoder> {
    Ok(Encoder::load_with(
        &paths::model(common)?,
        common.precision(),
    )?)
}

/// Loads the model to encode documents, on the device asked for.
pub fn passage_encoder(common: &Common) -> Result<Box<dyn PassageEncoder>> {
    let encoder = encoder(common)?;
    let (device, no_gpu) = common.device.open();
    let (encoder, no_model) = encoder_on(&device, encoder);
    if let Some(reason) = no_gpu.or(no_model) {
        eprintln!("{reason}; encoding on the CPU");
    }
    Ok(encoder)
}

fn tui_options(common: &Common, index: PathBuf) -> Result<tui::TuiOptions> {
    let set = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    Ok(tui::TuiOptions {
        index,
        model: paths::model(common)?,
        editor: set("VISUAL")
            .or_else(|| set("EDITOR"))
            .unwrap_or_else(|| "vi".to_owned()),
        colour: set("NO_COLOR").is_none(),
        fast: common.fast,
    })
}

fn top_of_tree(snapshot: &Snapshot) -> Result<()> {
    let counts = output::counts(snapshot);
    say!(
        "{} documents, {} passages",
        counts.indexed,
        snapshot.n_passages()
    );
    let tree = &snapshot.body.tree;
    for node in tree.nodes.iter().filter(|node| node.level == Level::Domain) {
        say!("{} ({})", node.name, node.n_documents);
        for child in node.children.iter().filter_map(|&child| tree.node(child)) {
            say!("  {} ({})", child.name, child.n_documents);
        }
    }
    Ok(())
}
