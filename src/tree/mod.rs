//! How is the library organised? Here are documents and their links, gimme a [`Tree`].
//!
//! Built middle-out: a neighbour graph smooths the vectors, k-means finds the categories, categories merge
//! upwards into domains by Ward's linkage, and k-means parts each category into entities. Pure and
//! deterministic: no I/O, no tensors, seeded.

mod build;
mod cluster;
pub mod edit;
mod graph;
mod grow;
mod index_notes;
mod joint;
mod lexical;
mod naming;
mod neighbours;
mod nodes;
mod panels;
mod partition;
mod phrases;
mod rows;
mod spectrum;
mod summary;
mod words;

use std::{borrow::Cow, cmp::Reverse, collections::HashMap};

use serde::{Deserialize, Serialize};

pub use build::{Stage, build, build_watched};
pub use cluster::k_means;
pub use grow::{Growth, OwnedDocument, grow};
pub use joint::joint_vectors;
pub use neighbours::recall;
pub use words::{is_stop_word, terms};

/// A layer of the tree above the documents; categories count upwards from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    Entity,
    Category(u8),
    Domain,
}

impl Level {
    /// The category above this one, or above entities.
    fn above(self) -> Self {
        match self {
            Self::Category(layer) => Self::Category(layer + 1),
            Self::Entity | Self::Domain => Self::Category(1),
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Entity => formatter.write_str("entity"),
            Self::Category(1) => formatter.write_str("category"),
            Self::Category(layer) => write!(formatter, "category-{layer}"),
            Self::Domain => formatter.write_str("domain"),
        }
    }
}

/// The tree above the documents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Nodes")]
pub struct Tree {
    /// Parents before children; of one level the largest first.
    pub nodes: Vec<Node>,
    /// Places of the nodes, by their ids.
    #[serde(skip)]
    by_id: Vec<u32>,
}

/// A tree as it is stored.
#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

impl From<Nodes> for Tree {
    fn from(stored: Nodes) -> Self {
        Self::new(stored.nodes)
    }
}

/// A group of documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: u64,
    pub level: Level,
    /// One to three key phrases.
    pub name: String,
    /// A sentence of its most central document.
    pub summary: String,
    pub parent: Option<u64>,
    /// Nodes of the level below; none for entities.
    pub children: Vec<u64>,
    /// Ids of an entity's documents; none for the levels above.
    pub documents: Vec<u32>,
    pub n_documents: u32,
    /// Unit length, in the space of the documents' vectors.
    pub vector: Vec<f32>,
}

impl Tree {
    /// Puts nodes in order: the broadest first, and of one level the largest.
    pub fn new(mut nodes: Vec<Node>) -> Self {
        nodes.sort_by_key(|node| (Reverse(node.level), Reverse(node.n_documents), node.id));
        let mut by_id: Vec<u32> = (0..nodes.len() as u32).collect();
        by_id.sort_by_key(|&place| nodes[place as usize].id);
        Self { nodes, by_id }
    }

    /// Gives every node the id of the one in `before` that most of its documents were in, if they were most of that.
    pub fn with_ids_of(mut self, before: &Self) -> Self {
        let mut ids: HashMap<u64, u64> = HashMap::new();
        let mut levels: Vec<Level> = self.nodes.iter().map(|node| node.level).collect();
        levels.sort_unstable();
        levels.dedup();
        for level in levels {
            let of_level = |tree: &Self| -> Vec<(u64, Vec<u32>)> {
                let nodes = tree.nodes.iter().filter(|node| node.level == level);
                nodes
                    .map(|node| (node.id, tree.documents_below(node)))
                    .collect()
            };
            let old = of_level(before);
            let owners: HashMap<u32, usize> = old
                .iter()
                .enumerate()
                .flat_map(|(place, (_, documents))| documents.iter().map(move |&own| (own, place)))
                .collect();
            for (id, documents) in of_level(&self) {
                let mut shared: HashMap<usize, usize> = HashMap::new();
                for place in documents.iter().filter_map(|own| owners.get(own)) {
                    *shared.entry(*place).or_default() += 1;
                }
                // More than half of both can be said of one pair only.
                let kept = shared.into_iter().find(|&(place, count)| {
                    2 * count > documents.len() && 2 * count > old[place].1.len()
                });
                if let Some((place, _)) = kept {
                    ids.insert(id, old[place].0);
                }
            }
        }
        let new = |id: &mut u64| *id = ids.get(id).copied().unwrap_or(*id);
        for node in &mut self.nodes {
            new(&mut node.id);
            node.parent.iter_mut().for_each(new);
            node.children.iter_mut().for_each(new);
        }
        Self::new(self.nodes)
    }

