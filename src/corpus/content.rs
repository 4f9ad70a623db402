//! Which format the first bytes of a file speak of, and what becomes of a file whose name says another.

use std::{ffi::OsStr, fs::File, io::Read, path::Path};

use super::format::Format;

/// So much of a file is looked at.
const HEAD_BYTES: u64 = 8 << 10;
/// A PDF may begin with something else, but not with more than this.
const PDF_HEADER_BYTES: usize = 1 << 10;

/// Endings of files that hold no documents: pictures, sound, programs, archives, data.
const LEFT_OUT: &[&str] = &[
    "7z",
    "a",
    "aac",
    "apk",
    "avi",
    "avif",
    "bin",
    "bmp",
    "class",
    "csv",
    "db",
    "dll",
    "dmg",
    "dylib",
    "eot",
    "exe",
    "flac",
    "gif",
    "gz",
    "heic",
    "ico",
    "iso",
    "jar",
    "jpeg",
    "jpg",
    "lock",
    "m4a",
    "map",
    "mkv",
    "mov",
    "mp3",
    "mp4",
    "mpg",
    "o",
    "ogg",
    "opus",
    "otf",
    "parquet",
    "png",
    "ppt",
    "pptx",
    "psd",
    "pyc",
    "rar",
    "safetensors",
    "so",
    "sqlite",
    "svg",
    "tar",
    "tgz",
    "tif",
    "tiff",
    "tsv",
    "ttf",
    "wasm",
    "wav",
    "webm",
    "webp",
    "wmv",
    "woff",
    "woff2",
    "xls",
    "xlsx",
    "xz",
    "zip",
    "zst",
];

/// What the first bytes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing else begins like this.
    Format(Format),
    /// An archive of which the names of the first files do not say what it is.
    Zip,
    /// Text of any kind.
    Text,
    /// A script that names the program to run it.
    Script,
    /// Data that reads as text, such as XML.
    Data,
    /// A format that is not read; the clause says what to do.
    Foreign(&'static str),
    /// Nothing, or bytes without meaning.
    Unknown,
}

/// Reads the bytes that [`Format::by_content`] looks at.
pub(super) fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// True for a file that is worth opening to see what it is.
pub(super) fn may_be_document(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or("");
    !LEFT_OUT.contains(&ending.to_lowercase().as_str())
}

impl Format {
    /// What the first bytes of a file say.
    pub fn by_content(head: &[u8]) -> Content {
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        if text.trim_ascii_start().starts_with(b"%PDF-") {
            return Content::Format(Self::Pdf);
        }
        if head.starts_with(b"PK\x03\x04") {
            return zip_kind(head);
        }
        if head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
            return Content::Foreign(
                "is in an old Office format or has a password; save it as .docx without a password",
            );
        }
        if head.starts_with(b"{\\rtf") {
            return Content::Foreign(
                "is in the format RTF, which is not read; save it as .docx or .odt",
            );
        }
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return Content::Foreign("is UTF-16; save it as UTF-8");
        }
        match is_text(text) {
            true => text_kind(text),
            false => Content::Unknown,
        }
    }

    /// The format of a file by its name and its first bytes, which win; the error says why it has none.
    pub fn of(path: &Path, head: &[u8]) -> Result<Self, &'static str> {
        let named = Self::by_name(path);
        let content = Self::by_content(head);
        let is_text = matches!(content, Content::Text | Content::Script | Content::Data);
        match (content, named) {
            // Templates and pages in code begin as pages do.
            (Content::Format(Self::Html), Some(named @ (Self::Code | Self::Canvas))) => Ok(named),
            (Content::Format(found), _) => Ok(found),
            (Content::Zip, Some(named)) if named.is_zip() => Ok(named),
            (Content::Zip, _) => Err("is a zip archive, not a document; unpack it"),
            (Content::Foreign(reason), _) => Err(reason),
            (_, Some(Self::Pdf)) if is_text && !has_pdf_header(head) => Ok(Self::Plain),
            (_, Some(named)) if is_text && named.is_zip() => Ok(Self::Plain),
            (_, Some(named)) => Ok(named),
            (Content::Text, None) => Ok(Self::Plain),
            (Content::Script, None) => Ok(Self::Code),
            (_, None) => Err("is in no format that is read; give it its right ending"),
        }
    }

    fn is_zip(self) -> bool {
        matches!(self, Self::Epub | Self::Docx | Self::Odt)
    }
}

fn has_pdf_header(head: &[u8]) -> bool {
    let start = &head[..head.len().min(PDF_HEADER_BYTES)];
    start.windows(5).any(|window| window == b"%PDF-")
}

/// EPUB and OpenDocument begin with a file that says so; Word is known by the folder of its text.
fn zip_kind(head: &[u8]) -> Content {
    let mimetype = head.get(30..).unwrap_or_default();
    let format = if mimetype.starts_with(b"mimetypeapplication/epub+zip") {
        Format::Epub
    } else if mimetype.starts_with(b"mimetypeapplication/vnd.oasis.opendocument.text") {
        Format::Odt
    } else if head.windows(5).any(|window| window == b"word/") {
        Format::Docx
    } else {
        return Content::Zip;
    };
    Content::Format(format)
}

