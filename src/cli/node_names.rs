//! Nodes and documents as users name them: by name, by the names above it, by id.

use std::{cmp::Reverse, collections::HashMap};

use anyhow::{Result, bail};

use crate::{
    store::Snapshot,
    tree::{Node, Tree},
};

/// Hexadecimal digits of an id, and of its short form at least.
const DIGITS: usize = 14;
const SHORT_DIGITS: usize = 4;
/// What is shown where several have the name or none has.
const SHOWN: usize = 4;

/// The names of a snapshot.
pub struct Names<'a> {
    snapshot: &'a Snapshot,
    /// Digits that tell all ids apart.
    digits: usize,
}

impl<'a> Names<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let nodes = &snapshot.body.tree.nodes;
        let mut ids: Vec<String> = nodes.iter().map(|node| hexadecimal(node.id)).collect();
        ids.sort_unstable();
        let shared = ids.windows(2).map(|pair| {
            let (one, other) = (pair[0].bytes(), pair[1].bytes());
            one.zip(other).take_while(|(a, b)| a == b).count() + 1
        });
        Self {
            snapshot,
            digits: shared.max().unwrap_or(0).clamp(SHORT_DIGITS, DIGITS),
        }
    }

    /// The first digits of an id, which no other node has.
    pub fn short(&self, id: u64) -> String {
        let mut digits = hexadecimal(id);
        digits.truncate(self.digits);
        digits
    }

    /// The node that is meant.
    ///
    /// # Errors
    /// When there is none, or more than one; the nearest are named.
    pub fn node(&self, text: &str) -> Result<u64> {
        let tree = &self.snapshot.body.tree;
        let wanted = text.to_lowercase();
        let is_named = |node: &&Node| {
            let path = path(tree, node).to_lowercase();
            let ends = path.strip_suffix(&wanted);
            ends.is_some_and(|above| above.is_empty() || above.ends_with('/'))
        };
        let mut found: Vec<&Node> = tree.nodes.iter().filter(is_named).collect();
        if found.is_empty() {
            let is_id = |node: &&Node| {
                node.id.to_string() == wanted
                    || wanted.len() >= SHORT_DIGITS && hexadecimal(node.id).starts_with(&wanted)
            };
            found = tree.nodes.iter().filter(is_id).collect();
        }
        match found.as_slice() {
            [node] => Ok(node.id),
            [] => {
                let names = tree.nodes.iter().map(|node| (node.name.as_str(), node));
                let near = nearest(&wanted, names);
                let near = near.into_iter().map(|node| self.told(node));
                bail!("no node is called “{text}”; {}", near_it(near.collect()))
            }
            several => {
                let told = several.iter().take(SHOWN).map(|node| self.told(node));
                bail!(
                    "{} nodes are called “{text}”; give the id of one: {}",
                    several.len(),
                    told.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }

    /// The id of the document that is meant, by its path or its title.
    ///
    /// # Errors
    /// As [`Names::node`].
    pub fn document(&self, text: &str) -> Result<u32> {
        let wanted = text.to_lowercase();
        let documents = &self.snapshot.body.documents;
        let with_path = documents
            .iter()
            .find(|own| own.path.to_lowercase() == wanted);
        if let Some(found) = with_path {
            return Ok(found.id);
        }
        let titled = documents.iter();
        let titled = titled.filter(|own| own.title.to_lowercase() == wanted);
        match titled.collect::<Vec<_>>().as_slice() {
            [document] => Ok(document.id),
            [] => {
                let titles = documents.iter().map(|own| (own.title.as_str(), own));
                let near = nearest(&wanted, titles);
                let near = near.into_iter().map(|own| own.path.clone());
                bail!(
                    "no document is called “{text}”, and an entity takes documents only; {}",
                    near_it(near.collect())
                )
            }
            several => {
                let paths = several.iter().take(SHOWN).map(|own| own.path.clone());
                bail!(
                    "{} documents are called “{text}”; give the path of one: {}",
                    several.len(),
                    paths.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }

    fn told(&self, node: &Node) -> String {
        let path = path(&self.snapshot.body.tree, node);
        format!("“{path}” ({})", self.short(node.id))
    }
}

fn hexadecimal(id: u64) -> String {
    format!("{id:0DIGITS$x}")
}

/// The names of the nodes above a node and its own.
fn path(tree: &Tree, node: &Node) -> String {
    let path = tree.path(node).into_iter();
    let names: Vec<&str> = path.map(|own| own.name.as_str()).collect();
    names.join("/")
}

fn near_it(names: Vec<String>) -> String {
    match names.is_empty() {
        true => "`shas tree` lists the names".to_owned(),
        false => format!("near it {}", names.join(", ")),
    }
}

/// What has the names that share most pairs of characters with `text`, at least half as many as the best.
fn nearest<'n, T>(text: &str, named: impl Iterator<Item = (&'n str, T)>) -> Vec<T> {
    let own = pairs(text);
    let scored = named.map(|(name, value)| {
        let other = pairs(&name.to_lowercase());
        let counts = own.iter().map(|(pair, count)| {
            let others = other.get(pair).copied().unwrap_or(0);
            (*count).min(others)
        });
        let total: usize = own.values().chain(other.values()).sum();
        (2_000 * counts.sum::<usize>() / total.max(1), value)
    });
    let mut scored: Vec<(usize, T)> = scored.collect();
    scored.sort_by_key(|(score, _)| Reverse(*score));
    let best = scored.first().map_or(0, |(score, _)| *score);
    scored.retain(|(score, _)| *score > 0 && 2 * score >= best);
    scored
        .into_iter()
        .take(SHOWN)
        .map(|(_, value)| value)
        .collect()
}

/// How often each two characters follow each other.
fn pairs(text: &str) -> HashMap<(char, char), usize> {
    let mut pairs = HashMap::new();
    for pair in text.chars().zip(text.chars().skip(1)) {
        *pairs.entry(pair).or_default() += 1;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_nearly_right_are_found() {
        let names = ["Bread, dough", "Rye", "Neutron stars", "Star charts"];
        let check = |text: &str, expected: &[&str]| {
            let named = names.iter().map(|name| (*name, *name));
            assert_eq!(nearest(text, named), expected, "{text}");
        };
        check("bred", &["Bread, dough"]);
        check("star", &["Star charts", "Neutron stars"]);
        check("rye bread", &["Bread, dough", "Rye"]);
        check("xq", &[]);
    }
}
