//! Org files: headings, lists, blocks, tables, tags and links, each with its bytes; drawers and comments are no text.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::{Block, BlockKind, Document, extract::one_line, org_link::links, plain::file_stem};

/// Words before a heading that say how far a task is.
const TASK_STATES: [&str; 7] = [
    "TODO",
    "DONE",
    "NEXT",
    "WAITING",
    "STARTED",
    "CANCELLED",
    "HOLD",
];
/// Lines under a heading that say when something is due.
const PLANNING: [&str; 3] = ["SCHEDULED:", "DEADLINE:", "CLOSED:"];

/// Parses an Org file.
pub fn parse(path: &str, text: String) -> Document {
    let mut reader = Reader::new(&text);
    while reader.at < reader.lines.len() {
        reader.take();
    }
    reader.end_block();
    let Reader {
        blocks,
        title,
        mut tags,
        aliases,
        ..
    } = reader;
    let mut seen = HashSet::new();
    tags.retain(|tag| seen.insert(tag.to_lowercase()));
    let opening = || match &blocks.first()?.kind {
        BlockKind::Heading { level: 1, text } => Some(text.clone()).filter(|text| !text.is_empty()),
        _ => None,
    };
    let title = title.or_else(opening);
    Document {
        path: path.to_owned(),
        title: title.unwrap_or_else(|| file_stem(path).to_owned()),
        aliases,
        tags,
        links: links(&text, &blocks),
        blocks,
        text,
        ..Document::default()
    }
}

/// A file while it is read, line by line.
struct Reader<'a> {
    text: &'a str,
    /// Without their line ends.
    lines: Vec<Range<usize>>,
    /// The next line.
    at: usize,
    blocks: Vec<Block>,
    /// The block that the next line may go on.
    open: Option<Block>,
    /// How far the mark of the open list item is indented.
    indent: usize,
    quotes: usize,
    title: Option<String>,
    tags: Vec<String>,
    aliases: Vec<String>,
    /// Lines at which no drawer begins that has an end.
    no_drawers: Range<usize>,
    /// The last line that ends a block, by the block's kind.
    last_ends: HashMap<String, usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let mut lines = Vec::new();
        for line in text[at..].split_inclusive('\n') {
            lines.push(at..at + line.trim_end().len());
            at += line.len();
        }
        let last_ends = lines.iter().enumerate().filter_map(|(index, line)| {
            let kind = after(text[line.clone()].trim_start(), "#+end_")?;
            Some((kind.trim().to_lowercase(), index))
        });
        Self {
            text,
            last_ends: last_ends.collect(),
            lines,
            at: 0,
            blocks: Vec::new(),
            open: None,
            indent: 0,
            quotes: 0,
            title: None,
            tags: Vec::new(),
            aliases: Vec::new(),
            no_drawers: 0..0,
        }
    }

    fn line(&self, index: usize) -> &'a str {
        let line = self.lines.get(index).cloned().unwrap_or(0..0);
        &self.text[line]
    }

    /// Reads the next line, or all lines of a block.
    fn take(&mut self) {
        let (line, range) = (self.line(self.at), self.lines[self.at].clone());
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let span = range.start + indent..range.end;
        self.at += 1;
        if let Some(level) = heading_level(line) {
            return self.heading(level, range);
        }
        if body.is_empty() || (body.len() >= 5 && body.bytes().all(|byte| byte == b'-')) {
            return self.end_block();
        }
        if let Some(keyword) = body.strip_prefix("#+") {
            self.end_block();
            return self.keyword(keyword, span);
        }
        if body == "#" || body.starts_with("# ") {
            return self.end_block();
        }
        if is_drawer(body) && self.drawer() {
            return;
        }
        if is_planning(body)
            && matches!(
                self.blocks.last(),
                Some(Block {
                    kind: BlockKind::Heading { .. },
                    ..
                })
            )
        {
            return self.end_block();
        }
        if is_item(line) {
            self.end_block();
            self.indent = indent;
            self.open = Some(Block {
                kind: BlockKind::ListItem,
                span,
            });
        } else if body.starts_with('|') {
            self.go_on(BlockKind::Table, span);
        } else if body == ":" || body.starts_with(": ") {
            self.go_on(BlockKind::Code, span);
        } else if indent > self.indent
            && matches!(
                self.open,
                Some(Block {
                    kind: BlockKind::ListItem,
                    ..
                })
            )
        {
            self.go_on(BlockKind::ListItem, span);
        } else if self.quotes > 0 {
            self.go_on(BlockKind::Quote, span);
        } else {
            self.go_on(BlockKind::Paragraph, span);
        }
    }

    /// Adds a line to the open block where that is of this kind.
    fn go_on(&mut self, kind: BlockKind, span: Range<usize>) {
        match &mut self.open {
            Some(open) if open.kind == kind => open.span.end = span.end,
            _ => {
                self.end_block();
                self.open = Some(Block { kind, span });
            }
        }
    }

    fn end_block(&mut self) {
        self.blocks.extend(self.open.take());
    }

    fn heading(&mut self, level: usize, span: Range<usize>) {
        self.end_block();
        self.quotes = 0;
        let mut text = self.text[span.clone()][level..].trim();
        if let Some((before, tags)) = heading_tags(text) {
            self.tags.extend(tags);
            text = before;
        }
        if let Some((state, rest)) = text.split_once(' ')
            && TASK_STATES.contains(&state)
        {
            text = rest.trim();
        }
        if let Some((_, rest)) = text
            .strip_prefix("[#")
            .and_then(|rest| rest.split_once(']'))
        {
            text = rest.trim();
        }
        let kind = BlockKind::Heading {
            level: level.min(6) as u8,
            text: one_line(&super::org_link::shown(text)),
        };
        self.blocks.push(Block { kind, span });
    }

    /// A line `#+KEY: value` or the start of a block.
    fn keyword(&mut self, keyword: &str, span: Range<usize>) {
        let name = keyword
            .split([':', ' '])
            .next()
            .unwrap_or("")
            .to_lowercase();
        let value = keyword[name.len().min(keyword.len())..]
            .trim_start_matches(':')
            .trim();
        match name.as_str() {
            "title" if !value.is_empty() => {
                let title = self.title.get_or_insert_default();
                *title = one_line(&format!("{title} {value}"));
            }
            "filetags" => self.tags.extend(
                value
                    .split([':', ' '])
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned),
            ),
            "begin_quote" | "begin_verse" | "begin_center" => {
                self.quotes += usize::from(name != "begin_center")
            }
            "end_quote" | "end_verse" => self.quotes = self.quotes.saturating_sub(1),
            name => {
                if let Some(kind) = name.strip_prefix("begin_") {
                    self.block(kind, span);
                }
            }
        }
    }

    /// The lines up to `#+END_` of this kind, read as they stand; without that line there is no block.
    fn block(&mut self, kind: &str, span: Range<usize>) {
        if self.last_ends.get(kind).is_none_or(|last| *last < self.at) {
            return;
        }
        for index in self.at..self.lines.len() {
            let line = self.line(index).trim_start();
            if after(line, "#+end_").is_some_and(|own| own.trim().eq_ignore_ascii_case(kind)) {
                if kind != "comment" {
                    let span = span.start..self.lines[index].end;
                    self.blocks.push(Block {
                        kind: BlockKind::Code,
                        span,
                    });
                }
                self.at = index + 1;
                return;
            }
        }
    }

    /// Leaves out a drawer, but for the names in it; false where it has no end.
    fn drawer(&mut self) -> bool {
        if self.no_drawers.contains(&self.at) {
            return false;
        }
        let mut aliases = Vec::new();
        self.no_drawers = self.at..self.lines.len();
        for index in self.at..self.lines.len() {
            let line = self.line(index);
            if heading_level(line).is_some() {
                self.no_drawers.end = index;
                return false;
            }
            if line.trim().eq_ignore_ascii_case(":end:") {
                self.end_block();
                self.aliases.extend(aliases);
                self.at = index + 1;
                self.no_drawers = 0..0;
                return true;
            }
            aliases.extend(names(line.trim()));
        }
        false
    }
}

