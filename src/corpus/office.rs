//! What word processors have in common: paragraphs, lists, tables and notes, put in order as they come.

use super::{
    BlockKind, Document,
    extract::{Extract, Gap, Inline, one_line},
};

/// A text document while it is read.
#[derive(Default)]
pub(super) struct Flow {
    extract: Extract,
    pub inline: Inline,
    /// Tables around the current place; the text of inner ones is part of the outermost.
    tables: usize,
    /// Texts that were interrupted by a note or a frame.
    outer: Vec<(Inline, usize)>,
    notes: Vec<Inline>,
    /// Text of the first paragraph that is styled as the title.
    title: Option<String>,
}

/// What a paragraph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    #[default]
    Body,
    Title,
    Heading(u8),
    Item,
    Quote,
    Code,
    /// Of a table of contents; it is not read.
    Contents,
}

impl Style {
    /// By the name that word processors give it.
    pub fn by_name(name: &str) -> Self {
        let name = name.to_lowercase().replace(['_', '-'], " ");
        let level = |rest: &str| rest.trim().parse::<u8>().ok();
        if let Some(level) = name.strip_prefix("heading").and_then(level) {
            return Self::Heading(level.clamp(1, 6));
        }
        match name.as_str() {
            "title" => Self::Title,
            name if name.starts_with("toc ") || name.starts_with("contents ") => Self::Contents,
            name if name.contains("quot") => Self::Quote,
            name if name.starts_with("list bullet") || name.starts_with("list number") => {
                Self::Item
            }
            name if name.contains("preformatted") || name.contains("code") => Self::Code,
            _ => Self::Body,
        }
    }
}

impl Flow {
    /// Ends a paragraph; in a table it is a line of its cell.
    pub fn end_paragraph(&mut self, style: Style) {
        if self.tables > 0 {
            return self.inline.gap(Gap::Line);
        }
        let mut inline = std::mem::take(&mut self.inline);
        let text = one_line(inline.text());
        if text.is_empty() || style == Style::Contents {
            self.notes.clear();
            return;
        }
        let kind = match style {
            Style::Title => BlockKind::Heading {
                level: 1,
                text: String::new(),
            },
            Style::Heading(level) => BlockKind::Heading {
                level,
                text: String::new(),
            },
            Style::Item => {
                inline = inline.behind("- ");
                BlockKind::ListItem
            }
            Style::Quote => BlockKind::Quote,
            Style::Code => BlockKind::Code,
            Style::Body | Style::Contents => BlockKind::Paragraph,
        };
        match style {
            Style::Title if self.title.is_none() => self.title = Some(text),
            Style::Heading(_) => self.extract.mark(&format!("section {text}"), None),
            _ => {}
        }
        self.extract.push(kind, inline);
        self.push_notes();
    }

    pub fn start_table(&mut self) {
        if self.tables == 0 {
            self.end_paragraph(Style::Body);
        }
        self.tables += 1;
    }

    pub fn end_table(&mut self) {
        self.tables = self.tables.saturating_sub(1);
        if self.tables > 0 || self.inline.is_empty() {
            return;
        }
        let inline = std::mem::take(&mut self.inline);
        let kind = match inline.has_cells() {
            true => BlockKind::Table,
            false => BlockKind::Paragraph,
        };
        self.extract.push(kind, inline);
        self.push_notes();
    }

    pub fn start_row(&mut self) {
        self.inline.gap(Gap::Row);
    }

    pub fn start_cell(&mut self) {
        self.inline.gap(if self.tables > 1 {
            Gap::Space
        } else {
            Gap::Cell
        });
    }

    /// Turns to text that stands apart, such as a note; the text around it goes on at [`Flow::leave`].
    pub fn enter(&mut self) {
        self.outer
            .push((std::mem::take(&mut self.inline), self.tables));
        // Its paragraphs become the lines of one.
        self.tables = 1;
    }

    /// Ends what [`Flow::enter`] began and gives its text.
    pub fn leave(&mut self) -> Inline {
        let (inline, tables) = self.outer.pop().unwrap_or_default();
        self.tables = tables;
        std::mem::replace(&mut self.inline, inline)
    }

    /// Adds a note, which follows the paragraph that calls it.
    pub fn note(&mut self, sign: &str, note: Inline) {
        if !note.is_empty() {
            self.inline.push_verbatim(&format!("[{sign}]"));
            self.notes.push(note.behind(&format!("[{sign}] ")));
        }
    }

    /// Adds text that stands beside the paragraph.
    pub fn aside(&mut self, text: Inline) {
        self.notes.push(text);
    }

    /// The document, where it holds any text.
    pub fn finish(mut self, path: &str, title: Option<String>) -> Document {
        while !self.outer.is_empty() {
            self.leave();
        }
        self.end_table();
        self.end_paragraph(Style::Body);
        let title = title
            .or(self.title)
            .or_else(|| self.extract.first_heading());
        self.extract.finish(path, title)
    }

    fn push_notes(&mut self) {
        for note in std::mem::take(&mut self.notes) {
            self.extract.push(BlockKind::Paragraph, note);
        }
    }
}
