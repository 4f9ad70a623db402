//! Builds the tree middle-out.

use super::{
    Edge, Level, Node, Tree, TreeDocument, TreeOptions,
    cluster::{k_means, link, modularity},
    graph::{Graph, joint_vectors, normalise},
    naming::{Group, Names},
};

/// The partition that matters most has at most so many clusters.
const MAX_CATEGORIES: usize = 2_000;
/// Nodes on top, at most, and children of a node.
const MAX_TOP: usize = 12;
const MAX_CHILDREN: usize = 20;
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
    let entities = entities(&smoothed, &categories, options);
    layers.push(categories);
    layers.push(entities);
    nodes(documents, &layers)
}

/// The middle: k-means at the count near n / 30 whose partition has the best modularity.
fn categories(graph: &Graph, vectors: &[Vec<f32>], options: &TreeOptions) -> Layer {
    let members: Vec<usize> = (0..vectors.len()).collect();
    let ideal = vectors.len() as f64 / (options.entity_size * options.category_size) as f64;
    let bound = |factor: f64| ((ideal * factor).round() as usize).clamp(1, MAX_CATEGORIES);
    let (least, most) = (bound(0.85), bound(1.2));
    // A handful of counts between the bounds is enough to find the bend.
    let step = ((most - least) / 4).max(1);
    let candidates = (least..=most).step_by(step).map(|count| {
        let assigned = k_means(vectors, &members, count, options.seed);
        (modularity(graph, &assigned, count), count, assigned)
    });
    let best = candidates.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let (count, assigned) = best.map_or((1, vec![0; vectors.len()]), |(_, count, assigned)| {
        (count, assigned)
    });
    Layer {
        level: Level::Category(1),
        assigned,
        count,
    }
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
        let group = link(graph, &below.assigned, below.count, count);
        let level = match is_top {
            true => Level::Domain,
            false => Level::Category(layers.len() as u8 + 2),
        };
        let assigned = below
            .assigned
            .iter()
            .map(|&cluster| group[cluster])
            .collect();
        layers.push(Layer {
            level,
            assigned,
            count,
        });
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
        for (&member, cluster) in
            members
                .iter()
                .zip(k_means(vectors, &members, count, options.seed))
        {
            assigned[member] = total + cluster;
        }
        total += count;
    }
    Layer {
        level: Level::Entity,
        assigned,
        count: total,
    }
}

/// Nodes of all layers, top-down, with names contrastive against siblings.
fn nodes(documents: &[TreeDocument], layers: &[Layer]) -> Tree {
    let names = Names::new(documents);
    let mut tree = Tree::default();
    let mut ids_above: Vec<u64> = vec![0];
    let mut above_of: Vec<usize> = vec![0; documents.len()];
    for (depth, layer) in layers.iter().enumerate() {
        let members = members(layer);
        let groups: Vec<Group> = members
            .iter()
            .map(|members| Group {
                members,
                parent: members.first().map_or(0, |&first| above_of[first]),
            })
            .collect();
        let named = names.name(&groups);
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
        above_of.clone_from(&layer.assigned);
    }
    tree
}

fn members(layer: &Layer) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); layer.count];
    for (own, &cluster) in layer.assigned.iter().enumerate() {
        members[cluster].push(own);
    }
    members
}

fn mean(documents: &[TreeDocument], members: &[usize]) -> Vec<f32> {
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
fn node_id(level: Level, documents: &[TreeDocument], members: &[usize]) -> u64 {
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
