//! Builds the tree middle-out.

use std::collections::BTreeSet;

use super::{
    Edge, Level, Node, Tree, TreeDocument, TreeOptions,
    cluster::{k_means, link, means, modularity},
    graph::{Graph, joint_vectors},
    naming::{Group, Names},
};
use crate::ops::similarity::{normalise, product};

/// The partition that matters most has at most so many clusters.
const MAX_CATEGORIES: usize = 2_000;
/// Nodes on top, at most, and children of a node.
const MAX_TOP: usize = 12;
pub(super) const MAX_CHILDREN: usize = 20;
/// A cluster of less than one part in so many of the average is too small for a name.
const SMALL_SHARE: usize = 3;
/// How many more clusters are asked for where some were too small.
const MORE_CLUSTERS: usize = 3;
/// Rounds in which vectors mix with their neighbours' before entities are looked for.
const ENTITY_DIFFUSION_ROUNDS: usize = 1;
/// Categories from which on layers shrink faster.
const MANY_CATEGORIES: usize = 24;
const MANY_RATIO: usize = 4;

/// One layer: the cluster of each document.
struct Layer {
    level: Level,
    assigned: Vec<usize>,
    count: usize,
}

/// Groups documents into entities, categories and domains and names every group.
pub fn build(documents: &[TreeDocument], links: &[Edge], options: &TreeOptions) -> Tree {
    if documents.is_empty() {
        return Tree::default();
    }
    let vectors = joint_vectors(documents, options.seed);
    let graph = Graph::new(documents, &vectors, links, options);
    let smoothed = graph.diffuse(&vectors, options.diffusion_rounds);
    let categories = categories(&graph, &smoothed, options);
    let mut layers = layers_above(&graph, &categories, options);
    layers.reverse();
    // Six rounds blur what tells entities apart.
    let smoothed = graph.diffuse(&vectors, ENTITY_DIFFUSION_ROUNDS);
    let entities = entities(&smoothed, &categories, options);
    layers.push(categories);
    layers.push(entities);
    nodes(documents, links, &layers)
}

/// The middle: k-means at the count near n / 30 whose partition has the best modularity.
fn categories(graph: &Graph, vectors: &[Vec<f32>], options: &TreeOptions) -> Layer {
    let members: Vec<usize> = (0..vectors.len()).collect();
    let ideal = vectors.len() as f64 / (options.entity_size * options.category_size) as f64;
    let bound = |factor: f64| ((ideal * factor).round() as usize).clamp(1, MAX_CATEGORIES);
    let (least, most) = (bound(0.95), bound(1.2));
    // A handful of counts between the bounds is enough to find the bend.
    let step = ((most - least) / 4).max(1);
    let candidates = (least..=most).step_by(step).map(|count| {
        let assigned = even_k_means(vectors, &members, count, options.seed);
        (n_clusters(&assigned), assigned)
    });
    best_layer(Level::Category(1), graph, candidates)
}

/// The partition of the best modularity; of equals, the one with fewer clusters.
fn best_layer(
    level: Level,
    graph: &Graph,
    candidates: impl Iterator<Item = (usize, Vec<usize>)>,
) -> Layer {
    let judged = candidates.map(|(count, assigned)| {
        let layer = Layer {
            level,
            assigned,
            count,
        };
        (modularity(graph, &layer.assigned, count), layer)
    });
    let best = judged.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.count.cmp(&a.1.count)));
    best.map_or_else(
        || Layer {
            level,
            assigned: vec![0; graph.edges.len()],
            count: 1,
        },
        |(_, layer)| layer,
    )
}

/// Upwards: more category layers while the top would be too wide, then the domains.
fn layers_above(graph: &Graph, categories: &Layer, options: &TreeOptions) -> Vec<Layer> {
    let ratio = if categories.count > MANY_CATEGORIES {
        MANY_RATIO
    } else {
        options.domain_size
    };
    let mut layers: Vec<Layer> = Vec::new();
    let mut below = categories;
    loop {
        let count = below.count.div_ceil(ratio);
        let is_top = count <= MAX_TOP;
        let level = match is_top {
            true => Level::Domain,
            false => Level::Category(layers.len() as u8 + 2),
        };
        // How many subjects a library has is its own affair, so the top may be one narrower.
        let least = if is_top && count > 2 {
            count - 1
        } else {
            count
        };
        let candidates = (least..=count).map(|count| {
            let group = link(graph, &below.assigned, below.count, count);
            let groups = below.assigned.iter().map(|&cluster| group[cluster]);
            (count, groups.collect())
        });
        layers.push(best_layer(level, graph, candidates));
        if is_top {
            return layers;
        }
        below = &layers[layers.len() - 1];
    }
}

