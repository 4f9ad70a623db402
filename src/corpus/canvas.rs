//! Obsidian's canvases (JSON Canvas 1.0): cards of text, files and addresses, in groups.
//!
//! Cards are read from top to bottom, those of a group below its label. A canvas that is no JSON is plain text.

use serde::Deserialize;

use super::{Block, BlockKind, Document, Link, Mark, Origin, markdown, plain, plain::file_stem};

/// A card's mark is at most so many characters of its text.
const MAX_MARK: usize = 40;
const MAX_GROUPS: usize = 1_000;

#[derive(Deserialize)]
struct Canvas {
    #[serde(default)]
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    x: f64,
    #[serde(default)]
    y: f64,
    #[serde(default)]
    width: f64,
    #[serde(default)]
    height: f64,
    text: Option<String>,
    file: Option<String>,
    subpath: Option<String>,
    url: Option<String>,
    label: Option<String>,
}

impl Node {
    /// True where the middle of `other` lies in this.
    fn holds(&self, other: &Self) -> bool {
        let (x, y) = (other.x + other.width / 2.0, other.y + other.height / 2.0);
        (self.x..=self.x + self.width).contains(&x) && (self.y..=self.y + self.height).contains(&y)
    }
}

/// Parses a canvas.
pub fn parse(path: &str, text: String) -> Document {
    let Ok(canvas) = serde_json::from_str::<Canvas>(&text) else {
        return plain::parse(path, text);
    };
    let (mut groups, mut cards): (Vec<Node>, Vec<Node>) = canvas
        .nodes
        .into_iter()
        .partition(|node| node.kind == "group");
    for nodes in [&mut groups, &mut cards] {
        nodes.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
    }
    groups.truncate(MAX_GROUPS);
    let group_of = |card: &Node| {
        let around = (0..groups.len()).filter(|&group| groups[group].holds(card));
        around.min_by(|&a, &b| {
            let area = |group: usize| groups[group].width * groups[group].height;
            area(a).total_cmp(&area(b))
        })
    };
    let mut ordered: Vec<(Option<usize>, Node)> = cards
        .into_iter()
        .map(|card| (group_of(&card), card))
        .collect();
    ordered.sort_by_key(|(group, _)| *group);
    let mut reader = CanvasReader::default();
    let mut open = None;
    for (group, card) in ordered {
        if group != open {
            open = group;
            reader.heading(group.and_then(|group| groups[group].label.as_deref()));
        }
        reader.card(&card);
    }
    reader.finish(path)
}

/// Writes cards one below another.
#[derive(Default)]
struct CanvasReader {
    text: String,
    blocks: Vec<Block>,
    links: Vec<Link>,
    tags: Vec<String>,
    marks: Vec<Mark>,
    in_group: bool,
}

impl CanvasReader {
    fn heading(&mut self, label: Option<&str>) {
        let label = label.unwrap_or("").trim();
        self.in_group = !label.is_empty();
        if self.in_group {
            let label = label.replace('\n', " ");
            let start = self.start(&format!("group {label}"));
            self.text.push_str(&label);
            let kind = BlockKind::Heading {
                level: 1,
                text: label,
            };
            self.close(kind, start);
        }
    }

    fn card(&mut self, card: &Node) {
        if let Some(text) = card.text.as_deref().filter(|text| !text.trim().is_empty()) {
            self.text_card(text);
        } else if let Some(file) = card.file.as_deref().filter(|file| !file.is_empty()) {
            let name = file_stem(file).to_owned();
            let start = self.start(&format!("card {name}"));
            self.text.push_str(&name);
            let heading = card.subpath.as_deref().unwrap_or("");
            let heading = heading.trim_start_matches('#').to_owned();
            self.links.push(Link {
                target: file.to_owned(),
                heading: Some(heading).filter(|heading| !heading.is_empty()),
                embed: true,
                span: start..self.text.len(),
                ..Link::default()
            });
            self.close(BlockKind::Paragraph, start);
        } else if let Some(url) = card.url.as_deref().filter(|url| !url.trim().is_empty()) {
            let start = self.start(&format!("card {}", url.trim()));
            self.text.push_str(url.trim());
            self.close(BlockKind::Paragraph, start);
        }
    }

