//! What a user changes in the tree, remembered so that it can be done again in any tree of the same documents.
//!
//! Ids of nodes outlast growth but not every new tree, so an edit names nodes by some of their documents as well, and
//! documents by their paths. All edits come down to two things: what a node is called, and what belongs into it.

mod apply;
mod request;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

pub use apply::{Edited, apply};
pub use request::{EditError, Known, Placed, Request};

use super::{Level, Tree};

/// Documents that an anchor holds on to, at most.
const ANCHOR_DOCUMENTS: usize = 32;

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    pub verb: Verb,
    /// The change in words: “merge “Rye” into “Bread””.
    pub words: String,
    /// What belongs where from then on, of the lowest level first; the last is what the edit is about.
    pub after: Vec<Group>,
    /// What was where until then, for who wants it back.
    pub before: Vec<Group>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// The node keeps this name, whatever becomes of it.
    Rename,
    /// The node keeps its name and all that is below it; more may join.
    Pin,
    /// Two nodes are one.
    Merge,
    /// One node is several.
    Split,
    /// A document or node stands somewhere else.
    Move,
}

/// A node, what it is called where that is said, and what belongs into it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub node: Anchor,
    pub name: Option<String>,
    pub members: Vec<Member>,
}

/// What stands in a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Member {
    /// A document's path.
    Document(String),
    Node(Anchor),
}

/// By what a node is found: its id, else the paths of some of its documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anchor {
    pub id: u64,
    pub level: Level,
    pub documents: Vec<String>,
}

impl Edit {
    /// The node that the edit is about: the one that is named or pinned, or that others go into.
    pub fn node(&self) -> Option<u64> {
        self.after.last().map(|group| group.node.id)
    }

    /// Whether its nodes are in the tree; where their documents are gone, it waits for them.
    pub fn applies(&self, tree: &Tree) -> bool {
        self.node().is_some_and(|id| tree.node(id).is_some())
    }

    /// True where the node's name is the user's, or wanted as it was.
    fn keeps_name(&self) -> bool {
        self.after.last().is_some_and(|group| group.name.is_some())
    }

    /// Every path that the edit names.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        let groups = self.after.iter().chain(&self.before);
        groups.flat_map(|group| {
            let members = group.members.iter().flat_map(|member| match member {
                Member::Document(path) => std::slice::from_ref(path),
                Member::Node(anchor) => &anchor.documents,
            });
            group.node.documents.iter().chain(members)
        })
    }

    /// Has the edit name renamed documents by their new paths; true where it named any.
    pub fn follow(&mut self, renamed: &HashMap<String, String>) -> bool {
        let mut follows = false;
        let mut follow = |path: &mut String| {
            if let Some(new) = renamed.get(path) {
                path.clone_from(new);
                follows = true;
            }
        };
        for group in self.after.iter_mut().chain(&mut self.before) {
            group.node.documents.iter_mut().for_each(&mut follow);
            for member in &mut group.members {
                match member {
                    Member::Document(path) => follow(path),
                    Member::Node(anchor) => anchor.documents.iter_mut().for_each(&mut follow),
                }
            }
        }
        follows
    }
}

/// Ids of the nodes that a user has named or pinned.
pub fn kept(edits: &[Edit]) -> HashSet<u64> {
    let kept = edits.iter().filter(|edit| edit.keeps_name());
    kept.filter_map(Edit::node).collect()
}

/// The documents of a node that stand for all of it: so many at most, spread evenly.
fn spread(documents: &[u32], most: usize) -> Vec<u32> {
    let step = documents.len().div_ceil(most).max(1);
    documents.iter().step_by(step).copied().collect()
}
