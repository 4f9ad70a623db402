//! The user's edits of the tree: made at once, and done again whenever the tree has grown.

use std::path::Path;

use super::growing::{Library, difference};
use crate::{
    store::{Snapshot, StoreError, StoreWriter},
    tree::{
        Tree,
        edit::{Edit, EditError, Known, Request, Verb},
    },
};

/// What is to become of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Make(Request),
    /// The edit with this number, counted from 1, or the last one is taken back.
    Undo(Option<usize>),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// A sentence without its point.
    pub words: String,
    /// The node that it is about, if it is there.
    pub node: Option<u64>,
}

/// Why the tree is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nothing has been edited; there is nothing to undo")]
    Nothing,
    #[error("there is no edit {0}; `shas tree edits` lists them")]
    NoEdit(usize),
    #[error("the last indexing was interrupted; run `shas index` to complete it, then edit")]
    Interrupted,
}

/// Changes the tree of the index in the folder `index`, of which `snapshot` was published, and publishes it.
///
/// # Errors
/// When the change cannot be made, or when another process writes the index.
pub fn edit(index: &Path, snapshot: &Snapshot, change: &Change) -> Result<Changed, ChangeError> {
    let body = &snapshot.body;
    let mut store = StoreWriter::open(index, &body.model, "shas tree")?;
    if !store.is_published()? {
        return Err(ChangeError::Interrupted);
    }
    let before = store.tree()?;
    let mut edits = store.edits()?;
    let library = Library::open(&body.corpus, &store)?;
    let undone = match change {
        Change::Make(request) => {
            let made = request.edit(&Known {
                tree: &before,
                edits: &edits,
                growth: &library,
                path: &|id| library.path(id),
            })?;
            edits.push(made);
            None
        }
        Change::Undo(number) => Some(take(&mut edits, *number)?),
    };
    let about = undone.clone().or_else(|| edits.last().cloned());
    let about = about.ok_or(ChangeError::Nothing)?;
    let edited = library.edited(before.clone(), undone, edits);
    drop(library);
    let node = about.node().filter(|&id| edited.tree.node(id).is_some());
    let words = match change {
        Change::Make(_) => {
            let number = edited.edits.len();
            let names = names(&about, &edited.tree);
            format!("edit {number}: {}{names}", about.words)
        }
        Change::Undo(_) => format!("taken back: {}", about.words),
    };
    let difference = difference(&before, edited.tree);
    // Whatever is interrupted, the next run does what is written down: a change is made, but not taken back by halves.
    match change {
        Change::Make(_) => {
            store.write_edits(&edited.edits)?;
            store.commit(difference)?;
        }
        Change::Undo(_) => {
            store.commit(difference)?;
            store.write_edits(&edited.edits)?;
        }
    }
    store.publish(&body.corpus)?;
    Ok(Changed { words, node })
}

fn take(edits: &mut Vec<Edit>, number: Option<usize>) -> Result<Edit, ChangeError> {
    let number = number.unwrap_or(edits.len());
    match number.checked_sub(1) {
        _ if edits.is_empty() => Err(ChangeError::Nothing),
        Some(place) if place < edits.len() => Ok(edits.remove(place)),
        _ => Err(ChangeError::NoEdit(number)),
    }
}

/// What nodes are called that were merged or split.
fn names(edit: &Edit, tree: &Tree) -> String {
    let groups = edit.after.iter().rev();
    let nodes = groups.filter_map(|group| tree.node(group.node.id));
    let names: Vec<String> = nodes.map(|node| format!("“{}”", node.name)).collect();
    match edit.verb {
        Verb::Merge | Verb::Split => format!(", now {}", names.join(" and ")),
        Verb::Rename | Verb::Pin | Verb::Move => String::new(),
    }
}
