//! Answers without a question: what a sentence shares with the text around it (recurring spans; Ram et al., 2021,
//! “Few-Shot Question Answering by Pretraining Span Selection”).
//!
//! A sentence is taken out of its passage and a run of words that recurs there is hidden in it; the sentence asks, the
//! run answers.

use std::ops::Range;

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{
    batch::{SpanQuestion, places},
    examples::ExamplePassage,
};
use crate::model::config::MASK_TOKEN;

/// Words of an answer, at most.
const MAX_WORDS: usize = 5;
/// What recurs more often says little.
const MAX_PLACES: usize = 4;
/// Word pieces of the sentence that are left on either side of what is hidden.
const SIDE: Range<usize> = 4..21;
/// Letters of a word that can begin or end an answer.
const CONTENT_LETTERS: usize = 4;

/// A word of a passage.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Its word pieces in the body.
    pub pieces: Range<usize>,
    pub kind: WordKind,
}

/// What a word can be in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WordKind {
    /// Stands inside of one.
    Function,
    /// Begins or ends one.
    Content,
    /// Is one.
    Name,
}

/// The words of a text, in bytes: runs of letters and digits.
pub fn words(text: &str) -> Vec<(Range<usize>, WordKind)> {
    let mut words = Vec::new();
    let mut opens_sentence = true;
    let mut rest = 0;
    while let Some(start) = text[rest..].find(char::is_alphanumeric) {
        let start = rest + start;
        opens_sentence |= text[rest..start].contains(['.', '!', '?', '\n', '"', '“']);
        let length = text[start..].find(|own: char| !own.is_alphanumeric());
        rest = length.map_or(text.len(), |length| start + length);
        let word = &text[start..rest];
        let kind = match word.chars().next() {
            Some(first) if first.is_numeric() => WordKind::Name,
            Some(first) if first.is_uppercase() && !opens_sentence => WordKind::Name,
            _ if word.chars().count() >= CONTENT_LETTERS => WordKind::Content,
            _ => WordKind::Function,
        };
        words.push((start..rest, kind));
        opens_sentence = false;
    }
    words
}

/// A sentence of `passage` as a question, where one shares anything with the rest.
pub fn recurring(passage: &ExamplePassage, random: &mut StdRng) -> Option<SpanQuestion> {
    let sentence = passage.sentences.choose(random)?.clone();
    let answers = shared(passage, &sentence);
    let (answer, places) = answers.choose(random)?.clone();
    let mut side = || random.random_range(SIDE);
    let first = answer.start.saturating_sub(side()).max(sentence.start);
    let last = (answer.end + side()).min(sentence.end);
    let body = &passage.body;
    let question = [
        &body[first..answer.start],
        &[MASK_TOKEN],
        &body[answer.end..last],
    ];
    let moved = |place: Range<usize>| match place.start < sentence.start {
        true => place,
        false => place.start - sentence.len()..place.end - sentence.len(),
    };
    Some(SpanQuestion {
        question: question.concat(),
        prefix: passage.prefix.clone(),
        body: [&body[..sentence.start], &body[sentence.end..]].concat(),
        answers: places.into_iter().map(moved).collect(),
    })
}

/// The longest runs of words of a sentence that recur outside of it, and where.
fn shared(
    passage: &ExamplePassage,
    sentence: &Range<usize>,
) -> Vec<(Range<usize>, Vec<Range<usize>>)> {
    let words = &passage.words;
    let inside =
        |word: &Word| sentence.start <= word.pieces.start && word.pieces.end <= sentence.end;
    let mut found = Vec::new();
    let mut from = words.partition_point(|word| word.pieces.start < sentence.start);
    while from < words.len() && inside(&words[from]) {
        let run = (1..=MAX_WORDS.min(words.len() - from))
            .rev()
            .find_map(|count| {
                let run = &words[from..from + count];
                let (first, last) = (&run[0], &run[count - 1]);
                let least = first.kind.min(last.kind);
                let answers = match count {
                    1 => least == WordKind::Name,
                    _ => least >= WordKind::Content,
                };
                let pieces = first.pieces.start..last.pieces.end;
                let places = match answers && inside(last) {
                    true => places_outside(passage, &pieces, sentence),
                    false => Vec::new(),
                };
                (1..=MAX_PLACES)
                    .contains(&places.len())
                    .then_some((count, (pieces, places)))
            });
        match run {
            Some((count, run)) => {
                found.push(run);
                from += count;
            }
            None => from += 1,
        }
    }
    found
}

