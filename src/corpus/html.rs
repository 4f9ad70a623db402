//! Pages of HTML: what a reader sees of them, as blocks.
//!
//! No tree is built. Blocks follow from the tags as they come, so time and memory are linear in the page, and nothing
//! recurs however deep it nests.

use html5gum::{DefaultEmitter, StartTag, State, Token, Tokenizer, naive_next_state};

use super::{
    BlockKind, Document,
    extract::{Extract, Gap, Inline, local_link, one_line},
};

/// A name of a section is cut to so many characters.
const MAX_SECTION_CHARACTERS: usize = 80;

/// Parses a page.
pub fn parse(path: &str, source: String) -> Document {
    let mut extract = Extract::default();
    let title = extract_html(&source, &mut extract, true);
    let title = title.or_else(|| extract.first_heading());
    extract.finish(path, title)
}

/// Adds the blocks of a page, each with its line where `lines` says so; gives the page's title.
pub(super) fn extract_html(source: &str, into: &mut Extract, lines: bool) -> Option<String> {
    let emitter = DefaultEmitter::<usize>::new_with_span();
    let mut tokens = Tokenizer::new_with_emitter(source, emitter);
    let mut page = Page {
        extract: into,
        inline: Inline::default(),
        open: Vec::new(),
        counts: [0; KINDS],
        hidden: None,
        title: None,
        in_title: false,
        section: String::new(),
        lines,
        line: 1,
        block_line: 1,
    };
    let mut read = 0;
    while let Some(Ok(token)) = tokens.next() {
        let start = match &token {
            Token::StartTag(tag) => tag.span.start,
            Token::EndTag(tag) => tag.span.start,
            Token::String(text) => text.span.start + leading_space(&text.value),
            _ => continue,
        };
        let start = start.clamp(read, source.len());
        page.line += count_lines(&source.as_bytes()[read..start]);
        read = start;
        match token {
            Token::StartTag(tag) => {
                // A page that is XML may close even a script at once.
                if let Some(state) = naive_next_state(&tag.name).filter(|_| !tag.self_closing)
                    && state != State::PlainText
                {
                    tokens.set_state(state);
                }
                page.start(&tag);
            }
            Token::EndTag(tag) => page.end(&tag.name),
            Token::String(text) => page.text(&String::from_utf8_lossy(&text.value)),
            _ => {}
        }
    }
    page.flush();
    page.title
}

fn leading_space(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}

fn count_lines(bytes: &[u8]) -> u32 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u32
}

/// What an element does to the blocks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Heading(u8),
    /// With the number of its next item, where it counts them.
    List(Option<u32>),
    /// Whether its mark is still to be written.
    Item(bool),
    Quote,
    Code,
    Table,
    Row,
    Cell,
    Break,
    Link,
    Title,
    Hidden,
    /// Anything that begins and ends a line of its own.
    Block,
}

/// Elements that stay open.
const KINDS: usize = 6;

impl Element {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => Self::Heading(name[1] - b'0'),
            b"ul" | b"menu" | b"dir" => Self::List(None),
            b"ol" => Self::List(Some(1)),
            b"li" => Self::Item(true),
            b"blockquote" => Self::Quote,
            b"pre" | b"xmp" | b"listing" => Self::Code,
            b"table" => Self::Table,
            b"tr" => Self::Row,
            b"td" | b"th" => Self::Cell,
            b"br" => Self::Break,
            b"a" => Self::Link,
            b"title" => Self::Title,
            b"script" | b"style" | b"nav" | b"template" | b"noscript" | b"select" | b"svg"
            | b"iframe" | b"object" | b"button" | b"textarea" | b"audio" | b"video" | b"canvas"
            | b"rp" | b"noembed" | b"noframes" => Self::Hidden,
            b"p" | b"div" | b"section" | b"article" | b"main" | b"header" | b"footer"
            | b"aside" | b"figure" | b"figcaption" | b"address" | b"dl" | b"dt" | b"dd"
            | b"fieldset" | b"legend" | b"form" | b"details" | b"summary" | b"body" | b"head"
            | b"html" | b"hr" | b"center" | b"caption" | b"thead" | b"tbody" | b"tfoot"
            | b"hgroup" | b"search" => Self::Block,
            _ => return None,
        })
    }

    /// Index into the counts of open elements; all headings are one.
    fn kind(self) -> Option<usize> {
        match self {
            Self::Heading(_) => Some(0),
            Self::List(_) => Some(1),
            Self::Item(_) => Some(2),
            Self::Quote => Some(3),
            Self::Code => Some(4),
            Self::Table => Some(5),
            _ => None,
        }
    }
}

/// An element of which nothing is shown.
struct Hidden {
    name: Vec<u8>,
    /// Open elements of its name, itself included.
    same: usize,
    /// Open elements of other names; below zero its parent has ended, and it with it.
    others: i64,
}

/// A page while it is read.
struct Page<'a> {
    extract: &'a mut Extract,
    inline: Inline,
    /// Only elements that have a kind.
    open: Vec<Element>,
    counts: [usize; KINDS],
    hidden: Option<Hidden>,
    title: Option<String>,
    in_title: bool,
    /// As marks say it.
    section: String,
    lines: bool,
    line: u32,
    /// Where the text of `inline` began.
    block_line: u32,
}

