//! Sparse attention against its definition, and what must not change it.

use std::sync::Arc;

use candle_core::{Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::samples::{Numbers, assert_gradient, assert_near, weighted, widen};

/// f32's rounding in sums of some hundred products, and exp2's own 3e-6.
const TOLERANCE: f64 = 5e-5;

struct Sample {
    queries: Vec<f32>,
    latents: Vec<f32>,
    log_sizes: Vec<f32>,
    bias: Vec<f32>,
    lists: KeyLists,
    heads: usize,
    dimensions: usize,
}

impl Sample {
    fn new(seed: u64, lists: KeyLists, n_keys: usize, heads: usize, dimensions: usize) -> Self {
        let mut numbers = Numbers::new(seed);
        let n_rows = lists.n_queries() * heads;
        Self {
            queries: numbers.take(n_rows * dimensions, 2.0),
            latents: numbers.take(n_keys * dimensions, 1.5),
            log_sizes: numbers.take(n_keys, 1.0),
            bias: numbers.take(heads * N_BUCKETS, 1.0),
            lists,
            heads,
            dimensions,
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            queries: &self.queries,
            latents: &self.latents,
            log_sizes: &self.log_sizes,
            bias: &self.bias,
            lists: &self.lists,
            heads: self.heads,
            dimensions: self.dimensions,
        }
    }

    /// The definition, with other queries, latents and bias.
    fn slow(&self, queries: &[f64], latents: &[f64], bias: &[f64]) -> Vec<f64> {
        sparse_attention_slow(&Inputs {
            queries,
            latents,
            log_sizes: &widen(&self.log_sizes),
            bias,
            lists: &self.lists,
            heads: self.heads,
            dimensions: self.dimensions,
        })
    }

    fn expected(&self) -> Vec<f64> {
        let own = [&self.queries, &self.latents, &self.bias].map(|values| widen(values));
        self.slow(&own[0], &own[1], &own[2])
    }
}

/// Groups of up to 20 queries, lists of up to 12 ranges, some of them empty and some twice.
fn random_lists(seed: u64, n_groups: usize, n_keys: usize) -> KeyLists {
    let mut numbers = Numbers::new(seed);
    let mut lists = KeyLists::default();
    for _ in 0..n_groups {
        let n_queries = numbers.below(21);
        let n_ranges = numbers.below(13);
        let ranges: Vec<KeyRange> = (0..n_ranges)
            .map(|_| {
                let start = numbers.below(n_keys);
                let end = (start + numbers.below(20)).min(n_keys);
                let bucket = numbers.below(N_BUCKETS) as u8;
                KeyRange {
                    start: start as u32,
                    end: end as u32,
                    bucket,
                }
            })
            .collect();
        lists.push(n_queries, ranges);
    }
    lists
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_fast_form_equals_the_definition(
        seed in any::<u64>(),
        n_groups in 0usize..5,
        n_keys in 1usize..90,
    ) {
        let lists = random_lists(seed, n_groups, n_keys);
        let sample = Sample::new(seed, lists, n_keys, 1 + seed as usize % 8, 16 * (1 + seed as usize % 4));
        assert_near(&forward(&sample.inputs()), &sample.expected(), TOLERANCE);
    }

    #[test]
    fn permuting_a_list_changes_nothing(seed in any::<u64>()) {
        let mut sample = Sample::new(seed, random_lists(seed, 1, 80), 80, 8, 64);
        let first = widen(&forward(&sample.inputs()));
        sample.lists.ranges.reverse();
        assert_near(&forward(&sample.inputs()), &first, TOLERANCE);
    }

    #[test]
    fn identical_keys_under_one_size_equal_all_of_them(
        seed in any::<u64>(),
        sizes in prop::collection::vec(1usize..9, 1..20),
    ) {
        // Each node's tokens share a latent; attention to the node with the log of its size is attention to them.
        let mut nodes = KeyLists::default();
        nodes.push(5, [KeyRange { start: 0, end: sizes.len() as u32, bucket: 3 }]);
        let mut nodes = Sample::new(seed, nodes, sizes.len(), 4, 32);
        nodes.log_sizes = sizes.iter().map(|size| (*size as f32).ln()).collect();
        let mut tokens = KeyLists::default();
        let n_tokens: usize = sizes.iter().sum();
        tokens.push(5, [KeyRange { start: 0, end: n_tokens as u32, bucket: 3 }]);
        let mut tokens = Sample::new(seed, tokens, n_tokens, 4, 32);
        tokens.queries = nodes.queries.clone();
        tokens.bias = nodes.bias.clone();
        tokens.log_sizes = vec![0.0; n_tokens];
        let rows = nodes.latents.chunks(32).zip(&sizes);
        tokens.latents = rows.flat_map(|(row, size)| row.repeat(*size)).collect();
        assert_near(&forward(&nodes.inputs()), &tokens.expected(), TOLERANCE);
    }

    #[test]
    fn keys_outside_every_list_count_for_nothing(seed in any::<u64>()) {
        let sample = Sample::new(seed, random_lists(seed, 3, 50), 50, 2, 16);
        let mut padded = Sample::new(seed, sample.lists.clone(), 60, 2, 16);
        padded.queries = sample.queries.clone();
        padded.bias = sample.bias.clone();
        padded.latents = [sample.latents.as_slice(), &[f32::NAN; 160]].concat();
        padded.log_sizes = [sample.log_sizes.as_slice(), &[f32::NAN; 10]].concat();
        prop_assert_eq!(forward(&sample.inputs()), forward(&padded.inputs()));
    }
}

#[test]
fn an_empty_list_gives_zeros() {
    let mut lists = KeyLists::default();
    lists.push(3, []);
    let sample = Sample::new(1, lists, 4, 8, 64);
    let out = forward(&sample.inputs());
    assert!(out.iter().all(|value| *value == 0.0));
    let gradients = backward(&sample.inputs(), &out, &vec![1.0; out.len()]);
    let all = [gradients.queries, gradients.latents, gradients.bias].concat();
    assert!(all.iter().all(|value| *value == 0.0));
}

#[test]
fn large_logits_stay_finite() {
    let mut lists = KeyLists::default();
    lists.push(
        2,
        [KeyRange {
            start: 0,
            end: 70,
            bucket: 0,
        }],
    );
    let mut sample = Sample::new(2, lists, 70, 2, 16);
    sample.queries.iter_mut().for_each(|value| *value *= 200.0);
    assert_near(&forward(&sample.inputs()), &sample.expected(), 1e-3);
}

#[test]
fn all_keys_in_any_lists_equal_dense_attention() {
    let (n_queries, n_keys) = (37, 150);
    let all = KeyRange {
        start: 0,
        end: n_keys,
        bucket: 2,
    };
    let mut dense = KeyLists::default();
    dense.push(n_queries, [all]);
    let mut cut = KeyLists::default();
    for start in (0..n_queries).step_by(16) {
        let keys = (0..n_keys).map(|key| KeyRange {
            start: key,
            end: key + 1,
            bucket: 2,
        });
        cut.push(16.min(n_queries - start), keys);
    }
    let mut sample = Sample::new(3, dense, n_keys as usize, 8, 64);
    let expected = sample.expected();
    sample.lists = cut;
    assert_near(&forward(&sample.inputs()), &expected, TOLERANCE);
}

#[test]
fn gradients_agree_with_differences() {
    for seed in 0..4 {
        let sample = Sample::new(seed, random_lists(seed + 9, 4, 70), 70, 3, 32);
        let out = forward(&sample.inputs());
        let weights = Numbers::new(seed + 100).take(out.len(), 1.0);
        let gradients = backward(&sample.inputs(), &out, &weights);
        let (queries, latents) = (widen(&sample.queries), widen(&sample.latents));
        let bias = widen(&sample.bias);
        assert_gradient(&gradients.queries, &queries, |queries| {
            weighted(&sample.slow(queries, &latents, &bias), &weights)
        });
        assert_gradient(&gradients.latents, &latents, |latents| {
            weighted(&sample.slow(&queries, latents, &bias), &weights)
        });
        assert_gradient(&gradients.bias, &bias, |bias| {
            weighted(&sample.slow(&queries, &latents, bias), &weights)
        });
    }
}

#[test]
fn candle_gets_the_same_numbers_and_gradients() -> candle_core::Result<()> {
    let sample = Sample::new(5, random_lists(7, 3, 40), 40, 2, 16);
    let n_queries = sample.lists.n_queries();
    let device = Device::Cpu;
    let queries = Var::from_slice(&sample.queries, (n_queries, 2, 16), &device)?;
    let latents = Var::from_slice(&sample.latents, (40, 16), &device)?;
    let bias = Var::from_slice(&sample.bias, (2, N_BUCKETS), &device)?;
    let lists = Arc::new(sample.lists.clone());
    let log_sizes = sample.log_sizes.clone().into();
    let out = sparse_attention(&queries, &latents, &bias, lists, log_sizes)?;
    let own = forward(&sample.inputs());
    assert_eq!(out.flatten_all()?.to_vec1::<f32>()?, own);
    let store = out.sum_all()?.backward()?;
    let expected = backward(&sample.inputs(), &own, &vec![1.0; own.len()]);
    for (var, expected) in [
        (queries, expected.queries),
        (latents, expected.latents),
        (bias, expected.bias),
    ] {
        let gradient = store
            .get(&var)
            .map(|own| own.flatten_all()?.to_vec1::<f32>());
        assert_eq!(gradient.transpose()?, Some(expected));
    }
    Ok(())
}

#[test]
fn buckets_double() {
    let buckets = [0, 1, 2, 3, 4, 255, 256, 1 << 14, 1 << 40].map(log_bucket);
    assert_eq!(buckets, [0, 1, 2, 2, 3, 8, 9, 15, 15]);
}
