//! Nodes with names, of the headings of manuals and of the folders that they lie in.
//!
//! `corpus.jsonl` has the sections and their documents, `queries.jsonl` the heading path of each. Siblings are the headings
//! below one heading, or the folders in one folder. A document's own title names nothing: its sections are encoded behind it.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::Result;
use serde::Deserialize;

use super::examples::lines;

/// Siblings that are compared, and members that make a node, at least.
const LEAST_SIBLINGS: usize = 3;
const LEAST_MEMBERS: usize = 2;

/// A node: its name, and its members by number.
pub type Named = (String, Vec<usize>);

/// The sections of a source, and nodes made of them.
#[derive(Debug, PartialEq)]
pub struct Headings {
    /// Title and text.
    pub sections: Vec<(String, String)>,
    /// Nodes of one parent, of folders first and then of headings.
    pub siblings: [Vec<Vec<Named>>; 2],
}

#[derive(Deserialize)]
struct Section {
    #[serde(rename = "_id")]
    id: String,
    title: String,
    text: String,
    doc: String,
}

#[derive(Deserialize)]
struct HeadingPath {
    #[serde(rename = "_id")]
    id: String,
    text: String,
}

/// Reads `corpus.jsonl` and `queries.jsonl` in `folder`.
///
/// # Errors
/// When a file cannot be read or a line is not of its kind; the message names it.
pub fn read_headings(folder: &Path) -> Result<Headings> {
    let sections: Vec<Section> = lines(&folder.join("corpus.jsonl"))?;
    let paths: Vec<HeadingPath> = lines(&folder.join("queries.jsonl"))?;
    // A query is called as its section, with a question mark.
    let paths = paths.into_iter();
    let paths: HashMap<String, String> = paths
        .map(|own| (own.id.trim_end_matches('?').to_owned(), own.text))
        .collect();
    let (mut folders, mut headings) = (Children::new(), Children::new());
    for (number, section) in sections.iter().enumerate() {
        let parts: Vec<String> = section.doc.split('/').map(str::to_owned).collect();
        let above = &parts[..parts.len() - 1];
        for depth in 0..above.len() {
            let name = above[depth].replace(['-', '_'], " ");
            add(&mut folders, above[..depth].to_vec(), name, number);
        }
        let path = paths.get(&section.id).map_or("", String::as_str);
        let mut parent = vec![section.doc.clone()];
        for heading in path.split(" > ").skip(1) {
            add(&mut headings, parent.clone(), heading.to_owned(), number);
            parent.push(heading.to_owned());
        }
    }
    let sections = sections.into_iter();
    Ok(Headings {
        sections: sections.map(|own| (own.title, own.text)).collect(),
        siblings: [folders, headings].map(siblings),
    })
}

/// Nodes by the path of their parent and by name.
type Children = BTreeMap<Vec<String>, BTreeMap<String, Vec<usize>>>;

fn add(children: &mut Children, parent: Vec<String>, name: String, member: usize) {
    let nodes = children.entry(parent).or_default();
    nodes.entry(name).or_default().push(member);
}

fn siblings(children: Children) -> Vec<Vec<Named>> {
    let groups = children.into_values().map(|nodes| {
        let nodes = nodes.into_iter();
        let nodes = nodes.filter(|(_, members)| members.len() >= LEAST_MEMBERS);
        nodes.collect::<Vec<Named>>()
    });
    groups
        .filter(|nodes| nodes.len() >= LEAST_SIBLINGS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_are_headings_of_one_heading_and_folders_of_one_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut corpus, mut queries) = (String::new(), String::new());
        for (number, name) in ["a", "a", "b", "b", "c", "c", "d"].iter().enumerate() {
            corpus += &format!(
                "{{\"_id\": \"{number}\", \"title\": \"T\", \"text\": \"x\", \"doc\": \"m/{name}-1/x.txt\"}}\n"
            );
            queries += &format!("{{\"_id\": \"{number}?\", \"text\": \"T > H > {number}\"}}\n");
        }
        std::fs::write(folder.path().join("corpus.jsonl"), corpus).expect("writes");
        std::fs::write(folder.path().join("queries.jsonl"), queries).expect("writes");
        let read = read_headings(folder.path()).expect("reads");
        let named = |name: &str, members: [usize; 2]| (name.to_owned(), members.to_vec());
        let folders = vec![
            named("a 1", [0, 1]),
            named("b 1", [2, 3]),
            named("c 1", [4, 5]),
        ];
        assert_eq!(read.siblings, [vec![folders], Vec::new()]);
        assert_eq!(read.sections.len(), 7);
    }
}
