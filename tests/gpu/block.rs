//! The global block over tensors, as training runs it: on a GPU what it is on the processor, gradients included.

use candle_core::{Device, Tensor, Var};
use shas::model::global::{F32GlobalBlock, GlobalConfig, GlobalWeights};

use super::support::{Numbers, cosine, gpu, values};

const HIDDEN: usize = 384;
/// Gradients pass three attentions in bf16.
const COSINE: f32 = 0.999;

/// A start whose every weight is something.
pub fn weights(config: &GlobalConfig, seed: u64) -> GlobalWeights {
    let mut numbers = Numbers::new(seed);
    let projection = numbers.take(128 * HIDDEN, 0.1);
    let mut weights = GlobalWeights::start(config, &projection, HIDDEN);
    let mut fill = |values: &mut Vec<f32>, spread| *values = numbers.take(values.len(), spread);
    fill(&mut weights.query, 0.1);
    fill(&mut weights.output, 0.05);
    fill(&mut weights.gates, 0.05);
    fill(&mut weights.distance, 0.5);
    fill(&mut weights.relevance, 0.05);
    for level in &mut weights.levels {
        fill(&mut level.pool_query, 0.5);
        fill(&mut level.pool_residual, 0.05);
    }
    weights
}

#[test]
fn gradients_are_the_processors() {
    let config = GlobalConfig {
        least_passages: 2,
        ..GlobalConfig::default()
    };
    let weights = weights(&config, 1);
    let starts = [0, 200, 256, 500, 501, 700, 930, 1_100];
    let n_tokens = starts[starts.len() - 1];
    let mut numbers = Numbers::new(2);
    let states = numbers.take(n_tokens * HIDDEN, 1.0);
    let marks = numbers.take(n_tokens * HIDDEN, 1.0);
    let run = |device: &Device| {
        let tensor = |values: &[f32]| Tensor::from_slice(values, (n_tokens, HIDDEN), device);
        let block = F32GlobalBlock::new(config.clone(), &weights, HIDDEN, device).expect("loads");
        let states = Var::from_tensor(&tensor(&states).expect("is one")).expect("is a variable");
        let out = block.forward(&states, &starts).expect("runs");
        let added = (&out - states.as_tensor()).expect("fits");
        let loss = (&added * tensor(&marks).expect("is one")).expect("fits");
        let gradients = loss
            .sum_all()
            .and_then(|loss| loss.backward())
            .expect("has some");
        let gradient = values(gradients.get(&states).expect("has a gradient"));
        (values(&added), gradient)
    };
    let (own, expected) = (run(&gpu()), run(&Device::Cpu));
    assert!(expected.0.iter().any(|value| value.abs() > 1e-2));
    let cosines = [cosine(&own.0, &expected.0), cosine(&own.1, &expected.1)];
    assert!(cosines.iter().all(|own| *own >= COSINE), "{cosines:?}");
}
