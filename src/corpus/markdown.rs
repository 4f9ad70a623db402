//! Markdown as Obsidian and Dendron read it: blocks, headings, tags and links, each with its bytes.
//!
//! Comments, `%%…%%` and `<!-- … -->`, are no part of any block.

mod dendron;
mod hidden;
mod links;

use std::{collections::HashSet, ops::Range};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

pub use self::dendron::path_in_hierarchy;
use self::{
    hidden::{Spans, comments, without_comments},
    links::{links_in_front_matter, parse_destination},
};
use super::{Block, BlockKind, Document, Link, front_matter::front_matter, plain::file_stem};

/// Parses a Markdown file.
pub fn parse(path: &str, text: String) -> Document {
    let matter = front_matter(&text);
    let mut reader = BlockReader::default();
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_WIKILINKS;
    for (event, range) in Parser::new_ext(&text[matter.end..], options).into_offset_iter() {
        reader.take(event, matter.end + range.start..matter.end + range.end);
    }
    let BlockReader {
        mut blocks,
        mut links,
        opaque,
        ..
    } = reader;
    let opaque = Spans::new(opaque);
    for block in &mut blocks {
        block.span.end = block.span.start + text[block.span.clone()].trim_end().len();
    }
    blocks.retain(|block| !block.span.is_empty());
    take_in_gaps(&text, matter.end, &mut blocks);
    let comments = Spans::new(comments(&text, matter.end, &opaque));
    let mut blocks = comments.cut_from(&text, blocks);
    links.retain(|link| !comments.contain(link.span.start));
    if blocks.is_empty() {
        // A note of properties alone is read by them.
        blocks.extend(properties(&text, &matter.yaml));
    }
    links.extend(links_in_front_matter(&text, &matter.yaml));
    let mut tags = matter.tags.clone();
    for block in &blocks {
        tags.extend(inline_tags(&text, block, &opaque, matter.dendron));
    }
    if matter.dendron {
        dendron::turn_links(&text, &mut links);
        links.extend(dendron::implied_links(path, &mut tags));
    }
    let mut seen = HashSet::new();
    tags.retain(|tag| seen.insert(tag.to_lowercase()));
    Document {
        path: path.to_owned(),
        title: matter
            .title
            .filter(|title| !is_placeholder(title))
            .or_else(|| opening_heading(&blocks))
            .unwrap_or_else(|| file_stem(path).to_owned()),
        aliases: matter.aliases,
        tags,
        blocks,
        links,
        text,
        ..Document::default()
    }
}

/// The front matter as a block, unless there is nothing in it.
fn properties(text: &str, yaml: &Range<usize>) -> Option<Block> {
    let part = &text[yaml.clone()];
    let start = yaml.start + part.len() - part.trim_start().len();
    let span = start..start + part.trim().len();
    (!span.is_empty()).then_some(Block {
        kind: BlockKind::Code,
        span,
    })
}

/// Lets a block begin with the marks that the parser leaves out: `> `, `[^1]: `, a link's definition.
///
/// So nothing but white space lies between two blocks, and a passage is encoded as it stands in the file.
fn take_in_gaps(text: &str, start: usize, blocks: &mut [Block]) {
    let mut end = start;
    for block in blocks {
        let gap = &text[end..block.span.start];
        if !gap.trim().is_empty() {
            block.span.start -= gap.trim_start().len();
        }
        end = block.span.end;
    }
}

/// True for what a template leaves to be filled in.
fn is_placeholder(title: &str) -> bool {
    title.contains("{{") || title.contains("<%")
}

/// The first heading, where it is of level 1 and says something.
fn opening_heading(blocks: &[Block]) -> Option<String> {
    blocks
        .iter()
        .find_map(|block| match &block.kind {
            BlockKind::Heading { level, text } => Some((*level == 1).then(|| text.clone())),
            _ => None,
        })?
        .filter(|text| !text.is_empty() && !is_placeholder(text))
}

