//! Files of a vault or folder: which there are, which are text, and what is wrong with the others.
//!
//! Hidden files and what `.gitignore` and `.shasignore` name are left out; links are followed.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::SystemTime,
};

use ignore::WalkBuilder;

use super::{CorpusError, Document, Skipped, markdown, plain};

/// Files above this are not read.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// A line above this is data, not prose.
const MAX_LINE_BYTES: usize = 1 << 20;
/// NUL bytes are looked for in this much of a file.
const SNIFFED_BYTES: usize = 8 << 10;

/// A file that the corpus offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedFile {
    /// Relative to the root, `/`-separated.
    pub path: String,
    pub absolute: PathBuf,
    pub bytes: u64,
    pub modified: Option<SystemTime>,
}

/// The formats that can be read.
#[derive(Debug, Clone, Copy)]
enum Format {
    Markdown,
    Plain,
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
        .build();
    for entry in walk {
        match entry {
            Ok(entry) if format(entry.path()).is_none() => {}
            Ok(entry) => match fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => {
                    files.push(scanned(
                        relative(root, entry.path()),
                        entry.path(),
                        &metadata,
                    ));
                }
                Ok(metadata) if metadata.is_dir() => {}
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

/// Reads every file of [`scan`] in its order.
///
/// # Errors
/// The outer error means that `root` cannot be opened; an item's, that this file is left out.
pub fn read(root: &Path) -> Result<impl Iterator<Item = Result<Document, Skipped>>, CorpusError> {
    let (files, skipped) = scan(root)?;
    Ok(skipped
        .into_iter()
        .map(Err)
        .chain(files.into_iter().map(|file| read_file(&file))))
}

/// Parses `text` in the format that the name of `path` asks for.
pub fn parse(path: &str, text: String) -> Document {
    match format(Path::new(path)) {
        Some(Format::Markdown) => markdown::parse(path, text),
        _ => plain::parse(path, text),
    }
}

fn read_file(file: &ScannedFile) -> Result<Document, Skipped> {
    let skip = |reason: String| Skipped {
        path: file.path.clone(),
        reason,
        failed: false,
    };
    if file.bytes > MAX_FILE_BYTES {
        let megabytes = file.bytes >> 20;
        return Err(skip(format!(
            "is {megabytes} MB large; split it into files below {} MB",
            MAX_FILE_BYTES >> 20
        )));
    }
    let bytes = fs::read(&file.absolute).map_err(|error| unreadable(file.path.clone(), &error))?;
    let text = checked_text(bytes).map_err(skip)?;
    let mut document = parse(&file.path, text);
    document.modified = file.modified;
    if document.blocks.is_empty() {
        return Err(skip("is empty; there is nothing to index".to_owned()));
    }
    Ok(document)
}

/// The bytes as text, or why they are none.
fn checked_text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes[..bytes.len().min(SNIFFED_BYTES)].contains(&0) {
        return Err("looks like a binary file, not text; give it its right ending".to_owned());
    }
    let longest = bytes.split(|&byte| byte == b'\n').enumerate();
    if let Some((line, content)) = longest.max_by_key(|(_, content)| content.len())
        && content.len() > MAX_LINE_BYTES
    {
        let megabytes = content.len() as f64 / f64::from(1 << 20);
        return Err(format!(
            "line {} is {megabytes:.1} MB long; that is data, not prose: break it into lines",
            line + 1
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is not valid UTF-8 (first bad byte at {at}); save it as UTF-8")
    })
}

fn format(path: &Path) -> Option<Format> {
    let ending = path.extension().and_then(OsStr::to_str)?.to_lowercase();
    match ending.as_str() {
        "md" | "markdown" | "mdx" => Some(Format::Markdown),
        "txt" | "text" => Some(Format::Plain),
        _ => None,
    }
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

fn unreadable(path: String, error: &std::io::Error) -> Skipped {
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

    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let found = checked_text(bytes.to_vec());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn text_is_told_from_what_is_none() {
        check(b"plain", Ok("plain"));
        check("中文".as_bytes(), Ok("中文"));
        check(b"\x7fELF\0\0", Err("binary"));
        check(b"ok \xff\xfe", Err("first bad byte at 3"));
        check(
            &vec![b'x'; MAX_LINE_BYTES + 1],
            Err("line 1 is 1.0 MB long"),
        );
    }

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
}
