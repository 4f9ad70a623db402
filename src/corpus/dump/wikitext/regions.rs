//! The first pass over wikitext: where templates, tables, links and literal elements begin and end.
//!
//! Every opener is pushed once and popped once, so the work is linear however they nest, and what is never closed
//! is known to be so before any text is kept or dropped.

use std::collections::HashSet;

use super::elements::{Element, Tag, closing, tag};

/// Separators of a template that are remembered, which bounds the arguments that can be kept.
pub(super) const SEPARATORS: usize = 5;

/// What a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `{{…}}` and `{{{…}}}`.
    Template,
    /// `{|…|}` and `<table>…</table>`.
    Table,
    /// `[[…]]`.
    Link,
    /// `<!--…-->`, which does not even end a line's start.
    Comment,
    /// An element whose content is no wikitext; the separators are its content's start and end.
    Element(Element),
}

/// A stretch of wikitext that belongs together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub kind: Kind,
    pub start: u32,
    /// One past its last byte; 0 where it is never closed.
    pub end: u32,
    /// Bytes of the `|` in it that belong to nothing within it; 0 where there are fewer.
    pub separators: [u32; SEPARATORS],
    /// Bytes of its opener.
    pub width: u8,
}

/// Regions by their start, and how many bytes were looked at.
pub(super) fn regions(source: &str) -> (Vec<Region>, usize) {
    let mut scanner = Scanner {
        source,
        bytes: source.as_bytes(),
        at: 0,
        steps: 0,
        line_text: 0,
        regions: Vec::new(),
        open: Vec::new(),
        n_templates: 0,
        n_tables: 0,
        n_links: 0,
        never_closed: HashSet::new(),
    };
    scanner.start_line(0);
    scanner.run();
    (scanner.regions, scanner.steps)
}

struct Scanner<'a> {
    source: &'a str,
    bytes: &'a [u8],
    at: usize,
    steps: usize,
    /// Where the text of this line begins, behind its marks and spaces.
    line_text: usize,
    regions: Vec<Region>,
    /// Regions that may still be closed, and how many links were open around each table.
    open: Vec<(u32, u32)>,
    n_templates: u32,
    n_tables: u32,
    /// Links that are open within the innermost table.
    n_links: u32,
    /// Elements that no tag closes from here on.
    never_closed: HashSet<&'static str>,
}

