//! Summaries: of the first sentences of a node's most central documents, the one that says most of what all share.

use std::collections::BTreeSet;

use unicode_segmentation::UnicodeSegmentation;

use super::{
    TreeDocument,
    phrases::{Phrases, Shares, TEXT_BYTES, phrases},
    words::{is_cjk, plain},
};
use crate::{ops::similarity::product, text::sentences};

/// Documents that a summary is looked for in, and how many sentences of each.
const SUMMARY_DOCUMENTS: usize = 8;
const LEADING_SENTENCES: usize = 6;
/// First words of a sentence that needs what stands before it.
const LEANING_WORDS: [&str; 18] = [
    "it", "its", "this", "that", "these", "those", "they", "their", "he", "his", "she", "her",
    "we", "here", "so", "but", "and", "also",
];

/// A sentence of the documents nearest to `vector`; empty where none stands for itself.
pub fn summary(
    documents: &[TreeDocument],
    members: &[usize],
    vector: &[f32],
    (known, shares): (&Phrases, &Shares),
) -> String {
    let similarity = |own: usize| product(&documents[own].vector(), vector);
    let similar = members.iter().map(|&own| (similarity(own), own));
    let mut order: Vec<(f32, usize)> = similar.collect();
    order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    order.truncate(SUMMARY_DOCUMENTS);
    let weight = |sentence: &str| {
        let keys: BTreeSet<String> = phrases(sentence).into_iter().map(|own| own.key).collect();
        let shared = keys.iter().filter_map(|key| shares.of(known.find(key)?));
        let words = sentence.unicode_words().count().max(1) as f32;
        shared.map(|share| share.mean).sum::<f32>() / words.sqrt()
    };
    let mut best = (f32::MIN, String::new());
    for (_, own) in order {
        for sentence in leading_sentences(&plain(&documents[own].text())) {
            let weight = weight(&sentence);
            if weight > best.0 {
                best = (weight, sentence);
            }
        }
    }
    best.1
}

/// The first sentences of 40 to 240 characters that do not lean on one before.
fn leading_sentences(plain: &str) -> Vec<String> {
    let start = &plain[..plain.floor_char_boundary(TEXT_BYTES)];
    let sentences = sentences(start).into_iter().map(|range| {
        let words: Vec<&str> = start[range].split_whitespace().collect();
        words.join(" ")
    });
    let sums_up = |sentence: &String| {
        let length = sentence.chars().count() * if sentence.chars().any(is_cjk) { 3 } else { 1 };
        let ends = sentence.ends_with(['.', '!', '?', '。', '！', '？']);
        let first = sentence.unicode_words().next().unwrap_or("").to_lowercase();
        ends && (40..=240).contains(&length) && !LEANING_WORDS.contains(&first.as_str())
    };
    sentences.filter(sums_up).take(LEADING_SENTENCES).collect()
}
