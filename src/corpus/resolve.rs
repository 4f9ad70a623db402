//! From the name in a link to the document it means.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::{Document, Link, format::Format};

/// Endings that links to notes leave out.
const NOTE_ENDINGS: [&str; 4] = ["md", "markdown", "mdx", "txt"];

/// Finds the targets of links among documents.
///
/// Tried in turn: the path as written and from the linking document's folder, a path's end, the title, an alias,
/// a path without the ending of a file that is no note. Neither case nor the composition of accents matters; where
/// names clash the shortest path wins, and of equals the one that came first. A target that opens with `/` counts from
/// the root.
#[derive(Default)]
pub struct LinkResolver {
    paths: Names,
    /// What follows any `/` of a path.
    ends: Names,
    /// Titles and aliases.
    names: Names,
    /// Paths and their ends without an ending that names say in full.
    bare: Names,
}

impl LinkResolver {
    /// Indices that [`LinkResolver::resolve`] returns count `documents`.
    pub fn new<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Self {
        let mut resolver = Self::default();
        for (index, document) in (0..).zip(documents) {
            let names = std::iter::once(&document.title).chain(&document.aliases);
            resolver.insert(index, &document.path, names);
        }
        resolver
    }

    /// Adds a document with its path and the names that it has beside.
    pub fn insert<'a>(
        &mut self,
        document: u32,
        path: &str,
        names: impl IntoIterator<Item = &'a String>,
    ) {
        let own = Named {
            document,
            path_bytes: path.len() as u32,
        };
        let path = folded(path);
        match without_ending(&path) {
            Some((stem, true)) => {
                self.paths.insert(stem, own);
                self.ends.insert_ends(stem, own);
            }
            Some((stem, false)) => {
                self.bare.insert(stem, own);
                self.bare.insert_ends(stem, own);
            }
            None => {}
        }
        self.ends.insert_ends(&path, own);
        self.paths.insert(&path, own);
        for name in names {
            self.names.insert(&folded(name), own);
        }
    }

    /// The document that `link`, standing in the document at path `from`, means.
    pub fn resolve(&self, from: &str, link: &Link) -> Option<u32> {
        let from = folded(from);
        if link.target.is_empty() {
            return self.paths.get(&from);
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
                let is_end = !is_rooted || target.contains('/');
                self.ends.get(target).filter(|_| is_end)
            })
            .or_else(|| self.names.get(target).filter(|_| !is_rooted))
            .or_else(|| self.bare.get(&relative))
            .or_else(|| self.bare.get(target).filter(|_| !is_rooted))
            .or_else(|| self.ends.get(last).filter(|_| !is_rooted))
    }
}

/// Documents by name. Of a name only its hash is kept, so that the names of millions fit into memory.
#[derive(Default)]
struct Names(HashMap<u64, Named>);

/// A document and the length of its path.
#[derive(Clone, Copy)]
struct Named {
    document: u32,
    path_bytes: u32,
}

impl Names {
    fn insert(&mut self, name: &str, own: Named) {
        match self.0.entry(hash(name)) {
            Entry::Vacant(free) => {
                free.insert(own);
            }
            Entry::Occupied(mut taken) if own.path_bytes < taken.get().path_bytes => {
                taken.insert(own);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// Enters what follows each `/` of `path`.
    fn insert_ends(&mut self, path: &str, own: Named) {
        for (at, _) in path.match_indices('/') {
            self.insert(&path[at + 1..], own);
        }
    }

    fn get(&self, name: &str) -> Option<u32> {
        self.0.get(&hash(name)).map(|own| own.document)
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
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
        let check = |from: &str, target: &str, expected: Option<u32>| {
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
