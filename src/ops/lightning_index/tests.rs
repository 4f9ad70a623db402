//! The index: scores against their definition, covers by counting, selections by recall and regret.

mod lookahead;

use std::sync::Arc;

use candle_core::{Device, Var};
use proptest::prelude::*;

use super::*;
use crate::ops::{
    samples::{Numbers, assert_gradient, assert_near, weighted, widen},
    sparse_attention::{self, KeyLists, KeyRange, N_BUCKETS, log_bucket, sparse_attention_slow},
};

/// Keys of a pyramid, from the leaves to the top.
struct Pyramid {
    keys: Vec<IndexKeys>,
    children: Vec<Vec<u32>>,
}

impl Pyramid {
    /// Nodes of `ratio` neighbours, each the mean of its children, until at most `top` are left.
    fn new(leaves: &[f32], dimensions: usize, ratio: usize, top: usize) -> Self {
        let mut pyramid = Self {
            keys: vec![IndexKeys::new(leaves, dimensions)],
            children: vec![Vec::new()],
        };
        let mut level = leaves.to_vec();
        while level.len() / dimensions > top {
            let mut above = Vec::new();
            let mut borders = vec![0];
            for nodes in level.chunks(ratio * dimensions) {
                let count = nodes.len() / dimensions;
                let sum = |at: usize| nodes[at..].iter().step_by(dimensions).sum::<f32>();
                above.extend((0..dimensions).map(|at| sum(at) / count as f32));
                borders.push(borders[borders.len() - 1] + count as u32);
            }
            pyramid.keys.push(IndexKeys::new(&above, dimensions));
            pyramid.children.push(borders);
            level = above;
        }
        pyramid
    }

    fn index(&self, n_below: usize) -> IndexPyramid {
        let levels = self.keys.iter().cloned().zip(self.children.clone());
        let levels = levels.map(|(keys, children)| IndexLevel { keys, children });
        IndexPyramid::new(levels.collect(), n_below)
    }

