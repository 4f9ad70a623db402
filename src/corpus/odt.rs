//! OpenDocument texts: the content of an archive that LibreOffice and others write.

use std::{
    collections::HashMap,
    io::{Read, Seek},
};

use super::{
    Document,
    extract::{Gap, local_link},
    office::{Flow, Style},
    xml::{Node, Tag, texts, walk, walk_shown},
    zipped::Zipped,
};

/// Keywords that become tags.
const MAX_KEYWORDS: usize = 16;

/// Parses a document; the error is a clause about the file.
pub fn parse(path: &str, reader: impl Read + Seek) -> Result<Document, String> {
    let mut files = Zipped::open(reader)?;
    let manifest = files.text("META-INF/manifest.xml")?.unwrap_or_default();
    if manifest.contains("encryption-data") {
        return Err("is encrypted; save it without a password".to_owned());
    }
    let content = files
        .text("content.xml")?
        .ok_or_else(|| "holds no OpenDocument text; save it as .odt anew".to_owned())?;
    let properties = files.text("meta.xml")?.unwrap_or_default();
    let mut reader = Content {
        styles: styles(&content),
        ..Content::default()
    };
    walk_shown(&content, is_hidden, |node| reader.take(node));
    let properties = texts(&properties, &["title", "keyword"]);
    let (titles, keywords): (Vec<_>, Vec<_>) = properties
        .into_iter()
        .partition(|(name, _)| name == "title");
    let title = titles.into_iter().next().map(|(_, title)| title);
    let mut document = reader.flow.finish(path, title);
    document.tags = keywords
        .into_iter()
        .take(MAX_KEYWORDS)
        .map(|(_, keyword)| keyword)
        .collect();
    Ok(document)
}

/// A document while it is read.
#[derive(Default)]
struct Content {
    flow: Flow,
    /// Parents of the styles that the document makes on the way.
    styles: HashMap<String, String>,
    style: Style,
    lists: usize,
    /// Sign of the note that is read.
    sign: Option<String>,
    in_sign: bool,
    /// Paragraphs around the current place; text stands only in them.
    paragraphs: usize,
}

impl Content {
    fn take(&mut self, node: Node) {
        match node {
            Node::Start(tag) => self.start(&tag),
            Node::End(name) => self.end(name),
            Node::Text(text) if self.in_sign => self.sign.get_or_insert_default().push_str(text),
            Node::Text(text) if self.paragraphs > 0 => self.flow.inline.push(text),
            Node::Text(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag) {
        match tag.name() {
            "h" => {
                let level = tag
                    .attribute("outline-level")
                    .and_then(|level| level.parse().ok());
                self.style = Style::Heading(level.unwrap_or(1u8).clamp(1, 6));
                self.paragraphs += 1;
            }
            "p" => {
                self.style = self.style_of(tag);
                self.paragraphs += 1;
            }
            "list" => self.lists += 1,
            "s" | "tab" => self.flow.inline.gap(Gap::Space),
            "line-break" => self.flow.inline.gap(Gap::Line),
            "a" => {
                let target = tag.attribute("href").unwrap_or_default();
                // Paths count from inside the archive.
                let target = target.strip_prefix("../").unwrap_or(&target);
                if let Some(link) = local_link(target) {
                    self.flow.inline.open_link(link);
                }
            }
            "table" => self.flow.start_table(),
            "table-row" => self.flow.start_row(),
            "table-cell" => self.flow.start_cell(),
            "note-citation" => (self.sign, self.in_sign) = (None, true),
            "note-body" | "text-box" => self.flow.enter(),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "h" | "p" => {
                self.paragraphs = self.paragraphs.saturating_sub(1);
                self.flow.end_paragraph(self.style);
            }
            "list" => self.lists = self.lists.saturating_sub(1),
            "a" => self.flow.inline.close_link(),
            "table" => self.flow.end_table(),
            "note-citation" => self.in_sign = false,
            "note-body" => {
                let note = self.flow.leave();
                let sign = self.sign.take().unwrap_or_default();
                self.flow.note(&sign, note);
            }
            "text-box" => {
                let text = self.flow.leave();
                self.flow.aside(text);
            }
            _ => {}
        }
    }

    /// Own styles are named by their parents.
    fn style_of(&self, tag: &Tag) -> Style {
        let name = tag.attribute("style-name").unwrap_or_default();
        let parent = self.styles.get(&name).unwrap_or(&name);
        // Spaces of names are written `_20_`.
        match Style::by_name(&parent.replace("_20_", " ")) {
            Style::Body if self.lists > 0 => Style::Item,
            style => style,
        }
    }
}

fn is_hidden(name: &str) -> bool {
    matches!(
        name,
        "annotation" | "tracked-changes" | "table-of-content" | "automatic-styles" | "script"
    )
}

/// The parent of each style.
fn styles(source: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    walk(source, |node| {
        if let Node::Start(tag) = node
            && tag.name() == "style"
            && let (Some(name), Some(parent)) =
                (tag.attribute("name"), tag.attribute("parent-style-name"))
        {
            found.insert(name, parent);
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{
        extract::testing::{check_spans, shown},
        zipped::testing::archive,
    };

    fn check(body: &str, expected: &str) {
        let content = format!(
            "<office:document-content><style:style style:name='P1' style:parent-style-name='Quotations'/><office:body>{body}</office:body></office:document-content>"
        );
        let bytes = archive(&[
            ("mimetype", "application/vnd.oasis.opendocument.text"),
            ("content.xml", &content),
            (
                "meta.xml",
                "<m><dc:title>T</dc:title><meta:keyword>k</meta:keyword></m>",
            ),
        ]);
        let found = parse("a.odt", Cursor::new(bytes)).unwrap();
        check_spans(&found);
        assert_eq!(found.tags, ["k"]);
        assert_eq!(shown(&found), expected, "{body}");
    }

    #[test]
    fn texts_are_read_in_order() {
        check(
            "<text:h text:outline-level='2'>Head<text:s/>ing</text:h><text:p text:style-name='P1'>Said.</text:p><text:list><text:list-item><text:p>One</text:p></text:list-item></text:list>",
            "T\n@0 section Head ing\nh2 Head ing\nQuote Said.\nListItem - One\n",
        );
        check(
            "<text:p>Text<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>A note.</text:p></text:note-body></text:note> goes <text:a xlink:href='../b.odt'>on</text:a>.</text:p>",
            "T\n@0 T\nParagraph Text[1] goes on.\nParagraph [1] A note.\nb.odt on\n",
        );
        check(
            "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table>",
            "T\n@0 T\nTable a | b\n",
        );
    }

    #[test]
    fn an_encrypted_text_says_so() {
        let bytes = archive(&[(
            "META-INF/manifest.xml",
            "<m><manifest:encryption-data/></m>",
        )]);
        let found = parse("a.odt", Cursor::new(bytes));
        assert!(found.is_err_and(|reason| reason.contains("encrypted")));
    }

    proptest! {
        #[test]
        fn any_content_and_any_damage_keep_the_spans(
            content in "(<(/?)text:(h|p|list|s|a xlink:href='b'|note|note-citation|note-body|line-break)(/?)>|<(/?)table:(table|table-row|table-cell)>|<(/?)draw:text-box>|[a é中&<]){0,30}",
            at in 0..4_000usize,
            byte in any::<u8>(),
        ) {
            let mut bytes = archive(&[("mimetype", ""), ("content.xml", &content)]);
            check_spans(&parse("a.odt", Cursor::new(bytes.clone())).unwrap());
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(found) = parse("a.odt", Cursor::new(bytes)) {
                check_spans(&found);
            }
        }
    }
}
