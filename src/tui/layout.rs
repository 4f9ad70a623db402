//! Where the panes are, at any size of the terminal.

use ratatui::layout::Rect;

use super::app::Focus;

/// Narrower terminals show one column, of the pane that has the focus.
const TWO_COLUMNS: u16 = 64;
/// Lower terminals have a query line without a frame, then no line of hints.
const FRAMED_QUERY: u16 = 14;
const HINTS: u16 = 4;
/// A right column of fewer rows shows the answer or the preview, not both.
const ANSWER_AND_PREVIEW: u16 = 15;

/// The panes' rectangles; empty where there is no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Areas {
    pub query: Rect,
    pub tree: Rect,
    pub answer: Rect,
    pub preview: Rect,
    pub status: Rect,
}

/// Divides `whole`.
pub fn areas(whole: Rect, focus: Focus, shows_answer: bool) -> Areas {
    let query_rows = match whole.height {
        FRAMED_QUERY.. => 3,
        2.. => 1,
        _ => u16::from(focus == Focus::Query),
    };
    let (query, rest) = rows(whole, query_rows);
    let status_rows = u16::from(whole.height >= HINTS);
    let (body, status) = rows(rest, rest.height - status_rows.min(rest.height));
    let (tree, right) = if whole.width >= TWO_COLUMNS {
        columns(body, (whole.width * 9 / 25).clamp(26, 56))
    } else if matches!(focus, Focus::Answer | Focus::Preview) {
        (Rect::default(), body)
    } else {
        (body, Rect::default())
    };
    let answer_rows = match (shows_answer, right.height >= ANSWER_AND_PREVIEW) {
        (false, _) => 0,
        (true, true) => right.height * 3 / 5,
        (true, false) if focus == Focus::Preview => 0,
        (true, false) => right.height,
    };
    let (answer, preview) = rows(right, answer_rows);
    Areas {
        query,
        tree,
        answer,
        preview,
        status,
    }
}

/// The first `height` rows, and the rest.
pub fn rows(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let first = Rect { height, ..area };
    let rest = Rect {
        y: area.y + height,
        height: area.height - height,
        ..area
    };
    (first, rest)
}

/// The first `width` columns, and the rest.
pub fn columns(area: Rect, width: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    let first = Rect { width, ..area };
    let rest = Rect {
        x: area.x + width,
        width: area.width - width,
        ..area
    };
    (first, rest)
}