impl Scanner<'_> {
    fn run(&mut self) {
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|byte| IS_SPECIAL[usize::from(*byte)]);
            let plain = plain.unwrap_or(rest.len());
            self.steps += plain + 1;
            self.at += plain;
            let Some(&byte) = self.bytes.get(self.at) else {
                break;
            };
            let next = self.bytes.get(self.at + 1).copied();
            match (byte, next) {
                (b'{', Some(b'|')) if self.at == self.line_text => self.push(Kind::Table, 2),
                (b'{', Some(b'{')) => self.open_braces(),
                (b'}', Some(b'}')) => self.close_braces(),
                (b'[', Some(b'[')) => self.push(Kind::Link, 2),
                (b']', Some(b']')) => self.close(Kind::Link, 2),
                (b'|', Some(b'}')) if self.closes_table() => self.close(Kind::Table, 2),
                (b'|', _) => self.separator(),
                (b'<', _) => self.element(),
                (b'\n', _) => self.start_line(self.at + 1),
                _ => self.at += 1,
            }
        }
    }

    fn start_line(&mut self, start: usize) {
        // The target of a link stands on one line.
        while let Some(&(index, _)) = self.open.last()
            && self.regions[index as usize].kind == Kind::Link
            && self.regions[index as usize].separators[0] == 0
        {
            self.forget();
        }
        let marks = self.bytes[start..].iter();
        let marks =
            marks.take_while(|byte| matches!(byte, b' ' | b'\t' | b':' | b'*' | b'#' | b';'));
        self.line_text = start + marks.count();
        self.steps += self.line_text - start;
        self.at = start;
    }

    fn push(&mut self, kind: Kind, width: u8) {
        self.open.push((self.regions.len() as u32, self.n_links));
        match kind {
            Kind::Template => self.n_templates += 1,
            Kind::Link => self.n_links += 1,
            // A link does not reach out of a cell.
            _ => (self.n_tables, self.n_links) = (self.n_tables + 1, 0),
        }
        self.regions.push(Region {
            kind,
            start: self.at as u32,
            end: 0,
            separators: [0; SEPARATORS],
            width,
        });
        self.at += usize::from(width);
    }

    /// Takes the innermost region off the open ones; its end is still to be set.
    fn forget(&mut self) -> Option<&mut Region> {
        let (index, n_links) = self.open.pop()?;
        let region = self.regions.get_mut(index as usize)?;
        match region.kind {
            Kind::Template => self.n_templates -= 1,
            Kind::Link => self.n_links -= 1,
            _ => (self.n_tables, self.n_links) = (self.n_tables - 1, n_links),
        }
        Some(region)
    }

    /// Closes the innermost region of this kind, and with it what is open in there.
    fn close(&mut self, kind: Kind, width: usize) {
        let count = match kind {
            Kind::Template => self.n_templates,
            Kind::Link => self.n_links,
            _ => self.n_tables,
        };
        let end = self.at + width;
        self.at = end;
        if count == 0 {
            return;
        }
        while let Some(region) = self.forget() {
            if region.kind == kind {
                region.end = end as u32;
                break;
            }
        }
    }

    /// Three braces are a parameter, more of them a template within others.
    fn open_braces(&mut self) {
        let run = &self.bytes[self.at..];
        let mut length = run.iter().take_while(|byte| **byte == b'{').count();
        self.steps += length;
        while length >= 2 {
            let width = if length == 3 { 3 } else { 2 };
            self.push(Kind::Template, width);
            length -= usize::from(width);
        }
        self.at += length;
    }

    fn close_braces(&mut self) {
        let run = &self.bytes[self.at..];
        let mut length = run.iter().take_while(|byte| **byte == b'}').count();
        self.steps += length;
        while length >= 2 {
            let innermost = self
                .open
                .last()
                .map(|(index, _)| &self.regions[*index as usize]);
            let triple = length >= 3
                && innermost
                    .is_some_and(|region| region.kind == Kind::Template && region.width == 3);
            let width = if triple { 3 } else { 2 };
            self.close(Kind::Template, width);
            length -= width;
        }
        self.at += length;
    }

    /// `|}}` rather ends a template whose last argument is empty, unless the table is the innermost.
    fn closes_table(&self) -> bool {
        let innermost = self
            .open
            .last()
            .map(|(index, _)| self.regions[*index as usize].kind);
        let ends_template = self.bytes.get(self.at + 2) == Some(&b'}');
        self.at == self.line_text
            && self.n_tables > 0
            && (innermost == Some(Kind::Table) || !ends_template)
    }

    fn separator(&mut self) {
        if let Some(&(index, _)) = self.open.last() {
            let separators = &mut self.regions[index as usize].separators;
            if let Some(free) = separators.iter_mut().find(|separator| **separator == 0) {
                *free = self.at as u32;
            }
        }
        self.at += 1;
    }

    fn element(&mut self) {
        let start = self.at;
        if self.source[start..].starts_with("<!--") {
            let end = memchr::memmem::find(&self.bytes[start + 4..], b"-->");
            let end = end.map_or(self.bytes.len(), |end| start + 4 + end + 3);
            self.found(Kind::Comment, [start, end], [0, 0]);
            if start == self.line_text {
                self.line_text = end;
            }
            return;
        }
        let Some(tag) = tag(self.source, start) else {
            self.at += 1;
            return;
        };
        self.steps += tag.end - start;
        match tag.element {
            Element::Table if tag.empty => self.at = tag.end,
            Element::Table if tag.closes => self.close(Kind::Table, tag.end - start),
            Element::Table => self.push(Kind::Table, (tag.end - start).min(255) as u8),
            Element::Dropped
            | Element::Reference
            | Element::Formula
            | Element::Literal
            | Element::Code
                if !tag.empty && !tag.closes =>
            {
                self.opaque(&tag);
            }
            _ => self.at = tag.end,
        }
    }

    /// An element whose content is not looked into; of one that is not closed only the tag counts.
    fn opaque(&mut self, own: &Tag) {
        let start = self.at;
        self.at = own.end;
        if self.never_closed.contains(own.name) {
            return;
        }
        let (close, steps) = closing(self.source, own);
        self.steps += steps;
        match close {
            Some(close) => {
                let end = tag(self.source, close).map_or(close + 2 + own.name.len(), |tag| tag.end);
                let kind = Kind::Element(own.element);
                self.found(kind, [start, end], [own.end, close]);
            }
            None if own.end + steps == self.bytes.len() => {
                self.never_closed.insert(own.name);
            }
            None => {}
        }
    }

    fn found(&mut self, kind: Kind, [start, end]: [usize; 2], content: [usize; 2]) {
        let mut separators = [0; SEPARATORS];
        (separators[0], separators[1]) = (content[0] as u32, content[1] as u32);
        self.regions.push(Region {
            kind,
            start: start as u32,
            end: end as u32,
            separators,
            width: 0,
        });
        self.steps += end - start;
        self.at = end;
    }
}

/// Bytes at which something may begin or end.
const IS_SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let special = b"{}[]|<\n";
    let mut index = 0;
    while index < special.len() {
        table[special[index] as usize] = true;
        index += 1;
    }
    table
};
