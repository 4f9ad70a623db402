//! Sentence borders: Unicode's, mended where an abbreviation or an initial only looks like an end.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Words before a full stop that seldom end a sentence, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "e.g", "i.e", "etc", "cf", "vs", "ca", "approx", "dr", "mr", "mrs", "ms", "prof", "st", "no",
    "fig", "figs", "eq", "vol", "pp", "p", "al", "ed", "eds", "jr", "sr", "op", "resp",
];

/// Byte ranges of the sentences of `text`, trimmed, none empty.
///
/// A single line break inside a paragraph is no border; a blank line is.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for paragraph in paragraphs(text) {
        let part = &text[paragraph.clone()];
        // Unicode ends a sentence at every line break; hard-wrapped text needs them read as spaces.
        let unwrapped: String = part
            .chars()
            .map(|character| {
                if character == '\n' || character == '\r' {
                    ' '
                } else {
                    character
                }
            })
            .collect();
        let mut open: Option<usize> = None;
        for (start, piece) in unwrapped.split_sentence_bound_indices() {
            let first = open.take().unwrap_or(start);
            let end = start + piece.len();
            if only_looks_ended(&unwrapped[first..end], &unwrapped[end..]) {
                open = Some(first);
            } else {
                found.extend(trimmed(
                    text,
                    paragraph.start + first..paragraph.start + end,
                ));
            }
        }
        if let Some(first) = open {
            found.extend(trimmed(text, paragraph.start + first..paragraph.end));
        }
    }
    found
}

/// The range without white space at its ends, unless nothing is left.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    let end = start + part.trim().len();
    (start < end).then_some(start..end)
}

fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            found.push(start..at);
            start = at + line.len();
        }
        at += line.len();
    }
    found.push(start..text.len());
    found.retain(|range| !range.is_empty());
    found
}

/// Whether what follows still belongs to the sentence.
fn only_looks_ended(sentence: &str, rest: &str) -> bool {
    if rest.is_empty() {
        return false;
    }
    // A mark amid letters is part of an address: `?id=` ends nothing.
    if sentence.ends_with(['?', '!']) && rest.starts_with(|own: char| own.is_ascii_alphanumeric()) {
        return true;
    }
    let Some(stem) = sentence.trim_end().strip_suffix('.') else {
        return false;
    };
    let word = stem
        .rsplit(|character: char| character.is_whitespace() || "([\"“".contains(character))
        .next()
        .unwrap_or("");
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    is_initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = sentences(text)
            .into_iter()
            .map(|range| &text[range])
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        check("One here. Two there!", &["One here.", "Two there!"]);
        check(
            "Dr. A. Smith paid 3.5 kg, e.g. of salt. Done.",
            &["Dr. A. Smith paid 3.5 kg, e.g. of salt.", "Done."],
        );
        check(
            "A line\nwrapped here. Next\none.",
            &["A line\nwrapped here.", "Next\none."],
        );
        check("No stop\n\nNew paragraph", &["No stop", "New paragraph"]);
        check(
            "面包需要时间。酵母也是！对吗？",
            &["面包需要时间。", "酵母也是！", "对吗？"],
        );
        check("  \n\n ", &[]);
        check(
            "See [it](obsidian://show?id=git!x). Why? Because.",
            &["See [it](obsidian://show?id=git!x).", "Why?", "Because."],
        );
        check("真的?是的", &["真的?", "是的"]);
    }
}
