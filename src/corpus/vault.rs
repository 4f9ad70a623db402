//! What the vaults within a corpus leave out by their own settings.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::format::Format;

/// Settings above this are not read.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;
/// A filter that compiles to more is ignored.
const MAX_FILTER_BYTES: usize = 1 << 20;
/// Folders that tools fill, wherever they stand.
const FILLED_FOLDERS: [&str; 3] = ["node_modules", "bower_components", "__pycache__"];
/// Files that mark such a folder.
const FILLED_MARKS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];
const DENDRON_FILES: [&str; 2] = ["dendron.yml", "dendron.code-workspace"];

/// True for a folder of what tools downloaded or built.
pub(super) fn is_filled_by_tools(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default();
    FILLED_FOLDERS.iter().any(|own| name == *own)
        || FILLED_MARKS.iter().any(|mark| folder.join(mark).is_file())
}

/// The vaults that were met so far.
#[derive(Debug, Default)]
pub(super) struct Vaults(Vec<Vault>);

#[derive(Debug)]
struct Vault {
    folder: PathBuf,
    filters: Vec<Regex>,
}

/// The part of `.obsidian/app.json` that says what not to search.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AppSettings {
    user_ignore_filters: Option<Vec<String>>,
}

impl Vaults {
    /// Notes whether a folder is a vault; to be called before its files are met.
    pub fn enter(&mut self, folder: &Path) {
        let settings = folder.join(".obsidian");
        let is_dendron = || DENDRON_FILES.iter().any(|file| folder.join(file).is_file());
        if settings.is_dir() || is_dendron() {
            self.0.push(Vault {
                folder: folder.to_owned(),
                filters: filters(&settings.join("app.json")),
            });
        }
    }

    /// True for what its vault excludes, and for the scripts and settings that lie among notes.
    pub fn leave_out(&self, file: &Path) -> bool {
        let mut around = self.0.iter().filter_map(|vault| {
            let path = file.strip_prefix(&vault.folder).ok()?;
            Some((vault, path.to_string_lossy().replace('\\', "/")))
        });
        around.any(|(vault, path)| {
            Format::by_name(file) == Some(Format::Code)
                || vault.filters.iter().any(|filter| filter.is_match(&path))
        })
    }
}

/// The filters of a vault; settings that cannot be read have none.
fn filters(settings: &Path) -> Vec<Regex> {
    let mut text = String::new();
    let read = File::open(settings)
        .and_then(|file| file.take(MAX_SETTINGS_BYTES).read_to_string(&mut text));
    let settings: AppSettings = match read {
        Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => return Vec::new(),
    };
    let filters = settings.user_ignore_filters.unwrap_or_default();
    filters
        .iter()
        .filter_map(|filter| compiled(filter))
        .collect()
}

/// `/…/` is an expression, anything else what a path begins with.
fn compiled(filter: &str) -> Option<Regex> {
    let expression = filter
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'));
    let pattern = match expression {
        Some(expression) => expression.to_owned(),
        None => format!("^{}", regex::escape(filter)),
    };
    (!filter.is_empty()).then_some(())?;
    RegexBuilder::new(&pattern)
        .case_insensitive(true)
        .size_limit(MAX_FILTER_BYTES)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use crate::corpus::scan;

    /// Writes `files` and checks which of them are offered.
    fn check(files: &[(&str, &str)], expected: &[&str]) -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        for (path, text) in files {
            let path = folder.path().join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, text)?;
        }
        let (found, skipped) = scan(folder.path()).map_err(io::Error::other)?;
        let found: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(found, expected);
        assert_eq!(skipped, []);
        Ok(())
    }

    #[test]
    fn a_vault_leaves_out_what_its_settings_say() -> io::Result<()> {
        let settings =
            r#"{"userIgnoreFilters": ["Archive/", "/\\.draft\\.md$/", "/(/", "Notes/old"]}"#;
        check(
            &[
                (".obsidian/app.json", settings),
                (".obsidian/note.md", "x"),
                (".trash/gone.md", "x"),
                ("archive/a.md", "x"),
                ("Notes/b.md", "x"),
                ("Notes/c.draft.md", "x"),
                ("Notes/old ones.md", "x"),
                ("Notes/Archive/d.md", "x"),
                ("Templates/script.js", "x"),
                ("publish.css", "x"),
            ],
            &["Notes/Archive/d.md", "Notes/b.md"],
        )
    }

    #[test]
    fn vaults_may_lie_below_the_root() -> io::Result<()> {
        check(
            &[
                ("code/main.rs", "fn main() {}"),
                ("code/node_modules/a/index.js", "x"),
                ("code/target/CACHEDIR.TAG", "x"),
                ("code/target/a.rs", "x"),
                ("notes/.obsidian/app.json", "[]"),
                ("notes/a.js", "x"),
                ("notes/a.md", "x"),
                ("site/dendron.yml", "x"),
                ("site/vault/a.b.md", "x"),
                ("site/vault/root.json", "x"),
            ],
            &["code/main.rs", "notes/a.md", "site/vault/a.b.md"],
        )
    }
}
