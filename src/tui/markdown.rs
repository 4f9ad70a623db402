//! A file's lines, lightly styled: what is marked up looks so, and most marks are left out.
//!
//! Line by line and without a parse of the whole, so that only the lines on the screen cost anything.

mod inline;

use std::ops::Range;

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::theme::Theme;

/// How a line is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Markdown,
    /// Inside a fence.
    Code,
    /// The mark that opens or closes code.
    Fence,
    FrontMatter,
    /// In a file that is not Markdown.
    Plain,
}

/// A piece of a shown line, and the byte of the source line it begins at where it stands there verbatim.
struct Piece {
    start: Option<usize>,
    text: String,
    style: Style,
}

/// Cuts a text into lines, without their ends.
pub fn lines(text: &str, is_markdown: bool) -> Vec<(Range<usize>, Kind)> {
    let mut lines = Vec::new();
    let (mut start, mut fence, mut front) = (0, None, false);
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\n', '\r']);
        let marks = fence_of(line);
        let kind = if !is_markdown {
            Kind::Plain
        } else if (start == 0 || front) && line.trim_end() == "---" {
            front = !front;
            Kind::FrontMatter
        } else if front {
            Kind::FrontMatter
        } else if let Some(open) = fence {
            if marks.is_some_and(|marks| marks.starts_with(open)) {
                fence = None;
                Kind::Fence
            } else {
                Kind::Code
            }
        } else if let Some(marks) = marks {
            fence = Some(marks);
            Kind::Fence
        } else {
            Kind::Markdown
        };
        lines.push((start..start + line.len(), kind));
        start += whole.len();
    }
    lines
}

/// A line as it is shown, and the columns that its continuation is indented by.
///
/// `quoted` is the range of its bytes that an answer quotes.
pub fn style(
    source: &str,
    kind: Kind,
    quoted: Option<Range<usize>>,
    theme: &Theme,
) -> (Line<'static>, usize) {
    let (pieces, hang) = match kind {
        Kind::Markdown => markdown(source, theme),
        Kind::Code => (vec![verbatim(0, source, theme.code)], 0),
        Kind::Fence | Kind::FrontMatter => (vec![verbatim(0, source, theme.muted)], 0),
        Kind::Plain => (vec![verbatim(0, source, theme.text)], 0),
    };
    let mut spans = Vec::new();
    for piece in pieces {
        push(&mut spans, piece, quoted.as_ref(), theme);
    }
    (Line::from(spans), hang)
}

/// A text that is not a line of a file, with its inline marks styled.
pub fn inline(text: &str, base: Style, theme: &Theme) -> Line<'static> {
    let pieces = inline::pieces(text, 0, base, theme);
    Line::from_iter(
        pieces
            .into_iter()
            .map(|piece| Span::styled(piece.text, piece.style)),
    )
}

fn markdown(source: &str, theme: &Theme) -> (Vec<Piece>, usize) {
    let body = source.trim_start();
    let indent = source.len() - body.len();
    if let Some(level) = heading_level(source) {
        let text = level + 1;
        let mut pieces = vec![verbatim(0, &source[..text], theme.muted)];
        pieces.extend(inline::pieces(&source[text..], text, theme.heading, theme));
        return (pieces, text);
    }
    if is_rule(body) {
        return (vec![replaced("────────", theme.muted)], 0);
    }
    if body.starts_with('|') {
        return (table_row(source, theme), 0);
    }
    if let Some(rest) = body.strip_prefix('>') {
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let at = source.len() - rest.len();
        let mut pieces = vec![verbatim(0, &source[..indent], theme.text)];
        pieces.push(replaced("▎ ", theme.accent));
        pieces.extend(inline::pieces(rest, at, theme.text.italic(), theme));
        return (pieces, indent + 2);
    }
    let mut pieces = vec![verbatim(0, &source[..indent], theme.text)];
    let (mark, length) = list_mark(body);
    let at = indent + length;
    let hang = Span::raw(format!("{}{mark}", &source[..indent])).width();
    if length > 0 {
        pieces.push(replaced(&mark, theme.accent));
    }
    pieces.extend(inline::pieces(&source[at..], at, theme.text, theme));
    (pieces, if length > 0 { hang } else { indent })
}

/// The shown mark of a list item and the length of its source; empty for other lines.
fn list_mark(body: &str) -> (String, usize) {
    let shown = [
        ("- [ ] ", "☐ "),
        ("- [x] ", "☑ "),
        ("- [X] ", "☑ "),
        ("- ", "• "),
        ("* ", "• "),
        ("+ ", "• "),
    ];
    if let Some((mark, shown)) = shown.iter().find(|(mark, _)| body.starts_with(mark)) {
        return ((*shown).to_owned(), mark.len());
    }
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    let ends = [". ", ") "];
    match (1..=9).contains(&digits) && ends.iter().any(|end| body[digits..].starts_with(end)) {
        true => (body[..digits + 2].to_owned(), digits + 2),
        false => (String::new(), 0),
    }
}

