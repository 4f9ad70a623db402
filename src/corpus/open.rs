//! From a file to its documents.

use std::{fs, path::Path};

use super::{
    CorpusError, Document, Skipped, dump,
    format::Format,
    json_lines, markdown, plain,
    walk::{ScannedFile, scan, unreadable},
};

/// Files above this are not read.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// A line above this is data, not prose.
const MAX_LINE_BYTES: usize = 1 << 20;
/// NUL bytes are looked for in this much of a file.
const SNIFFED_BYTES: usize = 8 << 10;

/// The documents of one file, in its order; an item's error means that this file or record is left out.
pub type Documents = Box<dyn Iterator<Item = Result<Document, Skipped>> + Send>;

/// Reads every file of [`scan`] in its order.
///
/// # Errors
/// The outer error means that `root` cannot be opened; an item's, that this file or record is left out.
pub fn read(root: &Path) -> Result<impl Iterator<Item = Result<Document, Skipped>>, CorpusError> {
    let (files, skipped) = scan(root)?;
    let documents = files.into_iter().flat_map(|file| open(&file));
    Ok(skipped.into_iter().map(Err).chain(documents))
}

/// Opens one file.
pub fn open(file: &ScannedFile) -> Documents {
    let document = match Format::by_name(&file.absolute) {
        Some(Format::Dump) => return dump::open(file),
        Some(Format::JsonLines) => return json_lines::open(file),
        None if dump::begins_like_one(&file.absolute) => return dump::open(file),
        Some(Format::Markdown) => read_text(file, markdown::parse),
        _ => read_text(file, plain::parse),
    };
    Box::new(std::iter::once(document))
}

/// Parses `text` in the format that the name of `path` asks for.
pub fn parse(path: &str, text: String) -> Document {
    match Format::by_name(Path::new(path)) {
        Some(Format::Markdown) => markdown::parse(path, text),
        _ => plain::parse(path, text),
    }
}

/// Reads a file whose text is its bytes.
fn read_text(file: &ScannedFile, parse: fn(&str, String) -> Document) -> Result<Document, Skipped> {
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
}
