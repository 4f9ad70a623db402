//! XML as a row of nodes: local names, text with its references resolved, and no entity ever expanded.

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

/// One step through a file of XML.
pub(super) enum Node<'a> {
    Start(Tag<'a>),
    /// The end of the element with this local name.
    End(&'a str),
    Text(&'a str),
}

/// The start of an element.
pub(super) struct Tag<'a> {
    start: &'a BytesStart<'a>,
}

impl<'a> Tag<'a> {
    /// Without its prefix.
    pub fn name(&self) -> &'a str {
        local(self.start.name().into_inner())
    }

    /// The value of the first attribute with this local name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        // Checking for doubles takes time in the square of their number.
        let mut attributes = self.start.attributes();
        let found = attributes
            .with_checks(false)
            .flatten()
            .find(|own| local(own.key.into_inner()) == name)?;
        let value = found.normalized_value(XmlVersion::Implicit1_0);
        value.ok().map(|value| value.into_owned())
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// Walks through `source` up to its end or to what is no XML any more.
pub(super) fn walk(source: &str, mut visit: impl FnMut(Node)) {
    let mut reader = Reader::from_str(source);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => visit(Node::Start(Tag { start: &start })),
            Event::End(end) => visit(Node::End(local(end.name().into_inner()))),
            Event::Text(text) => visit(Node::Text(&text.xml10_content())),
            Event::CData(text) => visit(Node::Text(&text.xml10_content())),
            Event::GeneralRef(reference) => visit(Node::Text(&resolved(&reference))),
            Event::Eof => break,
            _ => {}
        }
    }
}

/// As [`walk`], without the elements whose local names are hidden and all that is in them.
pub(super) fn walk_shown(source: &str, is_hidden: fn(&str) -> bool, mut take: impl FnMut(Node)) {
    let mut hidden = 0usize;
    walk(source, |node| match node {
        Node::Start(tag) if is_hidden(tag.name()) => hidden += 1,
        Node::End(name) if is_hidden(name) => hidden = hidden.saturating_sub(1),
        _ if hidden > 0 => {}
        node => take(node),
    });
}

/// The text of every element with one of these local names, in order.
pub(super) fn texts(source: &str, names: &[&str]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open: Option<String> = None;
    walk(source, |node| match node {
        Node::Start(tag) if names.contains(&tag.name()) => {
            open = Some(tag.name().to_owned());
            found.push((tag.name().to_owned(), String::new()));
        }
        Node::End(name) if open.as_deref() == Some(name) => open = None,
        Node::Text(text) if open.is_some() => {
            if let Some((_, own)) = found.last_mut() {
                own.push_str(text);
            }
        }
        _ => {}
    });
    for (_, text) in &mut found {
        *text = super::extract::one_line(text);
    }
    found.retain(|(_, text)| !text.is_empty());
    found
}

/// `&amp;`, `&#233;`; what is unknown is left out.
fn resolved(reference: &BytesRef) -> String {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => character.to_string(),
        _ => resolve_predefined_entity(reference)
            .unwrap_or_default()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        let mut found = String::new();
        walk(source, |node| match node {
            Node::Start(tag) => {
                found += &format!(
                    "<{} {}>",
                    tag.name(),
                    tag.attribute("k").unwrap_or_default()
                );
            }
            Node::End(name) => found += &format!("</{name}>"),
            Node::Text(text) => found += text,
        });
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn xml_is_walked_as_far_as_it_goes() {
        check(
            "<w:a x:k='1 &lt; 2'>b &amp; c&#233;<d/></w:a>",
            "<a 1 < 2>b & cé<d ></d></a>",
        );
        check("<a>&lol9;x</b></a>", "<a >x</b></a>");
        check("<!DOCTYPE a [<!ENTITY x 'yyy'>]><a>&x;</a>", "<a ></a>");
        check("<a>b<", "<a >b");
        check("<a><![CDATA[<b>]]>&", "<a ><b>&");
    }
}
