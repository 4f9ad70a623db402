//! What the first characters of a line make of it, and the apostrophes that count by lines.

use super::{emitter::Emitter, regions::Kind};
use crate::corpus::BlockKind;

/// Runs of apostrophes in one line.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    /// Where the line ends that was looked at.
    line_end: usize,
    /// The `'''` of which the first is an apostrophe, as in `l'''Aurora''`.
    apostrophe: Option<usize>,
}

impl Emitter<'_> {
    /// Reads what begins a line; false where it is text.
    pub(super) fn line_markup(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        let run = |byte: u8| rest.iter().take_while(|own| **own == byte).count();
        match rest[0] {
            b'=' => {
                let level = run(b'=');
                self.in_table = false;
                self.start_line(
                    level,
                    BlockKind::Heading {
                        level: level.min(6) as u8,
                        text: String::new(),
                    },
                );
            }
            b'*' | b'#' | b':' | b';' => {
                let marks = rest
                    .iter()
                    .take_while(|own| matches!(own, b'*' | b'#' | b':' | b';'));
                let length = marks.count();
                let is_item = rest[..length].iter().any(|mark| *mark != b':');
                let kind = if is_item {
                    BlockKind::ListItem
                } else {
                    BlockKind::Paragraph
                };
                self.start_line(length, kind);
            }
            b'-' if run(b'-') >= 4 => {
                let length = run(b'-');
                self.start_line(length, BlockKind::Paragraph);
                self.writer.begin(BlockKind::Paragraph);
            }
            b'|' => self.skip_line(),
            b'!' if self.in_table => self.skip_line(),
            b' ' | b'\t' => self.indented(),
            _ => return false,
        }
        true
    }

    fn start_line(&mut self, marks: usize, kind: BlockKind) {
        self.writer.begin_line(kind);
        self.at += marks;
        self.steps += marks;
        self.line_start = false;
    }

    /// Two lines or more that begin with a space are code; one is a slip.
    fn indented(&mut self) {
        let rest = &self.bytes[self.at..];
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        self.steps += blanks;
        if self.writer.is_code() {
            self.writer
                .push_lines(&self.source[self.at + 1..self.at + blanks]);
        }
        let begins_line = self.at == 0 || self.bytes[self.at - 1] == b'\n';
        self.at += blanks;
        if !begins_line {
            return;
        }
        let Some(length) = memchr::memchr(b'\n', &rest[blanks..]) else {
            return;
        };
        if length == 0 {
            return self.writer.end_block();
        }
        let is_indented = |line: &[u8]| {
            let blanks = line.iter().take_while(|byte| **byte == b' ').count();
            blanks > 0
                && line
                    .get(blanks)
                    .is_some_and(|byte| !b"\n{|}!".contains(byte))
        };
        self.steps += length;
        let next = &rest[blanks + length + 1..];
        // Tables and templates may be indented too.
        if !self.writer.is_code() && is_indented(rest) && is_indented(next) {
            self.writer.begin(BlockKind::Code);
            self.line_start = false;
        }
    }

    /// Passes over the rest of a line, and over regions that begin in it.
    pub(super) fn skip_line(&mut self) {
        let from = self.at;
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            let Some(length) = memchr::memchr2(b'\n', b'{', rest) else {
                self.at = self.bytes.len();
                break;
            };
            self.at += length;
            if self.bytes[self.at] == b'\n' {
                break;
            }
            let region = self.region();
            self.at = region
                .filter(|region| region.end != 0 && region.kind == Kind::Template)
                .map_or(self.at + 1, |region| region.end as usize);
        }
        self.steps += self.at - from;
    }

    pub(super) fn end_line(&mut self) {
        self.at += 1;
        if !self.inside.is_empty() {
            self.writer.space();
            return;
        }
        self.n_external = 0;
        let next = self.bytes.get(self.at);
        let is_code = self.writer.is_code();
        let ends = match next {
            Some(b'\n') => !self.keeps_lines,
            Some(b' ') => !is_code && self.writer.is_line(),
            _ => is_code || self.writer.is_line(),
        };
        // What fills a line and is dropped, such as a quotation, parts what stands before and after it.
        let is_filled = self.dropped_at.take() == Some(self.line_text)
            && self.writer.text.len() == self.line_text;
        match ends || is_filled {
            true => self.writer.end_block(),
            false if is_code || self.keeps_lines => self.writer.line(),
            false => self.writer.space(),
        }
        self.line_start = true;
        self.line_text = self.writer.text.len();
    }

    /// Marks of bold and italic text go; apostrophes stay.
    pub(super) fn apostrophes(&mut self) {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take_while(|byte| **byte == b'\'').count();
        self.steps += length;
        if self.at >= self.quotes.line_end {
            self.look_at_line();
        }
        let kept = match length {
            1 => 1,
            4 => 1,
            3 if self.quotes.apostrophe == Some(self.at) => 1,
            length => length.saturating_sub(5),
        };
        let from = self.at;
        self.at += length;
        self.line_start = false;
        let source = self.source;
        self.writer.push(&source[from..from + kept]);
    }

    /// Finds the apostrophe before italic text in a line where neither bold nor italic text closes.
    fn look_at_line(&mut self) {
        let start = self.at;
        let length = memchr::memchr(b'\n', &self.bytes[start..]);
        let end = length.map_or(self.bytes.len(), |length| start + length);
        self.steps += end - start;
        let (mut n_italic, mut n_bold) = (0, 0);
        // After one letter, after more of them, after a space.
        let mut candidates = [None; 3];
        let mut at = start;
        while let Some(found) = memchr::memchr(b'\'', &self.bytes[at..end]) {
            at += found;
            let run = &self.bytes[at..end];
            let length = run.iter().take_while(|byte| **byte == b'\'').count();
            n_italic += usize::from(length == 2 || length >= 5);
            n_bold += usize::from(length == 3 || length >= 4);
            if length == 3 {
                let mut before = self.source[..at].chars().rev();
                let is_space = |own: Option<char>| own.is_none_or(char::is_whitespace);
                let place = match (is_space(before.next()), is_space(before.next())) {
                    (true, _) => 2,
                    (false, true) => 0,
                    (false, false) => 1,
                };
                candidates[place].get_or_insert(at);
            }
            at += length;
        }
        let is_odd = n_italic % 2 == 1 && n_bold % 2 == 1;
        self.quotes = Quotes {
            line_end: end,
            apostrophe: candidates.into_iter().flatten().next().filter(|_| is_odd),
        };
    }
}