fn table_row(source: &str, theme: &Theme) -> Vec<Piece> {
    if source.bytes().all(|byte| b"|-: \t".contains(&byte)) {
        return vec![verbatim(0, source, theme.muted)];
    }
    let mut pieces = Vec::new();
    let mut at = 0;
    for cell in source.split_inclusive('|') {
        let body = cell.trim_end_matches('|');
        pieces.extend(inline::pieces(body, at, theme.text, theme));
        if body.len() < cell.len() {
            pieces.push(replaced("│", theme.muted));
        }
        at += cell.len();
    }
    pieces
}

fn heading_level(source: &str) -> Option<usize> {
    let level = source.bytes().take_while(|&byte| byte == b'#').count();
    ((1..=6).contains(&level) && source[level..].starts_with(' ')).then_some(level)
}

fn is_rule(body: &str) -> bool {
    ["-", "*", "_"].iter().any(|mark| {
        let bare = body.replace([' ', '\t'], "");
        bare.len() >= 3 && bare.replace(mark, "").is_empty()
    })
}

/// The marks that open or close fenced code.
fn fence_of(line: &str) -> Option<&str> {
    let body = line.trim_start();
    let mark = body.chars().next().filter(|mark| "`~".contains(*mark))?;
    let length = body.len() - body.trim_start_matches(mark).len();
    (length >= 3).then(|| &body[..length])
}

fn verbatim(start: usize, text: &str, style: Style) -> Piece {
    Piece {
        start: Some(start),
        text: text.to_owned(),
        style,
    }
}

fn replaced(text: &str, style: Style) -> Piece {
    Piece {
        start: None,
        text: text.to_owned(),
        style,
    }
}

/// Adds a piece, parted where the quoted range begins and ends.
fn push(
    spans: &mut Vec<Span<'static>>,
    piece: Piece,
    quoted: Option<&Range<usize>>,
    theme: &Theme,
) {
    let cut = |byte: usize, start: usize| byte.saturating_sub(start).min(piece.text.len());
    let (from, to) = match (quoted, piece.start) {
        (Some(quoted), Some(start)) => (cut(quoted.start, start), cut(quoted.end, start)),
        _ => (0, 0),
    };
    let parts = [
        (0..from, piece.style),
        (from..to, piece.style.patch(theme.quoted)),
        (to..piece.text.len(), piece.style),
    ];
    for (range, style) in parts {
        // A range that cuts a character is of a file that has changed.
        if let Some(text) = piece.text.get(range).filter(|text| !text.is_empty()) {
            spans.push(Span::styled(text.replace('\t', "    "), style));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: &str) {
        let (line, _) = style(source, Kind::Markdown, None, &Theme::new(true));
        assert_eq!(line.to_string(), expect, "of {source:?}");
    }

    #[test]
    fn marks_are_left_out_or_drawn() {
        check("## A *fine* heading", "## A fine heading");
        check("- one **bold** and `code`", "• one bold and code");
        check("  - [x] done", "  ☑ done");
        check("12. twelve", "12. twelve");
        check("> said", "▎ said");
        check(
            "see [[Rye|the grain]] and [[Gluten#Two]]",
            "see the grain and Gluten#Two",
        );
        check("![[map.png]] and [text](http://x)", "map.png and text");
        check("| a | *b* |", "│ a │ b │");
        check("2 * 3 * 4, snake_case_name", "2 * 3 * 4, snake_case_name");
        check("an **open mark and a `tick", "an **open mark and a `tick");
        check(r"\*no\* ![]( [[ ]]", r"*no* ![]( [[ ]]");
        check("***", "────────");
        check("中文**粗体**。", "中文粗体。");
    }

    #[test]
    fn fences_and_front_matter_are_told_from_text() {
        let text = "---\ntitle: x\n---\n# H\n```rust\n# code\n~~~\n```\r\nend";
        let kinds: Vec<Kind> = lines(text, true)
            .into_iter()
            .map(|(_, kind)| kind)
            .collect();
        use Kind::{Code, Fence, FrontMatter, Markdown};
        let expect = [
            FrontMatter,
            FrontMatter,
            FrontMatter,
            Markdown,
            Fence,
            Code,
            Code,
            Fence,
            Markdown,
        ];
        assert_eq!(kinds, expect);
        assert!(
            lines(text, false)
                .iter()
                .all(|(_, kind)| *kind == Kind::Plain)
        );
    }

    #[test]
    fn a_quoted_range_is_marked_even_around_left_out_marks() {
        let theme = Theme::new(true);
        let source = "One. **Two** words. Three.";
        let (line, _) = style(source, Kind::Markdown, Some(5..19), &theme);
        let marked: String = line
            .iter()
            .filter(|span| span.style.bg == theme.quoted.bg)
            .map(|span| span.content.as_ref())
            .collect();
        assert_eq!(marked, "Two words.");
    }
}
