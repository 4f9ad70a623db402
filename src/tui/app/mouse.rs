//! What the mouse does.

use ratatui::layout::{Position, Rect};

use super::{App, Focus};
use crate::tui::{action::Motion, frame};

impl App {
    /// What lies at a place of the screen.
    fn pane_at(&self, at: Position) -> Option<(Focus, Rect)> {
        let areas = self.areas();
        let panes = [
            (Focus::Query, areas.query),
            (Focus::Tree, areas.tree),
            (Focus::Answer, areas.answer),
            (Focus::Preview, areas.preview),
        ];
        panes.into_iter().find(|(_, area)| area.contains(at))
    }

    pub(super) fn scroll(&mut self, at: Position, rows: i16) {
        if let Some(help) = &mut self.help {
            let motion = if rows > 0 { Motion::Down } else { Motion::Up };
            (0..rows.unsigned_abs()).for_each(|_| help.move_by(motion));
            return;
        }
        match (self.pane_at(at), &mut self.answer) {
            (Some((Focus::Tree, _)), _) => self.tree.scroll(rows),
            (Some((Focus::Preview, _)), _) => self.preview.scroll(rows),
            (Some((Focus::Answer, _)), Some(answer)) => answer.scroll(rows),
            _ => {}
        }
    }

    pub(super) fn click(&mut self, at: Position) {
        if self.help.take().is_some() {
            return;
        }
        let Some((pane, area)) = self.pane_at(at) else {
            return;
        };
        let inner = frame::inside(area, false);
        self.focus_on(pane);
        if !inner.contains(at) {
            return;
        }
        match (pane, &mut self.answer) {
            (Focus::Tree, _) => self.tree.click(at.y - inner.y, &self.library),
            (Focus::Answer, Some(answer)) => answer.click(at.y - inner.y),
            _ => {}
        }
    }
}
