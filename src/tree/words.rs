//! Markdown as plain words: what naming and lexical vectors count.

use std::{collections::HashSet, sync::LazyLock};

use unicode_segmentation::UnicodeSegmentation;

/// Words that name nothing.
const STOP_WORDS: &str = " a about above after again all also although always am among an and another any are around as at away back be became because become been before behind being below between both but by call came can cannot come could day did do does doing done down during each either else enough even ever every few find first for found four from get give given go goes going gone good got great had has have having he her here herself him himself his how however i if in indeed into is it its itself just keep kept know large last later least left less let like long made make many may me might more most much must my near need never new next no nor not note notes now number of off often old on once one only or other others our out over own page part people per perhaps place put quite rather really same say see seem seen set several she should show side since small so some something still such take than that the their them themselves then there these they thing things this those though three through thus to together too toward two under until up upon us use used uses using usually very was way we well were what when where whether which while who whole whom whose why will with within without work would year years yet you your ";

/// True for a word that names nothing.
pub fn is_stop_word(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> =
        LazyLock::new(|| STOP_WORDS.split_whitespace().collect());
    WORDS.contains(word)
}

/// `text` without front matter, comments, code, markup and addresses; link texts stay.
pub fn plain(text: &str) -> String {
    let body = match text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---"))
    {
        Some((_, body)) => body,
        None => text,
    };
    let mut plain = String::with_capacity(body.len());
    let mut in_code = false;
    for line in without_comments(body).lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && !line.starts_with('|') {
            plain.push_str(&without_addresses(&plain_line(line)));
            plain.push('\n');
        }
    }
    plain
}

/// A text without what stands between the marks of HTML's and of Obsidian's comments.
fn without_comments(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '%']) {
        let (before, after) = rest.split_at(at);
        shown.push_str(before);
        let comment = enclosed(after, "<!--", "-->").map(|inner| inner.len() + 7);
        let comment = comment.or_else(|| Some(enclosed(after, "%%", "%%")?.len() + 4));
        if comment.is_none() {
            shown.push_str(&after[..1]);
        }
        rest = &after[comment.unwrap_or(1)..];
    }
    shown.push_str(rest);
    shown
}

/// A line without bare addresses of the web and of mail.
fn without_addresses(line: &str) -> String {
    let words = line.split_inclusive(' ');
    words
        .filter(|word| !word.contains("://") && !word.contains('@'))
        .collect()
}

fn plain_line(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.trim_start_matches(['#', '>', '-', '*', ' ', '\t']);
    while let Some(at) = rest.find(['[', '<', '`', '*', '$', '^']) {
        plain.push_str(&rest[..at]);
        let after = &rest[at..];
        let (shown, length) = if let Some(inner) = enclosed(after, "[[", "]]") {
            (inner.rsplit('|').next().unwrap_or(inner), inner.len() + 4)
        } else if let Some(inner) = enclosed(after, "[", "]") {
            let address = enclosed(&after[inner.len() + 2..], "(", ")");
            (
                inner.trim_start_matches('!'),
                inner.len() + 2 + address.map_or(0, |address| address.len() + 2),
            )
        } else if let Some(inner) = enclosed(after, "<", ">") {
            ("", inner.len() + 2)
        } else {
            ("", 1)
        };
        plain.push_str(shown);
        rest = &after[length..];
    }
    plain.push_str(rest);
    plain
}

fn enclosed<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    text.strip_prefix(open)?
        .split_once(close)
        .map(|(inner, _)| inner)
}

/// Words in lower case, with plural endings cut; Chinese as pairs of characters.
pub fn terms(plain: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut before: Option<char> = None;
    for word in plain.unicode_words() {
        let character = word.chars().next().filter(|character| is_cjk(*character));
        if let (Some(before), Some(character)) = (before, character) {
            terms.push([before, character].iter().collect());
        }
        before = character;
        let lower = word.to_lowercase();
        if character.is_none()
            && lower.chars().count() > 2
            && !is_stop_word(&lower)
            && !is_number(&lower)
        {
            terms.push(singular(&lower));
        }
    }
    terms
}

/// A word without its plural ending.
pub fn singular(word: &str) -> String {
    match (word.strip_suffix("ies"), word.strip_suffix('s')) {
        (Some(stem), _) if stem.len() > 2 => format!("{stem}y"),
        (_, Some(stem)) if stem.len() > 3 && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word.to_owned(),
    }
}

/// True when a word starts with a digit or holds none but digits and marks.
pub fn is_number(word: &str) -> bool {
    word.starts_with(|character: char| character.is_ascii_digit())
}

pub fn is_cjk(character: char) -> bool {
    matches!(character as u32, 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// The share of CJK characters among the letters of a text.
pub fn cjk_share(text: &str) -> f32 {
    let letters = text.chars().filter(|character| character.is_alphabetic());
    let (cjk, all) = letters.fold((0u32, 0u32), |(cjk, all), letter| {
        (cjk + u32::from(is_cjk(letter)), all + 1)
    });
    cjk as f32 / all.max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_no_word() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(terms(&plain(text)), expected, "{text}");
        };
        check(
            "---\ntags: x\n---\n# Rye breads\nA [[Sour dough|starter]] **rises**.",
            &["rye", "bread", "starter", "rise"],
        );
        check(
            "```\ncode\n```\n[shown](http://a.b/c) <b>bold</b> (https://c.d/e) crust",
            &["shown", "bold", "crust"],
        );
        check(
            "%% Begin: %%\nCrust <!-- not\nthis --> is 5% of <i>bread</i> %% or\nmore %%, and 10%% open",
            &["crust", "bread", "open"],
        );
        check("Galaxies, lens and series", &["galaxy", "lens", "sery"]);
        check("茶道历史", &["茶道", "道历", "历史"]);
    }
}
