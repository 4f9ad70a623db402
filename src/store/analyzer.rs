//! Terms of the text index: words in lower case, stemmed, without stop words; Chinese, Japanese and Korean
//! as pairs of characters.

use tantivy::tokenizer::{
    Language, LowerCaser, RemoveLongFilter, Stemmer, StopWordFilter, TextAnalyzer, Token,
    TokenStream, Tokenizer,
};

/// The name under which the analyzer is registered.
pub const ANALYZER: &str = "shas";

/// The analyzer of documents and questions alike.
pub fn analyzer() -> TextAnalyzer {
    let words = TextAnalyzer::builder(WordsAndPairs)
        .filter(RemoveLongFilter::limit(64))
        .filter(LowerCaser);
    match StopWordFilter::new(Language::English) {
        Some(stop_words) => words
            .filter(stop_words)
            .filter(Stemmer::new(Language::English))
            .build(),
        None => words.filter(Stemmer::new(Language::English)).build(),
    }
}

/// The terms of a text, in order.
pub fn stems(text: &str) -> Vec<String> {
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(text);
    let mut found = Vec::new();
    while stream.advance() {
        found.push(stream.token().text.clone());
    }
    found
}

/// Runs of letters and digits; runs of CJK characters as overlapping pairs (a lone one as itself).
#[derive(Clone, Default)]
struct WordsAndPairs;

struct Terms {
    tokens: std::vec::IntoIter<Token>,
    current: Token,
}

impl Tokenizer for WordsAndPairs {
    type TokenStream<'a> = Terms;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Terms {
        Terms {
            tokens: terms(text).into_iter(),
            current: Token::default(),
        }
    }
}

impl TokenStream for Terms {
    fn advance(&mut self) -> bool {
        match self.tokens.next() {
            Some(token) => {
                self.current = token;
                true
            }
            None => false,
        }
    }

    fn token(&self) -> &Token {
        &self.current
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.current
    }
}

fn terms(text: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    let mut run: Vec<(usize, char)> = Vec::new();
    let ended = text
        .char_indices()
        .chain(std::iter::once((text.len(), ' ')));
    for (at, character) in ended {
        let joins = character.is_alphanumeric()
            && run
                .last()
                .is_none_or(|&(_, last)| is_cjk(last) == is_cjk(character));
        if !joins {
            push_run(&run, at, text, &mut found);
            run.clear();
        }
        if character.is_alphanumeric() {
            run.push((at, character));
        }
    }
    found
}

fn push_run(run: &[(usize, char)], end: usize, text: &str, found: &mut Vec<Token>) {
    let mut push = |from: usize, to: usize| {
        found.push(Token {
            offset_from: from,
            offset_to: to,
            position: found.len(),
            text: text[from..to].to_owned(),
            position_length: 1,
        });
    };
    match run {
        [] => {}
        [(first, character), ..] if run.len() == 1 || !is_cjk(*character) => push(*first, end),
        _ => {
            for index in 0..run.len() - 1 {
                push(run[index].0, run.get(index + 2).map_or(end, |next| next.0));
            }
        }
    }
}

fn is_cjk(character: char) -> bool {
    matches!(character as u32, 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_stemmed_and_chinese_is_paired() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(stems(text), expected, "{text}");
        };
        check(
            "The Volcanoes erupted, 1883!",
            &["volcano", "erupt", "1883"],
        );
        check("面包酵母 yeast", &["面包", "包酵", "酵母", "yeast"]);
        check("茶 tea茶杯", &["茶", "tea", "茶杯"]);
        check("", &[]);
    }
}