/// Where a run of word pieces stands outside of a sentence, from the start of a word to the end of one.
fn places_outside(
    passage: &ExamplePassage,
    run: &Range<usize>,
    sentence: &Range<usize>,
) -> Vec<Range<usize>> {
    let words = &passage.words;
    let starts_word = |piece| {
        let found = words.binary_search_by_key(&piece, |word| word.pieces.start);
        found.is_ok()
    };
    let ends_word = |piece| {
        let found = words.binary_search_by_key(&piece, |word| word.pieces.end);
        found.is_ok()
    };
    let mut found = places(&passage.body[run.clone()], &passage.body);
    found.retain(|place| {
        let outside = place.end <= sentence.start || place.start >= sentence.end;
        outside && starts_word(place.start) && ends_word(place.end)
    });
    found
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// A passage whose word pieces are the words themselves, numbered.
    fn passage(text: &str) -> ExamplePassage {
        let mut known = Vec::new();
        let words: Vec<_> = words(text);
        let body = words.iter().map(|(span, _)| {
            let word = text[span.clone()].to_lowercase();
            let at = known.iter().position(|own| *own == word);
            at.unwrap_or_else(|| {
                known.push(word);
                known.len() - 1
            }) as u32
        });
        let body: Vec<u32> = body.collect();
        let pieces = words.iter().enumerate();
        let pieces = pieces.map(|(at, (_, kind))| Word {
            pieces: at..at + 1,
            kind: *kind,
        });
        ExamplePassage {
            words: pieces.collect(),
            body,
            ..ExamplePassage::default()
        }
    }

    #[test]
    fn what_a_sentence_shares_with_the_rest_answers_it() {
        let text = "The probe was built in Turin. It left for Saturn in May. Of all probes that were built in Turin, \
                    none went farther than Saturn did.";
        let mut passage = passage(text);
        passage.sentences.push(12..26);
        let found = shared(&passage, &(12..26));
        let runs: Vec<_> = found
            .iter()
            .map(|(run, places)| (run.clone(), &places[0]))
            .collect();
        assert_eq!(runs, [(17..20, &(3..6)), (24..25, &(9..10))]);
        assert!(found.iter().all(|(_, places)| places.len() == 1));
        for seed in 0..8 {
            let mut random = StdRng::seed_from_u64(seed);
            let own = recurring(&passage, &mut random).expect("asks");
            assert_eq!(own.body, passage.body[..12]);
            assert!(own.question.contains(&MASK_TOKEN));
            let answer = &own.body[own.answers[0].clone()];
            assert!(answer == &passage.body[17..20] || answer == &passage.body[24..25]);
        }
    }

    #[test]
    fn words_that_open_a_sentence_are_no_names() {
        let kinds = |text: &str| -> Vec<WordKind> {
            words(text).into_iter().map(|(_, kind)| kind).collect()
        };
        use WordKind::{Content, Function, Name};
        assert_eq!(
            kinds("They met Ada. In 1843"),
            [Content, Function, Name, Function, Name]
        );
    }

    #[test]
    fn places_behind_the_sentence_move_up() {
        let mut passage = passage("Once Rome was small. Then Rome grew");
        passage.sentences.push(0..4);
        let own = recurring(&passage, &mut StdRng::seed_from_u64(1)).expect("asks");
        assert_eq!(own.body, passage.body[4..]);
        assert_eq!((own.answers.len(), &own.answers[0]), (1, &(1..2)));
    }
}
