//! The frame of a pane: a rounded border with titles, and a thumb that shows where in its content it is.

use ratatui::{
    buffer::Buffer,
    layout::{Alignment, Rect},
    style::Style,
    text::Line,
    widgets::{Block, BorderType, Widget},
};

use super::{theme::Theme, wrap::fit};

/// Smaller panes are drawn without a frame.
const MIN_HEIGHT: u16 = 5;
const MIN_WIDTH: u16 = 16;

/// What a pane's frame shows.
#[derive(Default)]
pub struct Frame {
    pub title: String,
    /// At the right, where there is room beside the title.
    pub note: String,
    pub focused: bool,
    /// A low pane that has a frame nevertheless.
    pub low: bool,
}

/// Draws the frame, and gives what is inside of it.
pub fn draw(frame: &Frame, area: Rect, buffer: &mut Buffer, theme: &Theme) -> Rect {
    let inside = inside(area, frame.low);
    if inside == area {
        return area;
    }
    let border = theme.border_of(frame.focused);
    let title = match frame.focused {
        true => border.bold(),
        false => theme.text,
    };
    let room = usize::from(area.width) - 6;
    let shown = fit(&frame.title, room);
    let left = room.saturating_sub(Line::raw(shown.as_str()).width() + 2);
    let mut block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(border)
        .title(Line::styled(format!(" {shown} "), title));
    if !frame.note.is_empty() && Line::raw(frame.note.as_str()).width() <= left {
        let note = Line::styled(format!(" {} ", frame.note), theme.muted);
        block = block.title(note.alignment(Alignment::Right));
    }
    block.render(area, buffer);
    inside
}

/// What is inside of a pane's frame, with a column of air at either side; all of it where it has none.
pub fn inside(area: Rect, low: bool) -> Rect {
    let min_height = if low { 3 } else { MIN_HEIGHT };
    if area.height < min_height || area.width < MIN_WIDTH {
        return area;
    }
    Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width - 4,
        height: area.height - 2,
    }
}

/// Draws a thumb on the right border where not all of `total` rows are shown from `first` on.
pub fn thumb(inner: Rect, first: usize, total: usize, buffer: &mut Buffer, style: Style) {
    let height = usize::from(inner.height);
    let x = inner.right() + 1;
    let has_border = x < buffer.area.right() && buffer[(x, inner.y)].symbol() == "│";
    if total <= height || height == 0 || !has_border {
        return;
    }
    let length = (height * height / total).max(1);
    let hidden = total - height;
    let start = (height - length) * first.min(hidden) / hidden;
    for row in start..start + length {
        let cell = &mut buffer[(x, inner.y + row as u16)];
        cell.set_symbol("┃").set_style(style);
    }
}
