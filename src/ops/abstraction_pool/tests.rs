//! Pooling against its definition, and the properties that the pyramid relies on.

use std::sync::Arc;

use candle_core::{Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::samples::{Numbers, assert_gradient, assert_near, weighted, widen};

const DIMENSIONS: usize = 32;
const POOLINGS: [Pooling; 3] = [Pooling::Mean, Pooling::Max, Pooling::Attention];

struct Sample {
    children: Vec<f32>,
    sizes: Vec<f32>,
    borders: Vec<u32>,
    query: Vec<f32>,
    residual: Vec<f32>,
    affinities: Vec<f32>,
}

impl Sample {
    /// Parents of these numbers of children.
    fn new(seed: u64, counts: &[usize]) -> Self {
        let mut numbers = Numbers::new(seed);
        let mut borders = vec![0];
        for count in counts {
            borders.push(borders[borders.len() - 1] + *count as u32);
        }
        let n = counts.iter().sum();
        Self {
            children: numbers.take(n * DIMENSIONS, 1.0),
            sizes: (0..n).map(|_| 1.0 + numbers.below(64) as f32).collect(),
            borders,
            query: numbers.take(DIMENSIONS, 2.0),
            residual: numbers.take(DIMENSIONS * DIMENSIONS, 0.3),
            affinities: numbers.take(n, 1.0),
        }
    }

    fn inputs(&self, pooling: Pooling) -> Inputs<'_> {
        Inputs {
            pooling,
            children: &self.children,
            sizes: &self.sizes,
            borders: &self.borders,
            query: &self.query,
            residual: &self.residual,
            affinities: &self.affinities,
        }
    }

    /// The definition of children, query, residual and affinities.
    fn slow(&self, pooling: Pooling, learned: [&[f64]; 4]) -> Vec<f64> {
        let [children, query, residual, affinities] = learned;
        abstraction_pool_slow(&Inputs {
            pooling,
            children,
            sizes: &widen(&self.sizes),
            borders: &self.borders,
            query,
            residual,
            affinities,
        })
    }

    fn learned(&self) -> [Vec<f64>; 4] {
        [
            &self.children,
            &self.query,
            &self.residual,
            &self.affinities,
        ]
        .map(|own| widen(own))
    }

    fn untrained(mut self) -> Self {
        self.query.fill(0.0);
        self.residual.fill(0.0);
        self.affinities.fill(0.0);
        self
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_fast_form_equals_the_definition(
        seed in any::<u64>(),
        counts in prop::collection::vec(0usize..9, 0..80),
    ) {
        let sample = Sample::new(seed, &counts);
        for pooling in POOLINGS {
            let learned = sample.learned();
            let expected = sample.slow(pooling, learned.each_ref().map(Vec::as_slice));
            // Sums of 32 products in f32, and exp2's own 3e-6.
            assert_near(&forward(&sample.inputs(pooling)), &expected, 2e-5);
        }
    }

    #[test]
    fn a_mean_of_means_is_the_mean_of_the_tokens(
        seed in any::<u64>(),
        counts in prop::collection::vec(1usize..6, 1..12),
    ) {
        let mut tokens = Sample::new(seed, &counts).untrained();
        tokens.sizes.fill(1.0);
        let nodes = forward(&tokens.inputs(Pooling::Attention));
        let mut upper = Sample::new(seed, &[counts.len()]).untrained();
        upper.children = nodes;
        upper.sizes = counts.iter().map(|count| *count as f32).collect();
        let own = forward(&upper.inputs(Pooling::Attention));
        tokens.borders = vec![0, tokens.sizes.len() as u32];
        let learned = tokens.learned();
        let expected = tokens.slow(Pooling::Mean, learned.each_ref().map(Vec::as_slice));
        assert_near(&own, &expected, 1e-6);
    }

    #[test]
    fn groups_keep_their_bounds(seed in any::<u64>(), n in 0usize..60, ratio in 1usize..9) {
        let mut numbers = Numbers::new(seed);
        let children = numbers.take(n * DIMENSIONS, 1.0);
        let projection = numbers.take(AFFINITY_DIMENSIONS * DIMENSIONS, 1.0);
        let borders = group_by_affinity(&children, DIMENSIONS, &projection, ratio);
        prop_assert_eq!((borders[0], borders[borders.len() - 1] as usize), (0, n));
        for (at, pair) in borders.windows(2).enumerate() {
            let size = (pair[1] - pair[0]) as usize;
            let least = if at + 2 == borders.len() { 1 } else { ratio.div_ceil(2) };
            prop_assert!((least..=ratio + ratio / 2).contains(&size), "{size}");
        }
    }
}

#[test]
fn an_only_child_is_its_parent_exactly() {
    let mut sample = Sample::new(3, &[1; 9]);
    sample.residual.fill(0.0);
    for pooling in POOLINGS {
        assert_eq!(forward(&sample.inputs(pooling)), sample.children);
    }
}

#[test]
fn groups_end_where_the_content_changes() {
    // Three runs of equal children, of 3, 5 and 4; the projection keeps the first dimensions.
    let mut children = Vec::new();
    for (run, length) in [3, 5, 4].into_iter().enumerate() {
        let mut child = [0.0; DIMENSIONS];
        child[run] = 1.0;
        children.extend(child.repeat(length));
    }
    let mut projection = vec![0.0; AFFINITY_DIMENSIONS * DIMENSIONS];
    for row in 0..AFFINITY_DIMENSIONS {
        projection[row * DIMENSIONS + row] = 1.0;
    }
    let borders = group_by_affinity(&children, DIMENSIONS, &projection, 4);
    assert_eq!(borders, [0, 3, 8, 12]);
}

#[test]
fn gradients_agree_with_differences() {
    for pooling in POOLINGS {
        let sample = Sample::new(4, &[3, 1, 0, 5, 4, 2]);
        let weights = Numbers::new(8).take(6 * DIMENSIONS, 1.0);
        let own = backward(&sample.inputs(pooling), &weights);
        let learned = sample.learned();
        let own = [own.children, own.query, own.residual, own.affinities];
        for (at, own) in own.iter().enumerate() {
            assert_gradient(own, &learned[at], |values| {
                let mut changed = learned.each_ref().map(Vec::as_slice);
                changed[at] = values;
                weighted(&sample.slow(pooling, changed), &weights)
            });
        }
    }
}

#[test]
fn equal_maxima_give_the_gradient_to_the_first() {
    let mut sample = Sample::new(5, &[3]);
    sample.children.fill(1.0);
    let gradients = backward(&sample.inputs(Pooling::Max), &[2.0; DIMENSIONS]);
    let (first, rest) = gradients.children.split_at(DIMENSIONS);
    assert!(first.iter().all(|value| *value == 2.0) && rest.iter().all(|value| *value == 0.0));
}

#[test]
fn candle_gets_the_same_numbers_and_gradients() -> candle_core::Result<()> {
    let sample = Sample::new(6, &[2, 4, 3]);
    let device = Device::Cpu;
    let children = Var::from_slice(&sample.children, (9, DIMENSIONS), &device)?;
    let affinities = Var::from_slice(&sample.affinities, 9, &device)?;
    let query = Var::from_slice(&sample.query, DIMENSIONS, &device)?;
    let residual = Var::from_slice(&sample.residual, (DIMENSIONS, DIMENSIONS), &device)?;
    let tensors = PoolTensors {
        children: &children,
        affinities: &affinities,
        query: &query,
        residual: &residual,
    };
    let nodes = Nodes {
        pooling: Pooling::Attention,
        sizes: sample.sizes.clone(),
        borders: sample.borders.clone(),
    };
    let parents = abstraction_pool(&tensors, Arc::new(nodes))?;
    let inputs = sample.inputs(Pooling::Attention);
    assert_eq!(parents.flatten_all()?.to_vec1::<f32>()?, forward(&inputs));
    let store = parents.sum_all()?.backward()?;
    let own = backward(&inputs, &[1.0; 3 * DIMENSIONS]);
    let pairs = [
        (children, own.children),
        (affinities, own.affinities),
        (query, own.query),
        (residual, own.residual),
    ];
    for (var, expected) in pairs {
        let gradient = store
            .get(&var)
            .map(|own| own.flatten_all()?.to_vec1::<f32>());
        assert_eq!(gradient.transpose()?, Some(expected));
    }
    Ok(())
}

#[test]
fn affinities_for_training_are_those_that_group() -> candle_core::Result<()> {
    let mut numbers = Numbers::new(7);
    let children = numbers.take(11 * DIMENSIONS, 1.0);
    let projection = numbers.take(AFFINITY_DIMENSIONS * DIMENSIONS, 1.0);
    let borders = group_by_affinity(&children, DIMENSIONS, &projection, 4);
    let mut expected = widen(&neighbour_affinities(&children, DIMENSIONS, &projection));
    for border in &borders[..borders.len() - 1] {
        expected[*border as usize] = 0.0;
    }
    let shape = (AFFINITY_DIMENSIONS, DIMENSIONS);
    let projection = Var::from_slice(&projection, shape, &Device::Cpu)?;
    let children = Var::from_slice(&children, (11, DIMENSIONS), &Device::Cpu)?;
    let own = group_affinities(&children, &projection, &borders)?;
    assert_near(&own.to_vec1::<f32>()?, &expected, 1e-5);
    let store = own.sum_all()?.backward()?;
    let gradient = store
        .get(&projection)
        .map(|own| own.abs()?.sum_all()?.to_scalar::<f32>());
    assert!(gradient.transpose()?.is_some_and(|sum| sum > 1e-3));
    Ok(())
}
