//! What the check of written sentences lets pass, on answers that people wrote from passages.
//!
//! `cargo bench --bench written -- clapnq-dev.json` takes the sentences of the answers in their writers' own words and
//! checks each against its own passage, against another by chance, and against the one of all others that has most of
//! its words; then with a number that stands elsewhere in its passage or nowhere, and with another name of its passage.
//! Beside the check: the share of words alone, over the same sentences.

use std::{collections::HashSet, error::Error};

use serde_json::Value;
use shas::{
    answer::{Evidence, check},
    store::stems,
    text::sentences,
};

/// A sentence and the passage that it is checked against.
type Pair = (String, Evidence);

fn main() -> Result<(), Box<dyn Error>> {
    let Some(path) = std::env::args().skip(1).find(|own| !own.starts_with('-')) else {
        println!("give a set with answers in their writers' own words: clapnq-dev.json");
        return Ok(());
    };
    let set: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let (own, passages) = read(&set);
    let words: Vec<HashSet<String>> = passages
        .iter()
        .map(|own| stems(&own.text).into_iter().collect())
        .collect();
    let others = |pick: &dyn Fn(usize, &Pair) -> usize| -> Vec<Pair> {
        let pairs = own.iter().enumerate();
        pairs
            .map(|(at, pair)| (pair.0.clone(), passages[pick(at, pair)].clone()))
            .collect()
    };
    let foreign = |at: usize, pair: &Pair| {
        let at = (at * 7919 + 13) % passages.len();
        match passages[at] == pair.1 {
            true => (at + 1) % passages.len(),
            false => at,
        }
    };
    let nearest = |_: usize, pair: &Pair| {
        let asked: HashSet<String> = stems(&pair.0).into_iter().collect();
        let rest = (0..passages.len()).filter(|&at| passages[at] != pair.1);
        let shared = |at: &usize| asked.intersection(&words[*at]).count();
        rest.max_by_key(shared).unwrap_or(0)
    };
    println!("{} sentences of {} passages", own.len(), passages.len());
    println!("                          check   words ≥ .4    .5    .6    .7    .8    sentences");
    report("their own passage", &own);
    report("another by chance", &others(&foreign));
    report("the most like of others", &others(&nearest));
    report(
        "a number from elsewhere",
        &swapped(&own, |pair| numbers(&pair.1.text)),
    );
    report(
        "a number from nowhere",
        &swapped(&own, |_| vec!["7351".to_owned()]),
    );
    report("another name", &renamed(&own));
    Ok(())
}

fn read(set: &Value) -> (Vec<Pair>, Vec<Evidence>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut pairs, mut passages) = (Vec::new(), Vec::new());
    for article in list(&set["data"]) {
        for paragraph in list(&article["paragraphs"]) {
            let passage = Evidence {
                headings: text(&article["title"]),
                text: text(&paragraph["context"]),
            };
            for question in list(&paragraph["qas"]) {
                for answer in list(&question["free_form_answers"]) {
                    let answer = text(&answer);
                    let spans = sentences(&answer).into_iter();
                    pairs.extend(spans.map(|own| (answer[own].to_owned(), passage.clone())));
                }
            }
            passages.push(passage);
        }
    }
    // Crumbs of a few words say nothing of their own.
    pairs.retain(|(sentence, _)| stems(sentence).len() > 2);
    (pairs, passages)
}

fn numbers(text: &str) -> Vec<String> {
    let words = text.split(|own: char| !own.is_ascii_digit());
    words
        .filter(|own| own.len() > 1)
        .map(str::to_owned)
        .collect()
}

fn names(text: &str) -> Vec<String> {
    let words = text.split(|own: char| !own.is_alphanumeric());
    let words = words.filter(|own| own.len() > 3).skip(1);
    let names = words.filter(|own| own.starts_with(char::is_uppercase));
    names.map(str::to_owned).collect()
}

/// Each sentence with its first number replaced by one that it does not have.
fn swapped(pairs: &[Pair], others: impl Fn(&Pair) -> Vec<String>) -> Vec<Pair> {
    let pairs = pairs.iter().filter_map(|pair| {
        let own = numbers(&pair.0);
        let other = others(pair)
            .into_iter()
            .find(|other| !own.contains(other))?;
        Some((pair.0.replacen(own.first()?, &other, 1), pair.1.clone()))
    });
    pairs.collect()
}

/// Each sentence with its first name replaced by one of its passage that it does not have.
fn renamed(pairs: &[Pair]) -> Vec<Pair> {
    let pairs = pairs.iter().filter_map(|pair| {
        let own = names(&pair.0);
        let mut others = names(&pair.1.text).into_iter();
        let other = others.find(|other| !pair.0.contains(other))?;
        Some((pair.0.replacen(own.first()?, &other, 1), pair.1.clone()))
    });
    pairs.collect()
}

fn report(name: &str, pairs: &[Pair]) {
    let checks: Vec<_> = pairs
        .iter()
        .map(|(sentence, passage)| check(sentence, &[passage]))
        .collect();
    let share = |passes: &dyn Fn(&shas::answer::Check) -> bool| {
        checks.iter().filter(|own| passes(own)).count() as f64 / checks.len().max(1) as f64
    };
    print!(
        "{name:24} {:>7.3}       ",
        share(&|own| own.fault.is_none())
    );
    for least in [0.4, 0.5, 0.6, 0.7, 0.8] {
        print!("{:>6.3}", share(&|own| own.share >= least));
    }
    println!("{:>13}", pairs.len());
}