    /// A card of Markdown; its headings stand below the group's.
    fn text_card(&mut self, text: &str) {
        let card = markdown::parse("", text.to_owned());
        let Some(first) = card.blocks.first() else {
            return;
        };
        let first_line = match &first.kind {
            BlockKind::Heading { text, .. } => text.as_str(),
            _ => text[first.span.clone()].lines().next().unwrap_or(""),
        };
        let name: String = first_line.trim().chars().take(MAX_MARK).collect();
        let start = self.start(&format!("card {}", name.trim()));
        self.text.push_str(text.trim_end());
        let end = self.text.len();
        let moved = |span: std::ops::Range<usize>| {
            (start + span.start).min(end)..(start + span.end).min(end)
        };
        for mut block in card.blocks {
            if let BlockKind::Heading { level, .. } = &mut block.kind {
                *level = (*level + u8::from(self.in_group)).min(6);
            }
            block.span = moved(block.span);
            self.blocks.push(block);
        }
        self.links.extend(card.links.into_iter().map(|link| Link {
            span: moved(link.span.clone()),
            ..link
        }));
        self.tags.extend(card.tags);
    }

    /// Begins a place of its own.
    fn start(&mut self, name: &str) -> usize {
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.marks.push(Mark {
            start: self.text.len(),
            name: name.to_owned(),
            line: None,
        });
        self.text.len()
    }

    fn close(&mut self, kind: BlockKind, start: usize) {
        let span = start..self.text.len();
        self.blocks.push(Block { kind, span });
    }

    fn finish(mut self, path: &str) -> Document {
        let mut seen = std::collections::HashSet::new();
        self.tags.retain(|tag| seen.insert(tag.to_lowercase()));
        Document {
            path: path.to_owned(),
            title: file_stem(path).to_owned(),
            tags: self.tags,
            text: self.text,
            origin: Origin::Extracted(self.marks),
            blocks: self.blocks,
            links: self.links,
            ..Document::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cards_are_read_by_group_from_top_to_bottom() {
        let canvas = r##"{"nodes":[
            {"id":"g","type":"group","label":"Baking","x":0,"y":100,"width":500,"height":500},
            {"id":"a","type":"text","text":"Knead [[Dough]] #bread","x":10,"y":300,"width":100,"height":50},
            {"id":"b","type":"file","file":"Food/Rye.md","subpath":"#Flour","x":10,"y":200,"width":100,"height":50},
            {"id":"c","type":"text","text":"# Plan\n\nBake on Sunday.","x":900,"y":0,"width":100,"height":50},
            {"id":"d","type":"link","url":"https://a.b","x":900,"y":90,"width":1,"height":1},
            {"id":"e","type":"text","text":" ","x":0,"y":0,"width":1,"height":1}
        ],"edges":[]}"##;
        let document = parse("Boards/Week.canvas", canvas.to_owned());
        assert_eq!(
            document.text,
            "# Plan\n\nBake on Sunday.\n\nhttps://a.b\n\nBaking\n\nRye\n\nKnead [[Dough]] #bread"
        );
        let Origin::Extracted(marks) = &document.origin else {
            panic!("is extracted");
        };
        let places: Vec<&str> = marks.iter().map(|mark| mark.name.as_str()).collect();
        assert_eq!(
            places,
            [
                "card Plan",
                "card https://a.b",
                "group Baking",
                "card Rye",
                "card Knead [[Dough]] #bread"
            ]
        );
        let links: Vec<(&str, &str)> = document
            .links
            .iter()
            .map(|link| (link.target.as_str(), &document.text[link.span.clone()]))
            .collect();
        assert_eq!(links, [("Food/Rye.md", "Rye"), ("Dough", "[[Dough]]")]);
        assert_eq!(
            (document.title.as_str(), document.tags),
            ("Week", vec!["bread".to_owned()])
        );
        assert_eq!(parse("a.canvas", "no JSON".to_owned()).text, "no JSON");
        assert_eq!(parse("a.canvas", "{}".to_owned()).blocks, []);
    }

    proptest! {
        #[test]
        fn any_cards_parse_to_ordered_disjoint_blocks(
            cards in prop::collection::vec(("(text|file|link|group|x)", "[#a \n\\[\\]é中%`-]{0,20}", -9f64..9.0, -9f64..9.0), 0..12),
        ) {
            let nodes: Vec<serde_json::Value> = cards
                .iter()
                .map(|(kind, text, x, y)| serde_json::json!({
                    "type": kind, "text": text, "file": text, "label": text, "url": text,
                    "x": x, "y": y, "width": 5, "height": 5,
                }))
                .collect();
            let document = parse("a.canvas", serde_json::json!({ "nodes": nodes }).to_string());
            let mut end = 0;
            for block in &document.blocks {
                prop_assert!(block.span.start >= end);
                prop_assert!(document.text.get(block.span.clone()).is_some());
                end = block.span.end;
            }
            for link in &document.links {
                prop_assert!(document.text.get(link.span.clone()).is_some());
            }
        }
    }
}
