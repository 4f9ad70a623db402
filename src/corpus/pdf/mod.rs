//! PDF: glyphs → lines → paragraphs and headings, page by page.
//!
//! Files in the wild make any reader of PDF loop or crash, so a program reads them in a process of its own; see
//! [`read_pdfs_with`].

mod isolated;
mod lines;
mod paragraphs;

use std::path::Path;

use hayro_interpret::{
    Context, InterpreterCache, InterpreterSettings, TransformExt,
    hayro_syntax::{LoadPdfError, Pdf},
    interpret_page,
    kurbo::Rect,
};
use serde::{Deserialize, Serialize};

pub use isolated::read_pdfs_with;

use super::{
    BlockKind, Document,
    extract::{Extract, Inline, one_line},
};

/// Pages that are read.
const MAX_PAGES: usize = 20_000;
/// Signs that begin the items of lists.
const BULLETS: [char; 6] = ['•', '◦', '▪', '●', '■', '‣'];
/// Endings of names that programs leave as titles.
const FILE_ENDINGS: [&str; 8] = [
    ".doc", ".docx", ".tex", ".dvi", ".indd", ".pdf", ".qxd", ".rtf",
];

/// What is read of a file; a process of its own prints it as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PdfText {
    pub title: Option<String>,
    pub pages: Vec<Vec<PdfPart>>,
}

/// A paragraph or a heading.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PdfPart {
    /// 1–6 for a heading.
    pub level: Option<u8>,
    pub text: String,
}

/// Reads a file in this process, which a bad file may crash; the error is a clause about the file.
pub fn read_pdf(bytes: Vec<u8>) -> Result<PdfText, String> {
    let pdf = Pdf::new(bytes).map_err(|error| match error {
        LoadPdfError::Decryption(_) => "is encrypted; save it without a password".to_owned(),
        LoadPdfError::Invalid => "is damaged or no PDF; get a whole copy of it".to_owned(),
    })?;
    let cache = InterpreterCache::new();
    let mut reader = lines::LineReader::default();
    let mut pages = Vec::new();
    for page in pdf.pages().iter().take(MAX_PAGES) {
        let (width, height) = page.render_dimensions();
        let transform = page.initial_transform(true).to_kurbo();
        let bounds = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
        let settings = InterpreterSettings::default();
        let mut context = Context::new(transform, bounds, &cache, page.xref(), settings);
        interpret_page(page, &mut context, &mut reader);
        pages.push(reader.take_page());
    }
    if reader.is_unreadable() {
        return Err("does not say which letters it shows; run text recognition on it".to_owned());
    }
    let pages = paragraphs::parts(pages);
    if pages.iter().all(Vec::is_empty) {
        return Err("holds pictures only; run text recognition on it".to_owned());
    }
    Ok(PdfText {
        title: pdf.metadata().title.as_deref().and_then(title),
        pages,
    })
}

/// Parses the file at `file`; the error is a clause about it.
pub(super) fn parse(path: &str, file: &Path) -> Result<Document, String> {
    Ok(document(path, isolated::text(file)?))
}

fn document(path: &str, text: PdfText) -> Document {
    let mut extract = Extract::default();
    let first = text.pages.first().into_iter().flatten();
    let heading = first
        .filter(|part| part.level.is_some())
        .min_by_key(|part| part.level);
    let title = text.title.or_else(|| heading.map(|part| part.text.clone()));
    for (index, page) in text.pages.iter().enumerate() {
        extract.mark(&format!("page {}", index + 1), None);
        for part in page {
            let kind = match part.level {
                Some(level) => BlockKind::Heading {
                    level,
                    text: String::new(),
                },
                None if part.text.starts_with(BULLETS) => BlockKind::ListItem,
                None => BlockKind::Paragraph,
            };
            extract.push(kind, Inline::of(&part.text));
        }
    }
    extract.finish(path, title)
}

/// A title of the file's properties, where it is none that a program made up.
fn title(bytes: &[u8]) -> Option<String> {
    let title = match bytes {
        [0xfe, 0xff, rest @ ..] => {
            let units = rest
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .map(|unit| unit.unwrap_or('\u{fffd}'))
                .collect()
        }
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        },
    };
    let title = title.replace(char::is_control, " ");
    let title = one_line(title.trim_start_matches("Microsoft Word - "));
    let lower = title.to_lowercase();
    let made_up =
        lower.starts_with("untitled") || FILE_ENDINGS.iter().any(|ending| lower.ends_with(ending));
    (!title.is_empty() && !made_up).then_some(title)
}

#[cfg(test)]
mod tests;