impl Page<'_> {
    fn start(&mut self, tag: &StartTag<usize>) {
        if let Some(hidden) = &mut self.hidden {
            let closes = tag.self_closing || is_void(&tag.name);
            hidden.same += usize::from(!closes && *tag.name == *hidden.name);
            hidden.others += i64::from(!closes && *tag.name != *hidden.name);
            return;
        }
        let Some(element) = Element::of(&tag.name) else {
            return;
        };
        match element {
            Element::Break if self.inline.is_at_line() && self.parts_at_breaks() => self.flush(),
            Element::Break if self.top() == Some(Element::Code) => self.inline.push_verbatim("\n"),
            Element::Break => self.inline.gap(Gap::Line),
            Element::Link => {
                let reference = tag.attributes.get(&b"href"[..]);
                let reference = reference.map(|value| String::from_utf8_lossy(value).into_owned());
                self.inline.close_link();
                if let Some(link) = reference.as_deref().and_then(local_link) {
                    self.inline.open_link(link);
                }
            }
            Element::Title => self.in_title = !tag.self_closing && self.title.is_none(),
            Element::Hidden if tag.self_closing => {}
            Element::Hidden => {
                self.hidden = Some(Hidden {
                    name: tag.name.to_vec(),
                    same: 1,
                    others: 0,
                });
            }
            element => self.start_block(element, tag.self_closing),
        }
    }

    fn start_block(&mut self, element: Element, self_closing: bool) {
        if self.top() == Some(Element::Table) {
            match element {
                Element::Row => return self.inline.gap(Gap::Row),
                Element::Cell => return self.inline.gap(Gap::Cell),
                Element::Heading(_) | Element::Table | Element::Code => {}
                // Cells hold lines, not blocks.
                _ => return self.inline.gap(Gap::Line),
            }
        }
        if matches!(self.top(), Some(Element::Heading(_))) && !self.inline.is_empty() {
            // A heading that nobody closed ends where a block begins.
            self.close(0);
        }
        self.flush();
        if self_closing || element.kind().is_none() {
            return;
        }
        if let Element::Item(_) = element
            && let Some(Element::Item(_)) = self.top()
        {
            self.close(2);
        }
        self.push(element);
    }

    fn end(&mut self, name: &[u8]) {
        if let Some(hidden) = &mut self.hidden {
            match *name == *hidden.name {
                true => hidden.same -= 1,
                false => hidden.others -= i64::from(!is_void(name)),
            }
            if hidden.same > 0 && hidden.others >= 0 {
                return;
            }
            let ended = hidden.same == 0;
            self.hidden = None;
            if ended {
                return;
            }
        }
        let Some(element) = Element::of(name) else {
            return;
        };
        match element {
            Element::Link => self.inline.close_link(),
            Element::Title => self.in_title = false,
            Element::Break | Element::Hidden => {}
            element if self.top() == Some(Element::Table) && element != Element::Table => {
                self.inline.gap(match element {
                    Element::Row | Element::Cell => Gap::Space,
                    _ => Gap::Line,
                });
            }
            element => match element.kind() {
                Some(kind) => self.close(kind),
                None if matches!(self.top(), Some(Element::Heading(_))) => {}
                None => self.flush(),
            },
        }
    }

    fn text(&mut self, text: &str) {
        if self.hidden.is_some() {
            return;
        }
        if self.in_title {
            let title = one_line(text);
            self.title = Some(title).filter(|title| !title.is_empty());
            return;
        }
        if self.inline.is_empty() {
            self.block_line = self.line;
        }
        match self.top() {
            Some(Element::Code) if self.inline.is_empty() => {
                // The line of the tag is no line of the code.
                let text = text.trim_start_matches(['\r', '\n']);
                self.inline.push_verbatim(text);
            }
            Some(Element::Code) => self.inline.push_verbatim(text),
            _ => self.inline.push(text),
        }
    }

    fn top(&self) -> Option<Element> {
        self.open.last().copied()
    }

    /// Two breaks in a row part paragraphs, as pages wrote them before they had any.
    fn parts_at_breaks(&self) -> bool {
        matches!(self.top(), None | Some(Element::Quote))
    }

    fn push(&mut self, element: Element) {
        if let Some(kind) = element.kind() {
            self.counts[kind] += 1;
            self.open.push(element);
        }
    }

    /// Ends the innermost open element of a kind, and what is open in it.
    fn close(&mut self, kind: usize) {
        if self.counts[kind] == 0 {
            return self.flush();
        }
        self.flush();
        while let Some(element) = self.open.pop() {
            let own = element.kind().unwrap_or(kind);
            self.counts[own] -= 1;
            if own == kind {
                break;
            }
        }
    }

    /// Ends the block whose text was gathered.
    fn flush(&mut self) {
        let mut inline = std::mem::take(&mut self.inline);
        inline.close_link();
        if inline.text().trim().is_empty() {
            return;
        }
        let top = self.top();
        let kind = match top {
            Some(Element::Heading(level)) => BlockKind::Heading {
                level,
                text: String::new(),
            },
            Some(Element::Item(true)) => {
                inline = inline.behind(&self.item_mark());
                BlockKind::ListItem
            }
            Some(Element::Item(false)) => BlockKind::ListItem,
            Some(Element::Quote) => BlockKind::Quote,
            Some(Element::Code) => BlockKind::Code,
            Some(Element::Table) if inline.has_cells() => BlockKind::Table,
            _ => BlockKind::Paragraph,
        };
        if matches!(top, Some(Element::Heading(_))) {
            // Generators end headings with a sign that links to them.
            inline = inline.without_end(&['¶', '§', '#']);
            let heading: String = inline.text().chars().take(MAX_SECTION_CHARACTERS).collect();
            self.section = format!("section {}", one_line(&heading));
        }
        if self.lines {
            self.extract.mark(&self.section, Some(self.block_line));
        }
        self.extract.push(kind, inline);
    }

    /// The mark of the innermost item, which is written once.
    fn item_mark(&mut self) -> String {
        if let Some(Element::Item(fresh)) = self.open.last_mut() {
            *fresh = false;
        }
        let list = self.open.iter_mut().rev().nth(1);
        match list {
            Some(Element::List(Some(number))) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => "- ".to_owned(),
        }
    }
}

