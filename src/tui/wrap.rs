//! Lines of a given display width: wrapped with a hanging indent, or cut with an ellipsis.

use ratatui::{
    style::Style,
    text::{Line, Span, StyledGrapheme},
};

/// Marks that may not open a row.
const NOT_FIRST: &str = "，。、；：？！）」』》】〉”’";

/// Breaks a line into rows of at most `width` columns; rows after the first are indented by `hang`.
pub fn wrap(line: &Line, width: usize, hang: usize) -> Vec<Line<'static>> {
    let width = width.max(1);
    let hang = if hang * 2 > width { 0 } else { hang };
    let cells: Vec<StyledGrapheme> = line.styled_graphemes(Style::default()).collect();
    let mut rows = Vec::new();
    let mut start = 0;
    while start < cells.len() {
        let indent = if rows.is_empty() { 0 } else { hang };
        let end = start + row_length(&cells[start..], width - indent);
        rows.push(row(trimmed(&cells[start..end], end == cells.len()), indent));
        start = end;
        while cells.get(start).is_some_and(StyledGrapheme::is_whitespace) {
            start += 1;
        }
    }
    if rows.is_empty() {
        rows.push(Line::default());
    }
    rows
}

/// `text` in at most `width` columns, with an ellipsis where something is missing.
pub fn fit(text: &str, width: usize) -> String {
    let text = Span::raw(text);
    if text.width() <= width {
        return text.content.into_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for cell in text.styled_graphemes(Style::default()) {
        used += columns(&cell);
        if used > width {
            break;
        }
        kept.push_str(cell.symbol);
    }
    if width > 0 {
        kept.truncate(kept.trim_end().len());
        kept.push('…');
    }
    kept
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text on one line, whatever spaces it holds.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn columns(cell: &StyledGrapheme) -> usize {
    Span::raw(cell.symbol).width()
}

/// How many cells the next row takes: up to the last place to break, else as many as fit, at least one.
fn row_length(cells: &[StyledGrapheme], width: usize) -> usize {
    let mut used = 0;
    let mut place = 0;
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 && may_break(&cells[index - 1], cell) {
            place = index;
        }
        used += columns(cell);
        // Spaces may hang over the edge.
        if used > width && !cell.is_whitespace() {
            return if place > 0 { place } else { index.max(1) };
        }
    }
    cells.len()
}

fn may_break(before: &StyledGrapheme, after: &StyledGrapheme) -> bool {
    let spaced = before.is_whitespace() && !after.is_whitespace();
    let wide = columns(before) > 1 || columns(after) > 1;
    spaced || (wide && !after.is_whitespace() && !NOT_FIRST.contains(after.symbol))
}

/// A row without the spaces that it ends in; those of the last one are the line's own.
fn trimmed<'a, 'b>(cells: &'a [StyledGrapheme<'b>], is_last: bool) -> &'a [StyledGrapheme<'b>] {
    let blank = cells.iter().rev().take_while(|cell| cell.is_whitespace());
    match is_last {
        true => cells,
        false => &cells[..cells.len() - blank.count()],
    }
}

fn row(cells: &[StyledGrapheme], indent: usize) -> Line<'static> {
    let mut spans = vec![Span::raw(" ".repeat(indent))];
    for cell in cells {
        match spans.last_mut().filter(|last| last.style == cell.style) {
            Some(last) => last.content.to_mut().push_str(cell.symbol),
            None => spans.push(Span::styled(cell.symbol.to_owned(), cell.style)),
        }
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, width: usize, hang: usize, expect: &[&str]) {
        let rows = wrap(&Line::raw(text), width, hang);
        let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
        assert_eq!(rows, expect);
    }

    #[test]
    fn rows_break_at_spaces_and_between_wide_characters() {
        check("", 5, 0, &[""]);
        check("one two three", 7, 0, &["one two", "three"]);
        check("• one two three", 7, 2, &["• one", "  two", "  three"]);
        check("unbreakable", 4, 0, &["unbr", "eaka", "ble"]);
        check("星星星星", 5, 0, &["星星", "星星"]);
        check("星星。星", 4, 0, &["星", "星。", "星"]);
        check("星", 1, 0, &["星"]);
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(fit("bread", 5), "bread");
        assert_eq!(fit("bread", 4), "bre…");
        assert_eq!(fit("二十八宿", 6), "二十…");
        assert_eq!(fit("bread", 1), "…");
        assert_eq!(fit("bread", 0), "");
    }
}
