//! Writes plain text in blocks, and leaves no trace of what was dropped: no `( , )`, no doubled spaces.

use crate::corpus::{Block, BlockKind, Link};

/// Marks that go where nothing stands before them any more.
const JOINTS: &[char] = &[',', ';', ':', '，', '；', '：', '、'];

/// Text, its blocks and links.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub text: String,
    pub blocks: Vec<Block>,
    pub links: Vec<Link>,
    /// What the next block is.
    kind: Option<BlockKind>,
    is_line: bool,
    /// Where the open block begins; none before its first character.
    start: Option<usize>,
    /// White space is due before the next character.
    space: bool,
    /// Length of the text when something was dropped last.
    gap: Option<usize>,
    /// Links begin and end up to here, so the text before is not taken back.
    boundary: usize,
}

impl Writer {
    /// Ends the open block; the next text begins one of this kind.
    pub fn begin(&mut self, kind: BlockKind) {
        self.end_block();
        self.kind = Some(kind);
    }

    /// As [`Writer::begin`], for a block that ends with its line.
    pub fn begin_line(&mut self, kind: BlockKind) {
        self.begin(kind);
        self.is_line = true;
    }

    /// True while a block is open that ends with its line.
    pub fn is_line(&self) -> bool {
        self.is_line
    }

    /// True while code is written, whose lines stay.
    pub fn is_code(&self) -> bool {
        self.kind == Some(BlockKind::Code)
    }

    /// Something is left out here.
    pub fn gap(&mut self) {
        self.gap = Some(self.text.len());
    }

    pub fn space(&mut self) {
        self.space = true;
    }

    /// Ends a line within a block.
    pub fn line(&mut self) {
        if self.start.is_some() {
            self.text.push('\n');
            self.space = false;
        }
    }

    /// Writes text without markup.
    pub fn push(&mut self, run: &str) {
        let mut from = 0;
        for (at, byte) in run.bytes().enumerate() {
            let class = CLASSES[usize::from(byte)];
            if class == Class::Plain {
                continue;
            }
            let mark = match class {
                Class::Space => None,
                _ if self.gap.is_none() => continue,
                _ => match run[at..].chars().next() {
                    Some(mark) if is_mark(mark) => Some(mark),
                    _ => continue,
                },
            };
            self.put(&run[from..at]);
            from = at + mark.map_or(1, char::len_utf8);
            match mark {
                Some(mark) => self.mark(mark),
                None => self.space = true,
            }
        }
        self.put(&run[from..]);
    }

    /// Writes code as it stands.
    pub fn push_lines(&mut self, lines: &str) {
        if self.start.is_none() {
            self.put(lines.trim_matches('\n').trim_end());
        } else {
            self.text.push_str(lines);
        }
    }

    /// Opens a link whose text follows.
    pub fn open_link(&mut self, link: Link) -> usize {
        self.boundary = self.text.len();
        let span = self.text.len()..self.text.len();
        self.links.push(Link { span, ..link });
        self.links.len() - 1
    }

    /// Ends the text of a link; one without text is no link.
    pub fn close_link(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        let shown = &self.text[link.span.start..];
        let start = link.span.start + shown.len() - shown.trim_start().len();
        link.span = start..start + shown.trim().len();
        link.text = Some(shown.trim().to_owned());
        self.boundary = self.text.len();
    }

    /// Ends the open block; one that says nothing is taken back.
    pub fn end_block(&mut self) {
        let kind = self.kind.take();
        (self.space, self.gap, self.is_line) = (false, None, false);
        let Some(start) = self.start.take() else {
            return;
        };
        let mut kind = kind.unwrap_or(BlockKind::Paragraph);
        let mut end = start + self.text[start..].trim_end().len();
        if let BlockKind::Heading { level, .. } = &mut kind {
            let shown = &self.text[start..end];
            let marks = shown.len() - shown.trim_end_matches('=').len();
            *level = (*level).min(marks.min(6) as u8);
            let trimmed = start + shown[..shown.len() - marks].trim_end().len();
            end = trimmed.max(self.boundary.clamp(start, end));
        }
        let shown = &self.text[start..end];
        if kind != BlockKind::Code && !shown.chars().any(char::is_alphanumeric) {
            self.take_back(start);
            return;
        }
        match &mut kind {
            // Without marks at its end it was none.
            BlockKind::Heading { level: 0, .. } => kind = BlockKind::Paragraph,
            BlockKind::Heading { text, .. } => *text = shown.to_owned(),
            _ => {}
        }
        self.text.truncate(end);
        self.boundary = self.boundary.min(end);
        let span = start..end;
        self.blocks.push(Block { kind, span });
        self.drop_empty_sections();
    }

    /// Ends the text.
    pub fn finish(&mut self) {
        self.end_block();
        while let Some(block) = self.blocks.last()
            && matches!(block.kind, BlockKind::Heading { .. })
        {
            let start = block.span.start;
            self.blocks.pop();
            self.take_back(start);
        }
        self.links.retain(|link| !link.span.is_empty());
    }

