//! Sparse attention over lists: forward and backward against the processor, and the same bits every time.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use shas::ops::sparse_attention::{KeyLists, KeyRange, N_BUCKETS, sparse_attention};

use super::support::{Numbers, difference, gpu, values};

const SIZE: usize = 64;
/// Weights are rounded to bf16 (2⁻⁹) before they are summed.
const FORWARD: f32 = 4e-3;
/// Gradients of logits are rounded once more, and summed over up to thousands of rows.
const BACKWARD: f32 = 1e-2;

struct Sample {
    lists: Arc<KeyLists>,
    log_sizes: Arc<[f32]>,
    heads: usize,
    n_keys: usize,
    numbers: [Vec<f32>; 4],
}

/// Groups of up to `largest` queries with lists of ragged ranges, some empty.
fn sample(seed: u64, largest: usize, heads: usize, n_keys: usize) -> Sample {
    let mut numbers = Numbers::new(seed);
    let mut lists = KeyLists::default();
    for group in 0..50 {
        let n_ranges = if group % 7 == 3 { 0 } else { numbers.below(20) };
        let ranges: Vec<KeyRange> = (0..n_ranges)
            .map(|_| {
                let start = numbers.below(n_keys);
                KeyRange {
                    start: start as u32,
                    end: (start + 1 + numbers.below(90)).min(n_keys) as u32,
                    bucket: numbers.below(N_BUCKETS) as u8,
                }
            })
            .collect();
        let n_queries = if group == 0 {
            largest
        } else {
            1 + numbers.below(largest)
        };
        lists.push(n_queries, ranges);
    }
    let n_values = lists.n_queries() * heads * SIZE;
    let log_sizes = numbers.take(n_keys, 1.0).into();
    let numbers = [
        numbers.take(n_values, 2.0),
        numbers.take(n_keys * SIZE, 1.5),
        numbers.take(heads * N_BUCKETS, 1.0),
        numbers.take(lists.n_queries() * heads * (SIZE + 1), 1.0),
    ];
    Sample {
        lists: Arc::new(lists),
        log_sizes,
        heads,
        n_keys,
        numbers,
    }
}

/// The result, and the gradients of queries, latents and bias.
fn run(sample: &Sample, device: &Device) -> [Vec<f32>; 4] {
    let heads = sample.heads;
    let n_queries = sample.lists.n_queries();
    let tensor = |at: usize, shape: &[usize]| {
        Tensor::from_slice(&sample.numbers[at], shape, device).expect("is a tensor")
    };
    let var = |at, shape: &[usize]| Var::from_tensor(&tensor(at, shape)).expect("is a variable");
    let queries = var(0, &[n_queries, heads, SIZE]);
    let latents = var(1, &[sample.n_keys, SIZE]);
    let bias = var(2, &[heads, N_BUCKETS]);
    let (lists, log_sizes) = (sample.lists.clone(), sample.log_sizes.clone());
    let out = sparse_attention(&queries, &latents, &bias, lists, log_sizes).expect("runs");
    let marks = tensor(3, &[n_queries, heads, SIZE + 1]);
    let loss = (&out * marks).expect("fits").sum_all().expect("sums");
    let gradients = loss.backward().expect("has gradients");
    let of = |var: &Var| values(gradients.get(var).expect("has a gradient"));
    [values(&out), of(&queries), of(&latents), of(&bias)]
}

fn check(seed: u64, largest: usize, heads: usize) {
    let sample = sample(seed, largest, heads, 700);
    let own = run(&sample, &gpu());
    let expected = run(&sample, &Device::Cpu);
    for (at, tolerance) in [FORWARD, BACKWARD, BACKWARD, BACKWARD].iter().enumerate() {
        let far = difference(&own[at], &expected[at]);
        assert!(
            far <= *tolerance,
            "{largest} queries, {heads} heads, {at}: {far}"
        );
    }
    for _ in 0..20 {
        assert_eq!(run(&sample, &gpu()), own);
    }
}

#[test]
fn granules_are_the_processors() {
    for (seed, heads) in [(1, 1), (2, 8), (3, 12), (4, 16)] {
        check(seed, 16, heads);
    }
}

#[test]
fn groups_of_one_query_are_the_processors() {
    for (seed, heads) in [(5, 1), (6, 8), (7, 12)] {
        check(seed, 1, heads);
    }
}

#[test]
fn groups_of_too_many_queries_are_an_error() {
    let sample = sample(8, 17, 8, 100);
    let tensor = |at: usize, shape: &[usize]| {
        Tensor::from_slice(&sample.numbers[at], shape, &gpu()).expect("is a tensor")
    };
    let queries = tensor(0, &[sample.lists.n_queries(), 8, SIZE]);
    let (latents, bias) = (tensor(1, &[100, SIZE]), tensor(2, &[8, N_BUCKETS]));
    let result = sparse_attention(&queries, &latents, &bias, sample.lists, sample.log_sizes);
    assert!(result.is_err());
}
