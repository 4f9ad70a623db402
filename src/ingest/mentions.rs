//! Mentions: titles of other documents that stand in a text.
//!
//! A title is looked for without its bracketed part, capitalised at a word start; the longest match wins.
//! Chinese titles of two characters or more match anywhere.

use std::collections::BTreeSet;

use fst::{Map, raw::Output};

/// Shortest title that is looked for, in characters; Chinese ones need two.
const MIN_CHARACTERS: usize = 4;

/// The titles of a corpus, ready to be found in texts.
pub struct Mentions {
    /// Title → index into `names`.
    titles: Map<Vec<u8>>,
    names: Vec<String>,
}

impl Mentions {
    /// Looks for these names, each as [`spoken`] gives it.
    pub fn new(names: BTreeSet<String>) -> Result<Self, fst::Error> {
        let names: Vec<String> = names.into_iter().collect();
        let titles = Map::from_iter(names.iter().zip(0..))?;
        Ok(Self { titles, names })
    }

    /// The names that stand in `text`, without repetition.
    pub fn in_text(&self, text: &str) -> Vec<String> {
        let found = self.found_in(text).into_iter();
        found.map(|name| self.names[name].clone()).collect()
    }

    fn found_in(&self, text: &str) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let (mut previous, mut free_from) = (' ', 0);
        for (at, character) in text.char_indices() {
            let word_start = !previous.is_alphanumeric();
            previous = character;
            let may_start = is_cjk(character)
                || (word_start && (character.is_uppercase() || character.is_numeric()));
            if at < free_from || !may_start {
                continue;
            }
            if let Some((length, title)) = self.longest_at(&text[at..]) {
                found.insert(title);
                free_from = at + length;
            }
        }
        found
    }

    /// The longest title that `text` starts with, ending at a word's end, and its length in bytes.
    fn longest_at(&self, text: &str) -> Option<(usize, usize)> {
        let fst = self.titles.as_fst();
        let mut node = fst.root();
        let mut output = Output::zero();
        let mut longest = None;
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            let Some(input) = node.find_input(byte) else {
                break;
            };
            let transition = node.transition(input);
            output = output.cat(transition.out);
            node = fst.node(transition.addr);
            let end = at + 1;
            if node.is_final() && ends_word(text, end) {
                longest = Some((end, output.cat(node.final_output()).value() as usize));
            }
        }
        longest
    }
}

/// A title as texts say it: capitalised, without a bracketed part; none if it is too short to mean anything.
pub fn spoken(title: &str) -> Option<String> {
    let title = title.split(" (").next().unwrap_or(title).trim();
    let least = if title.chars().all(is_cjk) {
        2
    } else {
        MIN_CHARACTERS
    };
    if title.chars().count() < least {
        return None;
    }
    let mut characters = title.chars();
    let first = characters.next()?;
    Some(first.to_uppercase().chain(characters).collect())
}

fn ends_word(text: &str, end: usize) -> bool {
    text.is_char_boundary(end) && {
        let last = text[..end].chars().next_back();
        let next = text[end..].chars().next();
        last.is_some_and(is_cjk) || next.is_none_or(|next| !next.is_alphanumeric())
    }
}

fn is_cjk(character: char) -> bool {
    matches!(character as u32, 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_where_they_are_meant() -> Result<(), fst::Error> {
        let titles = [
            "Rye bread",
            "Rye bread crust",
            "Mars (planet)",
            "茶道",
            "Tea",
            "mitosis",
        ];
        let mentions = Mentions::new(titles.iter().filter_map(|title| spoken(title)).collect())?;
        let check = |text: &str, expected: &[usize]| {
            let expected: Vec<String> = expected
                .iter()
                .filter_map(|&title| spoken(titles[title]))
                .collect();
            assert_eq!(mentions.in_text(text), expected, "{text}");
        };
        check("A Rye bread, dark.", &[0]);
        check("The Rye bread crust cracks.", &[1]);
        check("rye bread in small letters", &[]);
        check("On Mars. Marshes no.", &[2]);
        check("我学茶道多年", &[3]);
        check("Tea is too short; Mitosis is long enough", &[5]);
        Ok(())
    }
}
