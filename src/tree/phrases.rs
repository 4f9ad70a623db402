//! The phrases of texts that could name something, and how much the documents of a group share them.
//!
//! No document's phrases are kept: those of a group are counted when its texts are read, and what only one of its
//! documents has is dropped, for it joins nothing.

use std::collections::HashMap;

use rayon::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::{
    TreeDocument,
    words::{is_cjk, is_number, is_stop_word, plain, singular},
};

/// What a phrase counts in a title, a tag or a folder, in the sentence that says what a document is about, and in the text.
const TITLE_WEIGHT: f32 = 1.5;
pub const LEAD_WEIGHT: f32 = 1.0;
const TEXT_WEIGHT: f32 = 0.4;
/// Text of a document that is searched for phrases, in bytes.
pub const TEXT_BYTES: usize = 4_000;
/// Where the first sentence ends that says something, in bytes at least and at most.
const LEAD_BYTES: [usize; 2] = [40, 300];
/// Words of a phrase, and characters of a Chinese one, at most.
const MAX_WORDS: usize = 3;
const MAX_CHARACTERS: usize = 6;
/// Characters that join words and are in none that names something.
const JOINING_CHARACTERS: &str = "的了和与在是及等为其这以由从也而或并将被于";
/// Characters that no Chinese phrase which names something begins with, and that none ends with.
const NO_FIRST_CHARACTERS: &str = "个们一让";
const NO_LAST_CHARACTERS: &str = "个们一上中里后时";
/// A Chinese phrase of which a longer one takes so much of its weight is but a part of that.
const PART_SHARE: f32 = 0.7;
/// Groups whose texts are read before what was found is numbered.
const WAVE_GROUPS: usize = 2_048;
/// Phrases that a group keeps, at most, and fewer than which are too few to drop any.
const MAX_PHRASES: usize = 256;
const MIN_PHRASES: usize = 8;

/// A phrase in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// In lower case and without plural endings: what makes two phrases the same.
    pub key: String,
    pub written: String,
}

/// All phrases that groups share, by number.
#[derive(Default)]
pub struct Phrases {
    numbers: HashMap<Box<str>, u32>,
    written: Vec<Written>,
}

/// How a phrase is most often written: the form that a majority vote leaves.
struct Written {
    form: Box<str>,
    votes: u32,
}

/// How much the documents of a group share each phrase.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shares {
    /// By the phrases' numbers.
    entries: Vec<Share>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub phrase: u32,
    /// What the phrase counts in a document of the group, on average.
    pub mean: f32,
    /// The same, and the lower the fewer of the group's parts have a share in it.
    pub even: f32,
}

/// What a phrase counts in a group's documents, and how it is written in the first.
struct Found {
    weight: f32,
    documents: u32,
    written: String,
}

impl Phrases {
    /// Reads the documents of each group and says what they share.
    pub fn shares(&mut self, documents: &[TreeDocument], groups: &[Vec<usize>]) -> Vec<Shares> {
        let mut shares = Vec::with_capacity(groups.len());
        for wave in groups.chunks(WAVE_GROUPS) {
            let found = wave.par_iter().map(|group| shared(documents, group));
            for (group, found) in wave.iter().zip(found.collect::<Vec<_>>()) {
                let entries = found.into_iter().map(|(key, found)| {
                    let mean = found.weight / group.len() as f32;
                    let phrase = self.number(key, found.written, found.documents);
                    let even = mean;
                    Share { phrase, mean, even }
                });
                let mut entries: Vec<Share> = entries.collect();
                entries.sort_unstable_by_key(|share| share.phrase);
                shares.push(Shares { entries });
            }
        }
        shares
    }

    /// The number of a phrase that a group shares.
    pub fn find(&self, key: &str) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    pub fn written(&self, phrase: u32) -> &str {
        &self.written[phrase as usize].form
    }

    fn number(&mut self, key: String, form: String, votes: u32) -> u32 {
        let next = self.written.len() as u32;
        let number = *self.numbers.entry(key.into_boxed_str()).or_insert(next);
        match self.written.get_mut(number as usize) {
            None => self.written.push(Written {
                form: form.into_boxed_str(),
                votes,
            }),
            Some(held) if *held.form == *form => held.votes += votes,
            Some(held) if held.votes >= votes => held.votes -= votes,
            Some(held) => {
                *held = Written {
                    form: form.into_boxed_str(),
                    votes: votes - held.votes,
                };
            }
        }
        number
    }
}

impl Shares {
    /// What the parts of a group share together; each comes with its number of documents.
    pub fn joined(parts: &[(&Self, usize)]) -> Self {
        let total: usize = parts.iter().map(|(_, size)| size).sum();
        let mut sums: HashMap<u32, (f32, f32)> = HashMap::new();
        for (part, size) in parts {
            let weight = *size as f32 / total as f32;
            for share in &part.entries {
                let sums = sums.entry(share.phrase).or_default();
                sums.0 += weight * share.mean;
                sums.1 += weight * share.even.sqrt();
            }
        }
        let entries = sums.into_iter().map(|(phrase, (mean, root))| Share {
            phrase,
            mean,
            even: root * root,
        });
        let mut entries: Vec<Share> = entries.collect();
        entries.sort_unstable_by(|a, b| b.even.total_cmp(&a.even).then(a.phrase.cmp(&b.phrase)));
        entries.truncate(MAX_PHRASES);
        entries.sort_unstable_by_key(|share| share.phrase);
        Self { entries }
    }

