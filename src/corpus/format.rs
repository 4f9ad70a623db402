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
        let ending = path.extension().and_then(OsStr::to_str)?.to_lowercase();
        let own = ENDINGS
            .iter()
            .find(|(_, endings)| endings.contains(&ending.as_str()));
        own.map(|(format, _)| *format)
    }
}
