//! From a file to its documents.

use std::{
    fs::{self, File},
    io::BufReader,
    path::Path,
};

use super::{
    CorpusError, Document, Skipped, canvas, code, content, docx, dump,
    encoding::decode,
    epub,
    format::Format,
    html, json_lines, markdown, odt, org, pdf, plain,
    walk::{ScannedFile, scan, unreadable},
};

/// Files above this are not read.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Archives above this are not opened.
const MAX_ARCHIVE_BYTES: u64 = 512 << 20;
/// PDFs above this are not opened.
const MAX_PDF_BYTES: u64 = 256 << 20;
/// A line above this is data, not prose.
const MAX_LINE_BYTES: usize = 1 << 20;
/// NUL bytes are looked for in this much of a file.
const SNIFFED_BYTES: usize = 8 << 10;
const BINARY: &str = "looks like a binary file, not text; give it its right ending";

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
    let head = match content::head(&file.absolute) {
        Ok(head) => head,
        Err(error) => return one(Err(unreadable(file.path.clone(), &error))),
    };
    let document = match Format::of(&file.absolute, &head) {
        Ok(Format::Dump) => return dump::open(file),
        Err(_) if dump::begins_like_one(&file.absolute) => return dump::open(file),
        Ok(Format::JsonLines) => return json_lines::open(file),
        Err(reason) => Err(skipped(file, reason.to_owned())),
        Ok(Format::Markdown) => read_text(file, markdown::parse),
        Ok(Format::Plain) => read_text(file, plain::parse),
        Ok(Format::Canvas) => read_text(file, canvas::parse),
        Ok(Format::Code) => code::read(file),
        Ok(Format::Org) => read_text(file, org::parse),
        Ok(Format::Html) => read_html(file),
        Ok(Format::Epub) => read_archive(file, epub::parse),
        Ok(Format::Docx) => read_archive(file, docx::parse),
        Ok(Format::Odt) => read_archive(file, odt::parse),
        Ok(Format::Pdf) => read_pdf(file),
    };
    one(document.and_then(|document| finished(file, document)))
}

fn one(document: Result<Document, Skipped>) -> Documents {
    Box::new(std::iter::once(document))
}

/// Parses `text` in the format that the name of `path` asks for.
pub fn parse(path: &str, text: String) -> Document {
    match Format::by_name(Path::new(path)) {
        Some(Format::Markdown) => markdown::parse(path, text),
        Some(Format::Html) => html::parse(path, text),
        Some(Format::Org) => org::parse(path, text),
        Some(Format::Canvas) => canvas::parse(path, text),
        Some(Format::Code) => code::parse(path, text),
        _ => plain::parse(path, text),
    }
}

/// Reads a file whose text is its bytes.
pub(super) fn read_text(
    file: &ScannedFile,
    parse: fn(&str, String) -> Document,
) -> Result<Document, Skipped> {
    let bytes = read_bytes(file, MAX_FILE_BYTES)?;
    let text = checked_text(bytes).map_err(|reason| skipped(file, reason))?;
    Ok(parse(&file.path, text))
}

fn read_html(file: &ScannedFile) -> Result<Document, Skipped> {
    let source = decode(read_bytes(file, MAX_FILE_BYTES)?);
    if source.as_bytes()[..source.len().min(SNIFFED_BYTES)].contains(&0) {
        return Err(skipped(file, BINARY.to_owned()));
    }
    Ok(html::parse(&file.path, source))
}

/// Reads single files of an archive; the others, such as pictures, may be large.
fn read_archive(
    file: &ScannedFile,
    parse: fn(&str, BufReader<File>) -> Result<Document, String>,
) -> Result<Document, Skipped> {
    check_size(file, MAX_ARCHIVE_BYTES)?;
    let opened =
        File::open(&file.absolute).map_err(|error| unreadable(file.path.clone(), &error))?;
    parse(&file.path, BufReader::new(opened)).map_err(|reason| skipped(file, reason))
}

fn read_pdf(file: &ScannedFile) -> Result<Document, Skipped> {
    check_size(file, MAX_PDF_BYTES)?;
    pdf::parse(&file.path, &file.absolute).map_err(|reason| skipped(file, reason))
}

fn read_bytes(file: &ScannedFile, most: u64) -> Result<Vec<u8>, Skipped> {
    check_size(file, most)?;
    fs::read(&file.absolute).map_err(|error| unreadable(file.path.clone(), &error))
}

fn check_size(file: &ScannedFile, most: u64) -> Result<(), Skipped> {
    if file.bytes <= most {
        return Ok(());
    }
    let (megabytes, most) = (file.bytes >> 20, most >> 20);
    Err(skipped(
        file,
        format!("is {megabytes} MB large; split it into files below {most} MB"),
    ))
}

/// The document with what the file system says of it, where there is anything in it.
fn finished(file: &ScannedFile, mut document: Document) -> Result<Document, Skipped> {
    if document.blocks.is_empty() {
        return Err(skipped(
            file,
            "is empty; there is nothing to index".to_owned(),
        ));
    }
    document.modified = file.modified;
    Ok(document)
}

fn skipped(file: &ScannedFile, reason: String) -> Skipped {
    Skipped {
        path: file.path.clone(),
        reason,
        failed: false,
    }
}

/// The bytes as text, or why they are none.
fn checked_text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes[..bytes.len().min(SNIFFED_BYTES)].contains(&0) {
        return Err(BINARY.to_owned());
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
