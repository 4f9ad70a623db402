//! The encoder on a GPU gives the processor's vectors and keys.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, Tensor};
use shas::{
    model::{
        Encoder, PassageEncoding, PassageInput, Precision,
        config::ModelConfig,
        encoder_on,
        global::{GLOBAL_AFTER_LAYERS, GlobalConfig, block_name},
        load_config, save,
    },
    ops::granule_keys::KEY_BYTES,
};

use super::{
    block,
    support::{Numbers, cosine, gpu},
};

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
    let precise = Encoder::load_with(Path::new("assets/model"), Precision::F32).expect("loads");
    let expected = precise.encode_documents(&documents).expect("runs").concat();
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

#[test]
fn global_blocks_are_the_processors() {
    check_blocks(1.0, [0.99, 0.99]);
}

/// Logits beyond what exponentials of single precision hold.
#[test]
fn hot_global_blocks_are_the_processors() {
    check_blocks(40.0, [0.98, 0.9]);
}

/// A document of passages of every length, and its encodings by the processor in f32 and by the GPU, where queries are
/// so many times as long as usual. A choice between two leaves may fall the other way, so that of the cosines the mean and
/// the least have bounds.
fn check_blocks(heat: f32, [mean_bound, least_bound]: [f32; 2]) {
    let config = GlobalConfig::default();
    let folder = tempfile::tempdir().expect("is made");
    save::copy_model(Path::new("assets/model"), folder.path()).expect("is copied");
    let shape = ModelConfig {
        global: Some(config.clone()),
        ..load_config(folder.path()).expect("is read")
    };
    save::config(&shape, folder.path()).expect("is written");
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (seed, layer) in GLOBAL_AFTER_LAYERS.into_iter().enumerate() {
        let mut own = block::weights(&config, seed as u64);
        own.query.iter_mut().for_each(|value| *value *= heat);
        let own = own.tensors(&config, 384, &Device::Cpu);
        for (name, tensor) in own.expect("have shapes") {
            tensors.insert(format!("{}.{name}", block_name(layer)), tensor);
        }
    }
    let file = folder.path().join(save::GLOBAL_FILE);
    candle_core::safetensors::save(&tensors, file).expect("is written");

    let mut numbers = Numbers::new(4);
    let passages: Vec<Vec<u32>> = [200, 3, 120, 254, 64, 17, 230, 1, 90]
        .iter()
        .map(|length| {
            (0..*length)
                .map(|_| 1_996 + numbers.below(20_000) as u32)
                .collect()
        })
        .collect();
    let inputs: Vec<PassageInput> = passages
        .iter()
        .map(|body| PassageInput { prefix: &[], body })
        .collect();
    let documents = [&inputs[..], &inputs[3..4], &inputs[4..7]];
    let load = || Encoder::load_with(folder.path(), Precision::F32).expect("loads");
    let expected = load().encode_documents(&documents).expect("runs").concat();
    let plain = model().encode_documents(&documents).expect("runs").concat();
    let changed = cosine(&plain[0].vector, &expected[0].vector);
    assert!(changed < 0.999, "the blocks change nothing: {changed}");
    let (encoder, missing) = encoder_on(&gpu(), load());
    assert!(missing.is_none(), "{missing:?}");
    let own = encoder.encode_documents(&documents).expect("runs").concat();
    let near: Vec<f32> = own
        .iter()
        .zip(&expected)
        .map(|(own, expected)| cosine(&own.vector, &expected.vector))
        .collect();
    let mean = near.iter().sum::<f32>() / near.len() as f32;
    assert!(mean >= mean_bound, "{near:?}");
    assert!(near.iter().all(|near| *near >= least_bound), "{near:?}");
    for _ in 0..20 {
        assert_eq!(
            encoder.encode_documents(&documents).expect("runs").concat(),
            own
        );
    }
}
