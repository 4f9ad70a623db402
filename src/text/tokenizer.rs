//! WordPiece with byte offsets into the source.

use std::{collections::HashMap, path::Path};

use ahash::AHashMap;
use serde::Deserialize;
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, models::wordpiece::WordPiece,
};

use super::TextError;

/// One word piece and the bytes that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub id: u32,
    /// First byte, on a character border.
    pub start: u32,
    /// One past the last byte, on a character border.
    pub end: u32,
}

/// The tokenizer of the trunk.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

/// What is read of `tokenizer.json`; what it says of truncation, padding and templates is left aside.
#[derive(Deserialize)]
struct Stored {
    added_tokens: Vec<AddedToken>,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    model: StoredModel,
}

#[derive(Deserialize)]
struct StoredModel {
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

impl Tokenizer {
    /// Loads a `tokenizer.json` that holds a WordPiece model.
    ///
    /// The file's own reader takes 50 ms, nearly all of it to find out which kind of model the vocabulary is.
    pub fn from_file(path: &Path) -> Result<Self, TextError> {
        let load = || -> Result<Self, tokenizers::Error> {
            let stored: Stored = serde_json::from_slice(&std::fs::read(path)?)?;
            let model = WordPiece::builder()
                .vocab(stored.model.vocab.into_iter().collect::<AHashMap<_, _>>())
                .unk_token(stored.model.unk_token)
                .continuing_subword_prefix(stored.model.continuing_subword_prefix)
                .max_input_chars_per_word(stored.model.max_input_chars_per_word)
                .build()?;
            let mut inner = tokenizers::Tokenizer::new(model);
            inner.with_normalizer(stored.normalizer)?;
            inner.with_pre_tokenizer(stored.pre_tokenizer);
            inner.add_special_tokens(stored.added_tokens)?;
            Ok(Self { inner })
        };
        load().map_err(|error| TextError::Load {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    /// The ids of the word pieces of `text`, in order.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, TextError> {
        let tokens = self.tokenize(text)?;
        Ok(tokens.iter().map(|token| token.id).collect())
    }

    /// Word pieces of `text` without special tokens, in order.
    pub fn tokenize(&self, text: &str) -> Result<Vec<Token>, TextError> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|error| TextError::Tokenize(error.to_string()))?;
        let pieces = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(pieces
            .map(|(&id, &(start, end))| Token {
                id,
                start: text.floor_char_boundary(start) as u32,
                end: text.ceil_char_boundary(end) as u32,
            })
            .collect())
    }
}
