//! The snapshot as the panes walk it: items with parents and children, found without searching.

use std::collections::{HashMap, HashSet};

use crate::{
    query::Target,
    store::{DocumentRecord, Snapshot},
    tree::Node,
};

/// A row of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Item {
    /// Index of a node in the snapshot's tree.
    Node(usize),
    /// Index of a document in the snapshot.
    Document(usize),
    /// Index of a document, and of a section in its record; never one that stands for the document.
    Section(usize, usize),
}

impl Item {
    /// Index of the document that the item is, or is in.
    pub fn document(self) -> Option<usize> {
        match self {
            Self::Node(_) => None,
            Self::Document(document) | Self::Section(document, _) => Some(document),
        }
    }
}

/// A snapshot with the maps that the panes need.
pub struct Library {
    pub snapshot: Snapshot,
    /// Ids of the nodes that the user has named or pinned.
    kept: HashSet<u64>,
    nodes: HashMap<u64, usize>,
    entities: Vec<Option<usize>>,
    roots: Vec<Item>,
}

impl Library {
    /// Builds the maps, once.
    pub fn new(snapshot: Snapshot, kept: HashSet<u64>) -> Self {
        let tree = &snapshot.body.tree.nodes;
        let nodes = snapshot.body.tree.places();
        let mut entities = vec![None; snapshot.body.documents.len()];
        for (index, node) in tree.iter().enumerate() {
            for document in node.documents.iter() {
                if let Some(document) = snapshot.document_with_id(*document) {
                    entities[document] = Some(index);
                }
            }
        }
        let tops = (0..tree.len()).filter(|&index| tree[index].parent.is_none());
        // A document that no entity holds still has to be found.
        let loose = (0..entities.len()).filter(|&document| entities[document].is_none());
        let roots = tops
            .map(Item::Node)
            .chain(loose.map(Item::Document))
            .collect();
        Self {
            snapshot,
            kept,
            nodes,
            entities,
            roots,
        }
    }

    /// The items of the first level.
    pub fn roots(&self) -> &[Item] {
        &self.roots
    }

    pub fn node(&self, index: usize) -> &Node {
        &self.snapshot.body.tree.nodes[index]
    }

    pub fn record(&self, document: usize) -> &DocumentRecord {
        &self.snapshot.body.documents[document]
    }

    /// Index of the document with this path.
    pub fn document_at(&self, path: &str) -> Option<usize> {
        let mut documents = self.snapshot.body.documents.iter();
        documents.position(|document| document.path == path)
    }

    /// What stands under an item, in order.
    pub fn children(&self, item: Item) -> Vec<Item> {
        match item {
            Item::Node(index) => {
                let node = self.node(index);
                let nodes = node.children.iter().filter_map(|id| self.nodes.get(id));
                let documents = node
                    .documents
                    .iter()
                    .filter_map(|&id| self.snapshot.document_with_id(id));
                nodes
                    .map(|&node| Item::Node(node))
                    .chain(documents.map(Item::Document))
                    .collect()
            }
            Item::Document(document) => self.sections_under(document, self.body_of(document)),
            Item::Section(document, section) => self.sections_under(document, section),
        }
    }

    /// Whether anything stands under an item.
    pub fn has_children(&self, item: Item) -> bool {
        let has_section = |document: usize, parent: usize| {
            let mut sections = self.record(document).sections.iter().skip(1);
            sections.any(|section| section.parent == Some(parent as u32))
        };
        match item {
            Item::Node(index) => {
                let node = self.node(index);
                !node.children.is_empty() || !node.documents.is_empty()
            }
            Item::Document(document) => has_section(document, self.body_of(document)),
            Item::Section(document, section) => has_section(document, section),
        }
    }

    /// What an item stands under.
    pub fn parent(&self, item: Item) -> Option<Item> {
        match item {
            Item::Node(index) => {
                let parent = self.node(index).parent?;
                self.nodes.get(&parent).map(|&parent| Item::Node(parent))
            }
            Item::Document(document) => self.entities[document].map(Item::Node),
            Item::Section(document, section) => {
                let parent = self.record(document).sections[section].parent;
                Some(self.section_item(document, parent.unwrap_or(0) as usize))
            }
        }
    }

    /// What an item is called.
    pub fn name(&self, item: Item) -> &str {
        match item {
            Item::Node(index) => &self.node(index).name,
            Item::Document(document) => &self.record(document).title,
            Item::Section(document, section) => &self.record(document).sections[section].heading,
        }
    }

    /// Whether an item is a node that the user has named or pinned.
    pub fn is_kept(&self, item: Item) -> bool {
        matches!(item, Item::Node(index) if self.kept.contains(&self.node(index).id))
    }

    /// What an item of another library of the same documents is here.
    pub fn same(&self, item: Item, other: &Self) -> Option<Item> {
        let document = |own: usize| self.snapshot.document_with_id(other.record(own).id);
        match item {
            Item::Node(index) => self.item(Target::Node(other.node(index).id)),
            Item::Document(own) => document(own).map(Item::Document),
            Item::Section(own, section) => {
                let own = document(own)?;
                let has_section = section < self.record(own).sections.len();
                has_section.then_some(Item::Section(own, section))
            }
        }
    }

    /// The name of an item's level.
    pub fn level(&self, item: Item) -> String {
        match item {
            Item::Node(index) => self.node(index).level.to_string(),
            Item::Document(_) => "document".to_owned(),
            Item::Section(..) => "section".to_owned(),
        }
    }

    /// Number of documents below a node.
    pub fn n_documents(&self, item: Item) -> Option<u32> {
        match item {
            Item::Node(index) => Some(self.node(index).n_documents),
            Item::Document(_) | Item::Section(..) => None,
        }
    }

    /// The item that a question's target is; a passage is its section.
    pub fn item(&self, target: Target) -> Option<Item> {
        match target {
            Target::Node(id) => self.nodes.get(&id).map(|&index| Item::Node(index)),
            Target::Document(document) => Some(Item::Document(document)),
            Target::Section(document, section) => Some(self.section_item(document, section)),
            Target::Passage(passage) | Target::Granule(passage, _) => {
                let document = self.snapshot.document_of(passage);
                Some(self.section_item(document, self.snapshot.section_of(passage)))
            }
        }
    }

    /// The section that holds a byte of a document.
    pub fn item_at(&self, document: usize, byte: usize) -> Item {
        let sections = &self.record(document).sections;
        let holds = |section: usize| {
            let section = &sections[section];
            (section.start as usize..section.end as usize).contains(&byte)
        };
        let deepest = (0..sections.len()).rev().find(|&section| holds(section));
        self.section_item(document, deepest.unwrap_or(0))
    }

    fn sections_under(&self, document: usize, parent: usize) -> Vec<Item> {
        let sections = self.record(document).sections.iter().enumerate().skip(1);
        sections
            .filter(|(_, section)| section.parent == Some(parent as u32))
            .map(|(section, _)| Item::Section(document, section))
            .collect()
    }

    /// The section whose subsections are the document's: a lone top heading is another title, not a section.
    fn body_of(&self, document: usize) -> usize {
        let sections = &self.record(document).sections;
        let mut tops = (1..sections.len()).filter(|&section| sections[section].parent == Some(0));
        match (tops.next(), tops.next()) {
            (Some(only), None) if sections[only].level == 1 => only,
            _ => 0,
        }
    }

    fn section_item(&self, document: usize, section: usize) -> Item {
        match section == 0 || section == self.body_of(document) {
            true => Item::Document(document),
            false => Item::Section(document, section),
        }
    }
}
