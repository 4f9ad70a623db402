//! Marks inside a line: emphasis, code, links, tags.

use ratatui::style::Style;

use super::{super::theme::Theme, Piece, replaced, verbatim};

/// What is open at a place of the line.
#[derive(Clone, Copy, Default)]
struct Emphasis {
    bold: bool,
    italic: bool,
}

/// A mark with what it encloses: the source's length, and the shown part of it.
struct Enclosed<'a> {
    length: usize,
    shown: &'a str,
    offset: usize,
    style: Style,
}

/// Styles `text`, which begins at byte `at` of its line, over the style `base`.
pub fn pieces(text: &str, at: usize, base: Style, theme: &Theme) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut open = Emphasis::default();
    let (mut plain, mut here) = (0, 0);
    while here < text.len() {
        let rest = &text[here..];
        let style = styled(base, open);
        let flush = |pieces: &mut Vec<Piece>| {
            if plain < here {
                pieces.push(verbatim(at + plain, &text[plain..here], style));
            }
        };
        if let Some(found) = enclosed(text, here, style, theme) {
            flush(&mut pieces);
            let start = at + here + found.offset;
            pieces.push(verbatim(start, found.shown, found.style));
            here += found.length;
            plain = here;
        } else if let Some(length) = toggles(text, here, &mut open) {
            flush(&mut pieces);
            here += length;
            plain = here;
        } else if let Some(escaped) = escaped(rest) {
            flush(&mut pieces);
            pieces.push(verbatim(at + here + 1, escaped, style));
            here += 1 + escaped.len();
            plain = here;
        } else {
            here += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    if plain < text.len() {
        let style = styled(base, open);
        pieces.push(verbatim(at + plain, &text[plain..], style));
    }
    if pieces.is_empty() {
        pieces.push(replaced("", base));
    }
    pieces
}

fn styled(base: Style, open: Emphasis) -> Style {
    let style = if open.bold { base.bold() } else { base };
    if open.italic { style.italic() } else { style }
}

/// Code, a link or a tag that begins at `here`.
fn enclosed<'a>(text: &'a str, here: usize, style: Style, theme: &Theme) -> Option<Enclosed<'a>> {
    let rest = &text[here..];
    match rest.as_bytes()[0] {
        b'`' => code(rest, style.patch(theme.code)),
        b'!' | b'[' => link(rest, style.patch(theme.link)),
        b'#' if text[..here]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace) =>
        {
            let name = rest[1..].find(|character: char| {
                !(character.is_alphanumeric() || "-_/".contains(character))
            });
            let length = 1 + name.unwrap_or(rest.len() - 1);
            let is_tag = rest[1..length].chars().any(char::is_alphabetic);
            is_tag.then_some(Enclosed {
                length,
                shown: &rest[..length],
                offset: 0,
                style: style.patch(theme.tag),
            })
        }
        _ => None,
    }
}

fn code(rest: &str, style: Style) -> Option<Enclosed<'_>> {
    let marks = rest.len() - rest.trim_start_matches('`').len();
    let length = rest[marks..].find(&rest[..marks])?;
    (length > 0).then_some(Enclosed {
        length: length + 2 * marks,
        shown: &rest[marks..marks + length],
        offset: marks,
        style,
    })
}

/// `[[target]]`, `[[target|shown]]` or `[shown](address)`, each also behind `!`.
fn link(rest: &str, style: Style) -> Option<Enclosed<'_>> {
    let embed = usize::from(rest.starts_with('!'));
    let body = &rest[embed..];
    let (offset, shown, length) = if let Some(inner) = body.strip_prefix("[[") {
        let end = inner.find("]]")?;
        let bar = inner[..end].rfind('|').map_or(0, |bar| bar + 1);
        (2 + bar, &inner[bar..end], end + 4)
    } else {
        let inner = body.strip_prefix('[')?;
        let middle = inner.find("](")?;
        let end = middle + inner[middle..].find(')')?;
        (1, &inner[..middle], end + 2)
    };
    (!shown.trim().is_empty() && !shown.contains('[')).then_some(Enclosed {
        length: embed + length,
        shown,
        offset: embed + offset,
        style,
    })
}

/// Opens or closes emphasis at `here`; gives the length of the marks.
fn toggles(text: &str, here: usize, open: &mut Emphasis) -> Option<usize> {
    let rest = &text[here..];
    let mark = rest.as_bytes()[0];
    if mark != b'*' && mark != b'_' {
        return None;
    }
    let doubled = rest.as_bytes().get(1) == Some(&mark);
    let length = 1 + usize::from(doubled);
    let marks = &rest[..length];
    let before = text[..here].chars().next_back();
    let after = rest[length..].chars().next();
    let state = if doubled {
        &mut open.bold
    } else {
        &mut open.italic
    };
    let inside_word = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    let closes = *state
        && before.is_some_and(|before| !before.is_whitespace())
        && (mark == b'*' || !inside_word(after));
    let opens = !*state
        && after.is_some_and(|after| !after.is_whitespace())
        && (mark == b'*' || !inside_word(before))
        && has_close(&rest[length..], marks);
    if !closes && !opens {
        return None;
    }
    *state = opens;
    Some(length)
}

/// Whether marks stand behind something other than a space, further on.
fn has_close(rest: &str, marks: &str) -> bool {
    rest.match_indices(marks).any(|(at, _)| {
        let before = rest[..at].chars().next_back();
        before.is_some_and(|before| !before.is_whitespace())
    })
}

/// The mark behind a backslash.
fn escaped(rest: &str) -> Option<&str> {
    let marked = rest.strip_prefix('\\')?;
    let first = marked.chars().next().filter(char::is_ascii_punctuation)?;
    Some(&marked[..first.len_utf8()])
}
