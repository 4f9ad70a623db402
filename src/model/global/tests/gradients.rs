//! Differences through the whole twin, at a few entries of every weight and of the states, the steepest first.

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};

use super::*;
use crate::model::weights::var_builder;

/// Far above f32's rounding of the loss, far below where it bends.
const STEP: f32 = 4e-3;
/// Weights that only choose; choices have no gradient.
const CHOOSING: [&str; 4] = [
    "index_query",
    "index_weight",
    "index_weight_bias",
    "index_key",
];

/// What passages of at most 20 tokens leave unused: the deepest level; tokens have no parents' exchange; and the leaves
/// stand on the second level, so nobody sees what the first one inherits.
const UNUSED: [&str; 4] = ["level.3", "level.0.up", "level.0.down", "level.1.down"];

/// The terms of a loss.
fn loss(block: &F32GlobalBlock, states: &Tensor, starts: &[usize]) -> Tensor {
    let out = block.forward(states, starts).expect("runs");
    let marks = Numbers::new(21).take(out.elem_count(), 1.0);
    let marks = Tensor::from_vec(marks, out.shape(), out.device()).expect("is a tensor");
    ((out - states).expect("fits") * marks).expect("fits")
}

/// The loss, summed in f64.
fn value(terms: &Tensor) -> f64 {
    numbers_of(terms).iter().map(|term| f64::from(*term)).sum()
}

/// Every list holds all that there is, so that a step changes none.
fn config(abstraction: Abstraction) -> GlobalConfig {
    small(GlobalConfig {
        abstraction,
        leaves: 100,
        opened: 100,
        window: 8,
        ..GlobalConfig::default()
    })
}

fn check(abstraction: Abstraction) {
    let config = config(abstraction);
    let (states, starts) = document(12, &[13, 6, 1, 20]);
    let states = Tensor::from_vec(states, (40, HIDDEN), &Device::Cpu).expect("is a tensor");
    let tensors = random_weights(&config, 13).tensors(&config, HIDDEN, &Device::Cpu);
    let mut vars: HashMap<String, Var> = HashMap::new();
    for (name, tensor) in tensors.expect("have shapes") {
        vars.insert(name, Var::from_tensor(&tensor).expect("is a variable"));
    }
    vars.insert("states".into(), Var::from_tensor(&states).expect("is one"));
    let run = |changed: &HashMap<String, Tensor>| {
        let block = F32GlobalBlock::load(
            config.clone(),
            HIDDEN,
            var_builder(changed.clone(), &Device::Cpu),
        );
        loss(&block.expect("loads"), &changed["states"], &starts)
    };
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (name, var) in &vars {
        tensors.insert(name.clone(), var.as_tensor().clone());
    }
    let store = run(&tensors).sum_all().and_then(|loss| loss.backward());
    let store = store.expect("goes back");
    for (name, var) in &vars {
        if CHOOSING.contains(&name.as_str()) {
            assert!(
                store
                    .get(var)
                    .is_none_or(|own| numbers_of(own).iter().all(|own| *own == 0.0))
            );
            continue;
        }
        if name == "affinity" && abstraction != Abstraction::Affinity
            || UNUSED.iter().any(|unused| name.starts_with(unused))
        {
            continue;
        }
        let gradient = numbers_of(store.get(var).unwrap_or_else(|| panic!("{name} has none")));
        let values = numbers_of(var);
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| gradient[*b].abs().total_cmp(&gradient[*a].abs()));
        for at in [0, 1, order.len() / 8].map(|at| order[at.min(order.len() - 1)]) {
            let shifted = |step: f32| {
                let mut values = values.clone();
                values[at] += step;
                let mut tensors = tensors.clone();
                let tensor = Tensor::from_vec(values, var.shape(), &Device::Cpu).expect("is one");
                tensors.insert(name.clone(), tensor);
                value(&run(&tensors))
            };
            let expected = (shifted(STEP) - shifted(-STEP)) / f64::from(2.0 * STEP);
            let own = f64::from(gradient[at]);
            let near = (own - expected).abs() <= 0.02 * expected.abs() + 2e-3;
            assert!(near, "{name}[{at}]: {own}, not {expected}");
        }
    }
}

#[test]
fn gradients_of_every_weight_agree_with_differences() {
    check(Abstraction::Attention);
}

#[test]
fn the_affinity_has_a_gradient() {
    check(Abstraction::Affinity);
}