    /// The leaves below a node.
    fn leaves_of(&self, node: Node) -> std::ops::Range<u32> {
        let (mut start, mut end) = (node.index, node.index + 1);
        for children in self.children[1..=usize::from(node.level)].iter().rev() {
            (start, end) = (children[start as usize], children[end as usize]);
        }
        start..end
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn int8_scores_are_near_the_definition(seed in any::<u64>(), n_queries in 1u32..17, n_keys in 1usize..150) {
        let indexer = Indexer::default();
        let mut numbers = Numbers::new(seed);
        let n_rows = n_queries as usize * indexer.heads;
        let (queries, weights) = (numbers.take(n_rows * 32, 1.0), numbers.take(n_rows, 1.0));
        let keys = numbers.take(n_keys * 32, 1.0);
        let list: Vec<u32> = (0..n_keys as u32).rev().step_by(1 + numbers.below(3)).collect();
        let queries = IndexQueries { queries: &queries, weights: &weights };
        let rows = keys::GroupRows::new(&indexer, &queries, 0..n_queries);
        let mut scratch = scores::Scratch::default();
        scores::score(&rows, &IndexKeys::new(&keys, 32), &list, &mut scratch);
        let expected = widen(&scores_slow(&indexer, &queries, &keys, &list));
        // Codes are off by half a step of 1/127 at most: over 32 products of about 1/3 that is about ±0.02 a head at
        // three deviations; four heads with weights up to 1 are within 0.08.
        for (own, expected) in scratch.scores.iter().zip(&expected) {
            prop_assert!((f64::from(*own) - expected).abs() < 0.08, "{own} {expected}");
        }
    }

    #[test]
    fn a_cover_holds_every_leaf_outside_the_own_passage_once(
        seed in any::<u64>(),
        n_leaves in 1usize..400,
        ratio in 2usize..6,
        kept in 0usize..6,
        lookahead in 0usize..3,
    ) {
        let indexer = Indexer { kept, leaves: 5, lookahead, ..Indexer::default() };
        let mut numbers = Numbers::new(seed);
        let pyramid = Pyramid::new(&numbers.take(n_leaves * 32, 1.0), 32, ratio, 8);
        let (queries, weights) = (numbers.take(4 * 4 * 32, 1.0), numbers.take(4 * 4, 1.0));
        let queries = IndexQueries { queries: &queries, weights: &weights };
        let groups: Vec<Group> = (0..4).map(|query| {
            let start = numbers.below(n_leaves);
            let end = (start + numbers.below(20)).min(n_leaves);
            Group { queries: query..query + 1, own: start as u32..end as u32 }
        }).collect();
        for (selection, group) in pyramid.index(0).descend(&indexer, &queries, &groups).iter().zip(&groups) {
            let mut held: Vec<u32> = selection.cover.iter().flat_map(|node| pyramid.leaves_of(*node)).collect();
            held.sort_unstable();
            let outside: Vec<u32> = (0..n_leaves as u32).filter(|leaf| !group.own.contains(leaf)).collect();
            prop_assert_eq!(held, outside);
            prop_assert!(selection.leaves.is_sorted());
            prop_assert!(selection.leaves.len() <= 5);
            prop_assert!(selection.leaves.iter().all(|leaf| !group.own.contains(leaf)));
        }
    }

    #[test]
    fn a_flat_choice_is_the_best_and_never_the_own_passage(seed in any::<u64>(), n_leaves in 1usize..1300) {
        let indexer = Indexer { leaves: 7, ..Indexer::default() };
        let mut numbers = Numbers::new(seed);
        // Few distinct keys, so that there are ties.
        let distinct = numbers.take(5 * 32, 1.0);
        let leaves: Vec<f32> = (0..n_leaves).flat_map(|_| {
            let at = numbers.below(5) * 32;
            distinct[at..at + 32].to_vec()
        }).collect();
        let (queries, weights) = (numbers.take(4 * 32, 1.0), numbers.take(4, 1.0));
        let queries = IndexQueries { queries: &queries, weights: &weights };
        let own = 0..numbers.below(n_leaves + 1) as u32;
        let keys = IndexKeys::new(&leaves, 32);
        let group = Group { queries: 0..1, own: own.clone() };
        let chosen = select_flat(&indexer, &keys, &queries, &[group]);
        let list: Vec<u32> = (own.end..n_leaves as u32).collect();
        let mut scratch = scores::Scratch::default();
        scores::score(&keys::GroupRows::new(&indexer, &queries, 0..1), &keys, &list, &mut scratch);
        let mut ranked: Vec<Ranked> = scratch.scores.iter().copied().zip(list).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.truncate(7);
        prop_assert_eq!(&chosen[0], &ascending(&ranked));
    }
}

/// Tokens of a leaf in the test of the cover.
const TOKENS: usize = 8;

/// Latents, log sizes and tokens of all nodes, where whatever is below one top node of 16 leaves shares its latent.
fn identical(pyramid: &Pyramid, tops: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<Vec<u32>>) {
    let (mut latents, mut log_sizes, mut borders) = (Vec::new(), Vec::new(), Vec::new());
    for (level, keys) in pyramid.keys.iter().enumerate() {
        let mut own = vec![0];
        for index in 0..keys.len() as u32 {
            let level = level as u8;
            let leaves = pyramid.leaves_of(Node { level, index });
            let top = leaves.start as usize / 16;
            latents.extend_from_slice(&tops[top * 16..][..16]);
            log_sizes.push(((leaves.len() * TOKENS) as f32).ln());
            own.push(leaves.end * TOKENS as u32);
        }
        borders.push(own);
    }
    (latents, log_sizes, borders)
}

/// All tokens outside each group's own passage.
fn outside_lists(groups: &[Group]) -> KeyLists {
    let mut lists = KeyLists::default();
    for group in groups {
        let own = [group.own.start, group.own.end].map(|leaf| leaf * TOKENS as u32);
        let range = |start, end| KeyRange {
            start,
            end,
            bucket: 0,
        };
        lists.push(
            16,
            [range(0, own[0]), range(own[1], groups.len() as u32 * 16)],
        );
    }
    lists
}

/// Sixteen passages of 4 leaves of 8 tokens each: attention to the cover is attention to all tokens elsewhere.
#[test]
fn a_cover_of_identical_keys_equals_dense_attention() {
    let n_leaves = 64;
    let n_tokens = n_leaves * TOKENS;
    let mut numbers = Numbers::new(21);
    let pyramid = Pyramid::new(&numbers.take(n_leaves * 32, 1.0), 32, 4, 4);
    let indexer = Indexer {
        kept: 1,
        leaves: 3,
        ..Indexer::default()
    };
    let groups: Vec<Group> = (0..n_tokens as u32 / 16)
        .map(|at| Group {
            queries: at * 16..at * 16 + 16,
            own: at / 2 * 4..at / 2 * 4 + 4,
        })
        .collect();
    let (queries, weights) = (
        numbers.take(n_tokens * 128, 1.0),
        numbers.take(n_tokens * 4, 1.0),
    );
    let queries = IndexQueries {
        queries: &queries,
        weights: &weights,
    };
    let selections = pyramid.index(0).descend(&indexer, &queries, &groups);
    let tops = numbers.take(4 * 16, 1.0);
    let (latents, log_sizes, borders) = identical(&pyramid, &tops);
    let read = numbers.take(n_tokens * 2 * 16, 2.0);
    let cover = sparse_attention::forward(&sparse_attention::Inputs {
        queries: &read,
        latents: &latents,
        log_sizes: &log_sizes,
        bias: &[0.0; 2 * N_BUCKETS],
        lists: &cover_lists(&selections, &groups, &borders),
        heads: 2,
        dimensions: 16,
    });
    let tokens: Vec<f64> = (0..n_tokens)
        .flat_map(|token| widen(&tops[token / (16 * TOKENS) * 16..][..16]))
        .collect();
    let dense = sparse_attention_slow(&sparse_attention::Inputs {
        queries: &widen(&read),
        latents: &tokens,
        log_sizes: &vec![0.0; n_tokens],
        bias: &[0.0; 2 * N_BUCKETS],
        lists: &outside_lists(&groups),
        heads: 2,
        dimensions: 16,
    });
    // Rounding in f32, as in the tests of sparse attention.
    assert_near(&cover, &dense, 5e-5);
    let selected = selected_lists(&selections, &groups, &borders[0]);
    assert!((0..groups.len()).all(|group| selected.n_keys_of(group) == 3 * TOKENS));
    let own = |group: usize| groups[group].own.start * 8..groups[group].own.end * 8;
    let apart = |group: usize| {
        selected
            .of(group)
            .iter()
            .all(|range| !own(group).contains(&range.start))
    };
    assert!((0..groups.len()).all(apart));
}

/// Leaves in runs of 16 that share a direction: what a document about one thing after another looks like.
fn clustered(numbers: &mut Numbers, n_leaves: usize) -> Vec<f32> {
    let mut leaves = Vec::new();
    for _ in 0..n_leaves / 16 {
        let centre = numbers.take(32, 1.0);
        for _ in 0..16 {
            let noise = numbers.take(32, 0.4);
            leaves.extend(
                centre
                    .iter()
                    .zip(noise)
                    .map(|(centre, noise)| centre + noise),
            );
        }
    }
    leaves
}

#[test]
fn the_descent_keeps_nine_tenths_of_the_best_scores() {
    let indexer = Indexer::default();
    let mut numbers = Numbers::new(11);
    let leaves = clustered(&mut numbers, 2048);
    let pyramid = Pyramid::new(&leaves, 32, 4, 64);
    let n_queries = 16 * 12;
    let queries = numbers.take(n_queries * 4 * 32, 1.0);
    let weights: Vec<f32> = numbers
        .take(n_queries * 4, 1.0)
        .iter()
        .map(|w| w.abs())
        .collect();
    let queries = IndexQueries {
        queries: &queries,
        weights: &weights,
    };
    // Queries one by one: a mean over sixteen random queries would be nearly the same for all keys.
    let groups: Vec<Group> = (0..n_queries as u32)
        .map(|at| Group {
            queries: at..at + 1,
            own: 100..140,
        })
        .collect();
    let descended = pyramid.index(0).descend(&indexer, &queries, &groups);
    let flat = select_flat(&indexer, &pyramid.keys[0], &queries, &groups);
    let (mut own, mut best, mut shared) = (0.0, 0.0, 0);
    for (at, (selection, flat)) in descended.iter().zip(&flat).enumerate() {
        let one = IndexQueries {
            queries: &queries.queries[at * 128..(at + 1) * 128],
            weights: &queries.weights[at * 4..(at + 1) * 4],
        };
        let sum = |list: &[u32]| {
            scores_slow(&indexer, &one, &leaves, list)
                .iter()
                .sum::<f32>()
        };
        (own, best) = (own + sum(&selection.leaves), best + sum(flat));
        shared += selection
            .leaves
            .iter()
            .filter(|leaf| flat.binary_search(leaf).is_ok())
            .count();
    }
    assert!(own >= 0.9 * best, "{own} of {best}");
    let recall = shared as f32 / (32 * n_queries) as f32;
    assert!(recall >= 0.6, "{recall}");
}

#[test]
fn importance_is_the_weight_that_attention_gives() {
    let mut numbers = Numbers::new(12);
    let mut lists = KeyLists::default();
    lists.push(
        3,
        [KeyRange {
            start: 0,
            end: 90,
            bucket: log_bucket(70),
        }],
    );
    lists.push(
        2,
        [KeyRange {
            start: 5,
            end: 9,
            bucket: 0,
        }],
    );
    lists.push(0, []);
    let inputs = sparse_attention::Inputs {
        queries: &numbers.take(5 * 2 * 16, 3.0),
        latents: &numbers.take(90 * 16, 1.0),
        log_sizes: &numbers.take(90, 1.0),
        bias: &numbers.take(2 * N_BUCKETS, 1.0),
        lists: &lists,
        heads: 2,
        dimensions: 16,
    };
    let chosen = most_important(&inputs, &sparse_attention::forward(&inputs), 6);
    assert_eq!(
        (chosen[1].as_slice(), chosen[2].as_slice()),
        ([5, 6, 7, 8].as_slice(), [].as_slice())
    );
    // The weight of a key is how much the output of its group changes along a latent of its own dimension.
    let weight = |key: usize| -> f64 {
        (0..6)
            .map(|row| {
                let query = &inputs.queries[row * 16..][..16];
                let latent = &inputs.latents[key * 16..][..16];
                let product: f32 = query.iter().zip(latent).map(|(q, c)| q * c).sum();
                let bias = inputs.bias[row % 2 * N_BUCKETS + usize::from(log_bucket(70))];
                let logit = f64::from(product / 4.0 + inputs.log_sizes[key] + bias);
                (logit - log_sum(&inputs, row)).exp()
            })
            .sum()
    };
    let mut weights: Vec<f64> = (0..90).map(weight).collect();
    let own: f64 = chosen[0].iter().map(|key| weights[*key as usize]).sum();
    weights.sort_by(|a, b| b.total_cmp(a));
    let best: f64 = weights[..6].iter().sum();
    assert!(own > best * 0.9999, "{own} of {best}");
}

fn log_sum(inputs: &sparse_attention::Inputs, row: usize) -> f64 {
    let out = sparse_attention_slow(&sparse_attention::Inputs {
        queries: &widen(inputs.queries),
        latents: &widen(inputs.latents),
        log_sizes: &widen(inputs.log_sizes),
        bias: &widen(inputs.bias),
        lists: inputs.lists,
        heads: inputs.heads,
        dimensions: inputs.dimensions,
    });
    out[row * 17 + 16]
}

struct Sample {
    queries: Vec<f32>,
    weights: Vec<f32>,
    keys: Vec<f32>,
    lists: KeyLists,
}

impl Sample {
    /// Groups of 5, 0, 17 and 1 queries; the second list holds keys in no order and one twice.
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers::new(seed);
        let mut lists = KeyLists::default();
        let range = |start, end| KeyRange {
            start,
            end,
            bucket: 0,
        };
        lists.push(5, [range(3, 70), range(80, 81)]);
        lists.push(0, [range(1, 4)]);
        lists.push(
            17,
            [range(40, 41), range(12, 20), range(40, 42), range(33, 34)],
        );
        lists.push(1, []);
        Self {
            queries: numbers.take(23 * 3 * 32, 1.0),
            weights: numbers.take(23 * 3, 1.0),
            keys: numbers.take(85 * 32, 1.0),
            lists,
        }
    }

