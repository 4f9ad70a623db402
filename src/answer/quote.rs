//! Quotes: the best sentences, each with a neighbour that belongs to it, near-duplicates merged.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::sentence::{ReadPassage, Sources};
use crate::store::Snapshot;

/// Quotes of which this share of the words is the same say the same.
const SAME: f32 = 0.6;

/// One sentence, or two that follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Quote {
    /// Index of the passage among those that were read.
    pub passage: usize,
    /// Index of the best sentence in it.
    pub sentence: usize,
    /// In the text of the document.
    pub span: Range<usize>,
    pub score: f32,
    /// Places that say nearly the same: index of the document, and first byte.
    pub also: Vec<(usize, usize)>,
}

/// How many quotes are taken.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub quotes: usize,
    pub from_one_document: usize,
    /// Quotes this much worse than the best are left out.
    pub below_best: f32,
    /// A neighbour joins a sentence where its score is less than this below.
    pub joined: f32,
}

/// Chooses quotes by the scores of sentences, `[n_passages][n_sentences]`, best first.
pub fn choose(
    snapshot: &Snapshot,
    passages: &[ReadPassage],
    scores: &[Vec<f32>],
    limits: &Limits,
    sources: &mut Sources,
) -> Vec<Quote> {
    let mut order: Vec<(usize, usize)> = scores
        .iter()
        .enumerate()
        .flat_map(|(passage, own)| (0..own.len()).map(move |sentence| (passage, sentence)))
        .collect();
    let score = |&(passage, sentence): &(usize, usize)| scores[passage][sentence];
    order.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.cmp(b)));
    let least = order.first().map_or(0.0, score) - limits.below_best;
    let mut used: HashSet<(usize, usize)> = HashSet::new();
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let mut quotes: Vec<Quote> = Vec::new();
    let mut words: Vec<HashSet<String>> = Vec::new();
    for own in order {
        let (passage, sentence) = own;
        let document = passages[passage].document;
        let count = taken.entry(document).or_default();
        if quotes.len() == limits.quotes || score(&own) < least {
            break;
        }
        if *count == limits.from_one_document || !used.insert(own) {
            continue;
        }
        let Some(source) = sources.of(snapshot, document) else {
            continue;
        };
        let sentences = &passages[passage].sentences;
        let neighbour = neighbour(&scores[passage], sentence, limits.joined);
        let neighbour = neighbour.filter(|&other| {
            let (first, second) = (sentence.min(other), sentence.max(other));
            let gap = sentences[first].span.end..sentences[second].span.start;
            follows(&source.text[gap]) && used.insert((passage, other))
        });
        let mut span = sentences[sentence].span.clone();
        if let Some(other) = neighbour {
            let other = &sentences[other].span;
            span = span.start.min(other.start)..span.end.max(other.end);
        }
        let own_words = words_of(&source.text[span.clone()]);
        let same = words.iter().position(|other| alike(other, &own_words));
        if let Some(same) = same {
            quotes[same].also.push((document, span.start));
            continue;
        }
        *count += 1;
        words.push(own_words);
        quotes.push(Quote {
            passage,
            sentence,
            span,
            score: score(&own),
            also: Vec::new(),
        });
    }
    quotes
}

/// The better of the sentences before and behind, where it is nearly as good.
fn neighbour(scores: &[f32], sentence: usize, joined: f32) -> Option<usize> {
    let beside = [sentence.checked_sub(1), Some(sentence + 1)];
    let beside = beside
        .into_iter()
        .flatten()
        .filter(|&other| other < scores.len());
    let best = beside.max_by(|&a, &b| scores[a].total_cmp(&scores[b]))?;
    (scores[best] > scores[sentence] - joined).then_some(best)
}

/// Whether what stands between two sentences leaves them in one paragraph.
fn follows(gap: &str) -> bool {
    gap.trim().is_empty() && gap.matches('\n').count() < 2
}

fn words_of(text: &str) -> HashSet<String> {
    let words = text.split(|own: char| !own.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn alike(a: &HashSet<String>, b: &HashSet<String>) -> bool {
    let shared = a.intersection(b).count() as f32;
    shared >= SAME * (a.len().min(b.len())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_joins_where_it_is_nearly_as_good() {
        let check = |scores: &[f32], sentence, expected| {
            assert_eq!(neighbour(scores, sentence, 1.0), expected, "{scores:?}");
        };
        check(&[0.0, 3.0, 2.5], 1, Some(2));
        check(&[2.6, 3.0, 2.5], 1, Some(0));
        check(&[0.0, 3.0, 2.0], 1, None);
        check(&[3.0], 0, None);
    }

    #[test]
    fn a_heading_or_a_blank_line_parts_sentences() {
        assert!(follows(" ") && follows("\n") && follows(""));
        assert!(!follows("\n\n") && !follows("\n## Rye\n"));
    }

    #[test]
    fn quotes_are_alike_that_share_most_words() {
        let check = |a, b, expected| {
            assert_eq!(alike(&words_of(a), &words_of(b)), expected, "{a} / {b}");
        };
        check("Bake it hot for an hour.", "Bake it for an hour!", true);
        check(
            "Bake it hot for an hour.",
            "Cool it down over night.",
            false,
        );
    }
}
