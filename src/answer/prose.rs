//! What of a passage can be quoted: its sentences, list items and rows of tables, without headings and bare markup.

use std::ops::Range;

use crate::text::sentences;

/// Shorter sentences, in bytes, are crumbs.
const MIN_BYTES: usize = 24;
/// The share of its bytes that a sentence's own words take at least, beside addresses and markup.
const MIN_WORDS: f32 = 0.6;

/// Byte ranges of what can be quoted, in order.
pub fn quotable(body: &str) -> Vec<Range<usize>> {
    let found = sentences(body).into_iter();
    let items = found.flat_map(|sentence| items(body, sentence));
    items.filter(|own| is_prose(&body[own.clone()])).collect()
}

/// A sentence parted where a line opens a list item, a row, a heading or a quote.
fn items(body: &str, sentence: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = sentence.start;
    let mut at = sentence.start;
    for line in body[sentence.clone()].split_inclusive('\n') {
        if at > start && opens_item(line) {
            parts.push(start..at);
            start = at;
        }
        at += line.len();
    }
    parts.push(start..sentence.end);
    let trimmed = parts.into_iter().map(|part| {
        let text = &body[part.clone()];
        part.start..part.start + text.trim_end().len()
    });
    trimmed.filter(|part| !part.is_empty()).collect()
}

fn opens_item(line: &str) -> bool {
    let line = line.trim_start();
    let digits = line.trim_start_matches(|own: char| own.is_ascii_digit());
    let is_numbered =
        digits.len() < line.len() && (digits.starts_with(". ") || digits.starts_with(") "));
    is_numbered
        || ["- ", "* ", "+ ", "| ", "|", "#", "> "]
            .iter()
            .any(|mark| line.starts_with(mark))
}

fn is_prose(text: &str) -> bool {
    if text.len() < MIN_BYTES || text.starts_with('#') {
        return false;
    }
    let is_word = |word: &&str| {
        let is_markup = ["://", "<", ">", "`", "](", "%%", "="]
            .iter()
            .any(|mark| word.contains(mark));
        !is_markup && word.contains(char::is_alphanumeric)
    };
    let words = text
        .split_whitespace()
        .filter(is_word)
        .map(str::len)
        .sum::<usize>();
    words as f32 >= MIN_WORDS * text.split_whitespace().map(str::len).sum::<usize>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[&str]) {
        let found: Vec<&str> = quotable(body).into_iter().map(|own| &body[own]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn list_items_and_rows_are_quoted_alone() {
        check(
            "# Bread\n\nIt rises for two hours in warmth:\n- at home in the oven, switched off\n- in bakeries in a \
             proofing cabinet\n\n| pH 4 | the enzyme is crippled there |\n| pH 7 | the enzyme runs freely there |",
            &[
                "It rises for two hours in warmth:",
                "- at home in the oven, switched off",
                "- in bakeries in a proofing cabinet",
                "| pH 4 | the enzyme is crippled there |",
                "| pH 7 | the enzyme runs freely there |",
            ],
        );
    }

    #[test]
    fn bare_markup_is_not_quoted() {
        check(
            "<span class=\"footer\">[Edit](https://example.com/a/very/long/address)</span>",
            &[],
        );
        check("Too short.", &[]);
        check(
            "面包需要时间，酵母也需要时间和温度。",
            &["面包需要时间，酵母也需要时间和温度。"],
        );
        check(
            "See [the page](https://a.b) on how rye is kept alive for years.",
            &["See [the page](https://a.b) on how rye is kept alive for years."],
        );
    }
}
