//! Plain text: paragraphs parted by blank lines.

use std::ops::Range;

use super::{Block, BlockKind, Document};

/// Parses a text file; its title is the file's name.
pub fn parse(path: &str, text: String) -> Document {
    Document {
        path: path.to_owned(),
        title: file_stem(path).to_owned(),
        blocks: paragraphs(&text, 0..text.len()),
        text,
        ..Document::default()
    }
}

/// The paragraphs of a range of `text`.
pub(super) fn paragraphs(text: &str, range: Range<usize>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let mut at = range.start;
    for line in text[range].split_inclusive('\n') {
        let content = at..at + line.trim_end().len();
        at += line.len();
        match (&mut open, line.trim_matches('\u{feff}').trim().is_empty()) {
            (_, true) => blocks.extend(open.take().map(paragraph)),
            (Some(open), false) => open.end = content.end,
            (None, false) => {
                let indent = line.len() - line.trim_start_matches('\u{feff}').trim_start().len();
                open = Some(content.start + indent..content.end);
            }
        }
    }
    blocks.extend(open.map(paragraph));
    blocks
}

/// The name of a file without folders.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of a file without folders and ending.
pub(super) fn file_stem(path: &str) -> &str {
    let name = file_name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn paragraph(span: Range<usize>) -> Block {
    Block {
        kind: BlockKind::Paragraph,
        span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_part_at_blank_lines() {
        let document = parse(
            "a/b.c.txt",
            "\u{feff} One\ntwo.  \r\n\r\n\n  Three.\n".to_owned(),
        );
        let texts: Vec<&str> = document
            .blocks
            .iter()
            .map(|block| &document.text[block.span.clone()])
            .collect();
        assert_eq!(texts, ["One\ntwo.", "Three."]);
        assert_eq!(document.title, "b.c");
    }
}
