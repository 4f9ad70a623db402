//! Whether a sentence stands in the passages that it cites: most of its words, and every number and name.
//!
//! A number or a name has to stand in the headings, or in a sentence of the passage that has other words of it, so that
//! what is said of something else is seldom taken. Both thresholds were picked from a grid of a dozen on the answers that
//! people wrote for CLAPnq (`cargo bench --bench written`): 95% of their sentences are kept beside their own passage, none
//! beside another by chance, 9% beside the one most like them; none with a number from nowhere, 29% with another number
//! of the passage, most of them from the same sentence. It compares words, not what they say: a sentence that turns its
//! source round in the source's own words passes.

use std::collections::HashSet;

use super::Evidence;
use crate::{store::stems, text::sentences};

/// The least share of a sentence's words that its passages have.
const LEAST: f32 = 0.6;
/// The least share of them that stands in the sentence that a number or a name is taken from.
const BESIDE: f32 = 0.25;
/// Letters from which on a word may stand for a longer one, as in Germany and German.
const LONG: usize = 4;
/// Numbers in words; "one" is seldom a number.
const NUMBERS: &[(&str, &str)] = &[
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
    ("eleven", "11"),
    ("twelve", "12"),
];

/// What became of a sentence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    /// The share of its words that stand there.
    pub share: f32,
    /// Why it is not supported; none where it is.
    pub fault: Option<String>,
}

/// What of a text is compared.
struct Words {
    terms: HashSet<String>,
    numbers: HashSet<String>,
}

/// Checks a sentence without its citations against the passages that it cites.
pub fn check(sentence: &str, cited: &[&Evidence]) -> Check {
    let own = Words::of(sentence);
    let headings = cited.iter().map(|evidence| Words::of(&evidence.headings));
    let headings: Vec<Words> = headings.collect();
    let passages: Vec<Words> = cited.iter().flat_map(|evidence| parts(evidence)).collect();
    let all: Vec<&Words> = headings.iter().chain(&passages).collect();
    let beside = passages.iter().filter(|part| part.share_of(&own) >= BESIDE);
    let beside: Vec<&Words> = headings.iter().chain(beside).collect();
    let held = own
        .terms
        .iter()
        .filter(|term| all.iter().any(|part| part.has(term)));
    let share = held.count() as f32 / own.terms.len().max(1) as f32;
    let place = |has: &dyn Fn(&Words) -> bool| {
        let is_in = |parts: &[&Words]| parts.iter().any(|part| has(part));
        (is_in(&all), is_in(&beside))
    };
    let numbers = own.numbers.iter();
    let numbers = numbers.map(|own| (own.clone(), place(&|part| part.numbers.contains(own))));
    let names = names(sentence).into_iter();
    let names = names.map(|(name, stem)| (name, place(&|part| part.has(&stem))));
    let fault = match numbers.chain(names).find(|&(_, (_, is_beside))| !is_beside) {
        Some((own, (true, _))) => Some(format!("“{own}” is said of something else there")),
        Some((own, (false, _))) => Some(format!("“{own}” does not stand there")),
        None if share < LEAST => Some(format!(
            "only {:.0}% of its words stand there",
            share * 100.0
        )),
        None => None,
    };
    Check { share, fault }
}

/// The words of each sentence of a passage.
fn parts(evidence: &Evidence) -> Vec<Words> {
    let spans = sentences(&evidence.text).into_iter();
    spans.map(|span| Words::of(&evidence.text[span])).collect()
}

impl Words {
    fn of(text: &str) -> Self {
        Self {
            terms: stems(text).into_iter().collect(),
            numbers: numbers(text),
        }
    }

    /// How much of another's terms stands here.
    fn share_of(&self, other: &Self) -> f32 {
        let held = other.terms.iter().filter(|term| self.has(term)).count();
        held as f32 / other.terms.len().max(1) as f32
    }

