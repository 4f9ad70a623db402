//! The int8 block against its f32 twin, what neither may do, and the twin's gradients.

mod gradients;

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::{
    F32GlobalBlock, Global, GlobalBlock, GlobalConfig, GlobalWeights,
    config::{Abstraction, Indexer, Relevance},
};
use crate::ops::{samples::Numbers, tensors::numbers};

pub const HIDDEN: usize = 64;

/// A small block's shape, which short documents pass as well.
pub fn small(config: GlobalConfig) -> GlobalConfig {
    GlobalConfig {
        least_passages: 2,
        heads: 2,
        head_size: 64,
        index_heads: 2,
        index_size: 16,
        window: config.window.min(32),
        ..config
    }
}

/// Random weights, none of them zero.
pub fn random_weights(config: &GlobalConfig, seed: u64) -> GlobalWeights {
    let mut numbers = Numbers::new(seed);
    let projection = numbers.take(config.head_size * HIDDEN, 0.2);
    let mut weights = GlobalWeights::start(config, &projection, HIDDEN);
    for (part, spread) in [
        (&mut weights.query, 0.3),
        (&mut weights.output, 0.2),
        (&mut weights.gates, 0.2),
        (&mut weights.gate_bias, 1.0),
        (&mut weights.distance, 0.5),
        (&mut weights.relevance, 0.2),
        (&mut weights.index_query, 0.3),
        (&mut weights.index_weight, 0.1),
    ] {
        *part = numbers.take(part.len(), spread);
    }
    for level in &mut weights.levels {
        for (part, spread) in [
            (&mut level.pool_query, 1.0),
            (&mut level.pool_residual, 0.1),
            (&mut level.within_query, 0.3),
            (&mut level.within_output, 0.1),
            (&mut level.up, 0.1),
            (&mut level.down, 0.1),
        ] {
            *part = numbers.take(part.len(), spread);
        }
    }
    weights
}

/// States of passages with topics of their own, `[n_tokens, HIDDEN]`, and the borders.
pub fn document(seed: u64, lengths: &[usize]) -> (Vec<f32>, Vec<usize>) {
    let mut numbers = Numbers::new(seed);
    let (mut states, mut starts) = (Vec::new(), vec![0]);
    for length in lengths {
        let topic = numbers.take(HIDDEN, 1.0);
        for _ in 0..*length {
            let own = numbers.take(HIDDEN, 0.7);
            states.extend(topic.iter().zip(own).map(|(topic, own)| topic + own));
        }
        starts.push(starts[starts.len() - 1] + length);
    }
    (states, starts)
}

/// What a block adds to states.
fn added(block: &dyn Global, states: &[f32], starts: &[usize]) -> Vec<f32> {
    let after = after(block, states, starts);
    let pairs = after.iter().zip(states);
    pairs.map(|(after, before)| after - before).collect()
}

fn after(block: &dyn Global, states: &[f32], starts: &[usize]) -> Vec<f32> {
    let lengths = starts.windows(2).map(|border| border[1] - border[0]);
    let mut after = states.to_vec();
    let mut reading = block.open(lengths.max().unwrap_or(0));
    reading.read(states, starts).expect("reads");
    let document = reading.close().expect("closes");
    document.attend(0, &mut after, starts).expect("attends");
    after
}

/// Cosines of tokens, the lowest first.
struct Cosines(Vec<f64>);

impl Cosines {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

/// Of what differs from the mean over all tokens, so that what all have in common counts for nothing.
fn cosines(a: &[f32], b: &[f32]) -> Cosines {
    let (a, b) = (&centred(a)[..], &centred(b)[..]);
    let rows = a.chunks_exact(HIDDEN).zip(b.chunks_exact(HIDDEN));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let cosines = rows.map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
    let mut cosines: Vec<f64> = cosines.collect();
    cosines.sort_by(f64::total_cmp);
    Cosines(cosines)
}

fn centred(rows: &[f32]) -> Vec<f32> {
    let n = (rows.len() / HIDDEN) as f32;
    let mut mean = vec![0.0; HIDDEN];
    for row in rows.chunks_exact(HIDDEN) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(mean, own)| *mean += own / n);
    }
    let rows = rows.chunks_exact(HIDDEN);
    rows.flat_map(|row| row.iter().zip(&mean).map(|(own, mean)| own - mean))
        .collect()
}

fn both(config: &GlobalConfig, weights: &GlobalWeights) -> (GlobalBlock, F32GlobalBlock) {
    (
        GlobalBlock::new(config.clone(), weights.clone(), HIDDEN).expect("packs"),
        F32GlobalBlock::new(config.clone(), weights, HIDDEN, &Device::Cpu).expect("loads"),
    )
}

fn cosines_of(config: GlobalConfig) -> Cosines {
    let config = small(config);
    let (int8, f32) = both(&config, &random_weights(&config, 3));
    let lengths = [40, 7, 90, 1, 64, 33, 120, 18, 75, 52, 9, 100];
    let (states, starts) = document(11, &lengths);
    let own = added(&int8, &states, &starts);
    cosines(&own, &added(&f32, &states, &starts))
}

