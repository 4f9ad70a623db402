//! The answer: its words, the quotes that carry it, the hits, and the attention by level beside them.

use std::ops::Range;

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{
    action::Motion, answer_rows, asking::Answered, frame, layout, level_bars, library::Library,
    preview_pane::Subject, theme::Theme,
};

/// Narrower panes show the levels in a line.
const BARS_BESIDE: u16 = 66;

/// The state of the answer.
pub struct AnswerPane {
    pub answered: Answered,
    /// The answer itself is 0; the citations follow, then the hits.
    selected: usize,
    first: usize,
    follow: bool,
    /// Rows of each item when it was last drawn.
    spans: Vec<Range<usize>>,
    height: usize,
    n_rows: usize,
}

impl AnswerPane {
    pub fn new(answered: Answered) -> Self {
        Self {
            answered,
            selected: 0,
            first: 0,
            follow: true,
            spans: Vec::new(),
            height: 1,
            n_rows: 0,
        }
    }

    /// What is selected: what the answer is about, a citation or a hit.
    pub fn selected(&self, library: &Library) -> Option<Subject> {
        let citations = &self.answered.answer.citations;
        let Some(index) = self.selected.checked_sub(1) else {
            let target = self.answered.target?;
            return library.item(target).map(Subject::Item);
        };
        if let Some(citation) = citations.get(index) {
            let document = library.document_at(&citation.path)?;
            return Some(Subject::Quote(
                document,
                citation.byte_start..citation.byte_end,
            ));
        }
        let hit = self.answered.hits.get(index - citations.len())?;
        Some(Subject::Byte(hit.document, hit.start))
    }

    pub fn move_by(&mut self, motion: Motion) {
        let last = self.answered.answer.citations.len() + self.answered.hits.len();
        let wanted = match motion {
            Motion::Up => self.selected.saturating_sub(1),
            Motion::Down => self.selected + 1,
            Motion::HalfPageUp => self.selected.saturating_sub(4),
            Motion::HalfPageDown => self.selected + 4,
            Motion::Top => 0,
            Motion::Bottom => last,
        };
        self.selected = wanted.min(last);
        self.follow = true;
    }

    /// Moves what is in sight without moving the selection.
    pub fn scroll(&mut self, rows: i16) {
        let first = self.first.saturating_add_signed(isize::from(rows));
        self.first = first.min(self.n_rows.saturating_sub(self.height));
        self.follow = false;
    }

    /// Selects the item that lies `y` rows below the first row in sight.
    pub fn click(&mut self, y: u16) {
        let row = self.first + usize::from(y);
        if let Some(item) = self.spans.iter().position(|span| span.contains(&row)) {
            self.selected = item;
            self.follow = false;
        }
    }

    /// The title of the frame.
    pub fn title(&self) -> String {
        match self.answered.answer.ladder.last() {
            Some(rung) => format!("Answer down to the {}", rung.depth.name()),
            None => format!(
                "Answer at the level of the {}",
                self.answered.answer.answer.level
            ),
        }
    }

    pub fn draw(&mut self, area: Rect, buffer: &mut Buffer, theme: &Theme, focused: bool) {
        let beside = area.width >= BARS_BESIDE;
        let bars = if beside { level_bars::WIDTH } else { 0 };
        let (list, side) = layout::columns(area, area.width - bars);
        if beside {
            let (_, side) = layout::columns(side, 2);
            level_bars::draw(&self.answered, side, buffer, theme);
        }
        let width = usize::from(list.width).saturating_sub(2);
        let items = answer_rows::items(&self.answered, width, !beside, theme);
        self.spans.clear();
        let mut n_rows = 0;
        for item in &items {
            self.spans
                .push(n_rows + item.n_above..n_rows + item.rows.len());
            n_rows += item.rows.len();
        }
        (self.height, self.n_rows) = (usize::from(list.height), n_rows);
        self.bring_into_sight();
        let numbered = items.iter().enumerate().flat_map(|(index, item)| {
            let rows = item.rows.iter().enumerate();
            rows.map(move |(row, line)| (index, row >= item.n_above, line))
        });
        for ((item, is_own, line), y) in numbered.skip(self.first).zip(list.y..list.bottom()) {
            if item == self.selected && is_own && list.width > 2 {
                let style = if focused { theme.key } else { theme.muted };
                buffer.set_line(list.x, y, &Line::styled("▌", style), 1);
            }
            let (_, text) = layout::columns(list, 2);
            buffer.set_line(text.x, y, line, text.width);
        }
        frame::thumb(area, self.first, n_rows, buffer, theme.border_of(focused));
    }

    fn bring_into_sight(&mut self) {
        let last = self.n_rows.saturating_sub(self.height);
        if let Some(span) = self.spans.get(self.selected).filter(|_| self.follow) {
            if span.end > self.first + self.height {
                self.first = span.end - self.height;
            }
            // What stands above an item is shown with it where there is room.
            let from = if self.selected == 0 { 0 } else { span.start };
            self.first = self.first.min(from);
        }
        self.first = self.first.min(last);
    }
}
