//! Index notes, or maps of content: notes that are lists of links.

use super::{BlockKind, Document};

/// Fewer links make no index.
const MIN_LINKS: usize = 5;
/// The share of letters outside headings that stand in links, in percent.
const MIN_LINKED_PERCENT: usize = 50;

/// True where most letters of a document stand in links to others.
pub fn is_index(document: &Document) -> bool {
    let Some(first) = document.blocks.first() else {
        return false;
    };
    let linked: Vec<_> = document
        .links
        .iter()
        .filter(|link| {
            link.span.start >= first.span.start && !link.target.is_empty() && !link.embed
        })
        .collect();
    if linked.len() < MIN_LINKS {
        return false;
    }
    let letters = |part: &str| part.chars().filter(|own| own.is_alphanumeric()).count();
    let all: usize = document
        .blocks
        .iter()
        .filter(|block| !matches!(block.kind, BlockKind::Heading { .. }))
        .map(|block| letters(&document.text[block.span.clone()]))
        .sum();
    let linked = linked
        .iter()
        .map(|link| document.text.get(link.span.clone()));
    let linked: usize = linked.flatten().map(letters).sum();
    linked * 100 >= all * MIN_LINKED_PERCENT
}

#[cfg(test)]
mod tests {
    use crate::corpus::parse;

    fn check(text: &str, expected: bool) {
        let document = parse("note.md", text.to_owned());
        assert_eq!(document.is_index(), expected, "{text}");
    }

    #[test]
    fn an_index_is_mostly_links() {
        let list = "- [[Rye]]\n- [[Wheat]]: soft\n- [[Spelt|old wheat]]\n- [Oats](oats.md)\n- [[Barley]]\n";
        check(list, true);
        check(&format!("# Grains\n\nAll of them.\n\n{list}"), true);
        check(
            &format!("{list}\n{}", "Bread is made of flour and water. ".repeat(9)),
            false,
        );
        check("- [[Rye]]\n- [[Wheat]]\n", false);
        check(
            "- [a](https://a.b)\n- [[#Here]]\n- ![[picture.png]]\n- x\n- y\n- z\n",
            false,
        );
        check("", false);
    }
}
