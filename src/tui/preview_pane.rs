//! The preview: a node's page, or a document's text at the place that is meant.
//!
//! Only lines on the screen are styled and wrapped, so that the length of a text does not matter. The place
//! in it is a line and a row of that line.

use std::ops::Range;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};

use super::{
    action::Motion,
    frame,
    library::{Item, Library},
    markdown,
    pages::{self, PageLine},
    reader::FileText,
    theme::Theme,
    worker::Worker,
    wrap::wrap,
};

/// Lines shown above a quote.
const ABOVE_QUOTE: usize = 2;

/// What is previewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Nothing,
    Item(Item),
    /// Index of a document and bytes of its file that an answer quotes.
    Quote(usize, Range<usize>),
    /// Index of a document and a byte of its file.
    Byte(usize, usize),
}

enum Content {
    Page(Vec<PageLine>),
    File(FileText),
}

/// The state of the preview.
pub struct PreviewPane {
    subject: Subject,
    content: Content,
    /// First line on the screen, and the first row of it.
    top: (usize, usize),
    /// Line that the subject is at.
    line: usize,
    width: usize,
    height: usize,
}

impl PreviewPane {
    pub fn new() -> Self {
        Self {
            subject: Subject::Nothing,
            content: Content::Page(Vec::new()),
            top: (0, 0),
            line: 0,
            width: 1,
            height: 1,
        }
    }

    /// Shows a subject; a file that is not at hand is asked for, and what was shown stays until it comes.
    pub fn show(
        &mut self,
        subject: Subject,
        library: &Library,
        theme: &Theme,
        reader: &mut Worker<usize, FileText>,
    ) {
        if subject == self.subject {
            return;
        }
        self.subject = subject;
        match (self.document(), &self.content) {
            (Some(document), Content::File(file)) if file.document == document => {
                reader.cancel();
                self.jump(library);
            }
            (Some(document), _) => {
                self.line = 0;
                reader.ask(document);
            }
            (None, _) => {
                reader.cancel();
                self.content = Content::Page(match self.subject {
                    Subject::Item(Item::Node(index)) => pages::node(index, library, theme),
                    _ => Vec::new(),
                });
                self.jump(library);
            }
        }
    }

    /// Forgets what is shown, for items are numbered anew.
    pub fn forget(&mut self) {
        self.subject = Subject::Nothing;
        self.content = Content::Page(Vec::new());
    }

    /// Reads the shown file again.
    pub fn reload(&self, reader: &mut Worker<usize, FileText>) {
        if let Some(document) = self.document() {
            reader.ask(document);
        }
    }

    /// Takes a file that was asked for.
    pub fn receive(&mut self, file: FileText, library: &Library) {
        if self.document() != Some(file.document) {
            return;
        }
        let again = matches!(&self.content, Content::File(old) if old.document == file.document);
        self.content = Content::File(file);
        match again {
            true => self.top = self.top.min(self.last_top()),
            false => self.jump(library),
        }
    }

    /// The document that is shown, and the line, from 0, that is meant or, where `read`, on top.
    pub fn place(&self, read: bool) -> Option<(usize, usize)> {
        let line = if read { self.top.0 } else { self.line };
        self.document().map(|document| (document, line))
    }

    pub fn move_by(&mut self, motion: Motion) {
        let half = (self.height / 2).max(1) as i16;
        match motion {
            Motion::Up => self.scroll(-1),
            Motion::Down => self.scroll(1),
            Motion::HalfPageUp => self.scroll(-half),
            Motion::HalfPageDown => self.scroll(half),
            Motion::Top => self.top = (0, 0),
            Motion::Bottom => self.top = self.last_top(),
        }
    }

    /// Moves the text by rows, downwards where positive.
    pub fn scroll(&mut self, rows: i16) {
        for _ in 0..rows.unsigned_abs() {
            let (line, row) = self.top;
            self.top = if rows < 0 {
                match (line, row) {
                    (0, 0) => return,
                    (_, 0) => (line - 1, self.n_rows(line - 1).saturating_sub(1)),
                    _ => (line, row - 1),
                }
            } else if row + 1 < self.n_rows(line) {
                (line, row + 1)
            } else {
                (line + 1, 0)
            };
        }
        if rows > 0 {
            self.top = self.top.min(self.last_top());
        }
    }

    /// The title and the note of the frame.
    pub fn titles(&self, library: &Library) -> (String, String) {
        match (&self.content, self.document()) {
            (Content::File(file), Some(document)) if file.problem.is_none() => (
                library.record(document).path.clone(),
                format!("line {} of {}", self.top.0 + 1, file.n_lines()),
            ),
            (_, Some(document)) => (library.record(document).path.clone(), String::new()),
            _ => ("Preview".to_owned(), String::new()),
        }
    }

