//! What the write path asks of an encoder: a benchmark of the store brings a cheaper one.

use super::{Encoder, ModelError, PassageEncoding, PassageInput};
use crate::text::Tokenizer;

/// Passages that keep a CPU busy.
const CPU_PASSAGES: usize = 512;

/// Encodes the passages of documents.
pub trait PassageEncoder {
    /// The tokenizer that makes its inputs.
    fn tokenizer(&self) -> &Tokenizer;

    /// Two encoders with the same fingerprint give the same vectors.
    fn fingerprint(&self) -> &str;

    /// Passages that a call should bring at least, where there are so many.
    fn batch_passages(&self) -> usize {
        CPU_PASSAGES
    }

    /// Encodes the passages of documents, in order; no document sees another.
    ///
    /// # Errors
    /// When the model fails on them.
    fn encode_documents(
        &self,
        documents: &[&[PassageInput]],
    ) -> Result<Vec<Vec<PassageEncoding>>, ModelError>;
}

impl PassageEncoder for Encoder {
    fn tokenizer(&self) -> &Tokenizer {
        self.tokenizer()
    }

    fn fingerprint(&self) -> &str {
        self.fingerprint()
    }

    fn encode_documents(
        &self,
        documents: &[&[PassageInput]],
    ) -> Result<Vec<Vec<PassageEncoding>>, ModelError> {
        self.encode_documents(documents)
    }
}
