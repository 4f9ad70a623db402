//! What nodes tell each other before tokens attend to them: within a level, then between parents and children.
//!
//! Both add to the latents, both start at zero, and both look at few: a node at its siblings and at what the indexer's
//! keys choose of its level, a parent at its children.

use rayon::prelude::*;

use super::{
    block::GlobalBlock,
    context::Context,
    pool::{add_projected, is_zero, project},
    pyramid::Pyramid,
    weights::LevelWeights,
};
use crate::ops::similarity::product;

/// Nodes of its level that a node attends to beside its siblings.
const CHOSEN: usize = 8;
/// Nodes before and behind a node that it chooses from, so that a level costs O(n).
const REACH: usize = 64;

/// Runs both over all learned levels, where their weights are not zero.
pub fn exchange(context: &mut Context, block: &GlobalBlock) {
    let config = block.config();
    let levels = 1..=context.pyramid.n_learned;
    if config.within_levels {
        for level in levels.clone() {
            let weights = block.weights.level(level);
            if !is_zero(&weights.within_output) {
                within(context, block, level, weights);
            }
        }
    }
    if config.parents_and_children {
        let tells = |level: &usize| {
            let weights = block.weights.level(*level);
            !is_zero(&weights.up) || !is_zero(&weights.down)
        };
        let telling: Vec<usize> = levels.skip(1).filter(tells).collect();
        if !telling.is_empty() {
            let before = context.latents.clone();
            for level in telling {
                let weights = block.weights.level(level);
                between(context, &before, level, weights, config.head_size);
            }
        }
    }
}

/// Adds to each node of a level what it attends to there.
fn within(context: &mut Context, block: &GlobalBlock, level: usize, weights: &LevelWeights) {
    let size = block.config().head_size;
    let latents = &context.latents[level - 1];
    let n_nodes = latents.len() / size;
    let queries = project(latents, &weights.within_query, size);
    let keys = block.index_keys(latents);
    let seen = seen(&context.pyramid, level, &keys, block.config().index_size);
    let mixed: Vec<f32> = (0..n_nodes)
        .into_par_iter()
        .flat_map_iter(|node| mix(&queries[node * size..][..size], latents, &seen[node]))
        .collect();
    add_projected(
        &mixed,
        &weights.within_output,
        size,
        &mut context.latents[level - 1],
    );
}

/// Whom each node of a level attends to there: its siblings, and those near it whose `keys` are most like its own.
pub fn seen(pyramid: &Pyramid, level: usize, keys: &[f32], index_size: usize) -> Vec<Vec<usize>> {
    let n_nodes = pyramid.levels[level - 1].len();
    let siblings = siblings(pyramid, level);
    (0..n_nodes)
        .into_par_iter()
        .map(|node| {
            let key = |node: usize| &keys[node * index_size..][..index_size];
            let near = node.saturating_sub(REACH)..(node + REACH + 1).min(n_nodes);
            let mut others: Vec<(f32, usize)> = near
                .filter(|other| !siblings[node].contains(other))
                .map(|other| (product(key(node), key(other)), other))
                .collect();
            others.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let chosen = others.iter().take(CHOSEN).map(|&(_, other)| other);
            let seen = siblings[node].clone().chain(chosen);
            seen.filter(|&other| other != node).collect()
        })
        .collect()
}

/// The children of the parent of each node, itself included; passages stand alone.
fn siblings(pyramid: &Pyramid, level: usize) -> Vec<std::ops::Range<usize>> {
    let n_nodes = pyramid.levels[level - 1].len();
    match level < pyramid.n_learned {
        true => {
            let parents = &pyramid.levels[level];
            (0..parents.len())
                .flat_map(|parent| {
                    parents
                        .children_of(parent)
                        .map(move |_| parents.children_of(parent))
                })
                .collect()
        }
        false => (0..n_nodes).map(|node| node..node + 1).collect(),
    }
}

/// The attention of a query to some latents and to nothing, `[size]`.
fn mix(query: &[f32], latents: &[f32], seen: &[usize]) -> Vec<f32> {
    let size = query.len();
    let of = |node: usize| &latents[node * size..][..size];
    let logits: Vec<f32> = seen
        .iter()
        .map(|&node| product(query, of(node)) / (size as f32).sqrt())
        .collect();
    let largest = logits.iter().copied().fold(0.0, f32::max);
    let total = (-largest).exp()
        + logits
            .iter()
            .map(|logit| (logit - largest).exp())
            .sum::<f32>();
    let mut mixed = vec![0.0; size];
    for (&node, logit) in seen.iter().zip(&logits) {
        let share = (logit - largest).exp() / total;
        mixed
            .iter_mut()
            .zip(of(node))
            .for_each(|(mixed, value)| *mixed += share * value);
    }
    mixed
}

/// Adds to a level's nodes what their children are on average, and to these what their parent is, as all were before.
fn between(
    context: &mut Context,
    before: &[Vec<f32>],
    level: usize,
    weights: &LevelWeights,
    size: usize,
) {
    let nodes = &context.pyramid.levels[level - 1];
    let (parents, children) = (&before[level - 1], &before[level - 2]);
    let mut means = vec![0.0; parents.len()];
    let mut inherited = vec![0.0; children.len()];
    for (node, mean) in means.chunks_exact_mut(size).enumerate() {
        let own = nodes.children_of(node);
        let share = 1.0 / own.len() as f32;
        for child in own {
            let values = &children[child * size..][..size];
            mean.iter_mut()
                .zip(values)
                .for_each(|(mean, value)| *mean += share * value);
            inherited[child * size..][..size].copy_from_slice(&parents[node * size..][..size]);
        }
    }
    add_projected(&means, &weights.up, size, &mut context.latents[level - 1]);
    add_projected(
        &inherited,
        &weights.down,
        size,
        &mut context.latents[level - 2],
    );
}
