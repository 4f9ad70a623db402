//! Lets a tree grow: documents come, change and go, and only the nodes above them are touched.
//!
//! A document joins the entity whose vector and links are nearest, an entity that has become too large splits in two,
//! an empty one goes. Nodes keep their ids and names.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use super::{
    Contents, Level, Node, Tree, TreeDocument, TreeOptions,
    build::{MAX_CHILDREN, dimensions, mean},
    cluster::k_means,
    naming::{Group, Namer},
    nodes::node_id,
    phrases::Phrases,
    summary::summary,
};
use crate::ops::similarity::product;

/// What it counts that all of a document's links lead into an entity.
const LINK_WEIGHT: f32 = 0.1;
/// What a document's present entity is ahead of others.
const STAY_WEIGHT: f32 = 0.02;

/// What is known of documents while a tree grows.
pub trait Growth {
    /// The documents with these ids; what is gone is left out.
    fn documents(&self, ids: &[u32]) -> Vec<OwnedDocument>;

    /// The vector of a document; empty where it has none.
    fn vector(&self, id: u32) -> Vec<f32>;

    /// Documents that this one links to, or that link to it.
    fn linked(&self, id: u32) -> Vec<u32>;
}

/// A [`TreeDocument`] that owns what it is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnedDocument {
    pub id: u32,
    pub title: String,
    pub tags: Vec<String>,
    pub is_index: bool,
    pub path: String,
    pub text: String,
    pub vector: Vec<f32>,
}

impl OwnedDocument {
    pub fn as_ref(&self) -> TreeDocument<'_> {
        TreeDocument {
            id: self.id,
            title: &self.title,
            tags: &self.tags,
            is_index: self.is_index,
            path: &self.path,
            contents: self,
        }
    }
}

impl Contents for OwnedDocument {
    fn text(&self, _: u32) -> Cow<'_, str> {
        Cow::Borrowed(&self.text)
    }

    fn vector(&self, _: u32) -> Cow<'_, [f32]> {
        Cow::Borrowed(&self.vector)
    }
}

/// Takes documents that came or changed into `tree`, and those that are gone out of it.
pub fn grow(
    tree: Tree,
    changed: &[u32],
    gone: &[u32],
    growth: &dyn Growth,
    options: &TreeOptions,
) -> Tree {
    let mut growing = Growing::new(tree, growth);
    gone.iter().for_each(|&id| growing.take_out(id));
    for &id in changed {
        growing.place(id);
    }
    growing.split(options);
    growing.refresh();
    Tree::new(growing.nodes.into_values().collect())
}

/// A tree that changes.
pub(super) struct Growing<'a> {
    pub nodes: HashMap<u64, Node>,
    /// The entity of every document.
    pub entities: HashMap<u32, u64>,
    /// Nodes that hold others than before.
    pub touched: BTreeSet<u64>,
    pub growth: &'a dyn Growth,
}

impl<'a> Growing<'a> {
    pub fn new(tree: Tree, growth: &'a dyn Growth) -> Self {
        let mut entities = HashMap::new();
        for node in &tree.nodes {
            entities.extend(node.documents.iter().map(|&document| (document, node.id)));
        }
        Self {
            nodes: tree.nodes.into_iter().map(|node| (node.id, node)).collect(),
            entities,
            touched: BTreeSet::new(),
            growth,
        }
    }

    pub fn take_out(&mut self, document: u32) {
        if let Some(entity) = self.entities.remove(&document)
            && let Some(node) = self.nodes.get_mut(&entity)
        {
            node.documents.retain(|&own| own != document);
            self.touched.insert(entity);
        }
    }

    /// Puts a document into the entity that suits it best.
    fn place(&mut self, document: u32) {
        let vector = self.growth.vector(document);
        let linked = self.growth.linked(document);
        let present = self.entities.get(&document).copied();
        let mut votes: HashMap<u64, f32> = HashMap::new();
        for entity in linked.iter().filter_map(|other| self.entities.get(other)) {
            *votes.entry(*entity).or_default() += LINK_WEIGHT / linked.len() as f32;
        }
        let suits = |node: &Node| {
            let cosine = match vector.len() == node.vector.len() {
                true => product(&vector, &node.vector),
                false => 0.0,
            };
            let stays = f32::from(u8::from(present == Some(node.id))) * STAY_WEIGHT;
            cosine + votes.get(&node.id).copied().unwrap_or(0.0) + stays
        };
        let entities = self
            .nodes
            .values()
            .filter(|node| node.level == Level::Entity);
        let scored = entities.map(|node| (suits(node), node.id));
        let best = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let Some((_, entity)) = best else {
            return;
        };
        if present != Some(entity) {
            self.take_out(document);
            self.entities.insert(document, entity);
            if let Some(node) = self.nodes.get_mut(&entity) {
                node.documents.push(document);
                node.documents.sort_unstable();
            }
        }
        self.touched.insert(entity);
    }

