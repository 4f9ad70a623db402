//! The nodes of a tree whose documents are grouped: their names, summaries and vectors.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::{
    Edge, Level, Node, Tree, TreeDocument,
    build::{Layer, dimensions, mean, members},
    naming::{Group, NAME_PHRASES, Namer},
    phrases::{Phrases, Shares},
    summary::summary,
};
use crate::ops::similarity::product;

/// Nodes of all layers, top-down, with names contrastive against siblings.
pub fn nodes(documents: &[TreeDocument], links: &[Edge], layers: &[Layer]) -> Tree {
    let mut phrases = Phrases::default();
    let members: Vec<Vec<Vec<usize>>> = layers.iter().map(members).collect();
    let shares = shares_of_layers(documents, layers, &members, &mut phrases);
    let top = shares[0].iter().zip(&members[0]);
    let top: Vec<(&Shares, usize)> = top.map(|(own, members)| (own, members.len())).collect();
    let namer = Namer::new(documents, &phrases, &top, links);
    let dimensions = dimensions(documents);
    let mut nodes: Vec<Node> = Vec::new();
    // Where the nodes of the layer above begin, and the one that each document is in.
    let mut first_above = 0;
    let mut above_of: &[usize] = &vec![0; documents.len()];
    let mut paths_above: Vec<Vec<String>> = vec![Vec::new()];
    for (depth, layer) in layers.iter().enumerate() {
        let groups = members[depth].iter().zip(&shares[depth]);
        let groups = groups.map(|(members, shares)| {
            let parent = members.first().map_or(0, |&first| above_of[first]);
            Group {
                members,
                shares,
                parent,
                path: &paths_above[parent],
            }
        });
        let groups: Vec<Group> = groups.collect();
        let named = namer.names(&groups);
        let paths = groups.iter().zip(&named);
        let paths = paths.map(|(group, name)| [group.path, std::slice::from_ref(name)].concat());
        let paths: Vec<Vec<String>> = paths.collect();
        let fresh = groups.par_iter().zip(named);
        let fresh = fresh.map(|(group, name)| {
            let vector = mean(documents, group.members, dimensions);
            let summary = summary(documents, group.members, &vector, (&phrases, group.shares));
            let is_nameless = name.is_empty() && layer.level == Level::Entity;
            let central = || central(documents, group.members, &vector).to_owned();
            Node {
                name: if is_nameless { central() } else { name },
                summary,
                ..node(documents, layer.level, group.members, vector)
            }
        });
        let mut fresh: Vec<Node> = fresh.collect();
        for (node, group) in fresh.iter_mut().zip(&groups) {
            if depth > 0 {
                let parent = &mut nodes[first_above + group.parent];
                parent.children.push(node.id);
                node.parent = Some(parent.id);
            }
        }
        first_above = nodes.len();
        nodes.append(&mut fresh);
        paths_above = paths;
        above_of = &layer.assigned;
    }
    let mut tree = Tree::new(nodes);
    name_by_parts(&mut tree);
    tree
}

/// The title of the document nearest to the mean of its entity, whose documents share nothing else to name it by.
fn central<'a>(documents: &'a [TreeDocument], members: &[usize], mean: &[f32]) -> &'a str {
    let near = |own: &usize| product(&documents[*own].vector(), mean);
    let nearest = members.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
    nearest.map_or("", |own| documents[*own].title)
}

