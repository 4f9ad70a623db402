//! The last row: what just happened at the left, the keys that matter here at the right.

use ratatui::{
    buffer::Buffer,
    layout::{Alignment, Rect},
    text::{Line, Span},
    widgets::Widget,
};

use super::{action::Scope, bindings::BINDINGS, theme::Theme, wrap::fit};

/// A sentence for the user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    pub is_problem: bool,
}

impl Notice {
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_problem: false,
        }
    }

    pub fn problem(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_problem: true,
        }
    }
}

/// Draws the row.
pub fn draw(notice: &Notice, scope: Scope, area: Rect, buffer: &mut Buffer, theme: &Theme) {
    if area.is_empty() {
        return;
    }
    let width = usize::from(area.width);
    let style = match notice.is_problem {
        true => theme.problem,
        false => theme.text,
    };
    let text = fit(&format!(" {}", notice.text), width);
    let text = Line::styled(text, style);
    // The first hints give way to the last ones, which say how to find the others.
    let mut hints = hints(scope);
    let gap = 3;
    let room = width.saturating_sub(text.width() + gap);
    while hints
        .iter()
        .map(|(key, word)| key.len() + word.len() + 3)
        .sum::<usize>()
        > room
    {
        if hints.is_empty() {
            break;
        }
        hints.remove(0);
    }
    text.render(area, buffer);
    let spans = hints.iter().flat_map(|(key, word)| {
        [
            Span::styled(key.clone(), theme.key),
            Span::styled(format!(" {word}  "), theme.muted),
        ]
    });
    let hints = Line::from_iter(spans).alignment(Alignment::Right);
    hints.render(area, buffer);
}

/// Keys and words, those of the pane first.
fn hints(scope: Scope) -> Vec<(String, &'static str)> {
    let scopes = match scope {
        Scope::Query | Scope::Help => vec![scope],
        _ => vec![scope, Scope::Panes],
    };
    let bindings = scopes.into_iter().flat_map(|scope| {
        let bindings = BINDINGS.iter();
        bindings.filter(move |binding| binding.scope == scope && !binding.hint.is_empty())
    });
    bindings
        .map(|binding| (binding.keys[0].label(), binding.hint))
        .collect()
}
