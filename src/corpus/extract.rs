//! Builds a document whose text is extracted: blocks in order, their links, and marks of where they stand.

use super::{Block, BlockKind, Document, Link, Mark, Origin, plain::file_stem};

/// A document that is being extracted.
#[derive(Debug, Default)]
pub(super) struct Extract {
    text: String,
    blocks: Vec<Block>,
    links: Vec<Link>,
    marks: Vec<Mark>,
}

impl Extract {
    /// Names the place of what is pushed next; an empty name stands for the document's title.
    pub fn mark(&mut self, name: &str, line: Option<u32>) {
        let start = self.next_start();
        if let Some(last) = self.marks.last_mut() {
            if last.start >= start {
                // Nothing was pushed at the last place.
                self.marks.pop();
            } else if last.name == name && last.line == line {
                return;
            }
        }
        self.marks.push(Mark {
            start,
            name: name.to_owned(),
            line,
        });
    }

    /// Adds a block; one without text adds nothing.
    pub fn push(&mut self, kind: BlockKind, inline: Inline) {
        let Inline {
            mut text,
            mut links,
            open,
            ..
        } = inline;
        if let Some(Open {
            link,
            start: Some(start),
        }) = open
        {
            links.push(closed(link, &text, start));
        }
        text.truncate(text.trim_end().len());
        if text.is_empty() {
            return;
        }
        let start = self.next_start();
        while self.text.len() < start {
            self.text.push('\n');
        }
        let kind = match kind {
            BlockKind::Heading { level, .. } => BlockKind::Heading {
                level,
                text: one_line(&text),
            },
            kind => kind,
        };
        self.text.push_str(&text);
        self.blocks.push(Block {
            kind,
            span: start..self.text.len(),
        });
        let end = self.text.len();
        self.links.extend(links.into_iter().map(|mut link| {
            link.span = (start + link.span.start).min(end)..(start + link.span.end).min(end);
            link
        }));
    }

    /// Adds the blocks of `other`, without its links and marks; later headings of its highest level are marked with
    /// `kind`, such as `chapter`, and their text.
    pub fn append(&mut self, other: Self, kind: &str) {
        let level = |block: &Block| match block.kind {
            BlockKind::Heading { level, .. } => Some(level),
            _ => None,
        };
        let highest = other.blocks.iter().filter_map(level).min();
        for (index, block) in other.blocks.into_iter().enumerate() {
            if let BlockKind::Heading { level, text } = &block.kind
                && index > 0
                && Some(*level) == highest
            {
                self.mark(&format!("{kind} {text}"), None);
            }
            let mut inline = Inline::default();
            inline.push_verbatim(&other.text[block.span]);
            self.push(block.kind, inline);
        }
    }

    /// The first heading, where nothing else has a title to offer.
    pub fn first_heading(&self) -> Option<String> {
        self.blocks.iter().find_map(|block| match &block.kind {
            BlockKind::Heading { text, .. } => Some(text.clone()),
            _ => None,
        })
    }

    /// The document; without a `title` it has the file's name.
    pub fn finish(mut self, path: &str, title: Option<String>) -> Document {
        let title = title.map(|title| one_line(&title));
        let title = title.filter(|title| !title.is_empty());
        let title = title.unwrap_or_else(|| file_stem(path).to_owned());
        self.marks.retain(|mark| mark.start < self.text.len());
        if self.marks.first().is_none_or(|mark| mark.start > 0) && !self.text.is_empty() {
            self.marks.insert(0, Mark::default());
        }
        for mark in self.marks.iter_mut().filter(|mark| mark.name.is_empty()) {
            mark.name.clone_from(&title);
        }
        Document {
            path: path.to_owned(),
            title,
            text: self.text,
            origin: Origin::Extracted(self.marks),
            blocks: self.blocks,
            links: self.links,
            ..Document::default()
        }
    }

    /// Where the next block begins: after a blank line.
    fn next_start(&self) -> usize {
        match self.text.len() {
            0 => 0,
            end => end + 2,
        }
    }
}

/// What parts two pieces of running text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    #[default]
    None,
    Space,
    Line,
    /// The edge of a table's cell.
    Cell,
    /// The end of a table's row.
    Row,
}

