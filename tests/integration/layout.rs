//! What was encoded is what stands in the files.

use shas::{
    answer::file_of,
    corpus,
    model::config::{LAYOUT, MAX_PASSAGE_TOKENS},
    text::layout,
};

use crate::vault::{ENCODER, snapshot};

/// Tokenising the bytes of every stored span again gives the word pieces that were encoded.
#[test]
fn every_span_read_again_is_what_was_encoded() {
    let snapshot = snapshot();
    let mut checked = 0;
    for (index, record) in snapshot.body.documents.iter().enumerate() {
        let bytes = std::fs::read(file_of(&snapshot, record)).expect("reads");
        let text = String::from_utf8(bytes.clone()).expect("is text");
        let document = corpus::parse(&record.path, text);
        let layout = layout(&document, ENCODER.tokenizer(), &LAYOUT).expect("cuts");
        let passages = snapshot.passages_of(index);
        assert_eq!(passages.len(), layout.passages.len(), "{}", record.path);
        for (number, passage) in passages.zip(&layout.passages) {
            let (_, row) = snapshot.row_of(number);
            assert_eq!(row.span(), passage.span);
            let own = std::str::from_utf8(&bytes[row.span()]).expect("ends on characters");
            let again: Vec<u32> = ENCODER
                .tokenizer()
                .tokenize(own)
                .expect("tokenises")
                .iter()
                .map(|token| token.id)
                .collect();
            let encoded: Vec<u32> = passage.tokens.iter().map(|token| token.id).collect();
            assert_eq!(again, encoded, "{}: {own}", record.path);
            assert!(passage.prefix.len() + encoded.len() + 2 <= MAX_PASSAGE_TOKENS);
            let granules = usize::from(row.n_granules - row.n_prefix_granules);
            assert_eq!(granules, encoded.len().div_ceil(4));
            checked += 1;
        }
    }
    assert!(checked > 300, "{checked} passages");
}
