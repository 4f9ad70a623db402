//! Which format a file has: by its name, and by its first bytes where the name says nothing or is wrong.

use std::{ffi::OsStr, path::Path};

use super::dump;

/// The formats that can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Markdown,
    Plain,
    /// A MediaWiki export.
    Dump,
    JsonLines,
    Html,
    Epub,
    Docx,
    Odt,
    Org,
    Pdf,
    Canvas,
    Code,
}

/// Endings, lower case, and what they mean.
const ENDINGS: &[(Format, &[&str])] = &[
    (Format::Markdown, &["md", "markdown", "mdx"]),
    (Format::Plain, &["txt", "text"]),
    (Format::JsonLines, &["jsonl", "ndjson"]),
    (Format::Html, &["html", "htm", "xhtml"]),
    (Format::Epub, &["epub"]),
    (Format::Docx, &["docx"]),
    (Format::Odt, &["odt"]),
    (Format::Org, &["org"]),
    (Format::Pdf, &["pdf"]),
    (Format::Canvas, &["canvas"]),
    (Format::Code, super::code::ENDINGS),
];

/// Endings, lower case, of files that people write but that are not read, and what they are told.
const UNREAD: &[(&[&str], &str)] = &[
    (
        &["doc", "rtf", "pages", "wpd"],
        "is a document of a kind that is not read; save it as .docx or .odt",
    ),
    (
        &["csv", "tsv", "xls", "xlsx", "ods", "numbers"],
        "is a table, which is not read; save what is prose in it as text",
    ),
    (
        &["ppt", "pptx", "odp"],
        "is a set of slides, which are not read; save it as .pdf",
    ),
    (
        &["mobi", "azw", "azw3", "fb2", "djvu"],
        "is a book of a kind that is not read; save it as .epub or .pdf",
    ),
];

impl Format {
    /// The format that a file's name promises.
    pub fn by_name(path: &Path) -> Option<Self> {
        if path
            .file_name()
            .and_then(OsStr::to_str)
            .is_some_and(dump::is_named_like_one)
        {
            return Some(Self::Dump);
        }
        let ending = ending(path)?;
        let own = ENDINGS
            .iter()
            .find(|(_, endings)| endings.contains(&ending.as_str()));
        own.map(|(format, _)| *format)
    }
}

/// Why a file is not read whose name promises something to read.
pub(super) fn unread(path: &Path) -> Option<&'static str> {
    let ending = ending(path)?;
    let mut unread = UNREAD.iter();
    let own = unread.find(|(endings, _)| endings.contains(&ending.as_str()));
    own.map(|(_, reason)| *reason)
}

fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_lowercase())
}
