//! What stands between `[[` and `]]`.

use super::entities::decoded;
use crate::corpus::{
    Link,
    dump::namespaces::{Namespace, Namespaces},
};

/// What becomes of a link.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// It is dropped: a file, or the article in another language.
    Nothing,
    Category(String),
    Link(Link),
    /// Its text stays, but it leads to no article.
    Text,
}

/// What a link to `target` means; the text before the first `|`.
pub(super) fn meaning(target: &str, namespaces: &Namespaces) -> Meaning {
    // Titles have 255 bytes at most.
    if target.len() > 1 << 10 || target.contains(['{', '}', '[', ']', '<', '>', '\n']) {
        let is_file = namespaces.of(target.get(..64).unwrap_or(target)) == Namespace::File;
        return if is_file {
            Meaning::Nothing
        } else {
            Meaning::Text
        };
    }
    let target = title(target);
    let (is_shown, target) = match target.strip_prefix(':') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, target.as_str()),
    };
    match namespaces.of(target) {
        Namespace::Article => article(target),
        _ if is_shown => Meaning::Text,
        Namespace::Category => {
            let name = target
                .split_once(':')
                .map_or(target, |(_, name)| name)
                .trim();
            Meaning::Category(name.to_owned())
        }
        Namespace::File | Namespace::Language => Meaning::Nothing,
        Namespace::Other => Meaning::Text,
    }
}

/// The title in the first link of a text; what `#REDIRECT [[…]]` leads to.
pub(in crate::corpus::dump) fn first_target(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("[[")?;
    let target = rest.split(['|', ']', '#', '\n']).next()?;
    Some(title(target).trim_start_matches(':').to_owned()).filter(|title| !title.is_empty())
}

fn article(target: &str) -> Meaning {
    let (page, heading) = match target.split_once('#') {
        Some((page, heading)) => (page.trim(), heading.trim()),
        None => (target, ""),
    };
    // A page below this one has no title of its own here.
    if (page.is_empty() && heading.is_empty()) || page.starts_with('/') {
        return Meaning::Text;
    }
    Meaning::Link(Link {
        target: page.to_owned(),
        heading: Some(heading.to_owned()).filter(|heading| !heading.is_empty()),
        ..Link::default()
    })
}

/// A title as its page has it: references resolved, underscores as spaces, single spaces.
fn title(raw: &str) -> String {
    let decoded = decoded(raw);
    let words = decoded.split(|character: char| character == '_' || character.is_whitespace());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}