    /// Parts every touched entity that holds too many documents; the larger part keeps the node.
    fn split(&mut self, options: &TreeOptions) {
        for id in self.touched.clone() {
            let Some(node) = self.nodes.get(&id) else {
                continue;
            };
            let siblings = node.parent.and_then(|parent| self.nodes.get(&parent));
            let room = siblings.is_none_or(|parent| parent.children.len() < MAX_CHILDREN);
            if node.documents.len() <= MAX_CHILDREN || !room {
                continue;
            }
            let documents = self.growth.documents(&node.documents);
            let vectors: Vec<Vec<f32>> = documents.iter().map(|own| own.vector.clone()).collect();
            let all: Vec<usize> = (0..vectors.len()).collect();
            let parts = k_means(&vectors, &all, 2, options.seed);
            let second = parts.iter().filter(|&&part| part == 1).count();
            let smaller = usize::from(second * 2 <= parts.len());
            let leaving: Vec<usize> = all
                .into_iter()
                .filter(|&own| parts[own] == smaller)
                .collect();
            if !leaving.is_empty() && leaving.len() < documents.len() {
                self.part_with(id, &documents, &leaving);
            }
        }
    }

    /// Makes a new entity beside `entity` of those of its documents that leave it.
    fn part_with(&mut self, entity: u64, documents: &[OwnedDocument], leaving: &[usize]) {
        let all: Vec<TreeDocument> = documents.iter().map(OwnedDocument::as_ref).collect();
        let staying: Vec<usize> = (0..all.len())
            .filter(|own| !leaving.contains(own))
            .collect();
        let id = node_id(Level::Entity, &all, leaving);
        let parts = [leaving.to_vec(), staying];
        let mut phrases = Phrases::default();
        let shares = phrases.shares(&all, &parts);
        // Both are named, so that the new name is contrastive; the old one is kept.
        let groups = parts.iter().zip(&shares);
        let groups = groups.map(|(members, shares)| Group {
            members,
            shares,
            parent: 0,
            path: &[],
        });
        let groups: Vec<Group> = groups.collect();
        let names = Namer::new(&all, &phrases, &[], &[]).names_or_titles(&groups);
        let Some(node) = self.nodes.get_mut(&entity) else {
            return;
        };
        let ids: Vec<u32> = leaving.iter().map(|&own| all[own].id).collect();
        node.documents.retain(|own| !ids.contains(own));
        let parent = node.parent;
        let new = Node {
            id,
            level: Level::Entity,
            name: names.into_iter().next().unwrap_or_default(),
            summary: String::new(),
            parent,
            children: Vec::new(),
            documents: ids.clone(),
            n_documents: 0,
            vector: Vec::new(),
        };
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.push(id);
        }
        self.entities.extend(ids.into_iter().map(|own| (own, id)));
        self.nodes.insert(id, new);
        self.touched.insert(id);
    }

    /// Counts, vectors and summaries of the touched nodes and of all above them; empty ones go.
    pub fn refresh(&mut self) {
        let mut above: BTreeSet<(Level, u64)> = BTreeSet::new();
        for &id in &self.touched {
            let mut at = Some(id);
            while let Some(node) = at.and_then(|id| self.nodes.get(&id)) {
                above.insert((node.level, node.id));
                at = node.parent;
            }
        }
        for (level, id) in above {
            let members = self.members(id);
            if members.is_empty() {
                self.remove(id);
                continue;
            }
            let documents = match level {
                Level::Entity => self.growth.documents(&members),
                _ => members.iter().map(|&id| self.bare(id)).collect(),
            };
            let all: Vec<TreeDocument> = documents.iter().map(OwnedDocument::as_ref).collect();
            let order: Vec<usize> = (0..all.len()).collect();
            let vector = mean(&all, &order, dimensions(&all));
            let summary = (level == Level::Entity).then(|| {
                let mut phrases = Phrases::default();
                let shares = phrases.shares(&all, std::slice::from_ref(&order));
                summary(&all, &order, &vector, (&phrases, &shares[0]))
            });
            if let Some(node) = self.nodes.get_mut(&id) {
                node.n_documents = members.len() as u32;
                node.summary = summary.unwrap_or_else(|| std::mem::take(&mut node.summary));
                node.vector = vector;
            }
        }
    }

    fn bare(&self, id: u32) -> OwnedDocument {
        OwnedDocument {
            id,
            vector: self.growth.vector(id),
            ..OwnedDocument::default()
        }
    }

    /// The documents below a node.
    pub fn members(&self, id: u64) -> Vec<u32> {
        let Some(node) = self.nodes.get(&id) else {
            return Vec::new();
        };
        let mut members = node.documents.clone();
        for &child in &node.children {
            members.extend(self.members(child));
        }
        members
    }

    pub fn remove(&mut self, id: u64) {
        let parent = self.nodes.remove(&id).and_then(|node| node.parent);
        if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            parent.children.retain(|&child| child != id);
        }
    }
}
