//! One function a command.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{Common, indexing, output, output::say, paths};
use crate::{
    corpus,
    ingest::{IndexOptions, STREAM},
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
        tree_json(&snapshot)
    } else if std::io::stdout().is_terminal() {
        Ok(tui::run(snapshot, &tui_options(common)?)?)
    } else {
        top_of_tree(&snapshot)
    }
}

pub fn tree(common: &Common, rebuild: bool) -> Result<()> {
    let folder = paths::index_to_read(common)?;
    if rebuild {
        let corpus = Snapshot::open(&folder)?.body.corpus;
        if corpus == Path::new(STREAM) {
            bail!(
                "this index came from standard input; give it its lines again: `shas index - --rebuild`"
            );
        }
        let options = IndexOptions {
            rebuild_tree: true,
            ..IndexOptions::default()
        };
        indexing::index_into(common, &corpus, &folder, &options)?;
    }
    let snapshot = Snapshot::open(&folder)?;
    if common.json {
        return tree_json(&snapshot);
    }
    output::print_tree(&snapshot);
    Ok(())
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

fn tui_options(common: &Common) -> Result<tui::TuiOptions> {
    let set = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    Ok(tui::TuiOptions {
        model: paths::model(common)?,
        editor: set("VISUAL")
            .or_else(|| set("EDITOR"))
            .unwrap_or_else(|| "vi".to_owned()),
        colour: set("NO_COLOR").is_none(),
        fast: common.fast,
    })
}

fn tree_json(snapshot: &Snapshot) -> Result<()> {
    let tree = &snapshot.body.tree;
    let mut levels: Vec<Level> = tree.nodes.iter().map(|node| node.level).collect();
    levels.sort_unstable_by(|a, b| b.cmp(a));
    levels.dedup();
    let levels: Vec<String> = levels
        .iter()
        .map(ToString::to_string)
        .chain(["document".to_owned()])
        .collect();
    let nodes: Vec<_> = tree
        .nodes
        .iter()
        .map(|node| {
            json!({
                "id": node.id,
                "level": node.level.to_string(),
                "name": node.name,
                "summary": node.summary,
                "parent": node.parent,
                "children": if node.documents.is_empty() {
                    node.children.clone()
                } else {
                    node.documents.iter().map(|&id| u64::from(id)).collect()
                },
                "n_documents": node.n_documents,
            })
        })
        .collect();
    output::json(&json!({ "levels": levels, "nodes": nodes }))
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