    pub fn draw(&mut self, area: Rect, buffer: &mut Buffer, theme: &Theme, focused: bool) {
        let area = self.draw_notice(area, buffer, theme);
        let size = (usize::from(area.width), usize::from(area.height));
        if size.0 != self.width {
            // The rows of the top line have changed.
            self.top.1 = 0;
        }
        (self.width, self.height) = size;
        let (mut line, mut skipped) = self.top;
        let mut y = area.y;
        while y < area.bottom() && line < self.n_lines() {
            for row in self.rows(line, theme).into_iter().skip(skipped) {
                if y < area.bottom() {
                    buffer.set_line(area.x, y, &row, area.width);
                }
                y += 1;
            }
            (line, skipped) = (line + 1, 0);
        }
        frame::thumb(
            area,
            self.top.0,
            self.n_lines(),
            buffer,
            theme.border_of(focused),
        );
    }

    /// Says what is the matter with the file; gives what is left of the area.
    fn draw_notice(&self, area: Rect, buffer: &mut Buffer, theme: &Theme) -> Rect {
        let Content::File(file) = &self.content else {
            return area;
        };
        let changed = "This file has changed since it was indexed; run `shas index` to catch up.";
        let notice = match &file.problem {
            Some(problem) => problem.as_str(),
            None if file.changed => changed,
            None => return area,
        };
        let rows = wrap(
            &Line::styled(notice.to_owned(), theme.problem),
            area.width.into(),
            0,
        );
        let n_rows = rows.len() as u16;
        ratatui::text::Text::from(rows).render(area, buffer);
        super::layout::rows(area, n_rows + 1).1
    }

    fn document(&self) -> Option<usize> {
        match &self.subject {
            Subject::Nothing => None,
            Subject::Item(item) => item.document(),
            Subject::Quote(document, _) | Subject::Byte(document, _) => Some(*document),
        }
    }

    /// Goes to where the subject is in the content.
    fn jump(&mut self, library: &Library) {
        self.line = 0;
        let mut above = 0;
        if let Content::File(file) = &self.content {
            self.line = match &self.subject {
                Subject::Item(Item::Section(document, section)) => {
                    let start = library.record(*document).sections[*section].start;
                    file.line_at(start as usize)
                }
                Subject::Quote(_, bytes) => {
                    above = ABOVE_QUOTE;
                    file.line_at(bytes.start)
                }
                Subject::Byte(_, byte) => file.line_at(*byte),
                _ => file.first_line(),
            };
        }
        self.top = (self.line.saturating_sub(above), 0);
    }

    fn n_lines(&self) -> usize {
        match &self.content {
            Content::Page(lines) => lines.len(),
            Content::File(file) => file.n_lines(),
        }
    }

    /// The first line and row with which the end of the content is at the end of the screen.
    fn last_top(&self) -> (usize, usize) {
        let (mut line, mut left) = (self.n_lines(), self.height);
        while line > 0 {
            line -= 1;
            let n_rows = self.n_rows(line);
            if n_rows >= left {
                return (line, n_rows - left);
            }
            left -= n_rows;
        }
        (0, 0)
    }

    fn n_rows(&self, line: usize) -> usize {
        self.rows(line, &Theme::new(false)).len()
    }

    /// A line as rows of the screen, numbered where it is a file's.
    fn rows(&self, line: usize, theme: &Theme) -> Vec<Line<'static>> {
        let file = match &self.content {
            Content::Page(lines) => {
                let rows = lines
                    .get(line)
                    .map(|(line, hang)| wrap(line, self.width, *hang));
                return rows.unwrap_or_default();
            }
            Content::File(file) if line >= file.n_lines() => return Vec::new(),
            Content::File(file) => file,
        };
        let digits = file.n_lines().to_string().len().max(2);
        let (source, kind, start) = file.line(line);
        let quoted = match &self.subject {
            Subject::Quote(_, bytes) if bytes.start < start + source.len() && bytes.end > start => {
                Some(bytes.start.saturating_sub(start)..bytes.end - start)
            }
            _ => None,
        };
        let number = match quoted.is_some() {
            true => theme.key,
            false => theme.muted,
        };
        let (text, hang) = markdown::style(source, kind, quoted, theme);
        let gutter = digits + 2;
        let rows = wrap(&text, self.width.saturating_sub(gutter), hang);
        let numbered = rows.into_iter().enumerate().map(|(row, text)| {
            let label = match row {
                0 => format!("{:>digits$}  ", line + 1),
                _ => " ".repeat(gutter),
            };
            let mut spans = vec![Span::styled(label, number)];
            spans.extend(text.spans);
            Line::from(spans)
        });
        numbered.collect()
    }
}