/// Names what shares nothing by the names of the largest nodes below.
fn name_by_parts(tree: &mut Tree) {
    // From the bottom up, so that what is below has a name.
    for place in (0..tree.nodes.len()).rev() {
        let node = &tree.nodes[place];
        if !node.name.is_empty() {
            continue;
        }
        let below = node.children.iter().filter_map(|child| tree.node(*child));
        let mut below: Vec<&Node> = below.collect();
        below.sort_by_key(|child| (Reverse(child.n_documents), child.id));
        let mut phrases: Vec<&str> = Vec::new();
        for phrase in below
            .iter()
            .filter_map(|child| child.name.split(", ").next())
        {
            if phrases.len() < NAME_PHRASES && !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
        tree.nodes[place].name = phrases.join(", ");
    }
}

/// What each group of each layer shares: of the lowest layer's its documents, of others what is below them.
fn shares_of_layers(
    documents: &[TreeDocument],
    layers: &[Layer],
    members_of: &[Vec<Vec<usize>>],
    phrases: &mut Phrases,
) -> Vec<Vec<Shares>> {
    let mut found: Vec<Vec<Shares>> = Vec::new();
    for (layer, members) in layers.iter().zip(members_of).rev() {
        let shares = match found.last() {
            None => phrases.shares(documents, members),
            Some(below) => {
                let groups_below = &members_of[layers.len() - found.len()];
                let mut parts = vec![Vec::new(); members.len()];
                for (shares, below) in below.iter().zip(groups_below) {
                    if let Some(&first) = below.first() {
                        parts[layer.assigned[first]].push((shares, below.len()));
                    }
                }
                parts
                    .par_iter()
                    .map(|parts| Shares::joined(parts))
                    .collect()
            }
        };
        found.push(shares);
    }
    found.reverse();
    found
}

/// The node of these documents, without its name and its place in the tree.
fn node(documents: &[TreeDocument], level: Level, members: &[usize], vector: Vec<f32>) -> Node {
    let documents_of = |own: &usize| documents[*own].id;
    Node {
        id: node_id(level, documents, members),
        level,
        name: String::new(),
        summary: String::new(),
        parent: None,
        children: Vec::new(),
        documents: match level {
            Level::Entity => members.iter().map(documents_of).collect(),
            _ => Vec::new(),
        },
        n_documents: members.len() as u32,
        vector,
    }
}

/// The same members at the same level always make the same id.
pub fn node_id(level: Level, documents: &[TreeDocument], members: &[usize]) -> u64 {
    id_of(
        level,
        members.iter().map(|&own| documents[own].path).collect(),
    )
}

/// The id of a node of a level, by the paths of its documents.
pub fn id_of(level: Level, mut paths: Vec<&str>) -> u64 {
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
    use crate::tree::OwnedDocument;

    #[test]
    fn what_shares_nothing_is_named_by_its_parts() {
        let node = |id: u64, level, name: &str, children: &[u64], documents: &[u32]| Node {
            id,
            level,
            name: name.to_owned(),
            summary: String::new(),
            parent: None,
            children: children.to_vec(),
            documents: documents.to_vec(),
            n_documents: id as u32,
            vector: vec![0.0, 1.0],
        };
        let document = |id, title: &str, vector: [f32; 2]| OwnedDocument {
            id,
            title: title.to_owned(),
            vector: vector.to_vec(),
            ..OwnedDocument::default()
        };
        let owned = [
            document(1, "Far", [1.0, 0.0]),
            document(2, "Near", [0.0, 1.0]),
        ];
        let documents: Vec<TreeDocument> = owned.iter().map(OwnedDocument::as_ref).collect();
        let nearest = central(&documents, &[0, 1], &[0.0, 1.0]);
        let mut tree = Tree::new(vec![
            node(9, Level::Domain, "", &[8], &[]),
            node(8, Level::Category(0), "", &[3, 4, 5], &[]),
            node(5, Level::Entity, "Rye, starter", &[], &[3]),
            node(4, Level::Entity, nearest, &[], &[1, 2]),
            node(3, Level::Entity, "Rye", &[], &[4]),
        ]);
        name_by_parts(&mut tree);
        let name = |id| tree.node(id).map(|node| node.name.as_str());
        assert_eq!(
            [4, 8, 9].map(name),
            [Some("Near"), Some("Rye, Near"), Some("Rye")]
        );
    }
}
