//! WordPiece with byte offsets into the source.

use std::path::Path;

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

impl Tokenizer {
    /// Loads `tokenizer.json`; the truncation and padding that it may ask for are switched off.
    pub fn from_file(path: &Path) -> Result<Self, TextError> {
        let load = || {
            let mut inner = tokenizers::Tokenizer::from_file(path)?;
            inner.with_truncation(None)?.with_padding(None);
            Ok(Self { inner })
        };
        load().map_err(|error: tokenizers::Error| TextError::Load {
            path: path.to_owned(),
            reason: error.to_string(),
        })
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