/// Downwards: k-means inside each category.
fn entities(vectors: &[Vec<f32>], categories: &Layer, options: &TreeOptions) -> Layer {
    let mut assigned = vec![0; vectors.len()];
    let mut total = 0;
    for category in 0..categories.count {
        let members: Vec<usize> = (0..vectors.len())
            .filter(|&own| categories.assigned[own] == category)
            .collect();
        if members.is_empty() {
            continue;
        }
        let count = (members.len() + options.entity_size / 2) / options.entity_size;
        let count = count.clamp(1, MAX_CHILDREN);
        for group in within_bounds(vectors, members, count, options.seed) {
            group.iter().for_each(|&member| assigned[member] = total);
            total += 1;
        }
    }
    Layer {
        level: Level::Entity,
        assigned,
        count: total,
    }
}

/// Parts `members` into about `count` groups of at most [`MAX_CHILDREN`], as far as they can be told apart.
fn within_bounds(
    vectors: &[Vec<f32>],
    members: Vec<usize>,
    count: usize,
    seed: u64,
) -> Vec<Vec<usize>> {
    let clusters = even_k_means(vectors, &members, count, seed);
    let mut groups = vec![Vec::new(); n_clusters(&clusters)];
    for (&member, cluster) in members.iter().zip(clusters) {
        groups[cluster].push(member);
    }
    let total = groups.len();
    if total == 1 {
        return groups;
    }
    let parts = groups.into_iter().map(|group| {
        let parts = group.len().div_ceil(MAX_CHILDREN);
        match parts > 1 && total + parts <= MAX_CHILDREN {
            true => within_bounds(vectors, group, parts, seed),
            false => vec![group],
        }
    });
    parts.flatten().collect()
}

/// K-means whose clusters are worth a name: small ones are dissolved and others asked for in their place.
fn even_k_means(vectors: &[Vec<f32>], members: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let least = members.len() / (count * SMALL_SHARE);
    let attempts = (count..=count + MORE_CLUSTERS).map(|asked| {
        let clusters = k_means(vectors, members, asked, seed);
        dissolve_small(vectors, members, clusters, least.max(2))
    });
    let mut best = Vec::new();
    for clusters in attempts {
        if n_clusters(&clusters) > n_clusters(&best) {
            best = clusters;
        }
        if n_clusters(&best) >= count {
            break;
        }
    }
    best
}

/// Moves the members of every cluster of fewer than `least` to the nearest other one; the rest is numbered anew.
fn dissolve_small(
    vectors: &[Vec<f32>],
    members: &[usize],
    mut clusters: Vec<usize>,
    least: usize,
) -> Vec<usize> {
    let count = n_clusters(&clusters);
    let mut sizes = vec![0; count];
    clusters.iter().for_each(|&cluster| sizes[cluster] += 1);
    let centres = means(vectors, members, &clusters, count);
    for (&member, cluster) in members.iter().zip(&mut clusters) {
        let large = (0..count).filter(|&other| sizes[other] >= least);
        let fit = |other: usize| product(&vectors[member], &centres[other]);
        if sizes[*cluster] < least
            && let Some(nearest) = large.max_by(|&a, &b| fit(a).total_cmp(&fit(b)))
        {
            *cluster = nearest;
        }
    }
    let kept: BTreeSet<usize> = clusters.iter().copied().collect();
    let place = |cluster: usize| kept.range(..cluster).count();
    clusters.into_iter().map(place).collect()
}

fn n_clusters(clusters: &[usize]) -> usize {
    clusters.iter().max().map_or(0, |last| last + 1)
}

/// Nodes of all layers, top-down, with names contrastive against siblings.
fn nodes(documents: &[TreeDocument], links: &[Edge], layers: &[Layer]) -> Tree {
    let names = Names::new(documents, links);
    let mut tree = Tree::default();
    let mut ids_above: Vec<u64> = vec![0];
    let mut above_of: Vec<usize> = vec![0; documents.len()];
    let mut paths_above: Vec<Vec<String>> = vec![Vec::new()];
    for (depth, layer) in layers.iter().enumerate() {
        let members = members(layer);
        let groups: Vec<Group> = members
            .iter()
            .map(|members| {
                let parent = members.first().map_or(0, |&first| above_of[first]);
                Group {
                    members,
                    parent,
                    path: &paths_above[parent],
                }
            })
            .collect();
        let named = names.name(&groups);
        let paths: Vec<Vec<String>> = groups
            .iter()
            .zip(&named)
            .map(|(group, name)| [group.path, std::slice::from_ref(name)].concat())
            .collect();
        let mut ids = Vec::with_capacity(layer.count);
        for ((members, group), name) in members.iter().zip(&groups).zip(named) {
            let vector = mean(documents, members);
            let id = node_id(layer.level, documents, members);
            let parent = (depth > 0).then(|| ids_above[group.parent]);
            if let Some(parent) = tree.nodes.iter_mut().find(|node| Some(node.id) == parent) {
                parent.children.push(id);
            }
            let is_entity = layer.level == Level::Entity;
            tree.nodes.push(Node {
                id,
                level: layer.level,
                name,
                summary: names.summary(members, &vector),
                parent,
                children: Vec::new(),
                documents: members
                    .iter()
                    .filter(|_| is_entity)
                    .map(|&own| documents[own].id)
                    .collect(),
                n_documents: members.len() as u32,
                vector,
            });
            ids.push(id);
        }
        ids_above = ids;
        paths_above = paths;
        above_of.clone_from(&layer.assigned);
    }
    Tree::new(tree.nodes)
}

