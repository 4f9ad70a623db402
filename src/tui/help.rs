//! The overlay that lists every key, drawn from the table of bindings.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use super::{
    action::{Motion, Scope},
    bindings::BINDINGS,
    frame::{self, Frame},
    layout,
    theme::Theme,
    wrap::fit,
};

/// Columns of a column of keys, and of what they do.
const KEYS: usize = 17;
const WORDS: usize = 38;

/// The state of the overlay.
#[derive(Debug, Default)]
pub struct Help {
    first: usize,
    last: usize,
}

impl Help {
    pub fn move_by(&mut self, motion: Motion) {
        self.first = match motion {
            Motion::Up => self.first.saturating_sub(1),
            Motion::Down => self.first + 1,
            Motion::HalfPageUp => self.first.saturating_sub(8),
            Motion::HalfPageDown => self.first + 8,
            Motion::Top => 0,
            Motion::Bottom => self.last,
        };
        self.first = self.first.min(self.last);
    }

    /// Draws the overlay in the middle of `whole`.
    pub fn draw(&mut self, whole: Rect, buffer: &mut Buffer, theme: &Theme) {
        let sections = sections(theme);
        let column = (KEYS + WORDS) as u16;
        let two = whole.width >= 2 * column + 8;
        let columns = match two {
            true => balanced(sections),
            false => vec![sections.concat()],
        };
        let n_rows = columns.iter().map(Vec::len).max().unwrap_or(0);
        let width = (column * columns.len() as u16 + 6).min(whole.width);
        let height = (n_rows as u16 + 2).min(whole.height);
        let area = Rect {
            x: whole.x + (whole.width - width) / 2,
            y: whole.y + (whole.height - height) / 2,
            width,
            height,
        };
        Clear.render(area, buffer);
        let frame = Frame {
            title: "Keys".to_owned(),
            note: "? closes".to_owned(),
            focused: true,
            low: true,
        };
        let inner = frame::draw(&frame, area, buffer, theme);
        self.last = n_rows.saturating_sub(usize::from(inner.height));
        self.first = self.first.min(self.last);
        let mut rest = inner;
        for rows in columns {
            let (own, right) = layout::columns(rest, if two { column + 2 } else { rest.width });
            for (line, y) in rows.iter().skip(self.first).zip(own.y..own.bottom()) {
                buffer.set_line(own.x, y, line, own.width);
            }
            rest = right;
        }
        frame::thumb(inner, self.first, n_rows, buffer, theme.border_focused);
    }
}

/// The rows of each scope: a heading, then keys and what they do.
fn sections(theme: &Theme) -> Vec<Vec<Line<'static>>> {
    let scopes = [
        (Scope::Panes, "Everywhere"),
        (Scope::Tree, "Tree"),
        (Scope::Answer, "Answer"),
        (Scope::Preview, "Preview"),
        (Scope::Query, "Query line"),
        (Scope::Help, "This help"),
    ];
    let sections = scopes.map(|(scope, name)| {
        let mut rows: Vec<(Vec<String>, &str)> = Vec::new();
        for binding in BINDINGS.iter().filter(|binding| binding.scope == scope) {
            let labels = binding.keys.iter().map(|key| key.label());
            match rows.last_mut().filter(|(_, help)| *help == binding.help) {
                Some((keys, _)) => keys.extend(labels),
                None => rows.push((labels.collect(), binding.help)),
            }
        }
        let mut lines = vec![Line::styled(name, theme.heading)];
        for (keys, help) in rows {
            let keys = fit(&keys.join(" "), KEYS - 1);
            lines.extend(row(&keys, help, theme));
        }
        lines.push(Line::default());
        lines
    });
    sections.into()
}

fn row(keys: &str, help: &str, theme: &Theme) -> Vec<Line<'static>> {
    let rows = super::wrap::wrap(&Line::raw(help), WORDS, 2);
    let labelled = rows.into_iter().enumerate().map(|(index, words)| {
        let keys = if index == 0 { keys } else { "" };
        let gap = KEYS.saturating_sub(Span::raw(keys).width());
        let keys = format!("{keys}{}", " ".repeat(gap));
        Line::from_iter([
            Span::styled(keys, theme.key),
            Span::styled(words.to_string(), theme.text),
        ])
    });
    labelled.collect()
}

/// Two columns of like length.
fn balanced(sections: Vec<Vec<Line<'static>>>) -> Vec<Vec<Line<'static>>> {
    let total: usize = sections.iter().map(Vec::len).sum();
    let mut columns = vec![Vec::new(), Vec::new()];
    for section in sections {
        let column = usize::from(columns[0].len() * 2 >= total || !columns[1].is_empty());
        columns[column].extend(section);
    }
    columns
}