#[test]
fn int8_agrees_with_f32_in_every_shape() {
    let preset = |name: &str| (name.to_owned(), GlobalConfig::preset(name).expect("is one"));
    let mut shapes: Vec<_> = GlobalConfig::PRESETS.map(preset).into();
    let mut push = |name: &str, change: fn(&mut GlobalConfig)| {
        let mut config = GlobalConfig::default();
        change(&mut config);
        shapes.push((name.to_owned(), config));
    };
    push("mean", |own| own.abstraction = Abstraction::Mean);
    push("max", |own| own.abstraction = Abstraction::Max);
    push("affinity", |own| own.abstraction = Abstraction::Affinity);
    push("shared", |own| own.shared_abstraction = true);
    push("not within", |own| own.within_levels = false);
    push("not between", |own| own.parents_and_children = false);
    push("no indexer", |own| own.indexer = Indexer::None);
    push("flat", |own| own.indexer = Indexer::Flat);
    push("few leaves", |own| (own.leaves, own.opened) = (3, 2));
    push("looking ahead", |own| (own.lookahead, own.opened) = (2, 2));
    push("threshold", |own| {
        own.relevance = Relevance::Threshold(0.9);
    });
    let mut failed = Vec::new();
    for (name, config) in shapes {
        let cosines = cosines_of(config);
        let (mean, median) = (cosines.mean(), cosines.median());
        // Where two leaves are nearly equal, the two may choose differently, for all 16 tokens of a granule.
        if median < 0.999 || mean < 0.95 {
            failed.push((name, mean, median));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn fresh_weights_and_single_passages_change_nothing() {
    let config = small(GlobalConfig::default());
    let mut numbers = Numbers::new(1);
    let projection = numbers.take(config.head_size * HIDDEN, 0.2);
    let fresh = GlobalWeights::start(&config, &projection, HIDDEN);
    let (states, starts) = document(2, &[30, 41, 5]);
    let (int8, f32) = both(&config, &fresh);
    assert_eq!(after(&int8, &states, &starts), states);
    assert_eq!(after(&f32, &states, &starts), states);
    let (int8, f32) = both(&config, &random_weights(&config, 4));
    let alone = [0, states.len() / HIDDEN];
    assert_eq!(after(&int8, &states, &alone), states);
    assert_eq!(after(&f32, &states, &alone), states);
    let tensor = Tensor::from_slice(&states, (76, HIDDEN), &Device::Cpu).expect("is a tensor");
    let out = f32.forward(&tensor, &alone).expect("runs");
    assert_eq!(numbers_of(&out), states);
}

fn numbers_of(tensor: &Tensor) -> Vec<f32> {
    numbers(tensor).expect("are f32")
}

#[test]
fn a_passage_never_reads_itself() {
    let config = small(GlobalConfig {
        leaves: 4,
        ..GlobalConfig::default()
    });
    let mut weights = random_weights(&config, 5);
    // Queries, gates, relevances and choices that do not depend on the states; nodes that do not tell each other.
    for part in [
        &mut weights.query,
        &mut weights.gates,
        &mut weights.relevance,
        &mut weights.index_query,
        &mut weights.index_weight,
    ] {
        part.fill(0.0);
    }
    for level in &mut weights.levels {
        level.within_output.fill(0.0);
    }
    let (int8, f32) = both(&config, &weights);
    let (mut states, starts) = document(6, &[30, 41, 17, 80]);
    let own = starts[1] * HIDDEN..starts[2] * HIDDEN;
    let blocks: [&dyn Global; 2] = [&int8, &f32];
    let before = blocks.map(|block| added(block, &states, &starts)[own.clone()].to_vec());
    let others = Numbers::new(7).take(own.len(), 1.0);
    states[own.clone()].copy_from_slice(&others);
    for (block, before) in blocks.into_iter().zip(before) {
        let after = added(block, &states, &starts)[own.clone()].to_vec();
        let apart = after.iter().zip(&before).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn ragged_documents_of_any_shape_agree(
        seed in any::<u64>(),
        lengths in prop::collection::vec(1usize..70, 1..9),
        levels in 2usize..7,
        ratio in 2usize..6,
        lookahead in 0usize..3,
    ) {
        let config = small(GlobalConfig { levels, ratio, lookahead, ..GlobalConfig::default() });
        let (int8, f32) = both(&config, &random_weights(&config, seed));
        let (states, starts) = document(seed, &lengths);
        let (own, twin) = (added(&int8, &states, &starts), added(&f32, &states, &starts));
        if lengths.len() > 1 {
            // Where two leaves are nearly equal, the two may choose differently, and small leaves often are.
            prop_assert!(cosines(&own, &twin).mean() > 0.9);
        }
    }
}

#[test]
fn documents_of_tokens_do_not_panic() {
    let config = small(GlobalConfig::default());
    let (int8, f32) = both(&config, &random_weights(&config, 8));
    let blocks: [&dyn Global; 2] = [&int8, &f32];
    for lengths in [&[1][..], &[1, 1], &[1, 17, 1], &[1; 70]] {
        let (states, starts) = document(9, lengths);
        for block in blocks {
            let after = after(block, &states, &starts);
            assert!(after.iter().all(|value| value.is_finite()));
        }
    }
}
