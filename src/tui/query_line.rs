//! The query line: a text with a cursor, and the questions asked before.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    text::{Line, Span, StyledGrapheme},
    widgets::Widget,
};

use super::{action::QueryEdit, theme::Theme, wrap::one_line};

/// What stands before the text.
const PROMPT: &str = "› ";

/// The state of the query line.
#[derive(Debug, Default)]
pub struct QueryLine {
    text: String,
    /// Byte of the text that the cursor stands before.
    cursor: usize,
    history: Vec<String>,
    /// The question of the history that is shown, and what was typed before it.
    recalled: Option<(usize, String)>,
}

impl QueryLine {
    /// A line with a text to be changed.
    pub fn with(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            cursor: text.len(),
            ..Self::default()
        }
    }

    /// What stands in the line.
    pub fn text(&self) -> &str {
        self.text.trim()
    }

    /// Takes the question down in the history.
    pub fn remember(&mut self) {
        let question = self.text().to_owned();
        if self.history.last() != Some(&question) {
            self.history.push(question);
        }
        self.recalled = None;
    }

    /// Puts the cursor behind the text.
    pub fn move_to_end(&mut self) {
        self.cursor = self.text.len();
    }

    pub fn edit(&mut self, edit: QueryEdit) {
        match edit {
            QueryEdit::Insert(typed) => self.insert(&typed),
            QueryEdit::DeleteBefore => self.delete(self.before()),
            QueryEdit::DeleteAfter => {
                let after = self.after();
                self.text.replace_range(self.cursor..after, "");
            }
            QueryEdit::DeleteWord => {
                let kept = self.text[..self.cursor].trim_end();
                let start = kept.rfind(char::is_whitespace).map_or(0, |space| {
                    space + kept[space..].chars().next().map_or(0, char::len_utf8)
                });
                self.delete(start);
            }
            QueryEdit::DeleteToStart => self.delete(0),
            QueryEdit::Left => self.cursor = self.before(),
            QueryEdit::Right => self.cursor = self.after(),
            QueryEdit::Start => self.cursor = 0,
            QueryEdit::End => self.move_to_end(),
            QueryEdit::Older => self.recall_older(),
            QueryEdit::Newer => self.recall_newer(),
        }
    }

    /// Draws the line, and gives where the cursor is.
    pub fn draw(
        &self,
        area: Rect,
        buffer: &mut Buffer,
        theme: &Theme,
        focused: bool,
    ) -> Option<Position> {
        if area.is_empty() {
            return None;
        }
        let prompt = Span::styled(PROMPT, if focused { theme.key } else { theme.muted });
        let room = usize::from(area.width).saturating_sub(prompt.width());
        let before = Span::raw(&self.text[..self.cursor]).width();
        let text = if self.text.is_empty() && !focused {
            Span::styled("press / and ask these documents a question", theme.muted)
        } else {
            // The text moves left so far that the cursor stays in sight.
            let hidden = (before + 1).saturating_sub(room);
            Span::styled(without_first(&self.text, hidden), theme.text)
        };
        let shift = before.min(room.saturating_sub(1)) + prompt.width();
        Line::from(vec![prompt, text]).render(area, buffer);
        let x = area.x + (shift as u16).min(area.width - 1);
        focused.then_some(Position::new(x, area.y))
    }

    fn insert(&mut self, typed: &str) {
        let typed = match typed.contains(['\n', '\t', '\r']) {
            true => one_line(typed),
            false => typed.to_owned(),
        };
        self.text.insert_str(self.cursor, &typed);
        self.cursor += typed.len();
    }

    fn delete(&mut self, from: usize) {
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
    }

    fn before(&self) -> usize {
        let last = self.text[..self.cursor].chars().next_back();
        self.cursor - last.map_or(0, char::len_utf8)
    }

    fn after(&self) -> usize {
        let next = self.text[self.cursor..].chars().next();
        self.cursor + next.map_or(0, char::len_utf8)
    }

    fn recall_older(&mut self) {
        let (shown, typed) = match self.recalled.take() {
            Some(recalled) => recalled,
            None => (self.history.len(), self.text.clone()),
        };
        let older = shown.saturating_sub(1);
        if let Some(question) = self.history.get(older) {
            self.text.clone_from(question);
            self.recalled = Some((older, typed));
            self.move_to_end();
        }
    }

    fn recall_newer(&mut self) {
        let Some((shown, typed)) = self.recalled.take() else {
            return;
        };
        match self.history.get(shown + 1) {
            Some(question) => {
                self.text.clone_from(question);
                self.recalled = Some((shown + 1, typed));
            }
            None => self.text = typed,
        }
        self.move_to_end();
    }
}

/// What is left of a text behind its first columns.
fn without_first(text: &str, columns: usize) -> &str {
    let span = Span::raw(text);
    let mut cells = span.styled_graphemes(Style::default());
    let (mut gone, mut bytes) = (0, 0);
    while let Some(StyledGrapheme { symbol, .. }) = cells.next().filter(|_| gone < columns) {
        gone += Span::raw(symbol).width();
        bytes += symbol.len();
    }
    text.get(bytes..).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edits: &[QueryEdit], expect: &str, cursor: usize) {
        let mut line = QueryLine::default();
        for edit in edits {
            line.edit(edit.clone());
        }
        assert_eq!((line.text.as_str(), line.cursor), (expect, cursor));
    }

    #[test]
    fn edits_keep_to_whole_characters() {
        use QueryEdit::{
            DeleteAfter, DeleteBefore, DeleteToStart, DeleteWord, End, Insert, Left, Right, Start,
        };
        let type_in = |text: &str| Insert(text.to_owned());
        check(&[type_in("星é"), Left, DeleteBefore], "é", 0);
        check(&[type_in("星é"), Start, DeleteAfter, Right, Right], "é", 2);
        check(&[type_in("one two  "), DeleteWord], "one ", 4);
        check(
            &[type_in("one"), DeleteWord, DeleteWord, DeleteBefore],
            "",
            0,
        );
        check(&[type_in("one two"), Left, DeleteToStart, End], "o", 1);
        check(&[type_in("a\n b\tc")], "a b c", 5);
    }

    #[test]
    fn the_history_gives_back_what_was_typed() {
        let mut line = QueryLine::default();
        for question in ["one", "two"] {
            line.edit(QueryEdit::DeleteToStart);
            line.edit(QueryEdit::Insert(question.to_owned()));
            line.remember();
        }
        line.edit(QueryEdit::DeleteToStart);
        line.edit(QueryEdit::Insert("thr".to_owned()));
        let mut seen = Vec::new();
        use QueryEdit::{Newer, Older};
        for edit in [Older, Older, Older, Newer, Newer, Newer] {
            line.edit(edit);
            seen.push(line.text().to_owned());
        }
        assert_eq!(seen, ["two", "one", "one", "two", "thr", "thr"]);
    }
}
