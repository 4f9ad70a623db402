//! Comments: what Obsidian does not show.

use std::ops::Range;

use crate::corpus::{Block, BlockKind};

/// Ranges in order that do not overlap.
pub struct Spans(Vec<Range<usize>>);

impl Spans {
    /// Joins the ranges that overlap.
    pub fn new(mut ranges: Vec<Range<usize>>) -> Self {
        ranges.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut().filter(|last| range.start < last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => joined.push(range),
            }
        }
        Self(joined)
    }

    /// True where a range covers this byte.
    pub fn contain(&self, at: usize) -> bool {
        let next = self.0.partition_point(|range| range.end <= at);
        self.0.get(next).is_some_and(|range| range.start <= at)
    }

    /// The blocks without these ranges; one that they part becomes several, one that they cover goes.
    pub fn cut_from(&self, text: &str, blocks: Vec<Block>) -> Vec<Block> {
        if self.0.is_empty() {
            return blocks;
        }
        blocks
            .into_iter()
            .flat_map(|block| self.pieces(text, block))
            .collect()
    }

    fn pieces(&self, text: &str, block: Block) -> Vec<Block> {
        let first = self
            .0
            .partition_point(|range| range.end <= block.span.start);
        let inside: Vec<&Range<usize>> = self.0[first..]
            .iter()
            .take_while(|range| range.start < block.span.end)
            .collect();
        if inside.is_empty() {
            return vec![block];
        }
        let starts = std::iter::once(block.span.start).chain(inside.iter().map(|range| range.end));
        let ends = inside
            .iter()
            .map(|range| range.start)
            .chain(std::iter::once(block.span.end));
        let pieces = starts.zip(ends).filter_map(|(start, end)| {
            let piece = text.get(start..end)?;
            let start = start + piece.len() - piece.trim_start().len();
            // What is left of a list item or a quote may be its mark alone.
            piece.chars().any(char::is_alphanumeric).then(|| Block {
                kind: block.kind.clone(),
                span: start..start + piece.trim().len(),
            })
        });
        // Only the first piece of a heading opens its section.
        let is_heading = matches!(block.kind, BlockKind::Heading { .. });
        let mut pieces: Vec<Block> = pieces.collect();
        for piece in pieces.iter_mut().skip(1).filter(|_| is_heading) {
            piece.kind = BlockKind::Paragraph;
        }
        pieces
    }
}

/// Every comment after `start` and outside `opaque`.
///
/// `%%` that opens a line may close anywhere, another one closes in its paragraph; what is not closed is none.
pub fn comments(text: &str, start: usize, opaque: &Spans) -> Vec<Range<usize>> {
    let marks: Vec<usize> = marks(text, start, "%%", opaque);
    let mut found = Vec::new();
    let mut next = 0;
    while let [open, close, ..] = marks[next..] {
        let line = text[..open].rfind('\n').map_or(0, |at| at + 1);
        let is_block = text[line.max(start)..open].trim().is_empty();
        let closes = is_block || !has_blank_line(&text[open..close]);
        if closes {
            found.push(open..close + 2);
        }
        next += 1 + usize::from(closes);
    }
    let mut at = start;
    for open in self::marks(text, start, "<!--", opaque) {
        if open < at {
            continue;
        }
        let Some(length) = text[open..].find("-->") else {
            break;
        };
        at = open + length + 3;
        found.push(open..at);
    }
    found
}

/// Where `mark` stands outside `opaque`; marks do not overlap.
fn marks(text: &str, start: usize, mark: &str, opaque: &Spans) -> Vec<usize> {
    let found = text[start..].match_indices(mark);
    found
        .map(|(at, _)| start + at)
        .filter(|&at| !opaque.contain(at))
        .collect()
}

fn has_blank_line(text: &str) -> bool {
    let mut lines = text.lines().skip(1);
    lines.any(|line| line.trim().is_empty())
}

/// A heading's text without the comments in it.
pub fn without_comments(heading: &str) -> String {
    let parts: Vec<&str> = heading.split("%%").collect();
    // A last mark that nothing closes stays.
    let whole = parts.len() - usize::from(parts.len().is_multiple_of(2));
    let mut shown: String = parts[..whole].iter().step_by(2).copied().collect();
    for rest in &parts[whole..] {
        shown.push_str("%%");
        shown.push_str(rest);
    }
    shown
}
