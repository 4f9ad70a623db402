//! From the name in a link to the document it means.

use std::{collections::HashMap, path::Path};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::{Document, Link, format::Format};

/// Endings that links to notes leave out.
const NOTE_ENDINGS: [&str; 4] = ["md", "markdown", "mdx", "txt"];

/// Finds the targets of links among a fixed set of documents.
///
/// Tried in turn: the path as written and from the linking document's folder, a path's end, the title, an alias,
/// a path without the ending of a file that is no note. Neither case nor the composition of accents matters; where
/// names clash the shortest path wins. A target that opens with `/` counts from the root.
pub struct LinkResolver {
    paths: HashMap<String, usize>,
    /// What follows any `/` of a path.
    ends: HashMap<String, usize>,
    /// Titles and aliases.
    names: HashMap<String, usize>,
    /// Paths and their ends without an ending that names say in full.
    bare: HashMap<String, usize>,
}

impl LinkResolver {
    /// Indices that [`LinkResolver::resolve`] returns count `documents`.
    pub fn new<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let mut entries: Vec<(usize, &Document)> = documents.into_iter().enumerate().collect();
        entries.sort_by_key(|(_, document)| (document.path.len(), &document.path));
        let mut resolver = Self {
            paths: HashMap::with_capacity(entries.len()),
            ends: HashMap::with_capacity(entries.len()),
            names: HashMap::with_capacity(entries.len()),
            bare: HashMap::new(),
        };
        for (index, document) in entries {
            let path = folded(&document.path);
            match without_ending(&path) {
                Some((stem, true)) => {
                    resolver.paths.entry(stem.to_owned()).or_insert(index);
                    insert_ends(&mut resolver.ends, stem, index);
                }
                Some((stem, false)) => {
                    resolver.bare.entry(stem.to_owned()).or_insert(index);
                    insert_ends(&mut resolver.bare, stem, index);
                }
                None => {}
            }
            insert_ends(&mut resolver.ends, &path, index);
            resolver.paths.entry(path).or_insert(index);
            for name in std::iter::once(&document.title).chain(&document.aliases) {
                resolver.names.entry(folded(name)).or_insert(index);
            }
        }
        resolver
    }

    /// The document that `link`, standing in the document at path `from`, means.
    pub fn resolve(&self, from: &str, link: &Link) -> Option<usize> {
        let from = folded(from);
        if link.target.is_empty() {
            return self.paths.get(&from).copied();
        }
        let written = folded(&link.target).replace('\\', "/");
        let target = written.trim_start_matches('/');
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_rooted = written.starts_with('/');
        let relative = joined(if is_rooted { "" } else { folder }, target);
        // An ending is written by those who mean a path; a bare name is looked for from the root first.
        let (first, second) = match without_ending(target).is_some() && !is_rooted {
            true => (relative.as_str(), target),
            false => (target, relative.as_str()),
        };
        let exact = self.paths.get(first).or_else(|| self.paths.get(second));
        let last = match target.contains("./") {
            true => target.rsplit('/').next().unwrap_or(target),
            false => target,
        };
        exact
            .or_else(|| {
                self.ends
                    .get(target)
                    .filter(|_| !is_rooted || target.contains('/'))
            })
            .or_else(|| self.names.get(target).filter(|_| !is_rooted))
            .or_else(|| self.bare.get(&relative))
            .or_else(|| self.bare.get(target).filter(|_| !is_rooted))
            .or_else(|| self.ends.get(last).filter(|_| !is_rooted))
            .copied()
    }
}

/// Enters what follows each `/` of `path`.
fn insert_ends(ends: &mut HashMap<String, usize>, path: &str, index: usize) {
    for (at, _) in path.match_indices('/') {
        let end = &path[at + 1..];
        // An end that is known has a shorter path.
        if !ends.contains_key(end) {
            ends.insert(end.to_owned(), index);
        }
    }
}

/// The path without the ending of a file, and whether that is a note's; dotted names stay whole.
fn without_ending(path: &str) -> Option<(&str, bool)> {
    Format::by_name(Path::new(path))?;
    let (stem, ending) = path.rsplit_once('.')?;
    Some((stem, NOTE_ENDINGS.contains(&ending)))
}

/// In small letters and composed, as names are compared.
fn folded(name: &str) -> String {
    match is_nfc_quick(name.chars()) {
        IsNormalized::Yes => name.to_lowercase(),
        _ => name.nfc().collect::<String>().to_lowercase(),
    }
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
            note("Cafe\u{301}.md", "Cafe\u{301}", "Kaffeehaus"),
            note("Boards/Plan.canvas", "Plan", ""),
            note("README.md", "Start", ""),
            note("Food/README.md", "Food", ""),
            note("Dump.xml/AC/DC", "AC/DC", ""),
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
        check("x.md", "CAF\u{c9}", Some(4));
        check("x.md", "kaffeehaus", Some(4));
        check("x.md", "Plan.canvas", Some(5));
        check("x.md", "../elsewhere/Bread.md", Some(0));
        check("x.md", "./Rye", Some(3));
        check("Food/Bread.md", "README.md", Some(7));
        check("Food/Bread.md", "README", Some(6));
        check("Food/Bread.md", "/README.md", Some(6));
        check("Food/Bread.md", "/Rye.md", None);
        check("x.md", "/Notes/Rye.md", Some(3));
        check("x.md", "Food\\Bread", Some(0));
        check("Dump.xml/Rock", "AC/DC", Some(8));
        check("x.md", "../../..", None);
    }
}
