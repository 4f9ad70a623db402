//! A gold taxonomy: documents, and the classes that people put them in at every depth.
//!
//! A line of `docs.jsonl` holds a `text`, maybe a `title`, and either classes `l1`, `l2` and so on from the broadest
//! down, each maybe null, or a `book` and the `path` of chapters to the text. Where a path has ended, its last chapter is
//! the class at the depths below as well.

use std::{collections::BTreeSet, path::Path};

use rand::{SeedableRng, rngs::StdRng, seq::index};
use serde_json::{Map, Value};

use crate::corpus::{CorpusError, Document, parse};

/// Draws the documents of a limited run.
const SEED: u64 = 7;

/// The documents of a set and their classes.
pub struct Gold {
    pub documents: Vec<Document>,
    /// From the broadest to the finest.
    pub depths: Vec<Depth>,
}

/// The classes of one depth.
pub struct Depth {
    /// Sorted; of a path of chapters, with what stands above, parted by ` / `.
    pub classes: Vec<String>,
    /// The class of each document, where it has one.
    pub of: Vec<Option<usize>>,
}

/// Reads `docs.jsonl` in `folder`, or as many of its documents as `limit` says.
///
/// # Errors
/// When it cannot be read, or a line is no document with classes.
pub fn read(folder: &Path, limit: Option<usize>) -> Result<Gold, CorpusError> {
    let path = folder.join("docs.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|source| CorpusError::Read {
        path: path.clone(),
        source,
    })?;
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let read = document(line, at).map_err(|reason| CorpusError::Record {
            path: path.clone(),
            line: at + 1,
            reason,
        })?;
        lines.push(Some(read));
    }
    let mut chosen: Vec<usize> = (0..lines.len()).collect();
    if let Some(limit) = limit.filter(|&limit| limit < lines.len()) {
        let mut random = StdRng::seed_from_u64(SEED);
        chosen = index::sample(&mut random, lines.len(), limit).into_vec();
        chosen.sort_unstable();
    }
    let chosen = chosen.into_iter().filter_map(|at| lines[at].take());
    let (documents, classes): (Vec<Document>, Vec<Vec<Option<String>>>) = chosen.unzip();
    let n_depths = classes.iter().map(Vec::len).max().unwrap_or(0);
    Ok(Gold {
        documents,
        depths: (0..n_depths).map(|at| depth(&classes, at)).collect(),
    })
}

/// One line as indexing would read it, but that a missing title is none and paths are numbers, which tell nothing.
fn document(line: &str, number: usize) -> Result<(Document, Vec<Option<String>>), String> {
    let object: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| format!("is not a JSON object ({error})"))?;
    let string = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
    let text = string("text").ok_or("has no \"text\"")?;
    let classes = match string("book") {
        Some(book) => chapters(book, object.get("path")),
        None => (1..)
            .map(|depth| format!("l{depth}"))
            .take_while(|key| object.contains_key(key))
            .map(|key| string(&key))
            .collect(),
    };
    if classes.is_empty() {
        return Err("has no classes; give \"l1\" and so on, or \"book\" and \"path\"".to_owned());
    }
    let document = Document {
        title: string("title").unwrap_or_default(),
        ..parse(&format!("{number}.txt"), text)
    };
    Ok((document, classes))
}

fn chapters(book: String, path: Option<&Value>) -> Vec<Option<String>> {
    let chapters = path.and_then(Value::as_array).into_iter().flatten();
    let mut classes = vec![book];
    for chapter in chapters.filter_map(Value::as_str) {
        classes.push(format!("{} / {chapter}", classes[classes.len() - 1]));
    }
    classes.into_iter().map(Some).collect()
}

fn depth(classes: &[Vec<Option<String>>], at: usize) -> Depth {
    let named: Vec<Option<&String>> = classes
        .iter()
        .map(|own| own.get(at).or(own.last()).and_then(Option::as_ref))
        .collect();
    let all: BTreeSet<&String> = named.iter().copied().flatten().collect();
    let all: Vec<String> = all.into_iter().cloned().collect();
    Depth {
        of: named
            .iter()
            .map(|own| own.and_then(|own| all.binary_search(own).ok()))
            .collect(),
        classes: all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_have_classes_at_every_depth() {
        let check = |lines: &str, limit: Option<usize>, expected: &[(&str, &[Option<usize>])]| {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("docs.jsonl"), lines).expect("writes");
            let gold = read(folder.path(), limit).expect("reads");
            let depths = gold.depths.iter();
            let found: Vec<(String, &[Option<usize>])> = depths
                .map(|depth| (depth.classes.join(", "), depth.of.as_slice()))
                .collect();
            let expected: Vec<(String, &[Option<usize>])> = expected
                .iter()
                .map(|(classes, of)| ((*classes).to_owned(), *of))
                .collect();
            assert_eq!(found, expected);
        };
        let levels = "{\"text\": \"a\", \"l1\": \"Y\", \"l2\": null}\n\
                      {\"text\": \"b\", \"l1\": \"X\", \"l2\": \"Q\"}\n";
        let both: [(&str, &[Option<usize>]); 2] =
            [("X, Y", &[Some(1), Some(0)]), ("Q", &[None, Some(0)])];
        check(levels, None, &both);
        check(levels, Some(2), &both);
        let book = "{\"text\": \"a\", \"book\": \"B\", \"path\": []}\n\
                    {\"text\": \"b\", \"book\": \"B\", \"path\": [\"C\", \"D\"]}\n";
        check(
            book,
            None,
            &[
                ("B", &[Some(0), Some(0)]),
                ("B, B / C", &[Some(0), Some(1)]),
                ("B, B / C / D", &[Some(0), Some(1)]),
            ],
        );
    }

    #[test]
    fn a_limited_run_draws_the_same_documents_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let lines = (0..50).map(|own| format!("{{\"text\": \"t{own}\", \"l1\": \"X\"}}\n"));
        std::fs::write(
            folder.path().join("docs.jsonl"),
            lines.collect::<Vec<_>>().concat(),
        )
        .expect("writes");
        let drawn = || {
            let gold = read(folder.path(), Some(9)).expect("reads");
            let texts = gold.documents.into_iter().map(|document| document.text);
            texts.collect::<Vec<_>>()
        };
        assert_eq!(drawn().len(), 9);
        assert_eq!(drawn(), drawn());
    }
}
