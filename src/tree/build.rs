//! Builds the tree middle-out.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::{
    Edge, Level, Tree, TreeDocument, TreeOptions,
    cluster::{Bounds, k_means, link, means, modularity},
    graph::Graph,
    joint::Joint,
    nodes::nodes,
    partition::partition,
    rows::{Precision, Rows},
};
use crate::ops::similarity::{mean_direction, product};

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
pub struct Layer {
    pub level: Level,
    pub assigned: Vec<usize>,
    pub count: usize,
}

/// Groups documents into entities, categories and domains and names every group.
pub fn build(documents: &[TreeDocument], links: &[Edge], options: &TreeOptions) -> Tree {
    build_watched(documents, links, options, &|_| ())
}

/// Builds as [`build`] does, and says what it begins.
pub fn build_watched(
    documents: &[TreeDocument],
    links: &[Edge],
    options: &TreeOptions,
    watch: &dyn Fn(Stage),
) -> Tree {
    if documents.is_empty() {
        return Tree::default();
    }
    watch(Stage::Vectors);
    let precision = match options.is_large(documents.len()) {
        true => Precision::Half,
        false => Precision::Full,
    };
    let joint = Joint::new(documents, options.seed, precision);
    let mut rows = joint.rows();
    watch(Stage::Neighbours);
    let graph = Graph::new(documents, &rows, links, options);
    watch(Stage::Diffusion);
    graph.diffuse(&mut rows, options.diffusion_rounds);
    watch(Stage::Categories);
    let sizes = sizes_below(documents.len(), options);
    let level = Level::Category(sizes.len() as u8);
    let middle = match options.is_large(documents.len()) {
        true => large_categories(level, &rows, options),
        false => categories(level, &graph, &rows, options),
    };
    watch(Stage::Above);
    let mut layers = layers_above(&graph, &rows, &middle, options);
    layers.reverse();
    layers.push(middle);
    watch(Stage::Below);
    // Six rounds blur what tells entities apart.
    drop(rows);
    let mut rows = joint.rows();
    drop(joint);
    graph.diffuse(&mut rows, ENTITY_DIFFUSION_ROUNDS);
    drop(graph);
    for (below, &size) in sizes.iter().enumerate().rev() {
        let level = match below {
            0 => Level::Entity,
            below => Level::Category(below as u8),
        };
        let layer = layer_below(level, &rows, &layers[layers.len() - 1], size, options.seed);
        layers.push(layer);
    }
    drop(rows);
    watch(Stage::Names);
    nodes(documents, links, &layers)
}

/// What building a tree is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Vectors,
    Neighbours,
    Diffusion,
    Categories,
    Above,
    Below,
    Names,
}

/// The middle's number of clusters: near n / 30, as far as there may be so many.
fn n_categories(n_documents: usize, factor: f64, options: &TreeOptions) -> usize {
    let ideal = n_documents as f64 / (options.entity_size * options.category_size) as f64;
    ((ideal * factor).round() as usize).clamp(1, MAX_CATEGORIES)
}

/// Documents of a node in each layer below the middle, of entities first; more layers where the middle is coarse.
fn sizes_below(n_documents: usize, options: &TreeOptions) -> Vec<usize> {
    let categories = n_categories(n_documents, 1.0, options);
    let entities = n_documents as f64 / (categories * options.entity_size) as f64;
    let n_layers = (entities.ln() / (MAX_TOP as f64).ln()).ceil().max(1.0);
    let ratio = entities.powf(1.0 / n_layers);
    let sizes = (0..n_layers as i32).map(|layer| options.entity_size as f64 * ratio.powi(layer));
    sizes.map(|size| size.round() as usize).collect()
}

/// The middle: k-means at the count near n / 30 whose partition has the best modularity.
fn categories(level: Level, graph: &Graph, rows: &Rows, options: &TreeOptions) -> Layer {
    let vectors = rows.gather(0..rows.len());
    let members: Vec<usize> = (0..vectors.len()).collect();
    let bound = |factor: f64| n_categories(vectors.len(), factor, options);
    let (least, most) = (bound(0.95), bound(1.2));
    // A handful of counts between the bounds is enough to find the bend.
    let step = ((most - least) / 4).max(1);
    let candidates = (least..=most).step_by(step).map(|count| {
        let assigned = even_k_means(&vectors, &members, count, options.seed);
        (n_clusters(&assigned), assigned)
    });
    best_layer(level, graph, candidates)
}

/// The middle of a large library: among so many clusters no count stands out.
fn large_categories(level: Level, rows: &Rows, options: &TreeOptions) -> Layer {
    let count = n_categories(rows.len(), 1.0, options);
    let least = rows.len() / (count * SMALL_SHARE);
    let (assigned, count) = partition(rows, count, least.max(2), options.seed);
    Layer {
        level,
        assigned,
        count,
    }
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
            assigned: vec![0; graph.len()],
            count: 1,
        },
        |(_, layer)| layer,
    )
}

