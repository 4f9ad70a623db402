//! What the destination of a link says.

use std::ops::Range;

use super::percent_decoded;
use crate::corpus::Link;

/// `Note#Heading`, `Note#^block`, `folder/note.md#heading`; none for what leads out of the corpus.
pub fn parse_destination(destination: &str, wiki: bool) -> Option<Link> {
    let destination = destination.trim_end_matches('\\').trim();
    let decoded;
    let destination = if wiki {
        destination
    } else {
        if destination.contains("://") || destination.starts_with("mailto:") {
            return None;
        }
        decoded = percent_decoded(destination);
        &decoded
    };
    let (target, anchor) = match destination.split_once('#') {
        Some((target, anchor)) => (target.trim(), Some(anchor.trim())),
        None => (destination, None),
    };
    let anchor = anchor.filter(|anchor| !anchor.is_empty());
    if target.is_empty() && anchor.is_none() {
        return None;
    }
    let block = anchor.and_then(|anchor| anchor.strip_prefix('^'));
    Some(Link {
        target: target.to_owned(),
        heading: anchor.filter(|_| block.is_none()).map(str::to_owned),
        block: block.map(str::to_owned),
        ..Link::default()
    })
}

/// Wikilinks written as values, such as `up: "[[Home]]"`.
pub fn links_in_front_matter(text: &str, yaml: &Range<usize>) -> Vec<Link> {
    let mut links = Vec::new();
    let mut at = yaml.start;
    while let Some(open) = text[at..yaml.end].find("[[") {
        let start = at + open;
        let Some(length) = text[start..yaml.end].find("]]") else {
            break;
        };
        let inner = &text[start + 2..start + length];
        at = start + length + 2;
        if inner.contains(['\n', '[']) {
            continue;
        }
        let (target, shown) = match inner.split_once('|') {
            Some((target, shown)) => (target, Some(shown.to_owned())),
            None => (inner, None),
        };
        links.extend(parse_destination(target, true).map(|link| Link {
            text: shown,
            span: start..at,
            ..link
        }));
    }
    links
}
