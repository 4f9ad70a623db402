//! `shas tree`: the tree on a terminal, and what the user changes in it.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Common, indexing, node_names::Names, output, output::say, paths};
use crate::{
    ingest::{self, Change, IndexOptions, STREAM},
    store::{self, Snapshot},
    tree::{
        Level, Node,
        edit::{self, Placed, Request},
    },
};

/// Stands behind the names of nodes that the user has named or pinned.
const KEPT: &str = " *";

/// What `shas tree` takes.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TreeArgs {
    /// Build it anew from all documents first; your edits are done again in the new one
    #[arg(long)]
    rebuild: bool,
    /// Levels to print, from the top
    #[arg(long, value_name = "LEVELS")]
    depth: Option<usize>,
    #[command(subcommand)]
    change: Option<TreeChange>,
}

/// What is done to the tree. A NODE is its name, `Domain/Category/Entity` where names repeat, or its id.
#[derive(Subcommand)]
enum TreeChange {
    /// Give a node a name that stays
    Rename {
        /// Its name, `Domain/Category/Entity` where names repeat, or its id
        node: String,
        name: String,
    },
    /// Keep a node as it is, with all below it; new documents may join
    Pin {
        /// Its name, `Domain/Category/Entity` where names repeat, or its id
        node: String,
    },
    /// Make one node of two of the same level
    Merge {
        /// The node that goes
        node: String,
        /// The node that stays
        into: String,
    },
    /// Make several nodes of one
    Split {
        /// Its name, `Domain/Category/Entity` where names repeat, or its id
        node: String,
        /// How many
        #[arg(long, default_value_t = 2, value_name = "PARTS")]
        into: usize,
    },
    /// Put a document into another entity, or a node into another node of the level above
    Move {
        /// A node, or a document by its title or path
        what: String,
        /// The node that it goes into
        into: String,
    },
    /// List what was changed, with numbers
    Edits,
    /// Take a change back, the last one unless its number is given
    Undo { number: Option<usize> },
}

pub fn run(common: &Common, args: &TreeArgs) -> Result<()> {
    let folder = paths::index_to_read(common)?;
    if args.rebuild {
        rebuild(common, &folder)?;
    }
    let snapshot = Snapshot::open(&folder)?;
    match &args.change {
        None if common.json => json(&folder, &snapshot),
        None => print(&folder, &snapshot, args.depth.unwrap_or(usize::MAX)),
        Some(TreeChange::Edits) => list(common, &folder, &snapshot),
        Some(change) => {
            let change = change_of(change, &snapshot)?;
            let changed = ingest::edit(&folder, &snapshot, &change)?;
            match common.json {
                true => output::json(&json!({ "words": changed.words, "node": changed.node })),
                false => {
                    say!("{}", changed.words);
                    Ok(())
                }
            }
        }
    }
}

fn rebuild(common: &Common, folder: &Path) -> Result<()> {
    let corpus: PathBuf = Snapshot::open(folder)?.body.corpus;
    if corpus == Path::new(STREAM) {
        bail!(
            "this index came from standard input; give it its lines again: `shas index - --rebuild`"
        );
    }
    let options = IndexOptions {
        rebuild_tree: true,
        ..IndexOptions::default()
    };
    indexing::index_into(common, &corpus, folder, &options)?;
    Ok(())
}

fn change_of(change: &TreeChange, snapshot: &Snapshot) -> Result<Change> {
    let names = Names::new(snapshot);
    Ok(Change::Make(match change {
        TreeChange::Rename { node, name } => Request::Rename {
            node: names.node(node)?,
            name: name.clone(),
        },
        TreeChange::Pin { node } => Request::Pin {
            node: names.node(node)?,
        },
        TreeChange::Merge { node, into } => Request::Merge {
            node: names.node(node)?,
            into: names.node(into)?,
        },
        TreeChange::Split { node, into } => Request::Split {
            node: names.node(node)?,
            parts: *into,
        },
        TreeChange::Move { what, into } => {
            let into = names.node(into)?;
            // An entity takes documents, and what is above it takes nodes.
            let is_entity = |node: &Node| node.level == Level::Entity;
            let what = match snapshot.body.tree.node(into).is_some_and(is_entity) {
                true => Placed::Document(names.document(what)?),
                false => names.node(what).map(Placed::Node).or_else(|error| {
                    let document = names.document(what).map(Placed::Document);
                    document.map_err(|_| error)
                })?,
            };
            Request::Move { what, into }
        }
        TreeChange::Undo { number } => return Ok(Change::Undo(*number)),
        TreeChange::Edits => bail!("a list changes nothing"),
    }))
}

fn list(common: &Common, folder: &Path, snapshot: &Snapshot) -> Result<()> {
    let edits = store::edits::read(folder)?;
    let tree = &snapshot.body.tree;
    if common.json {
        let edits = edits.iter().zip(1..).map(|(edit, number)| {
            json!({
                "number": number,
                "verb": edit.verb,
                "words": edit.words,
                "node": edit.node(),
                "applies": edit.applies(tree),
            })
        });
        return output::json(&edits.collect::<Vec<_>>());
    }
    if edits.is_empty() {
        say!("nothing has been edited; `shas tree --help` says how");
    }
    for (edit, number) in edits.iter().zip(1..) {
        let waits = match edit.applies(tree) {
            true => "",
            false => " (waits: its node or its documents are gone)",
        };
        say!("{number}  {}{waits}", edit.words);
    }
    Ok(())
}

/// Prints every node, and which of them are the user's.
pub fn json(folder: &Path, snapshot: &Snapshot) -> Result<()> {
    let tree = &snapshot.body.tree;
    let kept = edit::kept(&store::edits::read(folder)?);
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
                "kept": kept.contains(&node.id),
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

/// Prints so many levels of the tree, entities with their documents.
fn print(folder: &Path, snapshot: &Snapshot, depth: usize) -> Result<()> {
    let printed = Printed {
        snapshot,
        names: Names::new(snapshot),
        kept: edit::kept(&store::edits::read(folder)?),
        depth,
    };
    let nodes = snapshot.body.tree.nodes.iter();
    for node in nodes.filter(|node| node.parent.is_none()) {
        printed.node(node, 0);
    }
    Ok(())
}

struct Printed<'a> {
    snapshot: &'a Snapshot,
    names: Names<'a>,
    kept: HashSet<u64>,
    depth: usize,
}

impl Printed<'_> {
    fn node(&self, node: &Node, depth: usize) {
        if depth == self.depth {
            return;
        }
        let indent = "  ".repeat(depth);
        let kept = match self.kept.contains(&node.id) {
            true => KEPT,
            false => "",
        };
        let id = self.names.short(node.id);
        say!("{indent}{}{kept} ({})  {id}", node.name, node.n_documents);
        let tree = &self.snapshot.body.tree;
        for child in node.children.iter().filter_map(|&child| tree.node(child)) {
            self.node(child, depth + 1);
        }
        let documents = node.documents.iter();
        let titles: Vec<&str> = documents
            .filter_map(|&id| self.snapshot.document_with_id(id))
            .map(|document| self.snapshot.body.documents[document].title.as_str())
            .collect();
        if !titles.is_empty() && depth + 1 < self.depth {
            say!("{indent}  · {}", titles.join(" · "));
        }
    }
}