/// Upwards: more category layers while the top would be too wide, then the domains.
fn layers_above(
    graph: &Graph,
    rows: &Rows,
    categories: &Layer,
    options: &TreeOptions,
) -> Vec<Layer> {
    let ratio = if categories.count > MANY_CATEGORIES {
        MANY_RATIO
    } else {
        options.domain_size
    };
    let bounds = match options.is_large(graph.len()) {
        true => Bounds {
            least: 2,
            most: 2 * ratio,
        },
        // In a library of few subjects one may well stand alone.
        false => Bounds {
            least: 1,
            most: usize::MAX,
        },
    };
    let mut layers: Vec<Layer> = Vec::new();
    let mut below = categories;
    loop {
        let count = below.count.div_ceil(ratio);
        let is_top = count <= MAX_TOP;
        let level = match is_top {
            true => Level::Domain,
            false => below.level.above(),
        };
        // How many subjects a library has is its own affair, so the top may be one narrower.
        let least = if is_top && count > 2 {
            count - 1
        } else {
            count
        };
        let candidates = (least..=count).map(|count| {
            let group = link(rows, &below.assigned, below.count, count, bounds);
            let groups = below.assigned.iter().map(|&cluster| group[cluster]);
            (n_clusters(&group), groups.collect())
        });
        layers.push(best_layer(level, graph, candidates));
        if is_top {
            return layers;
        }
        below = &layers[layers.len() - 1];
    }
}

/// Downwards: k-means inside each node of the layer above.
fn layer_below(level: Level, rows: &Rows, above: &Layer, size: usize, seed: u64) -> Layer {
    let parents = members(above);
    let parts = parents.par_iter().map(|members| {
        if members.is_empty() {
            return Vec::new();
        }
        let vectors = rows.gather(members.iter().copied());
        let all: Vec<usize> = (0..vectors.len()).collect();
        let count = ((all.len() + size / 2) / size).clamp(1, MAX_CHILDREN);
        match level {
            Level::Entity => within_bounds(&vectors, all, count, seed),
            _ => groups(&all, even_k_means(&vectors, &all, count, seed)),
        }
    });
    let parts: Vec<Vec<Vec<usize>>> = parts.collect();
    let mut assigned = vec![0; rows.len()];
    let mut count = 0;
    for (members, parts) in parents.iter().zip(parts) {
        for part in parts {
            part.iter().for_each(|&own| assigned[members[own]] = count);
            count += 1;
        }
    }
    Layer {
        level,
        assigned,
        count,
    }
}

/// The members of each cluster.
fn groups(members: &[usize], clusters: Vec<usize>) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); n_clusters(&clusters)];
    for (&member, cluster) in members.iter().zip(clusters) {
        groups[cluster].push(member);
    }
    groups
}

/// Parts `members` into about `count` groups of at most [`MAX_CHILDREN`], as far as they can be told apart.
fn within_bounds(
    vectors: &[Vec<f32>],
    members: Vec<usize>,
    count: usize,
    seed: u64,
) -> Vec<Vec<usize>> {
    let groups = groups(&members, even_k_means(vectors, &members, count, seed));
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

pub fn members(layer: &Layer) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); layer.count];
    for (own, &cluster) in layer.assigned.iter().enumerate() {
        members[cluster].push(own);
    }
    members
}

/// The length of the longest of the documents' vectors, which is that of all that are not empty.
pub fn dimensions(documents: &[TreeDocument]) -> usize {
    let lengths = documents.iter().map(|document| document.vector().len());
    lengths.max().unwrap_or(0)
}

pub fn mean(documents: &[TreeDocument], members: &[usize], dimensions: usize) -> Vec<f32> {
    let vectors = members.iter().map(|&member| documents[member].vector());
    mean_direction(vectors, dimensions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::similarity::normalise,
        tree::{OwnedDocument, graph::split_mix},
    };

    /// `groups` × `size` documents around random directions, with a word of their group.
    fn library(groups: usize, size: usize) -> Vec<OwnedDocument> {
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
                OwnedDocument {
                    id: own as u32,
                    title: format!("{word} {own}"),
                    path: format!("{word} {own}"),
                    text,
                    vector,
                    ..OwnedDocument::default()
                }
            })
            .collect()
    }

    fn built(library: &[OwnedDocument], exact_documents: usize) -> Tree {
        let documents: Vec<TreeDocument> = library.iter().map(OwnedDocument::as_ref).collect();
        let options = TreeOptions {
            exact_documents,
            ..TreeOptions::default()
        };
        build(&documents, &[], &options)
    }

    #[test]
    fn every_document_has_one_place_and_every_node_a_parent() {
        let sizes = [(1, 1), (1, 2), (2, 3), (4, 5), (6, 25), (6, 130)];
        let all = sizes
            .into_iter()
            .flat_map(|size| [(size, usize::MAX), (size, 0)]);
        for ((groups, size), exact_documents) in all {
            let tree = built(&library(groups, size), exact_documents);
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
                built(&library(groups, size), exact_documents),
                "the tree is the same in each run"
            );
        }
    }

    #[test]
    fn a_small_vault_has_the_designed_shape() {
        let tree = built(&library(6, 25), usize::MAX);
        let count = |level| tree.nodes.iter().filter(|node| node.level == level).count();
        assert!(
            (12..=18).contains(&count(Level::Entity)),
            "{}",
            count(Level::Entity)
        );
        assert!((4..=6).contains(&count(Level::Category(1))));
        assert!((2..=3).contains(&count(Level::Domain)));
    }
    #[test]
    fn a_coarse_middle_has_more_layers_below() {
        let options = TreeOptions::default();
        let check = |n_documents: usize, expected: &[usize]| {
            assert_eq!(
                sizes_below(n_documents, &options),
                expected,
                "{n_documents}"
            );
        };
        check(1, &[10]);
        check(10_000, &[10]);
        check(200_000, &[10]);
        check(1_000_000, &[10, 71]);
    }
}
