//! The attention by level as bars, with the keys that answer at another level.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};

use super::{asking::Answered, theme::Theme};
use crate::query::Level;

/// Columns that the list takes.
pub const WIDTH: u16 = 26;
/// Columns of the longest bar.
const BAR: f32 = 8.0;
/// Eighths of a column.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Draws the list.
pub fn draw(answered: &Answered, area: Rect, buffer: &mut Buffer, theme: &Theme) {
    let mut lines = vec![Line::styled("Attention", theme.strong)];
    let largest = answered.levels.iter().map(|level| level.weight);
    let largest = largest.fold(f32::MIN_POSITIVE, f32::max);
    for (level, digit) in Level::ALL.into_iter().zip(1..) {
        let weight = answered.answer.levels.get(&level).copied().unwrap_or(0.0);
        let chosen = level == answered.answer.answer.level;
        let (name, bar) = match chosen {
            true => (theme.strong, theme.bar_chosen),
            false => (theme.text, theme.bar),
        };
        lines.push(Line::from_iter([
            Span::styled(if chosen { "▸" } else { " " }, theme.bar_chosen),
            Span::styled(format!("{digit} "), theme.key),
            Span::styled(format!("{:<9}", level.name()), name),
            Span::styled(format!("{:<8}", bar_of(weight / largest)), bar),
            Span::styled(format!("{:>4}", percent(weight)), name),
        ]));
    }
    lines.push(Line::default());
    lines.push(match (answered.wanted, answered.favoured) {
        (Some(wanted), Some(favoured)) if wanted != favoured => Line::from_iter([
            Span::styled(" 0 ", theme.key),
            Span::styled(format!("back to {favoured}"), theme.muted),
        ]),
        (Some(_), _) => Line::styled("   as you asked", theme.muted),
        (None, _) => Line::styled("   favoured by attention", theme.muted),
    });
    lines.push(Line::from_iter([
        Span::styled(" [ ", theme.key),
        Span::styled("broader  ", theme.muted),
        Span::styled("] ", theme.key),
        Span::styled("narrower", theme.muted),
    ]));
    ratatui::text::Text::from(lines).render(area, buffer);
}

/// The attention in one line, for where there is no room for bars.
pub fn line(answered: &Answered, theme: &Theme) -> Line<'static> {
    let levels = answered.answer.levels.iter().map(|(level, weight)| {
        let chosen = *level == answered.answer.answer.level;
        // No row ends between a name and its share.
        let text = format!(
            "{}{level}\u{a0}{}  ",
            if chosen { "▸" } else { "" },
            percent(*weight)
        );
        Span::styled(text, if chosen { theme.strong } else { theme.muted })
    });
    Line::from_iter(levels)
}

fn percent(weight: f32) -> String {
    format!("{:.0}%", weight * 100.0)
}

/// A bar of eighths of columns for a share of the longest one.
fn bar_of(share: f32) -> String {
    let eighths = (share.clamp(0.0, 1.0) * BAR * 8.0).round() as usize;
    let part = EIGHTHS[eighths % 8];
    format!("{}{part}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn_in_eighths() {
        assert_eq!(bar_of(0.0), "");
        assert_eq!(bar_of(1.0), "████████");
        assert_eq!(bar_of(0.5 + 1.0 / 64.0), "████▏");
        assert_eq!(bar_of(f32::NAN), "");
    }
}
