//! What a user asks for, put down as an [`Edit`] of the tree as it is.

use super::{ANCHOR_DOCUMENTS, Anchor, Edit, Group, Member, Verb, spread};
use crate::tree::{Growth, Level, Node, Tree, TreeOptions, cluster::k_means, nodes::id_of};

/// A change of the tree, by the ids of its nodes and documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Rename { node: u64, name: String },
    Pin { node: u64 },
    Merge { node: u64, into: u64 },
    Split { node: u64, parts: usize },
    Move { what: Placed, into: u64 },
}

/// What can stand somewhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placed {
    Node(u64),
    Document(u32),
}

/// Why the tree cannot be changed like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("this node or document is not in the tree any more; look at `shas tree` again")]
    Gone,
    #[error("a node needs a name; give one")]
    NoName,
    #[error("“{0}” is pinned already; `shas tree undo` with its number lets it go")]
    Pinned(String),
    #[error("“{0}” is one node; name another to merge it with")]
    Same(String),
    #[error("“{0}” is of another level than “{1}”; merge nodes of one level")]
    OtherLevel(String, String),
    #[error("“{0}” cannot be split into {1}, for it holds {2}; give a smaller number, from 2 on")]
    Parts(String, usize, usize),
    #[error("“{0}” cannot stand in a node of the level {1}; name one of the level above it")]
    WrongLevel(String, Level),
    #[error("“{0}” stands in “{1}” already; name another node")]
    There(String, String),
}

/// The tree and what is known of its documents.
pub struct Known<'a> {
    pub tree: &'a Tree,
    /// Edits that were made before.
    pub edits: &'a [Edit],
    pub growth: &'a dyn Growth,
    pub path: &'a dyn Fn(u32) -> Option<String>,
}

impl Request {
    /// The edit that does what is asked for.
    ///
    /// # Errors
    /// When the tree has no such nodes, or when they are of the wrong levels.
    pub fn edit(&self, known: &Known) -> Result<Edit, EditError> {
        match self {
            Self::Rename { node, name } => known.rename(known.node(*node)?, name),
            Self::Pin { node } => known.pin(known.node(*node)?),
            Self::Merge { node, into } => known.merge(known.node(*node)?, known.node(*into)?),
            Self::Split { node, parts } => known.split(known.node(*node)?, *parts),
            Self::Move { what, into } => known.put(*what, known.node(*into)?),
        }
    }
}