    /// Takes out the headings before the last block, a heading, under which nothing stands.
    fn drop_empty_sections(&mut self) {
        let Some((last, before)) = self.blocks.split_last_mut() else {
            return;
        };
        let BlockKind::Heading { level, .. } = last.kind else {
            return;
        };
        let is_empty = |block: &Block| matches!(block.kind, BlockKind::Heading { level: own, .. } if own >= level);
        let kept = before.iter().rposition(|block| !is_empty(block));
        let kept = kept.map_or(0, |index| index + 1);
        let Some(first) = before.get(kept) else {
            return;
        };
        let (from, to) = (first.span.start, last.span.start);
        last.span = from..last.span.end - (to - from);
        self.blocks.drain(kept..self.blocks.len() - 1);
        self.text.drain(from..to);
        let first = self.links.partition_point(|link| link.span.start < from);
        self.links[first..].iter_mut().for_each(|link| {
            // Those of the headings that go end before the last heading begins.
            link.span = match link.span.start >= to {
                true => link.span.start - (to - from)..link.span.end - (to - from),
                false => from..from,
            };
        });
        self.boundary = self.boundary.saturating_sub(to - from);
    }

    /// Takes the text from `start` on back, and the white space before it.
    fn take_back(&mut self, start: usize) {
        let end = self.text[..start].trim_end().len();
        self.text.truncate(end);
        let first = self.links.partition_point(|link| link.span.start < end);
        self.links[first..]
            .iter_mut()
            .for_each(|link| link.span = end..end);
        self.boundary = self.boundary.min(end);
    }

    /// Writes what stands in one piece, and before it what parts it from the text so far.
    fn put(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        match self.start {
            None => self.start_block(),
            Some(start) if self.space && self.text.len() > start => {
                let opens =
                    self.gap == Some(self.text.len()) && self.text.ends_with(['(', '（', '[']);
                if !opens && !self.text.ends_with('\n') {
                    self.text.push(' ');
                }
            }
            Some(_) => {}
        }
        self.space = false;
        self.text.push_str(piece);
    }

    fn start_block(&mut self) {
        let is_item = |kind: Option<&BlockKind>| kind == Some(&BlockKind::ListItem);
        let last = self.blocks.last().map(|block| &block.kind);
        if !self.text.is_empty() {
            let close = is_item(last) && is_item(self.kind.as_ref());
            self.text.push_str(if close { "\n" } else { "\n\n" });
        }
        self.start = Some(self.text.len());
        self.gap = self.gap.map(|_| self.text.len());
    }

    /// Writes a mark that may be left over from what was dropped.
    fn mark(&mut self, mark: char) {
        let after_gap = self.gap == Some(self.text.len());
        let mut buffer = [0; 4];
        let piece = mark.encode_utf8(&mut buffer);
        let Some(start) = self.start.filter(|start| self.text.len() > *start) else {
            // A block does not begin with one.
            if !after_gap || !is_left_over(mark) {
                self.put(piece);
            }
            return;
        };
        let floor = start.max(self.boundary);
        let joint = JOINTS.contains(&mark);
        if after_gap
            && joint
            && self
                .text
                .ends_with(['(', '（', '[', ',', ';', ':', '，', '；', '：'])
        {
            return;
        }
        if let Some(open) = opening(mark) {
            let tail = &self.text[floor..];
            let kept = floor + tail.trim_end_matches(is_debris).len();
            let is_empty = self.text[floor..kept].ends_with(open);
            if is_empty && self.gap.is_some_and(|gap| gap >= kept) {
                let end = kept - open.len_utf8();
                self.text
                    .truncate(floor + self.text[floor..end].trim_end().len());
                self.space = true;
                self.gap = Some(self.text.len());
                return;
            }
            if after_gap {
                self.text.truncate(kept);
            }
        }
        if after_gap {
            self.space = false;
            let kept = self.text[floor..].trim_end_matches(JOINTS).len();
            self.text.truncate(floor + kept);
        }
        self.put(piece);
    }
}

/// What a byte may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Space,
    /// A mark that counts where something was dropped.
    Mark,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Plain; 256];
    let spaces = b" \t\n\r";
    let marks = b",;:.!?)]\xef\xe3";
    let mut index = 0;
    while index < spaces.len() {
        classes[spaces[index] as usize] = Class::Space;
        index += 1;
    }
    index = 0;
    while index < marks.len() {
        classes[marks[index] as usize] = Class::Mark;
        index += 1;
    }
    classes
};

fn is_mark(mark: char) -> bool {
    JOINTS.contains(&mark) || opening(mark).is_some() || matches!(mark, '.' | '!' | '?' | '。')
}

/// The bracket that `mark` closes.
fn opening(mark: char) -> Option<char> {
    match mark {
        ')' => Some('('),
        ']' => Some('['),
        '）' => Some('（'),
        _ => None,
    }
}

fn is_left_over(mark: char) -> bool {
    JOINTS.contains(&mark) || opening(mark).is_some() || mark == '.'
}

fn is_debris(character: char) -> bool {
    character == ' ' || character == '–' || character == '/' || JOINTS.contains(&character)
}
