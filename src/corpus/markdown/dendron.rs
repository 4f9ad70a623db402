//! Dendron's ways: a link's text before its target, names of dotted parts, tags that are notes.

use std::ops::Range;

use super::links::parse_destination;
use crate::corpus::{Link, front_matter::is_kept_by_dendron, plain::file_stem};

/// Turns the links that have a text round and names their targets without the vault.
pub fn turn_links(text: &str, links: &mut [Link]) {
    for link in links {
        let turned = text
            .get(link.span.clone())
            .and_then(inside)
            .and_then(|inside| inside.split_once('|'));
        let turned = turned.and_then(|(shown, destination)| {
            Some((shown, parse_destination(without_vault(destination), true)?))
        });
        if let Some((shown, target)) = turned {
            *link = Link {
                text: Some(shown.trim_end_matches('\\').trim().to_owned()),
                embed: link.embed,
                span: link.span.clone(),
                ..target
            };
        }
        link.target = without_vault(&link.target).to_owned();
    }
}

/// The links that names imply: to the parent note, and to the notes of tags.
///
/// `#area.topic` is the note `tags.area.topic`; as a tag it becomes `area/topic`.
pub fn implied_links(path: &str, tags: &mut [String]) -> Vec<Link> {
    let parent = file_stem(path).rsplit_once('.');
    let mut targets: Vec<String> = parent
        .map(|(parent, _)| parent.to_owned())
        .into_iter()
        .collect();
    for tag in tags {
        targets.push(format!("tags.{tag}"));
        *tag = tag.replace('.', "/");
    }
    let link = |target| Link {
        target,
        span: Range::default(),
        ..Link::default()
    };
    targets.into_iter().map(link).collect()
}

/// The path of a document with all levels of its hierarchy as folders: in Dendron, dots part them.
pub fn path_in_hierarchy(path: &str, text: &str) -> String {
    let stem = file_stem(path);
    if !stem.contains('.') || !is_kept_by_dendron(text) {
        return path.to_owned();
    }
    let levels = stem.replace('.', "/");
    match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{levels}"),
        None => levels,
    }
}

/// What stands between the brackets of a wikilink.
fn inside(link: &str) -> Option<&str> {
    let link = link.strip_prefix('!').unwrap_or(link);
    link.strip_prefix("[[")?.strip_suffix("]]")
}

/// The name in `dendron://vault/name`.
fn without_vault(target: &str) -> &str {
    let named = target.trim().strip_prefix("dendron://");
    named.map_or(target, |rest| {
        rest.split_once('/').map_or(rest, |(_, name)| name)
    })
}