    pub fn of(&self, phrase: u32) -> Option<&Share> {
        let place = self
            .entries
            .binary_search_by_key(&phrase, |share| share.phrase);
        Some(&self.entries[place.ok()?])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Share> {
        self.entries.iter()
    }
}

/// The phrases that documents of a group share, the heaviest first.
fn shared(documents: &[TreeDocument], group: &[usize]) -> Vec<(String, Found)> {
    let mut all: HashMap<String, Found> = HashMap::new();
    for &own in group {
        for (key, (weight, written)) in of_document(&documents[own]) {
            let found = all.entry(key).or_insert(Found {
                weight: 0.0,
                documents: 0,
                written,
            });
            found.weight += weight;
            found.documents += 1;
        }
    }
    drop_parts(&mut all);
    let n_shared = all.values().filter(|found| found.documents > 1).count();
    if n_shared >= MIN_PHRASES {
        all.retain(|_, found| found.documents > 1);
    }
    let mut all: Vec<(String, Found)> = all.into_iter().collect();
    all.sort_unstable_by(|a, b| b.1.weight.total_cmp(&a.1.weight).then(a.0.cmp(&b.0)));
    all.truncate(MAX_PHRASES);
    all
}

/// Drops Chinese phrases that hardly stand outside of a longer one: what `网页剪藏` is to `网页剪藏器`.
fn drop_parts(all: &mut HashMap<String, Found>) {
    let mut parts: Vec<String> = Vec::new();
    for (key, found) in all.iter() {
        let ends = key.chars().next().zip(key.chars().next_back());
        let Some((first, last)) = ends.filter(|(first, last)| is_cjk(*first) && is_cjk(*last))
        else {
            continue;
        };
        let within = [
            &key[first.len_utf8()..],
            &key[..key.len() - last.len_utf8()],
        ];
        let is_part = |part: &&str| {
            let own = all.get(*part);
            own.is_some_and(|own| found.weight >= PART_SHARE * own.weight)
        };
        parts.extend(within.into_iter().filter(is_part).map(str::to_owned));
    }
    for part in parts {
        all.remove(&part);
    }
}

/// What each phrase of a document counts: where it stands at best.
fn of_document(document: &TreeDocument) -> HashMap<String, (f32, String)> {
    let mut found: HashMap<String, (f32, String)> = HashMap::new();
    let mut take = |text: &str, weight: f32| {
        let mut all = phrases(text);
        let n_letters = || text.chars().filter(|own| own.is_alphabetic()).count();
        if all.is_empty() && weight == TITLE_WEIGHT && n_letters() > 2 {
            // A folder may be called `People`, which in a sentence names nothing.
            all.push(Phrase {
                key: text.to_lowercase(),
                written: text.to_owned(),
            });
        }
        for Phrase { key, written } in all {
            match found.get_mut(&key) {
                // A word is written in a text as it is elsewhere, in a title perhaps with a capital.
                Some(held) => held.1 = written,
                None => _ = found.insert(key, (weight, written)),
            }
        }
    };
    // From the heaviest place to the lightest.
    take(document.title, TITLE_WEIGHT);
    let folder = document.path.rsplit('/').nth(1);
    let tags = document.tags.iter().flat_map(|tag| tag.split('/'));
    for part in tags.chain(folder) {
        take(&part.replace(['-', '_'], " "), TITLE_WEIGHT);
    }
    let text = plain(&document.text());
    let text = &text[..word_boundary(&text, TEXT_BYTES)];
    let (lead, rest) = text.split_at(lead_end(text));
    take(lead, LEAD_WEIGHT);
    take(rest, TEXT_WEIGHT);
    found
}

/// Where the first sentence ends that is more than a heading.
fn lead_end(text: &str) -> usize {
    let [least, most] = LEAD_BYTES.map(|bytes| word_boundary(text, bytes));
    let ends = text[least..most].find(['.', '。', '!', '?', '！', '？']);
    ends.map_or(most, |at| least + at)
}

/// Where a text may be cut after at most `bytes` without halving a word.
fn word_boundary(text: &str, bytes: usize) -> usize {
    let end = text.floor_char_boundary(bytes);
    let joins = |own: char| own.is_alphanumeric() && !is_cjk(own);
    if !text[end..].starts_with(joins) {
        return end;
    }
    text[..end].trim_end_matches(joins).len()
}

/// One to three words in a row that could name something; of Chinese two to four characters.
pub fn phrases(text: &str) -> Vec<Phrase> {
    let mut found = Vec::new();
    for line in text.split([
        '\n', '.', ',', ';', ':', '(', ')', '!', '?', '"', '|', '，', '。', '、', '：', '；', '（',
        '）', '《', '》', '“', '”',
    ]) {
        if line.chars().any(is_cjk) {
            let runs = line.split(|own| !is_cjk(own) || JOINING_CHARACTERS.contains(own));
            runs.for_each(|run| character_phrases(run, &mut found));
            continue;
        }
        let words: Vec<Option<(&str, String)>> = line.unicode_words().map(naming_word).collect();
        for start in 0..words.len() {
            let row = words[start..]
                .iter()
                .take(MAX_WORDS)
                .map_while(Option::as_ref);
            let mut phrase = Phrase {
                key: String::new(),
                written: String::new(),
            };
            for (at, (word, singular)) in row.enumerate() {
                if at > 0 {
                    phrase.key.push(' ');
                    phrase.written.push(' ');
                }
                phrase.key.push_str(singular);
                phrase.written.push_str(word);
                found.push(phrase.clone());
            }
        }
    }
    found
}

/// A word and its singular in lower case, if it could name something.
fn naming_word(word: &str) -> Option<(&str, String)> {
    // Emphasis with underscores counts as part of a word.
    let word = word.trim_matches('_');
    let lower = word.to_lowercase();
    let names = lower.chars().count() > 2
        && !is_stop_word(&lower)
        && !is_number(&lower)
        && !lower.contains('\'');
    names.then(|| (word, singular(&lower)))
}

fn character_phrases(run: &str, found: &mut Vec<Phrase>) {
    let characters: Vec<char> = run.chars().collect();
    for length in 2..=MAX_CHARACTERS {
        let windows = characters.windows(length);
        let whole = windows.filter(|window| {
            !NO_FIRST_CHARACTERS.contains(window[0])
                && !NO_LAST_CHARACTERS.contains(window[length - 1])
        });
        for window in whole {
            let written: String = window.iter().collect();
            found.push(Phrase {
                key: written.clone(),
                written,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::OwnedDocument;

    #[test]
    fn phrases_are_words_in_a_row_that_name_something() {
        let check = |text: &str, expected: &[&str]| {
            let keys: Vec<String> = phrases(text).into_iter().map(|own| own.key).collect();
            assert_eq!(keys, expected, "{text}");
        };
        check("Rye breads", &["rye", "rye bread", "bread"]);
        check("_Oven_, the starter", &["oven", "starter"]);
        check("茶道的历史", &["茶道", "历史"]);
        check("有限元", &["有限", "限元", "有限元"]);
        check("数据库中", &["数据", "据库", "数据库"]);
    }

    #[test]
    fn a_chinese_phrase_within_a_longer_one_is_none() {
        let document = |own: &str| OwnedDocument {
            title: own.to_owned(),
            ..OwnedDocument::default()
        };
        let owned = ["网页剪藏器", "用网页剪藏器", "网页"].map(document);
        let documents: Vec<TreeDocument> = owned.iter().map(OwnedDocument::as_ref).collect();
        let mut phrases = Phrases::default();
        phrases.shares(&documents, &[vec![0, 1, 2]]);
        let is_known = |key| phrases.find(key).is_some();
        // What also stands alone stays.
        assert!(is_known("网页剪藏器") && is_known("网页"));
        assert!(!is_known("网页剪藏") && !is_known("剪藏"));
    }

    #[test]
    fn no_word_is_halved() {
        for (text, bytes, expected) in [
            ("by the author", 10, "by the "),
            ("by the author", 6, "by the"),
            ("by the author", 99, "by the author"),
            ("author", 3, ""),
            ("茶道的历史", 7, "茶道"),
        ] {
            assert_eq!(&text[..word_boundary(text, bytes)], expected);
        }
    }

    #[test]
    fn what_one_document_has_is_no_share() {
        let text = |own: &str| {
            let shared = "Basalt cools. Lava flows. Magma rises. Craters form. Ash falls.";
            format!("A long sentence of nothing that names it all {own}. {shared} Vents. {own}.")
        };
        let document = |own: &str| OwnedDocument {
            text: text(own),
            ..OwnedDocument::default()
        };
        let owned = [document("alone"), document("apart")];
        let documents: Vec<TreeDocument> = owned.iter().map(OwnedDocument::as_ref).collect();
        let mut phrases = Phrases::default();
        let shares = phrases.shares(&documents, &[vec![0, 1], vec![0]]);
        let mean = |shares: &Shares, key: &str| Some(shares.of(phrases.find(key)?)?.mean);
        assert_eq!(mean(&shares[0], "basalt"), Some(TEXT_WEIGHT));
        assert_eq!(mean(&shares[0], "alone"), None);
        // Of what one part has little is even.
        let joined = Shares::joined(&[(&shares[0], 2), (&Shares::default(), 2)]);
        let share = joined.of(phrases.find("basalt").expect("is known"));
        let share = share.expect("is shared");
        assert_eq!(
            (share.mean, share.even),
            (TEXT_WEIGHT / 2.0, TEXT_WEIGHT / 4.0)
        );
    }
}