fn is_void(name: &[u8]) -> bool {
    matches!(
        name,
        b"area"
            | b"base"
            | b"br"
            | b"col"
            | b"embed"
            | b"hr"
            | b"img"
            | b"input"
            | b"link"
            | b"meta"
            | b"source"
            | b"track"
            | b"wbr"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::extract::testing::{check_spans, shown};

    fn check(source: &str, expected: &str) {
        let found = parse("a.html", source.to_owned());
        check_spans(&found);
        assert_eq!(shown(&found), expected, "{source}");
    }

    #[test]
    fn what_is_shown_becomes_blocks() {
        check(
            "<!DOCTYPE html>\r\n<head><title>The\n title</title><style>p{}</style><script>'<p>'</script></head>\r\n<body><nav><ul><li>Menu</nav>\r\n<h1>Head <em>ing</em><a href='#h'>¶</a></h1>\r\n\r\n<p>One &amp; two &eacute;<br>three\r\n four<p>Five",
            "The title\n@0:5 section Head ing\nh1 Head ing\n@10:7 section Head ing\nParagraph One & two é\\nthree four\n@35:8 section Head ing\nParagraph Five\n",
        );
        check(
            "<ol><li>a<ul><li>b</li></ul><li>c<p>d</ol>e",
            "a\n@0:1 a\nListItem 1. a\nListItem - b\nListItem 2. c\nListItem d\nParagraph e\n",
        );
        check(
            "<blockquote>q<br><br>r</blockquote><pre>\n  x\n y</pre>",
            "a\n@0:1 a\nQuote q\nQuote r\n@6:2 a\nCode   x\\n y\n",
        );
        check(
            "<table><tr><th>a<th>b<tr><td><p>1</p><td><ul><li>2<li>3</ul></table>",
            "a\n@0:1 a\nTable a | b\\n1 | 2\\n3\n",
        );
        check(
            "<table><tr><td>Laid out<p>so</table>",
            "a\n@0:1 a\nParagraph Laid out\\nso\n",
        );
        check(
            "<h2>Left open<div>text</div>",
            "Left open\n@0:1 section Left open\nh2 Left open\nParagraph text\n",
        );
        check(
            "<div><nav>hidden</div>shown",
            "a\n@0:1 a\nParagraph shown\n",
        );
        check(
            "to <a href='b.html'>b</a> and <a href=https://c.d>c</a>",
            "a\n@0:1 a\nParagraph to b and c\nb.html b\n",
        );
        check("<title/><p>x", "a\n@0:1 a\nParagraph x\n");
        check(
            "<p>a <!-- b --> &lt; c &nbsp; <",
            "a\n@0:1 a\nParagraph a < c <\n",
        );
        check("", "a\n");
    }

    #[test]
    fn depth_and_length_take_no_more_than_their_time() {
        let n = 200_000;
        let attributes: String = (0..n).map(|number| format!(" a{number}=1")).collect();
        for source in [
            "<div>".repeat(n),
            "<blockquote>x".repeat(n),
            "<table><tr><td>x".repeat(n),
            format!("{}{}", "<li>x".repeat(n), "</nav></ul>".repeat(n)),
            format!("<nav>{}", "<nav></p>".repeat(n)),
            format!("<p{attributes}>x"),
            "&am".repeat(n),
            "<!-".repeat(n),
        ] {
            check_spans(&parse("a.html", source));
        }
    }

    proptest! {
        #[test]
        fn any_page_parses_to_ordered_spans(
            source in "(<(/?)(p|div|h[12]|ul|ol|li|table|tr|td|th|pre|a href=b|br|nav|title|script|blockquote)(/?)>|[a-c é中\u{ad}&;<>\n]){0,40}",
        ) {
            check_spans(&parse("a.html", source));
        }
    }
}
