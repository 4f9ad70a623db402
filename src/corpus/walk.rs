//! Files of a vault or folder: which there are, which are text, and what is wrong with the others.
//!
//! Hidden files, folders that tools fill, and what `.gitignore`, `.shasignore` and a vault's settings name are left
//! out; links are followed.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::SystemTime,
};

use ignore::WalkBuilder;

use super::{
    CorpusError, Skipped, content,
    format::{self, Format},
    vault::{Vaults, is_filled_by_tools},
};

/// A file that the corpus offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// Relative to the root, `/`-separated.
    pub path: String,
    pub absolute: PathBuf,
    pub bytes: u64,
    pub modified: Option<SystemTime>,
}

/// Lists what `root`, a folder or one file, offers, sorted by path, and what the walk itself had to leave out.
///
/// # Errors
/// When `root` does not exist or cannot be read.
pub fn scan(root: &Path) -> Result<(Vec<ScannedFile>, Vec<Skipped>), CorpusError> {
    let metadata = fs::metadata(root).map_err(|source| match source.kind() {
        ErrorKind::NotFound => CorpusError::Missing {
            path: root.to_owned(),
        },
        _ => CorpusError::Read {
            path: root.to_owned(),
            source,
        },
    })?;
    if metadata.is_file() {
        let name = root.file_name().unwrap_or(root.as_os_str());
        return Ok((
            vec![scanned(slashed(Path::new(name)), root, &metadata)],
            Vec::new(),
        ));
    }
    fs::read_dir(root).map_err(|source| CorpusError::Read {
        path: root.to_owned(),
        source,
    })?;
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    let walk = WalkBuilder::new(root)
        .follow_links(true)
        .require_git(false)
        .git_global(false)
        .git_exclude(false)
        .parents(false)
        .add_custom_ignore_filename(".shasignore")
        .sort_by_file_path(Path::cmp)
        .filter_entry(|entry| {
            let is_folder = entry.file_type().is_some_and(|own| own.is_dir());
            entry.depth() == 0 || !is_folder || !is_filled_by_tools(entry.path())
        })
        .build();
    let mut vaults = Vaults::default();
    for entry in walk {
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|own| own.is_dir()) => {
                vaults.enter(entry.path());
            }
            Ok(entry) if vaults.leave_out(entry.path()) => {}
            Ok(entry) if !is_offered(entry.path()) => {
                let reason = format::unread(entry.path());
                skipped.extend(reason.map(|reason| Skipped {
                    path: relative(root, entry.path()),
                    reason: reason.to_owned(),
                    failed: false,
                }));
            }
            Ok(entry) => match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => {
                    files.push(scanned(
                        relative(root, entry.path()),
                        entry.path(),
                        &metadata,
                    ));
                }
                Ok(_) => skipped.push(Skipped {
                    path: relative(root, entry.path()),
                    reason: "is a device or a pipe, not a file".to_owned(),
                    failed: false,
                }),
                Err(error) => skipped.push(unreadable(relative(root, entry.path()), &error)),
            },
            Err(error) => skipped.push(walk_problem(root, &error)),
        }
    }
    Ok((files, skipped))
}

/// True for a file whose name promises a format; of other names, where the content shows one.
fn is_offered(path: &Path) -> bool {
    if Format::by_name(path).is_some() {
        return true;
    }
    // Pipes are not opened: they would wait for a writer.
    let opened = content::may_be_document(path) && path.is_file();
    opened && content::head(path).is_ok_and(|head| Format::of(path, &head).is_ok())
}

fn scanned(path: String, absolute: &Path, metadata: &Metadata) -> ScannedFile {
    ScannedFile {
        path,
        absolute: absolute.to_owned(),
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
    }
}

fn relative(root: &Path, path: &Path) -> String {
    slashed(path.strip_prefix(root).unwrap_or(path))
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(OsStr::to_string_lossy).collect();
    parts.join("/")
}

/// Where the file at `path`, relative to the corpus root, lies.
pub fn file_of(root: &Path, path: &str) -> PathBuf {
    match root.is_file() {
        true => root.to_owned(),
        false => root.join(path),
    }
}

pub(super) fn unreadable(path: String, error: &std::io::Error) -> Skipped {
    let reason = match error.kind() {
        ErrorKind::NotFound => "is a link to nothing".to_owned(),
        ErrorKind::PermissionDenied => "may not be read; check its permissions".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Skipped {
        path,
        reason,
        failed: true,
    }
}

fn walk_problem(root: &Path, error: &ignore::Error) -> Skipped {
    match error {
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            walk_problem(root, err)
        }
        ignore::Error::Loop { ancestor, child } => Skipped {
            path: relative(root, child),
            reason: format!(
                "is a link to a folder that contains it ({}); the loop is not followed",
                match relative(root, ancestor) {
                    folder if folder.is_empty() => "the corpus itself".to_owned(),
                    folder => folder,
                }
            ),
            failed: false,
        },
        ignore::Error::WithPath { path, err } => match err.io_error() {
            Some(io) => unreadable(relative(root, path), io),
            None => Skipped {
                path: relative(root, path),
                ..walk_problem(root, err)
            },
        },
        other => Skipped {
            path: String::new(),
            reason: other.to_string(),
            failed: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn loops_and_dangling_links_are_reported_and_the_rest_is_read() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("a"))?;
        fs::write(folder.path().join("a/note.md"), "A note.")?;
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop"))?;
        std::os::unix::fs::symlink("nowhere.md", folder.path().join("gone.md"))?;
        let (files, skipped) = scan(folder.path()).map_err(std::io::Error::other)?;
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a/note.md"]);
        let problems: Vec<(&str, &str)> = skipped
            .iter()
            .map(|skipped| (skipped.path.as_str(), skipped.reason.as_str()))
            .collect();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].0 == "a/loop" && problems[0].1.contains("the loop is not followed"));
        assert!(problems[1].0 == "gone.md" && problems[1].1.contains("link to nothing"));
        Ok(())
    }

    #[test]
    fn other_names_are_offered_where_their_content_is_text() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        for (name, content) in [
            ("README", "Read this."),
            ("b.rst", "Text."),
            ("c.unknown", "%PDF-1.4"),
            ("d.dat", "\0\u{1}"),
            ("e.svg", "<svg>"),
            ("empty", ""),
            ("f.png", "text"),
            ("g.md", "\0"),
        ] {
            fs::write(folder.path().join(name), content)?;
        }
        let (files, skipped) = scan(folder.path()).map_err(std::io::Error::other)?;
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["README", "b.rst", "c.unknown", "g.md"]);
        assert_eq!(skipped, []);
        Ok(())
    }
}