    /// The node with this id.
    pub fn node(&self, id: u64) -> Option<&Node> {
        let of = |place: &u32| self.nodes.get(*place as usize);
        let found = self
            .by_id
            .binary_search_by_key(&Some(id), |place| of(place).map(|node| node.id));
        of(&self.by_id[found.ok()?])
    }

    /// A node and those above it, broadest first.
    pub fn path(&self, node: &Node) -> Vec<&Node> {
        let own = self.node(node.id);
        let above = |node: &&Node| node.parent.and_then(|parent| self.node(parent));
        let mut path: Vec<&Node> = std::iter::successors(own, above).collect();
        path.reverse();
        path
    }

    /// Index of every node, by id.
    pub fn places(&self) -> HashMap<u64, usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes.map(|(index, node)| (node.id, index)).collect()
    }

    /// Ids of all documents below a node.
    pub fn documents_below(&self, node: &Node) -> Vec<u32> {
        let mut found = node.documents.clone();
        for child in node.children.iter().filter_map(|&child| self.node(child)) {
            found.extend(self.documents_below(child));
        }
        found
    }
}

/// What of documents is too large to be held for all of them: it is read when it is needed, by many threads at once.
pub trait Contents: Sync {
    /// The text of the document with this id; empty where it has none.
    fn text(&self, id: u32) -> Cow<'_, str>;

    /// The model's vector of the document with this id; empty or zero for one without text.
    fn vector(&self, id: u32) -> Cow<'_, [f32]>;
}

/// What the tree is told of a document.
#[derive(Clone, Copy)]
pub struct TreeDocument<'a> {
    pub id: u32,
    pub title: &'a str,
    pub tags: &'a [String],
    /// True for a note of links: a node of what it links to is named after it.
    pub is_index: bool,
    pub path: &'a str,
    pub contents: &'a dyn Contents,
}

impl<'a> TreeDocument<'a> {
    fn text(&self) -> Cow<'a, str> {
        self.contents.text(self.id)
    }

    fn vector(&self) -> Cow<'a, [f32]> {
        self.contents.vector(self.id)
    }
}

/// A link between two documents, by index.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
}

/// How the tree is built; the defaults are the measured ones.
#[derive(Debug, Clone, Copy)]
pub struct TreeOptions {
    pub seed: u64,
    /// Documents up to which neighbours and categories are looked for among all; beyond, among those nearby.
    pub exact_documents: usize,
    /// Nearest neighbours of a document in the graph.
    pub neighbours: usize,
    /// Rounds in which vectors mix with their neighbours'.
    pub diffusion_rounds: usize,
    /// Documents of an entity, entities of a category, categories of a domain, on average.
    pub entity_size: usize,
    pub category_size: usize,
    pub domain_size: usize,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            seed: 7,
            exact_documents: 20_000,
            neighbours: 15,
            diffusion_rounds: 6,
            entity_size: 10,
            category_size: 3,
            domain_size: 2,
        }
    }
}

impl TreeOptions {
    /// True for a library in which not all pairs can be looked at.
    fn is_large(&self, n_documents: usize) -> bool {
        n_documents > self.exact_documents
    }
}