    /// Whether a term stands here, or one that only goes on after it or stops before its end.
    fn has(&self, term: &str) -> bool {
        let is_long = |own: &str| own.chars().count() >= LONG;
        self.terms.contains(term)
            || is_long(term)
                && self.terms.iter().any(|own| {
                    is_long(own) && (own.starts_with(term) || term.starts_with(own.as_str()))
                })
    }
}

/// Words with a capital, and their stems; the first of a sentence has one anyway.
fn names(sentence: &str) -> Vec<(String, String)> {
    let words = sentence.split(|own: char| !own.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty()).skip(1);
    let capital = words.filter(|word| word.starts_with(char::is_uppercase));
    capital
        .flat_map(|word| {
            let stems = stems(word).into_iter();
            stems.map(|stem| (word.to_owned(), stem))
        })
        .collect()
}

/// Numbers in digits, without separators of thousands and zeros in front.
fn numbers(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let words = text.split(|own: char| !own.is_alphanumeric() && !matches!(own, '.' | ','));
    for word in words {
        let lower = word.trim_matches(['.', ',']).to_lowercase();
        let in_words = NUMBERS.iter().find(|(name, _)| *name == lower);
        found.extend(in_words.map(|(_, digits)| (*digits).to_owned()));
        let parts = lower.split(|own: char| !own.is_ascii_digit() && !matches!(own, '.' | ','));
        let digits = parts.map(|part| part.trim_matches(['.', ',']).replace(',', ""));
        let digits = digits.filter(|own| !own.is_empty());
        found.extend(digits.map(|own| match own.trim_start_matches('0') {
            "" => "0".to_owned(),
            rest => rest.to_owned(),
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(text: &str) -> Evidence {
        Evidence {
            headings: "Krakatoa › Eruptions".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_sentence_stands_in_its_passage_or_the_fault_is_named() {
        let passage = evidence(
            "The volcano erupted on 27 August 1883. The waves killed at least 36,417 people in Germany's time. It was \
             heard 4,800 km away, on three islands. Much later, the sea was calm. A child of it rose from the sea. That \
             was in 1927.",
        );
        let check = |sentence: &str, fault: Option<&str>| {
            let found = check(sentence, &[&passage]);
            assert_eq!(found.fault.as_deref(), fault, "{sentence}");
        };
        check("Krakatoa erupted in August 1883.", None);
        check("Its waves killed 36417 people.", None);
        check("It was heard on 3 islands 4800 km away.", None);
        check("The waves killed German people.", None);
        check(
            "Krakatoa erupted in 1884.",
            Some("“1884” does not stand there"),
        );
        check(
            "The volcano erupted beside Java in 1883.",
            Some("“Java” does not stand there"),
        );
        check(
            "It blotted out sunsets worldwide with fine ash.",
            Some("only 0% of its words stand there"),
        );
        check(
            "The volcano erupted in August 1927 and killed many people.",
            Some("“1927” is said of something else there"),
        );
    }

    #[test]
    fn several_passages_support_a_sentence_together() {
        let (rye, wheat) = (
            evidence("Rye ripens in 90 days. It likes sand."),
            evidence("Wheat wants 120 days and loam."),
        );
        let sentence = "Rye ripens in 90 days, wheat wants 120.";
        assert_eq!(check(sentence, &[&rye, &wheat]).fault, None);
        assert!(check(sentence, &[&rye]).fault.is_some());
        assert!(check(sentence, &[]).fault.is_some());
    }

    #[test]
    fn numbers_are_read_as_they_are_meant() {
        let check = |text: &str, expected: &[&str]| {
            let expected = expected.iter().map(|&own| own.to_owned()).collect();
            assert_eq!(numbers(text), expected, "{text}");
        };
        check("1,000 of 3.5 kg, in 2012.", &["1000", "3.5", "2012"]);
        check("the 20th, the 1990s, 05:30", &["20", "1990", "5", "30"]);
        check("Seven of twelve, one of nought: 0", &["7", "12", "0"]);
        check("温度是37度", &["37"]);
    }
}