    fn inputs(&self) -> ScoreInputs<'_> {
        ScoreInputs {
            queries: &self.queries,
            weights: &self.weights,
            keys: &self.keys,
            lists: &self.lists,
            heads: 3,
            dimensions: 32,
        }
    }

    fn slow(&self, learned: [&[f64]; 3]) -> Vec<f64> {
        list_scores_slow(&ScoreInputs {
            queries: learned[0],
            weights: learned[1],
            keys: learned[2],
            lists: &self.lists,
            heads: 3,
            dimensions: 32,
        })
    }

    fn learned(&self) -> [Vec<f64>; 3] {
        [&self.queries, &self.weights, &self.keys].map(|own| widen(own))
    }
}

#[test]
fn list_scores_and_their_gradients_agree_with_the_definition() {
    for seed in 0..4 {
        let sample = Sample::new(seed);
        let learned = sample.learned();
        let scores = list_scores(&sample.inputs());
        // Sums of 32 products in f32.
        assert_near(
            &scores,
            &sample.slow(learned.each_ref().map(Vec::as_slice)),
            1e-5,
        );
        let weights = Numbers::new(seed + 50).take(scores.len(), 1.0);
        let own = list_scores_backward(&sample.inputs(), &weights);
        for (at, own) in [own.queries, own.weights, own.keys].iter().enumerate() {
            assert_gradient(own, &learned[at], |values| {
                let mut changed = learned.each_ref().map(Vec::as_slice);
                changed[at] = values;
                weighted(&sample.slow(changed), &weights)
            });
        }
    }
}

#[test]
fn candle_gets_the_same_numbers_and_gradients() -> candle_core::Result<()> {
    let sample = Sample::new(9);
    let device = Device::Cpu;
    let queries = Var::from_slice(&sample.queries, (23, 3, 32), &device)?;
    let weights = Var::from_slice(&sample.weights, (23, 3), &device)?;
    let keys = Var::from_slice(&sample.keys, (85, 32), &device)?;
    let scores = index_scores(&queries, &weights, &keys, Arc::new(sample.lists.clone()))?;
    let own = list_scores(&sample.inputs());
    assert_eq!(scores.to_vec1::<f32>()?, own);
    let store = scores.sum_all()?.backward()?;
    let expected = list_scores_backward(&sample.inputs(), &vec![1.0; own.len()]);
    for (var, expected) in [
        (queries, expected.queries),
        (weights, expected.weights),
        (keys, expected.keys),
    ] {
        let gradient = store
            .get(&var)
            .map(|own| own.flatten_all()?.to_vec1::<f32>());
        assert_eq!(gradient.transpose()?, Some(expected));
    }
    Ok(())
}
