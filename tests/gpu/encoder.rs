//! The encoder on a GPU gives the processor's vectors and keys.

use std::path::Path;

use shas::{
    model::{Encoder, PassageEncoding, PassageInput, encoder_on},
    ops::granule_keys::KEY_BYTES,
};

use super::{Numbers, cosine, gpu};

const VECTORS: f32 = 0.999;
/// Keys are 4 bits a dimension, so that a step of one is a difference of its own.
const KEYS: f32 = 0.98;

/// The bundled model.
pub fn model() -> Encoder {
    Encoder::load(Path::new("assets/model")).expect("loads")
}

/// The codes of a granule key as numbers.
fn codes(key: &[u8]) -> Vec<f32> {
    let signed = |nibble: u8| f32::from((nibble << 4) as i8 >> 4);
    key.iter()
        .flat_map(|byte| [signed(byte & 15), signed(byte >> 4)])
        .collect()
}

/// Panics unless the encodings are near.
pub fn assert_same(own: &[PassageEncoding], expected: &[PassageEncoding]) {
    let (mut n_keys, mut sum) = (0, 0.0);
    for (at, (own, expected)) in own.iter().zip(expected).enumerate() {
        let near = cosine(&own.vector, &expected.vector);
        assert!(near >= VECTORS, "passage {at}: {near}");
        assert_eq!(own.n_prefix_granules, expected.n_prefix_granules);
        assert_eq!(own.keys.scales.len(), expected.keys.scales.len());
        let keys = own.keys.codes.chunks_exact(KEY_BYTES);
        for (own, expected) in keys.zip(expected.keys.codes.chunks_exact(KEY_BYTES)) {
            n_keys += 1;
            let near = cosine(&codes(own), &codes(expected));
            sum += if near.is_nan() { 1.0 } else { near };
        }
    }
    let mean = sum / n_keys as f32;
    assert!(mean >= KEYS, "keys: {mean}");
}

#[test]
fn encodings_are_the_processors() {
    let mut numbers = Numbers::new(3);
    // Word pieces that are words, in passages of every length.
    let passages: Vec<Vec<u32>> = (0..700)
        .map(|at| {
            let length = 1 + if at < 255 {
                at % 230
            } else {
                numbers.below(230)
            };
            (0..length)
                .map(|_| 1_996 + numbers.below(20_000) as u32)
                .collect()
        })
        .collect();
    let inputs: Vec<PassageInput> = passages
        .iter()
        .enumerate()
        .map(|(at, body)| PassageInput {
            prefix: &body[..if at % 3 == 0 { body.len().min(7) } else { 0 }],
            body,
        })
        .collect();
    let documents: Vec<&[PassageInput]> = inputs.chunks(9).collect();
    let expected = model().encode_documents(&documents).expect("runs").concat();
    let (encoder, missing) = encoder_on(&gpu(), model());
    assert!(missing.is_none(), "{missing:?}");
    let own = encoder.encode_documents(&documents).expect("runs").concat();
    assert_eq!(own.len(), expected.len());
    assert_same(&own, &expected);
    for _ in 0..20 {
        assert_eq!(
            encoder.encode_documents(&documents).expect("runs").concat(),
            own
        );
    }
}