/// The text of one block, its white space collapsed, with its links.
#[derive(Debug, Default)]
pub(super) struct Inline {
    text: String,
    links: Vec<Link>,
    open: Option<Open>,
    gap: Gap,
    cells: bool,
}

/// A link whose end has not come; it starts with the next text.
#[derive(Debug)]
struct Open {
    link: Link,
    start: Option<usize>,
}

impl Inline {
    /// Text alone.
    pub fn of(text: &str) -> Self {
        let mut inline = Self::default();
        inline.push(text);
        inline
    }

    /// Adds running text.
    pub fn push(&mut self, text: &str) {
        let mut words = text.split(char::is_whitespace).peekable();
        while let Some(word) = words.next() {
            if word.chars().any(|character| !is_invisible(character)) {
                self.part();
                self.text
                    .extend(word.chars().filter(|character| !is_invisible(*character)));
            }
            if words.peek().is_some() {
                self.gap(Gap::Space);
            }
        }
    }

    /// Adds text whose white space counts.
    pub fn push_verbatim(&mut self, text: &str) {
        if !text.is_empty() {
            self.part();
            self.text.push_str(text);
        }
    }

    /// Parts what was from what comes; the widest gap between two pieces is the one that is written.
    pub fn gap(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    /// True where a second break of the line comes before any text.
    pub fn is_at_line(&self) -> bool {
        self.gap >= Gap::Line
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// True where a row has several cells.
    pub fn has_cells(&self) -> bool {
        self.cells
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Opens a link around what comes.
    pub fn open_link(&mut self, link: Link) {
        self.close_link();
        self.open = Some(Open { link, start: None });
    }

    pub fn close_link(&mut self) {
        if let Some(Open {
            link,
            start: Some(start),
        }) = self.open.take()
        {
            self.links.push(closed(link, &self.text, start));
        }
    }

    /// Puts `mark` before the text.
    pub fn behind(mut self, mark: &str) -> Self {
        self.text.insert_str(0, mark);
        let opened = self.open.as_mut().and_then(|open| open.start.as_mut());
        let spans = self
            .links
            .iter_mut()
            .flat_map(|link| [&mut link.span.start, &mut link.span.end]);
        spans.chain(opened).for_each(|at| *at += mark.len());
        self
    }

    /// Takes these signs from the end of the text.
    pub fn without_end(mut self, signs: &[char]) -> Self {
        let kept = self
            .text
            .trim_end()
            .trim_end_matches(signs)
            .trim_end()
            .len();
        if kept > 0 {
            self.text.truncate(kept);
            self.links.retain(|link| link.span.start < kept);
        }
        self
    }

    /// Writes the gap, and lets an open link start after it.
    fn part(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if !self.text.is_empty() {
            self.cells |= gap == Gap::Cell;
            self.text.push_str(match gap {
                Gap::None => "",
                Gap::Space => " ",
                Gap::Line | Gap::Row => "\n",
                Gap::Cell => " | ",
            });
        }
        if let Some(open) = &mut self.open {
            open.start.get_or_insert(self.text.len());
        }
    }
}

fn closed(mut link: Link, text: &str, start: usize) -> Link {
    link.span = start..text.len();
    link.text = Some(one_line(&text[start..])).filter(|shown| !shown.is_empty());
    link
}

/// Characters that say where a word may be broken, or that only the fonts of pictures know.
fn is_invisible(character: char) -> bool {
    let breaks = matches!(character, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}');
    breaks || character.is_control() || matches!(character, '\u{e000}'..='\u{f8ff}')
}

/// `text` on one line.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// The link that a relative reference of a page means; none for what leads out of the corpus or stays on the page.
pub(super) fn local_link(reference: &str) -> Option<Link> {
    let reference = reference.trim();
    let scheme = reference.split([':', '/', '?', '#']).next().unwrap_or("");
    let has_scheme = reference[scheme.len()..].starts_with(':') && scheme.len() > 1;
    if has_scheme || reference.starts_with("//") {
        return None;
    }
    let (path, heading) = match reference.split_once('#') {
        Some((path, heading)) => (path, Some(heading)),
        None => (reference, None),
    };
    let path = path.split('?').next().unwrap_or("");
    let mut target = super::markdown::percent_decoded(path);
    if target.is_empty() {
        return None;
    }
    if target.ends_with('/') {
        target.push_str("index.html");
    }
    Some(Link {
        target,
        heading: heading
            .filter(|heading| !heading.is_empty())
            .map(str::to_owned),
        ..Link::default()
    })
}

/// What tests of readers look at.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// The title; marks and blocks in order, with line ends as `\\n`; targets and texts of links.
    pub fn shown(document: &Document) -> String {
        let mut shown = format!("{}\n", document.title);
        let Origin::Extracted(marks) = &document.origin else {
            panic!("{} is not extracted", document.path);
        };
        let mut marks = marks.iter().peekable();
        for block in &document.blocks {
            while let Some(mark) = marks.next_if(|mark| mark.start <= block.span.start) {
                let line = mark.line.map(|line| format!(":{line}")).unwrap_or_default();
                shown += &format!("@{}{line} {}\n", mark.start, mark.name);
            }
            let kind = match &block.kind {
                BlockKind::Heading { level, .. } => format!("h{level}"),
                kind => format!("{kind:?}"),
            };
            let text = document.text[block.span.clone()].replace('\n', "\\n");
            shown += &format!("{kind} {text}\n");
        }
        for link in &document.links {
            shown += &format!("{} {}\n", link.target, link.text.as_deref().unwrap_or("-"));
        }
        shown
    }

    /// Spans lie in the text, on the bounds of characters, in order, and no text lies between blocks.
    pub fn check_spans(document: &Document) {
        let text = &document.text;
        let mut end = 0;
        for block in &document.blocks {
            assert!(text[end..block.span.start].trim().is_empty(), "{text:?}");
            assert!(!text[block.span.clone()].is_empty());
            end = block.span.end;
        }
        assert!(text[end..].trim().is_empty());
        for link in &document.links {
            assert!(
                text.get(link.span.clone()).is_some(),
                "{link:?} in {text:?}"
            );
        }
        if let Origin::Extracted(marks) = &document.origin {
            assert!(marks.is_sorted_by_key(|mark| mark.start), "{marks:?}");
            assert!(
                marks
                    .iter()
                    .all(|mark| text.get(mark.start..).is_some_and(|rest| !rest.is_empty()))
            );
            assert!(text.is_empty() || marks.first().is_some_and(|mark| mark.start == 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_links_and_marks_follow_the_text() {
        let mut extract = Extract::default();
        extract.mark("page 1", None);
        extract.mark("page 2", None);
        let mut inline = Inline::default();
        inline.push(" See\n");
        inline.open_link(Link {
            target: "b.html".to_owned(),
            ..Link::default()
        });
        inline.push(" the other\u{ad} ");
        inline.close_link();
        inline.push(" page.");
        extract.push(BlockKind::ListItem, inline.behind("- "));
        extract.push(BlockKind::Paragraph, Inline::of(" \n"));
        extract.mark("page 3", None);
        extract.push(BlockKind::Paragraph, Inline::of("End."));
        extract.mark("page 4", None);
        let document = extract.finish("a/b.pdf", None);
        assert_eq!(document.text, "- See the other page.\n\nEnd.");
        assert_eq!(document.title, "b");
        let link = &document.links[0];
        assert_eq!(&document.text[link.span.clone()], "the other");
        assert_eq!(link.text.as_deref(), Some("the other"));
        let mark = |start, name: &str| Mark {
            start,
            name: name.to_owned(),
            line: None,
        };
        assert_eq!(
            document.origin,
            Origin::Extracted(vec![mark(0, "page 2"), mark(23, "page 3")])
        );
    }

    #[test]
    fn references_lead_to_files_of_the_corpus() {
        let check = |reference: &str, expected: Option<(&str, Option<&str>)>| {
            let link = local_link(reference);
            let found = link
                .as_ref()
                .map(|link| (link.target.as_str(), link.heading.as_deref()));
            assert_eq!(found, expected, "{reference}");
        };
        check("b%20c.html?x=1#part", Some(("b c.html", Some("part"))));
        check("../sub/", Some(("../sub/index.html", None)));
        check("https://a.b/c", None);
        check("mailto:a@b.c", None);
        check("//a.b/c", None);
        check("#here", None);
    }
}
