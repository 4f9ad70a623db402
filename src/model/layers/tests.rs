//! Whole documents through layers and blocks: what borders hold, and streaming against the batch.

use super::*;
use crate::model::global::{
    F32GlobalBlock, GlobalBlock, GlobalConfig,
    tests::{HIDDEN, random_weights, small},
};
use candle_core::Device;
use half::f16;

/// Layers whose embedding is a hash of the token and its place, and that otherwise bend states a little.
struct Bending;

impl Trunk for Bending {
    fn n_layers(&self) -> usize {
        6
    }

    fn run(
        &self,
        batch: &PackedBatch,
        layers: Range<usize>,
        states: &mut [f32],
    ) -> Result<(), ModelError> {
        if layers.start == 0 {
            for (state, token) in states.chunks_exact_mut(HIDDEN).zip(&batch.token_ids) {
                for (dimension, value) in state.iter_mut().enumerate() {
                    *value = ((token * 31 + 7) as f32 * (dimension as f32 + 1.3)).sin();
                }
            }
        }
        states
            .iter_mut()
            .for_each(|value| *value -= 0.1 * value.sin());
        Ok(())
    }
}

fn layers(config: GlobalConfig, f32: bool) -> Layers {
    let config = small(config);
    let block = |seed| -> Box<dyn Global> {
        let weights = random_weights(&config, seed);
        match f32 {
            false => Box::new(GlobalBlock::new(config.clone(), weights, HIDDEN).expect("packs")),
            true => {
                let block = F32GlobalBlock::new(config.clone(), &weights, HIDDEN, &Device::Cpu);
                Box::new(block.expect("loads"))
            }
        }
    };
    Layers {
        trunk: Box::new(Bending),
        global: (0..3).map(block).collect(),
        least_passages: config.least_passages,
        hidden: HIDDEN,
    }
}

fn batch(seed: u32, lengths: &[usize]) -> PackedBatch {
    let mut batch = PackedBatch::default();
    for (passage, length) in lengths.iter().enumerate() {
        batch.push((0..*length).map(|at| (at as u32 * 17 + passage as u32 * 5 + seed) % 97));
    }
    batch
}

fn join(parts: &[PackedBatch]) -> PackedBatch {
    let mut joined = PackedBatch::default();
    for part in parts {
        (0..part.len()).for_each(|passage| joined.push(part.passage(passage).iter().copied()));
    }
    joined
}

#[test]
fn documents_of_a_batch_do_not_see_each_other() {
    let layers = layers(GlobalConfig::default(), false);
    let first = batch(1, &[20, 33, 5]);
    let alone = layers.forward(&first, &[0, 3]).expect("runs");
    for seed in [2, 3] {
        let others = join(&[first.clone(), batch(seed, &[9, 40, 1, 1]), first.clone()]);
        let states = layers.forward(&others, &[0, 3, 7, 10]).expect("runs");
        // Neither what follows nor what stands before changes a document.
        assert_eq!(states[..alone.len()], alone);
        assert_eq!(states[states.len() - alone.len()..], alone);
    }
}

#[test]
fn documents_of_few_passages_pass_unchanged() {
    for f32 in [false, true] {
        let from = |least_passages| Layers {
            least_passages,
            ..layers(GlobalConfig::default(), f32)
        };
        let (with, without) = (from(4), from(usize::MAX));
        let of = |layers: &Layers, lengths: &[usize]| {
            let borders = [0, lengths.len()];
            layers.forward(&batch(1, lengths), &borders).expect("runs")
        };
        let few = [20, 33, 5];
        assert_eq!(of(&with, &few), of(&without, &few));
        let enough = [20, 33, 5, 8];
        assert_ne!(of(&with, &enough), of(&without, &enough));
    }
}

fn streamed(layers: &Layers, place: Place, parts: &[PackedBatch]) -> Vec<f32> {
    let mut states = Vec::new();
    layers
        .stream_by(place, parts, |_, own| states.extend_from_slice(own))
        .expect("streams");
    states
}

fn long_document() -> Vec<PackedBatch> {
    let lengths: Vec<usize> = (0..300).map(|passage| 1 + passage * 7 % 23).collect();
    let parts = lengths.chunks(128).enumerate();
    parts.map(|(at, part)| batch(at as u32, part)).collect()
}

#[test]
fn streaming_equals_the_batch_bit_for_bit() {
    let layers = layers(GlobalConfig::default(), false);
    let parts = long_document();
    let whole = layers.forward(&join(&parts), &[0, 300]).expect("runs");
    for place in [
        Place::Memory(vec![0.0; whole.len()]),
        Place::file().expect("opens"),
    ] {
        assert_eq!(streamed(&layers, place, &parts), whole);
    }
}

#[test]
fn streaming_in_halves_is_close_to_the_batch() {
    let layers = layers(GlobalConfig::default(), false);
    let parts = long_document();
    let whole = layers.forward(&join(&parts), &[0, 300]).expect("runs");
    let place = Place::Half(vec![f16::ZERO; whole.len()]);
    let streamed = streamed(&layers, place, &parts);
    // What the rounding adds is little, but it may tip a selection.
    let cosine = |(a, b): (&[f32], &[f32])| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let tokens = streamed.chunks_exact(HIDDEN);
    let mut cosines: Vec<f32> = tokens.zip(whole.chunks_exact(HIDDEN)).map(cosine).collect();
    cosines.sort_by(f32::total_cmp);
    let at = |share: usize| cosines[cosines.len() * share / 100];
    assert!(at(2) > 0.99 && at(50) > 0.999, "{} {}", at(2), at(50));
    assert_ne!(streamed, whole);
}

#[test]
fn streaming_in_f32_equals_the_batch() {
    let layers = layers(GlobalConfig::default(), true);
    let parts = long_document();
    let whole = layers.forward(&join(&parts), &[0, 300]).expect("runs");
    let place = Place::Memory(vec![0.0; whole.len()]);
    let streamed = streamed(&layers, place, &parts);
    // Products of more rows are summed in another order.
    let apart = streamed.iter().zip(&whole).map(|(a, b)| (a - b).abs());
    let n_far = apart.filter(|apart| *apart > 1e-3).count();
    assert!(n_far * 1000 < whole.len(), "{n_far} of {}", whole.len());
}
