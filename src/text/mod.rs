//! What does the model read? Here is a document, gimme its sections and passages: [`Layout`].

mod passage;
mod sentence;
mod tokenizer;

use std::path::PathBuf;

pub use passage::{Layout, LayoutOptions, Passage, Section, context_prefix, layout};
pub use sentence::sentences;
pub use tokenizer::{Token, Tokenizer};

/// Why a text could not be turned into word pieces.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("cannot load the tokenizer {path}: {reason}; restore it from the release")]
    Load { path: PathBuf, reason: String },
    #[error("the tokenizer failed on this text: {0}")]
    Tokenize(String),
}