/// Turns parser events into blocks that neither nest nor overlap.
#[derive(Default)]
struct BlockReader {
    blocks: Vec<Block>,
    links: Vec<Link>,
    /// Code and links, in which neither tags nor comments are looked for.
    opaque: Vec<Range<usize>>,
    /// The list item whose own text is being read; nested items end it.
    item: Option<usize>,
    quotes: usize,
    heading: Option<String>,
    shown: Option<String>,
}

impl BlockReader {
    fn take(&mut self, event: Event, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.open(tag, range),
            Event::End(tag) => self.close(tag, range),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                self.opaque.push(range);
                self.text(&text);
            }
            Event::SoftBreak | Event::HardBreak => self.text(" "),
            _ => {}
        }
    }

    fn open(&mut self, tag: Tag, range: Range<usize>) {
        match tag {
            Tag::Heading { .. } => self.heading = Some(String::new()),
            Tag::BlockQuote(_) => self.quotes += 1,
            Tag::Item => {
                self.end_item(range.start);
                self.item = Some(range.start);
            }
            Tag::Paragraph if self.quotes > 0 => self.push(BlockKind::Quote, range),
            Tag::Paragraph => self.push(BlockKind::Paragraph, range),
            Tag::CodeBlock(_) => {
                self.opaque.push(range.clone());
                self.push(BlockKind::Code, range);
            }
            Tag::Table(_) => self.push(BlockKind::Table, range),
            Tag::HtmlBlock => self.push(BlockKind::Html, range),
            Tag::Link {
                link_type,
                dest_url,
                ..
            } => self.link(link_type, &dest_url, false, range),
            Tag::Image {
                link_type,
                dest_url,
                ..
            } => self.link(link_type, &dest_url, true, range),
            _ => {}
        }
    }

    fn close(&mut self, tag: TagEnd, range: Range<usize>) {
        match tag {
            TagEnd::Heading(level) => {
                let text = self.heading.take().unwrap_or_default();
                let kind = BlockKind::Heading {
                    level: level as u8,
                    text: without_block_id(&without_comments(&text)).to_owned(),
                };
                self.push(kind, range);
            }
            TagEnd::BlockQuote(_) => self.quotes = self.quotes.saturating_sub(1),
            TagEnd::Item => self.end_item(range.end),
            TagEnd::Link | TagEnd::Image => {
                if let (Some(shown), Some(link)) = (self.shown.take(), self.links.last_mut()) {
                    link.text = Some(shown).filter(|shown| !shown.is_empty());
                }
            }
            _ => {}
        }
    }

    /// A leaf inside a list item stays part of the item.
    fn push(&mut self, kind: BlockKind, span: Range<usize>) {
        let overlaps = self
            .blocks
            .last()
            .is_some_and(|last| last.span.end > span.start);
        if self.item.is_none() && !overlaps {
            self.blocks.push(Block { kind, span });
        }
    }

    fn end_item(&mut self, end: usize) {
        if let Some(start) = self.item.take() {
            self.push(BlockKind::ListItem, start..end);
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(heading) = &mut self.heading {
            heading.push_str(text);
        }
        if let Some(shown) = &mut self.shown {
            shown.push_str(text);
        }
    }

    fn link(&mut self, kind: LinkType, destination: &str, embed: bool, span: Range<usize>) {
        self.opaque.push(span.clone());
        let wiki = matches!(kind, LinkType::WikiLink { .. });
        let Some(link) = parse_destination(destination, wiki) else {
            return;
        };
        self.links.push(Link {
            embed,
            span,
            ..link
        });
        let has_text = !matches!(kind, LinkType::WikiLink { has_pothole: false });
        self.shown = has_text.then(String::new);
    }
}