fn members(layer: &Layer) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); layer.count];
    for (own, &cluster) in layer.assigned.iter().enumerate() {
        members[cluster].push(own);
    }
    members
}

pub(super) fn mean(documents: &[TreeDocument], members: &[usize]) -> Vec<f32> {
    let dimensions = documents
        .iter()
        .map(|document| document.vector.len())
        .max()
        .unwrap_or(0);
    let mut sum = vec![0f32; dimensions];
    for &member in members {
        sum.iter_mut()
            .zip(documents[member].vector)
            .for_each(|(sum, value)| *sum += value);
    }
    normalise(&mut sum);
    sum
}

/// The same members at the same level always make the same id.
pub(super) fn node_id(level: Level, documents: &[TreeDocument], members: &[usize]) -> u64 {
    let mut paths: Vec<&str> = members.iter().map(|&own| documents[own].path).collect();
    paths.sort_unstable();
    let text = format!("{level}\n{}", paths.join("\n"));
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // 53 bits survive every JSON reader.
    hash >> 11
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::graph::split_mix;

    /// `groups` × `size` documents around random directions, with a word of their group.
    fn library(groups: usize, size: usize) -> Vec<(String, String, Vec<f32>)> {
        let mut state = 5;
        let mut random = move || (split_mix(&mut state) >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        let names = ["basalt", "sonata", "compiler", "yeast", "comet", "monsoon"];
        let centres: Vec<Vec<f32>> = (0..groups)
            .map(|_| (0..32).map(|_| random()).collect())
            .collect();
        (0..groups * size)
            .map(|own| {
                let group = own % groups;
                let mut vector: Vec<f32> = centres[group]
                    .iter()
                    .map(|value| value + 0.4 * random())
                    .collect();
                normalise(&mut vector);
                let word = names[group % names.len()];
                let text =
                    format!("About {word} number {own}. The {word} is described at length here.");
                (format!("{word} {own}"), text, vector)
            })
            .collect()
    }

    fn built(library: &[(String, String, Vec<f32>)]) -> Tree {
        let documents: Vec<TreeDocument> = library
            .iter()
            .enumerate()
            .map(|(id, (title, text, vector))| TreeDocument {
                id: id as u32,
                title,
                tags: &[],
                is_index: false,
                path: title,
                text,
                vector,
            })
            .collect();
        build(&documents, &[], &TreeOptions::default())
    }

    #[test]
    fn every_document_has_one_place_and_every_node_a_parent() {
        for (groups, size) in [(1, 1), (1, 2), (2, 3), (4, 5), (6, 25), (6, 130)] {
            let tree = built(&library(groups, size));
            let mut placed: Vec<u32> = tree
                .nodes
                .iter()
                .flat_map(|node| node.documents.iter().copied())
                .collect();
            placed.sort_unstable();
            assert_eq!(placed, (0..(groups * size) as u32).collect::<Vec<_>>());
            for node in &tree.nodes {
                assert!(
                    !node.name.is_empty()
                        && node.n_documents > 0
                        && node.children.len() <= MAX_CHILDREN
                );
                match node.parent.and_then(|parent| tree.node(parent)) {
                    Some(parent) => assert!(parent.children.contains(&node.id)),
                    None => assert_eq!(node.level, Level::Domain),
                }
            }
            assert!(
                tree.nodes
                    .iter()
                    .filter(|node| node.level == Level::Domain)
                    .count()
                    <= MAX_TOP
            );
            assert_eq!(
                tree,
                built(&library(groups, size)),
                "the tree is the same in each run"
            );
        }
    }

    #[test]
    fn a_small_vault_has_the_designed_shape() {
        let tree = built(&library(6, 25));
        let count = |level| tree.nodes.iter().filter(|node| node.level == level).count();
        assert!(
            (12..=18).contains(&count(Level::Entity)),
            "{}",
            count(Level::Entity)
        );
        assert!((4..=6).contains(&count(Level::Category(1))));
        assert!((2..=3).contains(&count(Level::Domain)));
    }
}
