//! Word documents: WordprocessingML in an archive.

use std::{
    collections::HashMap,
    io::{Read, Seek},
};

use super::{
    Document,
    extract::{Gap, Inline, local_link},
    office::{Flow, Style},
    xml::{Node, Tag, texts, walk, walk_shown},
    zipped::Zipped,
};

/// Styles take after one another at most so often.
const MAX_STYLE_DEPTH: usize = 8;

/// Parses a document; the error is a clause about the file.
pub fn parse(path: &str, reader: impl Read + Seek) -> Result<Document, String> {
    let mut files = Zipped::open(reader)?;
    let main = files
        .text("word/document.xml")?
        .ok_or_else(|| "holds no Word document; save it as .docx anew".to_owned())?;
    let mut part = |name: &str| files.text(name).map(Option::unwrap_or_default);
    let properties = part("docProps/core.xml")?;
    let mut words = Words {
        styles: styles(&part("word/styles.xml")?),
        targets: targets(&part("word/_rels/document.xml.rels")?),
        footnotes: notes(&part("word/footnotes.xml")?, "footnote"),
        endnotes: notes(&part("word/endnotes.xml")?, "endnote"),
        ..Words::default()
    };
    walk_shown(&main, is_hidden, |node| words.take(node));
    let title = texts(&properties, &["title"]).into_iter().next();
    Ok(words.flow.finish(path, title.map(|(_, title)| title)))
}

/// A document while it is read.
#[derive(Default)]
struct Words {
    flow: Flow,
    styles: HashMap<String, Style>,
    /// What the ids of links lead to.
    targets: HashMap<String, String>,
    footnotes: HashMap<String, String>,
    endnotes: HashMap<String, String>,
    n_notes: usize,
    /// Of the open paragraph.
    style: Style,
    listed: bool,
    in_text: bool,
}

