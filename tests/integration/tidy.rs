//! The rules of the house, held by a test: headers, sizes, layers, leftovers.

use std::{fs, path::PathBuf};

use crate::vault::project;

/// Modules in the order of the data; one imports only those before it.
const LAYERS: [&str; 11] = [
    "corpus", "text", "ops", "model", "tree", "store", "ingest", "query", "answer", "tui", "cli",
];
/// Side roads, and the last layer that each may import.
const SIDE_ROADS: [(&str, &str); 2] = [("eval", "answer"), ("train", "model")];
/// Crates that belong to some layers only.
const RESERVED: [(&str, &[&str]); 8] = [
    ("candle_core", &["ops", "model", "train"]),
    ("candle_nn", &["ops", "model", "train"]),
    ("sled", &["store"]),
    ("tantivy", &["store"]),
    ("ratatui", &["tui"]),
    ("plotters", &["cli"]),
    ("ureq", &["cli"]),
    ("anyhow", &["cli", "train"]),
];
const MAX_LINES: usize = 500;
const MAX_MEDIAN: usize = 150;
const MAX_FUNCTION_LINES: usize = 70;

struct Source {
    /// Relative to `src`, `/`-separated.
    path: String,
    text: String,
}

impl Source {
    /// The layer that the file belongs to.
    fn layer(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or("");
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The file without its tests.
    fn code(&self) -> &str {
        let tests = self.text.find("#[cfg(test)]\nmod tests");
        &self.text[..tests.unwrap_or(self.text.len())]
    }
}

fn sources() -> Vec<Source> {
    let root = project().join("src");
    let mut open = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("reads") {
            let path: PathBuf = entry.expect("reads").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let relative = path.strip_prefix(&root).expect("is below");
                found.push(Source {
                    path: relative.to_string_lossy().replace('\\', "/"),
                    text: fs::read_to_string(&path).expect("reads"),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for source in sources() {
        assert!(
            source.text.starts_with("//! "),
            "{} has no header",
            source.path
        );
    }
}

#[test]
fn files_and_functions_are_short() {
    let sources = sources();
    let mut lengths = Vec::new();
    for source in &sources {
        let length = source.code().lines().count();
        assert!(length <= MAX_LINES, "{} has {length} lines", source.path);
        lengths.push(length);
        let mut open: Option<(usize, &str, usize)> = None;
        for (number, line) in source.code().lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let starts = ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn "];
            if starts
                .iter()
                .any(|start| line.trim_start().starts_with(start))
            {
                open = Some((number, line.trim(), indent));
            }
            if let Some((start, name, own)) = open
                && line.trim_end() == format!("{}}}", " ".repeat(own))
            {
                let length = number - start + 1;
                assert!(
                    length <= MAX_FUNCTION_LINES,
                    "{}: {name} has {length} lines",
                    source.path
                );
                open = None;
            }
        }
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MAX_MEDIAN, "the median file has {median} lines");
}

#[test]
fn imports_point_upstream_only() {
    let place = |layer: &str| LAYERS.iter().position(|own| *own == layer);
    for source in sources() {
        let own = source.layer();
        let last = match (place(own), SIDE_ROADS.iter().find(|(road, _)| *road == own)) {
            (Some(own), _) => own,
            (None, Some((_, last))) => place(last).expect("is a layer"),
            (None, None) => continue, // lib.rs and main.rs hold no code.
        };
        for name in imports(source.code()) {
            let upstream = place(name).is_none_or(|layer| layer <= last);
            let allowed = upstream && (!is_side_road(name) || own == "cli" || own == name);
            assert!(allowed, "{} imports {name}", source.path);
        }
    }
}

fn is_side_road(name: &str) -> bool {
    SIDE_ROADS.iter().any(|(road, _)| *road == name)
}

/// The modules behind every `crate::a` and `crate::{a, b::{c, d}}`.
fn imports(code: &str) -> Vec<&str> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.push(
                rest.split(|character| !is_name(character))
                    .next()
                    .unwrap_or(""),
            );
            continue;
        };
        let (mut depth, mut opens) = (0, true);
        for (at, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => opens = true,
                character if opens && is_name(character) => {
                    found.push(list[at..].split(|own| !is_name(own)).next().unwrap_or(""));
                    opens = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn crates_stay_in_their_layers() {
    for source in sources() {
        for (name, layers) in RESERVED {
            let used = [format!("use {name}"), format!("{name}::")];
            let uses = used.iter().any(|used| source.code().contains(used));
            assert!(
                !uses || layers.contains(&source.layer()),
                "{} uses {name}",
                source.path
            );
        }
    }
}

#[test]
fn nothing_is_left_lying_about() {
    let leftovers = [
        "dbg!(",
        "todo!(",
        "unimplemented!(",
        "FIXME",
        "XXX",
        "#[allow(",
        "#[ignore",
    ];
    for source in sources() {
        for leftover in leftovers {
            assert!(
                !source.text.contains(leftover),
                "{} holds {leftover}",
                source.path
            );
        }
    }
}

/// What the project needs stands at the top, and nothing else.
#[test]
fn the_top_level_is_as_agreed() {
    let allowed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "assets",
        "corpora",
        "kernels",
        "src",
        "tests",
        "target",
    ];
    for entry in fs::read_dir(project()).expect("reads") {
        let name = entry
            .expect("reads")
            .file_name()
            .to_string_lossy()
            .into_owned();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name}"
        );
    }
}