impl<'a> Known<'a> {
    fn node(&self, id: u64) -> Result<&'a Node, EditError> {
        self.tree.node(id).ok_or(EditError::Gone)
    }

    fn rename(&self, node: &Node, name: &str) -> Result<Edit, EditError> {
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            return Err(EditError::NoName);
        }
        Ok(Edit {
            verb: Verb::Rename,
            words: format!("rename “{}” to “{name}”", node.name),
            before: vec![self.group(node, Some(node.name.clone()), Vec::new())],
            after: vec![self.group(node, Some(name), Vec::new())],
        })
    }

    fn pin(&self, node: &Node) -> Result<Edit, EditError> {
        let is_pin = |edit: &&Edit| edit.verb == Verb::Pin && edit.node() == Some(node.id);
        if self.edits.iter().any(|edit| is_pin(&edit)) {
            return Err(EditError::Pinned(node.name.clone()));
        }
        let mut after = Vec::new();
        self.all_below(node, &mut after);
        if let Some(own) = after.last_mut() {
            own.name = Some(node.name.clone());
        }
        Ok(Edit {
            verb: Verb::Pin,
            words: format!("pin “{}”", node.name),
            after,
            before: Vec::new(),
        })
    }

    /// The groups of a node and of all below it, of the lowest level first.
    fn all_below(&self, node: &Node, groups: &mut Vec<Group>) {
        for child in node.children.iter().filter_map(|&id| self.tree.node(id)) {
            self.all_below(child, groups);
        }
        groups.push(self.group(node, None, self.members(node)));
    }

    fn merge(&self, node: &Node, into: &Node) -> Result<Edit, EditError> {
        let names = || (node.name.clone(), into.name.clone());
        if node.id == into.id {
            return Err(EditError::Same(names().0));
        }
        if node.level != into.level {
            let (own, other) = names();
            return Err(EditError::OtherLevel(own, other));
        }
        // A name that the user gave outlasts the node.
        let name = self.given_name(into).or_else(|| self.given_name(node));
        let mut members = self.members(into);
        members.extend(self.members(node));
        let own = self.group(into, Some(into.name.clone()), self.members(into));
        let mut before = vec![own];
        self.as_is(node, self.members(node), &mut before);
        Ok(Edit {
            verb: Verb::Merge,
            words: format!("merge “{}” into “{}”", node.name, into.name),
            after: vec![self.group(into, name, members)],
            before,
        })
    }

    fn split(&self, node: &Node, parts: usize) -> Result<Edit, EditError> {
        let members = self.members(node);
        if members.len() != node.documents.len() + node.children.len() {
            return Err(EditError::Gone);
        }
        if parts < 2 || parts > members.len() {
            let name = node.name.clone();
            return Err(EditError::Parts(name, parts, members.len()));
        }
        let mut vectors = self.vectors(node);
        let dimensions = vectors.iter().map(Vec::len).max().unwrap_or(0);
        vectors
            .iter_mut()
            .for_each(|own| own.resize(dimensions, 0.0));
        let all: Vec<usize> = (0..vectors.len()).collect();
        let assigned = k_means(&vectors, &all, parts, TreeOptions::default().seed);
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); parts];
        for (own, part) in assigned.into_iter().enumerate() {
            groups[part].push(own);
        }
        // The largest part keeps the node, and the edit is about what stands last.
        groups.sort_by_key(Vec::len);
        let last = groups.len() - 1;
        let mut after: Vec<Group> = Vec::new();
        for (place, own) in groups.iter().enumerate().filter(|(_, own)| !own.is_empty()) {
            let members: Vec<Member> = own.iter().map(|&own| members[own].clone()).collect();
            let documents = match node.level {
                Level::Entity => own.iter().map(|&own| node.documents[own]).collect(),
                _ => self.below(own.iter().map(|&own| node.children[own])),
            };
            let paths = self.paths(&documents);
            let id = match place == last {
                true => node.id,
                false => self.free_id(node.level, &paths),
            };
            let node = Anchor {
                id,
                level: node.level,
                documents: self.paths(&spread(&documents, ANCHOR_DOCUMENTS)),
            };
            after.push(Group {
                node,
                name: None,
                members,
            });
        }
        Ok(Edit {
            verb: Verb::Split,
            words: format!("split “{}” into {parts}", node.name),
            after,
            before: vec![self.group(node, Some(node.name.clone()), members)],
        })
    }

    fn put(&self, what: Placed, into: &Node) -> Result<Edit, EditError> {
        let (name, level, from, member) = match what {
            Placed::Node(id) => {
                let node = self.node(id)?;
                let from = node.parent.and_then(|parent| self.tree.node(parent));
                let member = Member::Node(self.anchor(node));
                (node.name.clone(), Some(node.level), from, member)
            }
            Placed::Document(id) => {
                let mut nodes = self.tree.nodes.iter();
                let from = nodes.find(|node| node.documents.contains(&id));
                let path = (self.path)(id).ok_or(EditError::Gone)?;
                let title = self.growth.documents(&[id]).pop().map(|own| own.title);
                let name = title.unwrap_or_else(|| path.clone());
                (name, None, from, Member::Document(path))
            }
        };
        if level == Some(Level::Domain) || self.level_below(into) != level {
            return Err(EditError::WrongLevel(name, into.level));
        }
        let from = from.ok_or(EditError::Gone)?;
        if from.id == into.id {
            return Err(EditError::There(name, into.name.clone()));
        }
        let mut before = Vec::new();
        self.as_is(from, vec![member.clone()], &mut before);
        Ok(Edit {
            verb: Verb::Move,
            words: format!("move “{name}” into “{}”", into.name),
            after: vec![self.group(into, None, vec![member])],
            before,
        })
    }

    /// The level of what stands in a node; none where that are documents.
    fn level_below(&self, node: &Node) -> Option<Level> {
        let levels = self.tree.nodes.iter().map(|own| own.level);
        levels.filter(|level| *level < node.level).max()
    }

    /// What brings members back into their node, and the nodes above it that go if nothing else stands in it.
    fn as_is(&self, node: &Node, members: Vec<Member>, groups: &mut Vec<Group>) {
        let goes = members.len() == node.documents.len() + node.children.len();
        let name = goes.then(|| node.name.clone());
        groups.push(self.group(node, name, members));
        let parent = node.parent.and_then(|parent| self.tree.node(parent));
        if let Some(parent) = parent.filter(|_| goes) {
            self.as_is(parent, vec![Member::Node(self.anchor(node))], groups);
        }
    }

    fn group(&self, node: &Node, name: Option<String>, members: Vec<Member>) -> Group {
        Group {
            node: self.anchor(node),
            name,
            members,
        }
    }

    fn members(&self, node: &Node) -> Vec<Member> {
        let documents = self.paths(&node.documents).into_iter();
        let children = node.children.iter().filter_map(|&id| self.tree.node(id));
        let children = children.map(|child| Member::Node(self.anchor(child)));
        documents.map(Member::Document).chain(children).collect()
    }

    fn vectors(&self, node: &Node) -> Vec<Vec<f32>> {
        let documents = node.documents.iter().map(|&id| self.growth.vector(id));
        let children = node.children.iter().filter_map(|&id| self.tree.node(id));
        documents
            .chain(children.map(|child| child.vector.clone()))
            .collect()
    }

    fn anchor(&self, node: &Node) -> Anchor {
        let documents = self.tree.documents_below(node);
        Anchor {
            id: node.id,
            level: node.level,
            documents: self.paths(&spread(&documents, ANCHOR_DOCUMENTS)),
        }
    }

    fn below(&self, nodes: impl Iterator<Item = u64>) -> Vec<u32> {
        let nodes = nodes.filter_map(|id| self.tree.node(id));
        nodes
            .flat_map(|node| self.tree.documents_below(node))
            .collect()
    }

    fn paths(&self, documents: &[u32]) -> Vec<String> {
        let paths = documents.iter().filter_map(|&id| (self.path)(id));
        paths.collect()
    }

    /// The name that the user gave a node.
    fn given_name(&self, node: &Node) -> Option<String> {
        let mut edits = self.edits.iter().rev();
        let given = edits.find(|edit| edit.keeps_name() && edit.node() == Some(node.id));
        given.map(|_| node.name.clone())
    }

    fn free_id(&self, level: Level, paths: &[String]) -> u64 {
        let mut id = id_of(level, paths.iter().map(String::as_str).collect());
        while self.tree.node(id).is_some() {
            id += 1;
        }
        id
    }
}