impl Words {
    fn take(&mut self, node: Node) {
        match node {
            Node::Start(tag) => self.start(&tag),
            Node::End(name) => self.end(name),
            Node::Text(text) if self.in_text => self.flow.inline.push(text),
            Node::Text(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag) {
        match tag.name() {
            "p" => (self.style, self.listed) = (Style::Body, false),
            "pStyle" => {
                let own = tag.attribute("val").and_then(|id| self.styles.get(&id));
                self.style = own.copied().unwrap_or_default();
            }
            "outlineLvl" => {
                if let Some(style) = outline(tag).filter(|_| self.style == Style::Body) {
                    self.style = style;
                }
            }
            "numPr" => self.listed = true,
            "t" => self.in_text = true,
            "tab" => self.flow.inline.gap(Gap::Space),
            "br" | "cr" => self.flow.inline.gap(Gap::Line),
            "noBreakHyphen" => self.flow.inline.push("-"),
            "tbl" => self.flow.start_table(),
            "tr" => self.flow.start_row(),
            "tc" => self.flow.start_cell(),
            "txbxContent" => self.flow.enter(),
            "hyperlink" => {
                let target = tag.attribute("id").and_then(|id| self.targets.get(&id));
                if let Some(link) = target.and_then(|target| local_link(target)) {
                    self.flow.inline.open_link(link);
                }
            }
            "footnoteReference" => self.note(tag, true),
            "endnoteReference" => self.note(tag, false),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "t" => self.in_text = false,
            "p" => {
                let style = match self.style {
                    Style::Body if self.listed => Style::Item,
                    style => style,
                };
                self.flow.end_paragraph(style);
            }
            "tbl" => self.flow.end_table(),
            "hyperlink" => self.flow.inline.close_link(),
            "txbxContent" => {
                let text = self.flow.leave();
                self.flow.aside(text);
            }
            _ => {}
        }
    }

    fn note(&mut self, tag: &Tag, at_foot: bool) {
        let notes = if at_foot {
            &self.footnotes
        } else {
            &self.endnotes
        };
        if let Some(note) = tag.attribute("id").and_then(|id| notes.get(&id)) {
            self.n_notes += 1;
            self.flow.note(&self.n_notes.to_string(), Inline::of(note));
        }
    }
}

/// Of an alternative the first is read; the other says the same for older programs.
fn is_hidden(name: &str) -> bool {
    matches!(name, "Fallback" | "delText" | "instrText" | "tabs")
}

fn outline(tag: &Tag) -> Option<Style> {
    let level: u8 = tag.attribute("val")?.parse().ok()?;
    (level < 9).then(|| Style::Heading((level + 1).min(6)))
}

/// What the ids of styles mean, by their names, their outline level or the style that they take after.
fn styles(source: &str) -> HashMap<String, Style> {
    let mut found: HashMap<String, (Style, Option<String>)> = HashMap::new();
    let mut open: Option<String> = None;
    walk(source, |node| {
        let Node::Start(tag) = node else {
            return;
        };
        if tag.name() == "style" {
            open = tag.attribute("styleId");
            if let Some(id) = &open {
                found.insert(id.clone(), Default::default());
            }
        }
        let Some((style, parent)) = open.as_ref().and_then(|id| found.get_mut(id)) else {
            return;
        };
        match tag.name() {
            "name" => *style = Style::by_name(&tag.attribute("val").unwrap_or_default()),
            "basedOn" => *parent = tag.attribute("val"),
            "outlineLvl" if *style == Style::Body => *style = outline(&tag).unwrap_or_default(),
            _ => {}
        }
    });
    let resolved = |id: &String| {
        let chain = std::iter::successors(Some(id), |id| found.get(*id)?.1.as_ref());
        let mut styles = chain.take(MAX_STYLE_DEPTH).filter_map(|id| found.get(id));
        styles.find_map(|(style, _)| Some(*style).filter(|style| *style != Style::Body))
    };
    let ids = found.keys();
    ids.filter_map(|id| Some((id.clone(), resolved(id)?)))
        .collect()
}

/// Where the links lead, by id.
fn targets(source: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    walk(source, |node| {
        if let Node::Start(tag) = node
            && let (Some(id), Some(target)) = (tag.attribute("Id"), tag.attribute("Target"))
            && tag.attribute("TargetMode").as_deref() == Some("External")
        {
            found.insert(id, target);
        }
    });
    found
}

/// The notes of one kind, by id.
fn notes(source: &str, element: &str) -> HashMap<String, String> {
    let mut found: HashMap<String, String> = HashMap::new();
    let (mut open, mut in_text) = (None, false);
    walk(source, |node| match node {
        Node::Start(tag) if tag.name() == element => open = tag.attribute("id"),
        Node::Start(tag) if tag.name() == "t" => in_text = true,
        Node::End("t") => in_text = false,
        Node::Text(text) if in_text => {
            if let Some(id) = &open {
                found.entry(id.clone()).or_default().push_str(text);
            }
        }
        Node::End("p") => {
            if let Some(own) = open.as_ref().and_then(|id| found.get_mut(id)) {
                own.push(' ');
            }
        }
        _ => {}
    });
    found
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::corpus::extract::testing::{check_spans, shown};

    const STYLES: &str = r#"<w:styles xmlns:w="w">
        <w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
        <w:style w:styleId="Own"><w:basedOn w:val="berschrift1"/></w:style>
        <w:style w:styleId="TOC1"><w:name w:val="toc 1"/></w:style></w:styles>"#;

    fn document(body: &str) -> Vec<u8> {
        crate::corpus::zipped::testing::archive(&[
            ("[Content_Types].xml", "<Types/>"),
            (
                "word/document.xml",
                &format!("<w:document><w:body>{body}</w:body></w:document>"),
            ),
            ("word/styles.xml", STYLES),
            (
                "word/_rels/document.xml.rels",
                r#"<R><R Id="r1" Target="b.docx" TargetMode="External"/></R>"#,
            ),
            (
                "word/footnotes.xml",
                r#"<w:f><w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:f>"#,
            ),
        ])
    }

    fn paragraph(properties: &str, text: &str) -> String {
        format!("<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>")
    }

    fn check(body: &str, expected: &str) {
        let found = parse("a/b.docx", Cursor::new(document(body))).unwrap();
        check_spans(&found);
        assert_eq!(shown(&found), expected, "{body}");
    }

    #[test]
    fn words_are_read_in_order() {
        let style = |id: &str| format!("<w:pStyle w:val='{id}'/>");
        check(
            &[
                paragraph(&style("TOC1"), "One 1"),
                paragraph(&style("Own"), "One"),
                paragraph("", "A &amp; b."),
                paragraph("<w:numPr/>", "Item"),
                paragraph("<w:outlineLvl w:val='1'/>", "Two"),
            ]
            .concat(),
            "One\n@0 section One\nh1 One\nParagraph A & b.\nListItem - Item\n@21 section Two\nh2 Two\n",
        );
        check(
            "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr><w:tr><w:tc><w:p><w:r><w:t>d</w:t></w:r></w:p></w:tc></w:tr></w:tbl>",
            "b\n@0 b\nTable a\\nb | c\\nd\n",
        );
        check(
            "<w:p><w:r><w:t xml:space='preserve'>See </w:t></w:r><w:hyperlink r:id='r1'><w:r><w:t>that</w:t></w:r></w:hyperlink><w:r><w:footnoteReference w:id='2'/></w:r></w:p>",
            "b\n@0 b\nParagraph See that[1]\nParagraph [1] A note.\nb.docx that\n",
        );
        check(
            "<w:p><w:r><w:t>Before</w:t></w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>Box</w:t></w:r></w:p></w:txbxContent></mc:Choice><mc:Fallback><w:t>Box</w:t></mc:Fallback></mc:AlternateContent><w:r><w:t> after</w:t></w:r></w:p>",
            "b\n@0 b\nParagraph Before after\nParagraph Box\n",
        );
    }

    #[test]
    fn what_is_no_word_document_says_so() {
        let bytes = crate::corpus::zipped::testing::archive(&[("a.txt", "a")]);
        let found = parse("a.docx", Cursor::new(bytes));
        assert!(found.is_err_and(|reason| reason.contains("no Word document")));
        let found = parse("a.docx", Cursor::new(b"PK\x03\x04".to_vec()));
        assert!(found.is_err_and(|reason| reason.contains("damaged")));
    }

    proptest! {
        #[test]
        fn any_body_and_any_damage_keep_the_spans(
            body in "(<(/?)w:(p|r|t|tbl|tr|tc|tab|br|hyperlink r:id='r1'|footnoteReference w:id='2'|txbxContent|pStyle w:val='Own'|numPr)(/?)>|[a é中&<]){0,30}",
            at in 0..4_000usize,
            byte in any::<u8>(),
        ) {
            let mut bytes = document(&body);
            check_spans(&parse("a.docx", Cursor::new(bytes.clone())).unwrap());
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(found) = parse("a.docx", Cursor::new(bytes)) {
                check_spans(&found);
            }
        }
    }
}
