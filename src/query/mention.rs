//! Where a text links to a document: by a wikilink, by its file, else by its name.

use std::ops::Range;

use crate::{ingest::spoken, store::DocumentRecord};

/// The first place in `text` that links to a document.
pub fn mention(text: &str, target: &DocumentRecord) -> Option<Range<usize>> {
    let file = target.path.rsplit('/').next().unwrap_or(&target.path);
    let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
    let called = std::iter::once(&target.title).chain(&target.aliases);
    let called: Vec<&str> = called.map(String::as_str).collect();
    let is_called = |name: &str| {
        let mut names = called.iter().chain([&stem, &file]);
        names.any(|own| own.eq_ignore_ascii_case(name))
    };
    let mut wikilinks = text.match_indices("[[").filter_map(|(start, _)| {
        let inner = &text[start + 2..];
        let end = inner.find("]]")?;
        let linked = inner[..end].split(['|', '#', '^']).next()?.trim();
        let linked = linked.rsplit('/').next()?;
        is_called(linked).then_some(start..start + 2 + end + 2)
    });
    let place = |name: &str| text.find(name).map(|at| at..at + name.len());
    wikilinks.next().or_else(|| {
        // A name without an ending, as records of sets have, is a number as often as not.
        let file = Some(file).filter(|_| !ending.is_empty());
        let titles = called.iter().filter(|name| !name.is_empty());
        let spoken = called.iter().filter_map(|name| spoken(name));
        let mut found = file
            .and_then(place)
            .into_iter()
            .chain(titles.filter_map(|name| place(name)))
            .chain(spoken.filter_map(|name| place(&name)));
        found.next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_as_they_are_written() {
        let gluten = DocumentRecord {
            path: "Bread/Gluten.md".to_owned(),
            title: "Gluten".to_owned(),
            aliases: vec!["wheat protein (food)".to_owned()],
            ..DocumentRecord::default()
        };
        let check = |text: &str, expected: Option<&str>| {
            let found = mention(text, &gluten).map(|place| &text[place]);
            assert_eq!(found, expected, "{text}");
        };
        check(
            "See [[Rye]] and [[gluten#Web|the web]].",
            Some("[[gluten#Web|the web]]"),
        );
        check("See [[Bread/Gluten]].", Some("[[Bread/Gluten]]"));
        check("See [it](../Gluten.md).", Some("Gluten.md"));
        check("Gluten is strong.", Some("Gluten"));
        check("[[Gluten is never closed", Some("Gluten"));
        check("Wheat protein is strong.", Some("Wheat protein"));
        check("Nothing.", None);
    }
}
