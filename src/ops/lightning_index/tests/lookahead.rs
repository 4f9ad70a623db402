//! Looking ahead: scores against their definition, and what the descent finds by them.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn scores_are_the_sums_of_the_definition(
        seed in any::<u64>(),
        n_leaves in 1usize..200,
        ratio in 2usize..6,
        lookahead in 0usize..4,
        n_below in 0usize..3,
    ) {
        let indexer = Indexer { lookahead, ..Indexer::default() };
        let mut numbers = Numbers::new(seed);
        let pyramid = Pyramid::new(&numbers.take(n_leaves * 32, 1.0), 32, ratio, 8);
        let n_below = n_below.min(pyramid.keys.len() - 1);
        let (queries, weights) = (numbers.take(3 * 4 * 32, 1.0), numbers.take(3 * 4, 1.0));
        let queries = IndexQueries { queries: &queries, weights: &weights };
        let restored: Vec<Vec<f32>> = pyramid.keys.iter().map(|keys| {
            (0..keys.len()).flat_map(|key| keys.restored(key, 32)).collect()
        }).collect();
        let levels: Vec<(&[f32], &[u32])> =
            restored.iter().zip(&pyramid.children).map(|(keys, own)| (&keys[..], &own[..])).collect();
        let index = pyramid.index(n_below);
        let rows = keys::GroupRows::new(&indexer, &queries, 0..3);
        let mut scratch = scores::Scratch::default();
        for level in 0..levels.len() - n_below {
            let from = descend::Lookahead { level, depth: lookahead };
            let nodes: Vec<u32> = (0..pyramid.keys[n_below + level].len() as u32).rev().collect();
            index.score(&rows, from, &nodes, &mut scratch);
            prop_assert_eq!(scratch.scores.len(), nodes.len());
            for (own, node) in scratch.scores.iter().zip(&nodes) {
                let expected = node_score_slow(&indexer, &queries, &levels[..=n_below + level], *node);
                // Only queries are rounded here: half of what codes of both are off by, for each key of the sum.
                let n_keys = ratio.pow(lookahead as u32) as f32;
                prop_assert!((own - expected).abs() < 0.04 * n_keys, "{own} {expected}");
            }
        }
    }
}

/// Nothing in common between neighbours: a mean says little about what it is of.
#[test]
fn the_further_it_looks_the_more_of_the_best_it_finds() {
    let mut numbers = Numbers::new(17);
    let leaves = numbers.take(2048 * 32, 1.0);
    let pyramid = Pyramid::new(&leaves, 32, 4, 64);
    let n_queries = 48;
    let queries = numbers.take(n_queries * 4 * 32, 1.0);
    let queries = IndexQueries {
        queries: &queries,
        weights: &vec![1.0; n_queries * 4],
    };
    let groups: Vec<Group> = (0..n_queries as u32)
        .map(|at| Group {
            queries: at..at + 1,
            own: 100..140,
        })
        .collect();
    let flat = select_flat(&Indexer::default(), &pyramid.keys[0], &queries, &groups);
    let recalls = [0, 1, 2].map(|lookahead| {
        let indexer = Indexer {
            lookahead,
            ..Indexer::default()
        };
        let descended = pyramid.index(0).descend(&indexer, &queries, &groups);
        let pairs = descended.iter().zip(&flat);
        let shared = pairs.map(|(own, flat)| {
            let leaves = own.leaves.iter();
            leaves.filter(|leaf| flat.contains(leaf)).count()
        });
        shared.sum::<usize>() as f64 / (32 * n_queries) as f64
    });
    let [none, one, two] = recalls;
    assert!(none + 0.02 < one && one + 0.02 < two, "{recalls:?}");
}
