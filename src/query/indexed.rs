//! What of a passage's text was indexed: its word pieces as the encoder saw them.

use std::ops::Range;

use crate::{
    corpus,
    model::granule::GRANULE_TOKENS,
    store::Snapshot,
    text::{TextError, Token, Tokenizer},
};

/// A passage's text and word pieces.
pub struct IndexedText {
    /// What of its text is no comment.
    pub parts: Vec<Range<usize>>,
    pub tokens: Vec<Token>,
}

impl IndexedText {
    /// Reads what was indexed of `body`, the text of a passage; the number of its granules tells whether that is all of
    /// it, or only what its format takes for text.
    pub fn read(
        snapshot: &Snapshot,
        passage: usize,
        body: &str,
        tokenizer: &Tokenizer,
    ) -> Result<Self, TextError> {
        let row = snapshot.row_of(passage).1;
        let n_granules = row.granules().len() - usize::from(row.n_prefix_granules);
        let path = &snapshot.body.documents[snapshot.document_of(passage)].path;
        let all = 0..body.len();
        let whole = Self::of(body, vec![all], tokenizer)?;
        if whole.n_granules() == n_granules {
            return Ok(whole);
        }
        let blocks = corpus::parse(path, body.to_owned()).blocks.into_iter();
        let parsed = Self::of(body, blocks.map(|block| block.span).collect(), tokenizer)?;
        match parsed.n_granules() == n_granules {
            true => Ok(parsed),
            false => Ok(whole),
        }
    }

    fn of(body: &str, parts: Vec<Range<usize>>, tokenizer: &Tokenizer) -> Result<Self, TextError> {
        let mut tokens = Vec::new();
        for part in &parts {
            let offset = part.start as u32;
            let own = tokenizer.tokenize(&body[part.clone()])?.into_iter();
            tokens.extend(own.map(|token| Token {
                start: token.start + offset,
                end: token.end + offset,
                ..token
            }));
        }
        Ok(Self { parts, tokens })
    }

    fn n_granules(&self) -> usize {
        self.tokens.len().div_ceil(GRANULE_TOKENS)
    }
}