/// `#tag` and `#nested/tag` in running text, outside code and links.
fn inline_tags(text: &str, block: &Block, opaque: &Spans, dotted: bool) -> Vec<String> {
    let prose = matches!(
        block.kind,
        BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Quote
    );
    if !prose {
        return Vec::new();
    }
    let mut tags = Vec::new();
    let part = &text[block.span.clone()];
    for (offset, _) in part.match_indices('#') {
        let at = block.span.start + offset;
        let opens = part[..offset]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace);
        if !opens || opaque.contain(at) {
            continue;
        }
        let name: &str = part[offset + 1..]
            .split(|character: char| {
                let joins = "_-/".contains(character) || (dotted && character == '.');
                !(character.is_alphanumeric() || joins)
            })
            .next()
            .unwrap_or("");
        let name = name.trim_matches(['/', '.']);
        if name.chars().any(|character| !character.is_ascii_digit()) {
            tags.push(name.to_owned());
        }
    }
    tags
}

fn without_block_id(heading: &str) -> &str {
    match heading.rsplit_once(" ^") {
        Some((text, id)) if !id.contains(' ') => text.trim(),
        _ => heading.trim(),
    }
}

/// `%20` and its like as characters; what is no valid escape stays.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(text: &str) -> Vec<(String, String)> {
        let document = parse("note.md", text.to_owned());
        document
            .blocks
            .iter()
            .map(|block| {
                let kind = match &block.kind {
                    BlockKind::Heading { level, text } => format!("h{level} {text}"),
                    kind => format!("{kind:?}"),
                };
                (kind, document.text[block.span.clone()].to_owned())
            })
            .collect()
    }

    fn check_blocks(text: &str, expected: &[(&str, &str)]) {
        let found = blocks(text);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(kind, text)| (kind.as_str(), text.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn blocks_are_the_leaves_of_the_document() {
        check_blocks(
            "---\ntags: x\n---\n# Title ^id\n\nPara *one*.\nStill.\n\n- a\n  - b `x`\n- c\n\n  loose\n\n> quoted\n\n```sh\n# no heading\n[[ -f x ]]\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
            &[
                ("h1 Title", "# Title ^id"),
                ("Paragraph", "Para *one*.\nStill."),
                ("ListItem", "- a"),
                ("ListItem", "- b `x`"),
                ("ListItem", "- c\n\n  loose"),
                ("Quote", "> quoted"),
                ("Code", "```sh\n# no heading\n[[ -f x ]]\n```"),
                ("Table", "| a | b |\n|---|---|\n| 1 | 2 |"),
            ],
        );
        check_blocks("---\nyear: 1982\n---\n", &[("Code", "year: 1982")]);
        check_blocks("---\n---\n", &[]);
        check_blocks(
            "Setext\n======\ntext",
            &[("h1 Setext", "Setext\n======"), ("Paragraph", "text")],
        );
    }

    #[test]
    fn comments_are_no_part_of_any_block() {
        check_blocks(
            "# T %%x%%\n\nOne %%two%% three.\n\n%%\nhidden\n\n- [[H]] #h\n%%\n\n- %%a%%\n- b <!-- c -->\n\n`%%` is `%%`.\n",
            &[
                ("h1 T", "# T"),
                ("Paragraph", "One"),
                ("Paragraph", "three."),
                ("ListItem", "- b"),
                ("Paragraph", "`%%` is `%%`."),
            ],
        );
        check_blocks(
            "50 %% of\n\nall %% is open\n\n<!-- [[H]] -->",
            &[("Paragraph", "50 %% of"), ("Paragraph", "all %% is open")],
        );
        check_blocks("%% one %%\n%% two %%\n", &[]);
        check_links(
            "%% [[H]] %%\n[[A]] <!-- [[H]] -->",
            &[("A", None, None, None, false)],
        );
        let tags = parse("note.md", "a #b %%#c%%\n\n%%\n#d\n%%".to_owned()).tags;
        assert_eq!(tags, ["b"]);
    }

    #[test]
    fn dendron_writes_the_text_first_and_the_hierarchy_into_names() {
        let matter = "---\nid: x\ntitle: Links\ndesc: ''\nupdated: 1\ncreated: 1\ntags: [role.writer]\n---\n";
        let body = "[[Shown here|dendron://site/a.b_c_d#part]] [[x.y]] ![[dendron://site/q#^id]] #topic.links.\n";
        let document = parse("vault/dendron.topic.links.md", format!("{matter}{body}"));
        let targets: Vec<&str> = document
            .links
            .iter()
            .map(|link| link.target.as_str())
            .collect();
        assert_eq!(
            targets,
            [
                "a.b_c_d",
                "x.y",
                "q",
                "dendron.topic",
                "tags.role.writer",
                "tags.topic.links"
            ]
        );
        let first = &document.links[0];
        assert_eq!(first.text.as_deref(), Some("Shown here"));
        assert_eq!(first.heading.as_deref(), Some("part"));
        assert_eq!(document.tags, ["role/writer", "topic/links"]);
        let hierarchy = path_in_hierarchy(&document.path, &document.text);
        assert_eq!(hierarchy, "vault/dendron/topic/links");
        assert_eq!(path_in_hierarchy("a/b.c.md", body), "a/b.c.md");
    }

    /// Target, heading, block, shown text, and whether it embeds.
    type LinkParts<'a> = (
        &'a str,
        Option<&'a str>,
        Option<&'a str>,
        Option<&'a str>,
        bool,
    );

    fn check_links(text: &str, expected: &[LinkParts]) {
        let document = parse("note.md", text.to_owned());
        let found: Vec<_> = document
            .links
            .iter()
            .map(|link| {
                (
                    link.target.as_str(),
                    link.heading.as_deref(),
                    link.block.as_deref(),
                    link.text.as_deref(),
                    link.embed,
                )
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn links_are_found_where_obsidian_finds_them() {
        check_links(
            "[[A]] and [[B|shown]]",
            &[
                ("A", None, None, None, false),
                ("B", None, None, Some("shown"), false),
            ],
        );
        check_links(
            "[[A#Part one]] ![[C#^id]] [[#Here]]",
            &[
                ("A", Some("Part one"), None, None, false),
                ("C", None, Some("id"), None, true),
                ("", Some("Here"), None, None, false),
            ],
        );
        check_links("`[[code]]` [[ [[]] [[#]] [[open", &[]);
        check_links(
            "[x](Some%20note.md#Part) [y](https://a.b) [z](<../Other note.md>) ![[Plan.canvas]]",
            &[
                ("Some note.md", Some("Part"), None, Some("x"), false),
                ("../Other note.md", None, None, Some("z"), false),
                ("Plan.canvas", None, None, None, true),
            ],
        );
        check_links(
            "| a |\n|---|\n| [[T\\|shown]] |",
            &[("T", None, None, Some("shown"), false)],
        );
        check_links(
            "---\nup: \"[[Home|h]]\"\n---\n",
            &[("Home", None, None, Some("h"), false)],
        );
    }

    #[test]
    fn titles_and_tags_come_from_where_people_put_them() {
        let check = |text: &str, title: &str, tags: &[&str]| {
            let document = parse("folder/My note.md", text.to_owned());
            assert_eq!(document.title, title, "{text}");
            assert_eq!(document.tags, tags, "{text}");
        };
        check(
            "---\ntitle: T\ntags: [a]\n---\n# H\n#b/c text #a #1 `#d` x#e",
            "T",
            &["a", "b/c"],
        );
        check("# H\ntext", "H", &[]);
        check("## Sub\n# Late", "My note", &[]);
        check("# {{title}}", "My note", &[]);
        check("", "My note", &[]);
    }

    proptest! {
        #[test]
        fn any_text_parses_to_ordered_disjoint_blocks(
            text in "([#>*`|\\[\\]!\\-=_~ \n\ta-cé中1.]|\\[\\[|\\]\\]|```|\n\n|---\n|%%|<!--|-->){0,60}",
        ) {
            let hides = text.contains("%%") || text.contains("<!--");
            let document = parse("note.md", text);
            let mut end = 0;
            for block in &document.blocks {
                prop_assert!(block.span.start >= end);
                if end > 0 && !hides {
                    prop_assert!(document.text[end..block.span.start].trim().is_empty());
                }
                end = block.span.end;
                prop_assert!(document.text.get(block.span.clone()).is_some());
            }
        }
    }
}
