//! The encoder against an independent computation of the same weights.

use serde::Deserialize;
use shas::model::{Encoder, PassageInput, Precision};

use crate::vault::{ENCODER, corpus, project};

#[derive(Deserialize)]
struct Text {
    path: String,
    text: String,
}

/// `trunk_f32.py` beside the fixture made the vectors, in f32.
#[test]
fn vectors_agree_with_an_independent_model() {
    let fixtures = project().join("tests/fixtures");
    let lines = std::fs::read_to_string(fixtures.join("trunk_f32.jsonl")).expect("reads");
    let texts: Vec<Text> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("parses"))
        .collect();
    let bytes = std::fs::read(fixtures.join("trunk_f32.safetensors")).expect("reads");
    let stored = safetensors::SafeTensors::deserialize(&bytes).expect("parses");
    let view = stored.tensor("vectors").expect("is there");
    assert_eq!(view.shape(), [100, 384]);
    assert_eq!(texts.len(), 100);
    let vectors: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")))
        .collect();
    let reference = Encoder::load_with(&project().join("assets/model"), Precision::F32);
    let reference = reference.expect("the model loads");
    let mut sum = 0.0;
    for (text, original) in texts.iter().zip(vectors.chunks_exact(384)) {
        let note = std::fs::read_to_string(corpus().join(&text.path)).expect("reads");
        assert!(
            note.contains(&text.text),
            "{} has changed; run trunk_f32.py again",
            text.path
        );
        let tokens = ENCODER.tokenizer().tokenize(&text.text).expect("tokenises");
        let body: Vec<u32> = tokens.iter().take(254).map(|token| token.id).collect();
        let input = PassageInput {
            prefix: &[],
            body: &body,
        };
        let cosine = |encoder: &Encoder| -> f32 {
            let encoding = encoder.encode(&[input]).expect("encodes").remove(0);
            let pairs = encoding.vector.iter().zip(original);
            pairs.map(|(a, b)| a * b).sum()
        };
        let (f32, int8) = (cosine(&reference), cosine(&ENCODER));
        assert!(f32 >= 0.9999, "{f32} for {}: {}", text.path, text.text);
        assert!(int8 >= 0.99, "{int8} for {}: {}", text.path, text.text);
        sum += int8;
    }
    assert!(
        sum / texts.len() as f32 >= 0.997,
        "{sum} of {}",
        texts.len()
    );
}

#[test]
fn the_shipped_fingerprint_is_that_of_the_files() {
    let folder = project().join("assets/model");
    let own = shas::model::fingerprint(&folder).expect("the files can be read");
    assert_eq!(ENCODER.fingerprint(), own);
}

/// Passages of one batch must not see each other.
#[test]
fn a_passage_is_encoded_the_same_alone_and_in_company() {
    let body = |text: &str| -> Vec<u32> {
        let tokens = ENCODER.tokenizer().tokenize(text).expect("tokenises");
        tokens.iter().map(|token| token.id).collect()
    };
    let bodies = [
        body("A reed pipe has a brass tongue."),
        body("Rye."),
        body("Mars is best seen near opposition, every 26 months, when it rises as the Sun sets."),
    ];
    let inputs = bodies
        .each_ref()
        .map(|body| PassageInput { prefix: &[], body });
    let together = ENCODER.encode(&inputs).expect("encodes");
    for (input, shared) in inputs.iter().zip(&together) {
        let alone = ENCODER.encode(&[*input]).expect("encodes").remove(0);
        let cosine: f32 = alone
            .vector
            .iter()
            .zip(&shared.vector)
            .map(|(a, b)| a * b)
            .sum();
        assert!(cosine > 0.99999, "{cosine}");
        assert_eq!(alone.keys.len(), input.body.len().div_ceil(4));
    }
}