/// What follows `start`, in which case does not matter.
fn after<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    let begins = line.get(..start.len())?.eq_ignore_ascii_case(start);
    begins.then(|| &line[start.len()..])
}

/// The number of stars that a heading begins with.
fn heading_level(line: &str) -> Option<usize> {
    let stars = line.len() - line.trim_start_matches('*').len();
    (stars > 0 && line[stars..].starts_with(' ')).then_some(stars)
}

/// A heading's text before its tags, and these.
fn heading_tags(text: &str) -> Option<(&str, Vec<String>)> {
    let inner = text.strip_suffix(':')?;
    let (before, tags) = match inner.rsplit_once([' ', '\t']) {
        Some((before, tags)) => (before, tags),
        None => ("", inner),
    };
    let tags = tags.strip_prefix(':')?;
    let is_tag = |tag: &str| {
        let fits = |character: char| character.is_alphanumeric() || "_@#%".contains(character);
        !tag.is_empty() && tag.chars().all(fits)
    };
    let tags: Vec<&str> = tags.split(':').collect();
    let all = tags.iter().all(|tag| is_tag(tag));
    all.then(|| {
        (
            before.trim_end(),
            tags.into_iter().map(str::to_owned).collect(),
        )
    })
}

/// Names by which links reach the file: its ids, and the other names that Org-roam keeps.
fn names(property: &str) -> Vec<String> {
    let Some((key, value)) = property
        .strip_prefix(':')
        .and_then(|rest| rest.split_once(':'))
    else {
        return Vec::new();
    };
    let value = value.trim();
    match key.to_uppercase().as_str() {
        "ID" if !value.is_empty() => vec![value.to_owned()],
        "ROAM_ALIASES" if value.contains('"') => {
            let quoted = value.split('"').skip(1).step_by(2);
            quoted
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        }
        "ROAM_ALIASES" => value.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn is_drawer(body: &str) -> bool {
    let name = body
        .strip_prefix(':')
        .and_then(|rest| rest.strip_suffix(':'));
    name.is_some_and(|name| {
        let fits = |character: char| character.is_alphanumeric() || "-_".contains(character);
        !name.is_empty() && name.chars().all(fits)
    })
}

fn is_planning(body: &str) -> bool {
    PLANNING.iter().any(|word| body.starts_with(word))
}

/// `- a`, `+ a`, `1. a`, `2) a`, and, indented, `* a`.
fn is_item(line: &str) -> bool {
    let body = line.trim_start();
    let rest = match body.strip_prefix(['-', '+']) {
        Some(rest) => Some(rest),
        None if body.len() < line.len() && body.starts_with('*') => Some(&body[1..]),
        None => {
            let digits = body.trim_start_matches(|character: char| character.is_ascii_digit());
            digits
                .strip_prefix(['.', ')'])
                .filter(|_| digits.len() < body.len())
        }
    };
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(document: &Document) -> String {
        let mut shown = format!(
            "{} {:?} {:?}\n",
            document.title, document.aliases, document.tags
        );
        let mut end = 0;
        for block in &document.blocks {
            assert!(block.span.start >= end && !block.span.is_empty());
            end = block.span.end;
            let kind = match &block.kind {
                BlockKind::Heading { level, text } => format!("h{level} {text}"),
                kind => format!(
                    "{kind:?} {}",
                    document.text[block.span.clone()].replace('\n', "\\n")
                ),
            };
            shown += &format!("{kind}\n");
        }
        for link in &document.links {
            assert!(document.text.get(link.span.clone()).is_some());
            let heading = link.heading.as_deref().unwrap_or("-");
            shown += &format!(
                "{} {heading} {}\n",
                link.target,
                link.text.as_deref().unwrap_or("-")
            );
        }
        shown
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(
            shown(&parse("a/b.org", text.to_owned())),
            expected,
            "{text}"
        );
    }

    #[test]
    fn org_is_read_as_emacs_shows_it() {
        check(
            ":PROPERTIES:\n:ID: 1-2\n:ROAM_ALIASES: \"Other name\" x\n:END:\n#+title: The title\n#+FILETAGS: :a:b:\n\n* TODO [#A] One [[x][two]] :b:c:\nSCHEDULED: <2024-01-01>\n:LOGBOOK:\nstate\n:END:\nText\nmore.\n# comment\n\nEnd.",
            "The title [\"1-2\", \"Other name\"] [\"a\", \"b\", \"c\"]\nh1 One two\nParagraph Text\\nmore.\nParagraph End.\nx - two\n",
        );
        check(
            "* A\r\n- one\r\n  still\r\n  - two\r\n+ three\r\n1) four\r\nnot\r\n | a | b |\r\n | c | d |\r\n: x\r\n-----\r\n",
            "A [] []\nh1 A\nListItem - one\r\\n  still\nListItem - two\nListItem + three\nListItem 1) four\nParagraph not\nTable | a | b |\r\\n | c | d |\nCode : x\n",
        );
        check(
            "#+BEGIN_SRC sh\n* no heading [[no link]]\n#+end_src\n#+begin_quote\nSaid.\n#+end_quote\n#+begin_comment\nx\n#+end_comment\n#+begin_src\nopen",
            "b [] []\nCode #+BEGIN_SRC sh\\n* no heading [[no link]]\\n#+end_src\nQuote Said.\nParagraph open\n",
        );
        check(
            ":open:\n* H\n:b:\n:END:\nText :not:a:tag:",
            "b [] []\nParagraph :open:\nh1 H\nParagraph Text :not:a:tag:\n",
        );
        check(
            "** Sub\n*bold* text",
            "b [] []\nh2 Sub\nParagraph *bold* text\n",
        );
    }

    #[test]
    fn links_lead_where_org_leads() {
        check(
            "[[file:x%20y.org::*Part][There]] [[id:1-2]] [[./z.org]] [[https://a.b][web]] [[*Here]] [[#own]] [[Name]]",
            "b [] []\nParagraph [[file:x%20y.org::*Part][There]] [[id:1-2]] [[./z.org]] [[https://a.b][web]] [[*Here]] [[#own]] [[Name]]\nx%20y.org Part There\n1-2 - -\n./z.org - -\n Here -\n own -\nName - -\n",
        );
    }

    #[test]
    fn length_takes_no_more_than_its_time() {
        let n = 100_000;
        for text in [
            ":a:\n".repeat(n),
            "#+begin_src\n".repeat(n) + "#+end_quote",
            "[[".repeat(n),
            "- \n".repeat(n),
        ] {
            shown(&parse("a.org", text));
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_ordered_spans(
            text in "(\\* |:a:|:END:|#\\+begin_src|#\\+end_src|#\\+begin_quote|[-+|:#é中 \\[\\]\n\r]|\\[\\[|\\]\\[|\\]\\]|\n){0,40}",
        ) {
            shown(&parse("a.org", text));
        }
    }
}
