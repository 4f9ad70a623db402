//! Mentions: titles of other documents that stand in a text.
//!
//! A title is looked for without its bracketed part, capitalised at a word start; the longest match wins.
//! Chinese titles of two characters or more match anywhere.

use std::collections::{BTreeMap, BTreeSet};

use fst::{Map, raw::Output};

use crate::corpus::Document;

/// Shortest title that is looked for, in characters; Chinese ones need two.
const MIN_CHARACTERS: usize = 4;
/// A title that more documents share names none of them.
const MAX_NAMESAKES: usize = 8;
/// A title that stands in more documents than this share of all (and than a few) is a common word.
const MAX_SHARE: f64 = 0.01;
const MIN_COMMON_DOCUMENTS: usize = 20;

/// The titles of a corpus, ready to be found in texts.
pub struct Mentions {
    /// Title → index into `documents`.
    titles: Map<Vec<u8>>,
    documents: Vec<Vec<usize>>,
}

impl Mentions {
    /// Titles that are common words in these documents are left out.
    pub fn new(documents: &[Document]) -> Result<Self, fst::Error> {
        let mut by_title: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, document) in documents.iter().enumerate() {
            let names = std::iter::once(&document.title).chain(&document.aliases);
            let names: BTreeSet<String> = names.filter_map(|name| spoken(name)).collect();
            for name in names {
                by_title.entry(name).or_default().push(index);
            }
        }
        by_title.retain(|_, named| named.len() <= MAX_NAMESAKES);
        let all = Self::of(by_title)?;
        let mut counts = vec![0usize; all.documents.len()];
        for document in documents {
            all.found_in(&document.text)
                .into_iter()
                .for_each(|title| counts[title] += 1);
        }
        let limit = ((documents.len() as f64 * MAX_SHARE) as usize).max(MIN_COMMON_DOCUMENTS);
        let names = all.titles.stream().into_str_keys()?;
        let kept = names.into_iter().zip(all.documents).zip(counts);
        Self::of(
            kept.filter(|(_, count)| *count <= limit)
                .map(|(entry, _)| entry)
                .collect(),
        )
    }

    /// Documents whose titles stand in `text`, by index.
    pub fn in_text(&self, text: &str) -> BTreeSet<usize> {
        self.found_in(text)
            .into_iter()
            .flat_map(|title| self.documents[title].iter().copied())
            .collect()
    }

    fn of(by_title: BTreeMap<String, Vec<usize>>) -> Result<Self, fst::Error> {
        let entries = by_title.keys().enumerate();
        let titles = Map::from_iter(entries.map(|(index, title)| (title, index as u64)))?;
        Ok(Self {
            titles,
            documents: by_title.into_values().collect(),
        })
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
fn spoken(title: &str) -> Option<String> {
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
        let documents = titles.map(|title| Document {
            title: title.to_owned(),
            ..Document::default()
        });
        let mentions = Mentions::new(&documents)?;
        let check = |text: &str, expected: &[usize]| {
            let found: Vec<usize> = mentions.in_text(text).into_iter().collect();
            assert_eq!(found, expected, "{text}");
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
