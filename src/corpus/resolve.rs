//! From the name in a link to the document it means.

use std::collections::HashMap;

use super::{Document, Link, plain::file_stem};

/// Finds the targets of links among a fixed set of documents.
///
/// Tried in turn: the path as written, the path from the linking document's folder, a path's end, the file's
/// name, the title, an alias. Case does not matter; where names clash the shortest path wins.
pub struct LinkResolver {
    paths: HashMap<String, usize>,
    names: HashMap<String, usize>,
}

impl LinkResolver {
    /// Indices that [`LinkResolver::resolve`] returns count `documents`.
    pub fn new<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let mut entries: Vec<(usize, &Document)> = documents.into_iter().enumerate().collect();
        entries.sort_by_key(|(_, document)| (document.path.len(), document.path.clone()));
        let mut resolver = Self {
            paths: HashMap::new(),
            names: HashMap::new(),
        };
        for (index, document) in &entries {
            let path = without_ending(&document.path.to_lowercase());
            resolver.paths.entry(path).or_insert(*index);
            let stem = file_stem(&document.path).to_lowercase();
            resolver.names.entry(stem).or_insert(*index);
        }
        for (index, document) in &entries {
            for name in std::iter::once(&document.title).chain(&document.aliases) {
                resolver.names.entry(name.to_lowercase()).or_insert(*index);
            }
        }
        resolver
    }

    /// The document that `link`, standing in the document at path `from`, means.
    pub fn resolve(&self, from: &str, link: &Link) -> Option<usize> {
        let from = from.to_lowercase();
        if link.target.is_empty() {
            return self.paths.get(&without_ending(&from)).copied();
        }
        let target = without_ending(&link.target.to_lowercase().replace('\\', "/"));
        let target = target.trim_start_matches('/');
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        let relative = joined(folder, target);
        self.paths
            .get(target)
            .or_else(|| self.paths.get(&relative))
            .or_else(|| self.ending_in(target))
            .or_else(|| self.names.get(target))
            .or_else(|| {
                self.names
                    .get(file_name(target))
                    .filter(|_| target.contains("./"))
            })
            .copied()
    }

    fn ending_in(&self, target: &str) -> Option<&usize> {
        target.contains('/').then_some(())?;
        let ending = format!("/{target}");
        let candidates = self
            .paths
            .iter()
            .filter(|(path, _)| path.ends_with(&ending));
        candidates
            .min_by_key(|(path, _)| (path.len(), path.as_str()))
            .map(|(_, index)| index)
    }
}

/// Only endings of notes are dropped, so that dotted names stay whole.
fn without_ending(path: &str) -> String {
    let endings = [".md", ".markdown", ".mdx", ".txt"];
    let stem = endings.iter().find_map(|ending| path.strip_suffix(ending));
    stem.unwrap_or(path).to_owned()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `folder/target` with `.` and `..` taken.
pub(super) fn joined(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_resolve_as_in_obsidian() {
        let note = |path: &str, title: &str, alias: &str| Document {
            path: path.to_owned(),
            title: title.to_owned(),
            aliases: vec![alias.to_owned()],
            ..Document::default()
        };
        let documents = [
            note("Food/Bread.md", "Bread", "loaf"),
            note("Old/Archive/Bread.md", "Bread", ""),
            note("dev.design.store.md", "Store design", ""),
            note("Food/Notes/Rye.md", "Rye", ""),
        ];
        let resolver = LinkResolver::new(&documents);
        let check = |from: &str, target: &str, expected: Option<usize>| {
            let link = Link {
                target: target.to_owned(),
                ..Link::default()
            };
            assert_eq!(resolver.resolve(from, &link), expected, "{target}");
        };
        check("x.md", "bread", Some(0));
        check("x.md", "Loaf", Some(0));
        check("x.md", "Archive/Bread", Some(1));
        check("x.md", "dev.design.store", Some(2));
        check("x.md", "Store design", Some(2));
        check("Food/Notes/Rye.md", "../Bread.md", Some(0));
        check("Food/Bread.md", "Notes/Rye.md", Some(3));
        check("Food/Bread.md", "", Some(0));
        check("x.md", "Nothing", None);
    }
}
