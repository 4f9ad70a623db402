//! How many wikilinks of real vaults lead to their note, and how long reading takes.
//!
//! `cargo bench --bench links -- VAULT…` counts the links whose note exists by a check of its own: lines of the
//! files are searched for `[[…]]`, and names are compared with file names, paths and the lines of front matter.
//! `--list` prints the links that do not lead there.

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use shas::corpus::{Document, LinkResolver, read};
use unicode_normalization::UnicodeNormalization;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|own| own != "--bench")
        .collect();
    let list = arguments.iter().any(|own| own == "--list");
    println!("vault\tdocuments\tlinks\twith a note\tresolved\tshare\treading s\tresolving s");
    for vault in arguments.iter().filter(|own| !own.starts_with("--")) {
        measure(Path::new(vault), list)?;
    }
    Ok(())
}

fn measure(vault: &Path, list: bool) -> Result<()> {
    let start = Instant::now();
    let documents: Vec<Document> = read(vault)?.filter_map(std::result::Result::ok).collect();
    let reading_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let resolver = LinkResolver::new(&documents);
    let resolved: HashMap<(&str, usize), &str> = documents
        .iter()
        .flat_map(|document| document.links.iter().map(move |link| (document, link)))
        .filter_map(|(document, link)| {
            let target = resolver.resolve(&document.path, link)?;
            let key = (document.path.as_str(), link.span.start);
            Some((key, documents[target as usize].path.as_str()))
        })
        .collect();
    let resolving_s = start.elapsed().as_secs_f64();

    let notes = notes(vault)?;
    let names = Names::new(&notes);
    let (mut n_links, mut n_existing, mut n_resolved) = (0, 0, 0);
    for note in &notes {
        for (at, inner) in wikilinks(&note.text) {
            n_links += 1;
            let expected = names.meant(&inner);
            if expected.is_empty() {
                continue;
            }
            n_existing += 1;
            let found = resolved.get(&(note.path.as_str(), at)).copied();
            if found.is_some_and(|found| expected.contains(found)) {
                n_resolved += 1;
            } else if list {
                println!("  {}: [[{inner}]] → {found:?}", note.path);
            }
        }
    }
    println!(
        "{}\t{}\t{n_links}\t{n_existing}\t{n_resolved}\t{:.2} %\t{reading_s:.2}\t{resolving_s:.3}",
        vault.file_name().unwrap_or_default().to_string_lossy(),
        documents.len(),
        100.0 * f64::from(n_resolved) / f64::from(n_existing.max(1)),
    );
    Ok(())
}

struct Note {
    path: String,
    text: String,
}

/// Every Markdown file outside hidden folders.
fn notes(vault: &Path) -> Result<Vec<Note>> {
    let mut open: Vec<PathBuf> = vec![vault.to_owned()];
    let mut notes = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with('.') {
                continue;
            } else if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".md") {
                notes.push(Note {
                    path: path.strip_prefix(vault)?.to_string_lossy().into_owned(),
                    text: fs::read_to_string(&path)?,
                });
            }
        }
    }
    Ok(notes)
}

/// Start and inside of every wikilink outside code and comments.
fn wikilinks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut at, mut fence, mut comment, mut html) = (0, None, false, false);
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let trimmed = line.trim_start_matches([' ', '>', '\t', '-', '*']);
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| trimmed.starts_with(mark));
        if let Some(mark) = mark.filter(|mark| fence.is_none_or(|open| open == *mark)) {
            fence = fence.is_none().then_some(mark);
            continue;
        }
        if fence.is_some() {
            continue;
        }
        let mut code = false;
        let mut place = 0;
        while let Some(rest) = line.get(place..).filter(|rest| !rest.is_empty()) {
            let step = rest.chars().next().map_or(1, char::len_utf8);
            if rest.starts_with("<!--") && !code && !comment {
                html = true;
                place += 4;
            } else if html {
                html = !rest.starts_with("-->");
                place += step;
            } else if rest.starts_with("%%") && !code {
                comment = !comment;
                place += 2;
            } else if rest.starts_with('`') && (code || rest[1..].contains('`')) {
                code = !code;
                place += 1;
            } else if rest.starts_with("[[") && !code && !comment {
                match rest.find("]]") {
                    Some(end) if !rest[2..end].contains("[[") => {
                        let embed = line[..place].ends_with('!');
                        found.push((start + place - usize::from(embed), rest[2..end].to_owned()));
                        place += end;
                    }
                    _ => place += 1,
                }
            } else {
                place += step;
            }
        }
    }
    found
}

/// Paths of notes by every name that a link may use.
struct Names<'a> {
    by_name: HashMap<String, HashSet<&'a str>>,
    dendron: bool,
}

impl<'a> Names<'a> {
    fn new(notes: &'a [Note]) -> Self {
        let mut by_name: HashMap<String, HashSet<&str>> = HashMap::new();
        for note in notes {
            let path = note.path.trim_end_matches(".md");
            let ends = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
            let names = std::iter::once(path).chain(ends).chain(aliases(&note.text));
            for name in names {
                by_name
                    .entry(folded(name))
                    .or_default()
                    .insert(note.path.as_str());
            }
        }
        let dendron = notes
            .iter()
            .filter(|note| note.text.starts_with("---\nid: "))
            .count()
            > notes.len() / 2;
        Self { by_name, dendron }
    }

    /// The notes that the inside of a wikilink may mean.
    fn meant(&self, inner: &str) -> HashSet<&'a str> {
        let parts: Vec<&str> = inner.split('|').collect();
        let target = match self.dendron {
            true => parts[parts.len() - 1],
            false => parts[0],
        };
        let target = target.split('#').next().unwrap_or("");
        let target = target.trim().trim_end_matches('\\').trim_end_matches(".md");
        let vaultless = target
            .strip_prefix("dendron://")
            .and_then(|rest| rest.split_once('/'));
        let target = vaultless.map_or(target, |(_, name)| name);
        let path = target.trim_start_matches("../").trim_start_matches('/');
        self.by_name.get(&folded(path)).cloned().unwrap_or_default()
    }
}

/// Items of a front matter's `aliases`, told by its lines.
fn aliases(text: &str) -> Vec<&str> {
    let Some((matter, _)) = text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---"))
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut inside = false;
    for line in matter.lines() {
        if let Some(list) = line
            .strip_prefix("aliases:")
            .or_else(|| line.strip_prefix("alias:"))
        {
            inside = true;
            found.extend(list.trim().trim_matches(['[', ']']).split(','));
        } else if let Some(item) = line.trim_start().strip_prefix("- ").filter(|_| inside) {
            found.push(item);
        } else {
            inside = false;
        }
    }
    found
        .into_iter()
        .map(|name| name.trim().trim_matches(['"', '\'']))
        .filter(|name| !name.is_empty())
        .collect()
}

fn folded(name: &str) -> String {
    name.trim().nfc().collect::<String>().to_lowercase()
}