/// UTF-8 without control characters; the last character may be cut off.
fn is_text(head: &[u8]) -> bool {
    let control =
        |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | b'\x0c' | b'\x1b');
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    valid && !head.trim_ascii().is_empty() && !head.iter().any(control)
}

/// What the first element says; declarations, doctypes of XML and comments before it say nothing.
fn text_kind(text: &[u8]) -> Content {
    let mut rest = text.trim_ascii_start();
    if rest.starts_with(b"#!") {
        return Content::Script;
    }
    let mut declared = false;
    loop {
        let end: &[u8] = match rest {
            [b'<', b'?', ..] => b"?>",
            [b'<', b'!', b'-', b'-', ..] => b"-->",
            _ => break,
        };
        declared |= rest.starts_with(b"<?xml");
        match rest.windows(end.len()).position(|window| window == end) {
            Some(at) => rest = rest[at + end.len()..].trim_ascii_start(),
            None => break,
        }
    }
    let opens = |name: &[u8]| {
        let start = rest.get(..name.len()).unwrap_or_default();
        let after = rest.get(name.len()).copied().unwrap_or(b'>');
        start.eq_ignore_ascii_case(name) && !after.is_ascii_alphanumeric()
    };
    if opens(b"<!doctype html") || opens(b"<html") || opens(b"<head") {
        Content::Format(Format::Html)
    } else if opens(b"<mediawiki") {
        Content::Format(Format::Dump)
    } else if declared || opens(b"<svg") || opens(b"<!doctype") {
        Content::Data
    } else {
        Content::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(path: &str, head: &[u8], expected: Result<Format, &str>) {
        let found = Format::of(Path::new(path), head);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{path}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{path}: {found}"),
            (found, expected) => panic!("{path}: {found:?}, not {expected:?}"),
        }
    }

    /// The first bytes of an archive whose first file has this name and, stored, this content.
    fn zip(name: &str, content: &str) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend([0; 26]);
        bytes.extend(name.bytes().chain(content.bytes()));
        bytes
    }

    #[test]
    fn content_is_trusted_before_the_name() {
        use Format::*;
        check("a.md", b"# Note", Ok(Markdown));
        check("a.md", b"", Ok(Markdown));
        check("a.md", b"\x7fELF\0", Ok(Markdown));
        check("a.txt", b"%PDF-1.7\n", Ok(Pdf));
        check("a.txt", b"On %PDF-1.7 headers", Ok(Plain));
        check("a.pdf", b"junk\n%PDF-1.4", Ok(Pdf));
        check("a.pdf", b"Only words.", Ok(Plain));
        check("a.pdf", b"<!DOCTYPE html><p>Not found", Ok(Html));
        check("a.txt", b"<!-- saved --> <HTML lang=en>", Ok(Html));
        check("a.md", b"<p align=center>A badge</p>", Ok(Markdown));
        check("README", b"Read this. \xe2\x80", Ok(Plain));
        check(
            "index",
            b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC>",
            Ok(Html),
        );
        check("page.htm", b"words", Ok(Html));
        check("feed.xml", b"<?xml version='1.0'?><rss>", Err("no format"));
        check("a.xml", b"<mediawiki xmlns='x'>", Ok(Dump));
        check("a.xml-p1p2.bz2", b"BZh91AY&SY", Ok(Dump));
        check("run", b"#!/bin/sh\n", Ok(Code));
        check("a.php", b"<!DOCTYPE html><?php", Ok(Code));
        check("data.dat", b"\0\x01", Err("no format"));
        check("data.dat", b"caf\xe9 au lait", Err("no format"));
        check("a.md", &zip("x.md", ""), Err("zip archive"));
        check("a.docx", &zip("x.xml", ""), Ok(Docx));
        check("a.docx", &zip("mimetype", "application/epub+zip"), Ok(Epub));
        check(
            "a",
            &zip("mimetype", "application/vnd.oasis.opendocument.text"),
            Ok(Odt),
        );
        check("a.bak", &zip("word/document.xml", ""), Ok(Docx));
        check(
            "a.docx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            Err("password"),
        );
        check("a.txt", b"\xff\xfea\0", Err("UTF-16"));
        check("a.txt", b"{\\rtf1 text", Err("RTF"));
    }

    #[test]
    fn pictures_and_programs_are_not_opened() {
        for (path, expected) in [
            ("a.PNG", false),
            ("b/a.svg", false),
            ("README", true),
            ("a.rst", true),
        ] {
            assert_eq!(may_be_document(Path::new(path)), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_content(head in proptest::collection::vec(any::<u8>(), 0..64)) {
            Format::by_content(&head);
        }
    }
}
