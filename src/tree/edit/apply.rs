//! Does edits in a tree, in their order; what a later one says of a document or node counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Anchor, Edit, Group, Member, Verb, spread};
use crate::tree::{
    Growth, Level, Node, OwnedDocument, Tree, TreeDocument,
    grow::Growing,
    naming::{Group as Named, Namer},
    phrases::Phrases,
};

/// Documents of a node that are read for its name, at most.
const NAMING_DOCUMENTS: usize = 40;

/// A tree with its edits done.
pub struct Edited {
    pub tree: Tree,
    /// The edits, with the nodes that were found for them.
    pub edits: Vec<Edit>,
}

/// Does all edits in `tree`, after taking `undone` back. Doing them again changes nothing.
///
/// `ids` are those of the documents that edits name, by their paths. A node that no document is left in goes. Names of
/// nodes that are merged or split are found anew, unless the user has named them.
pub fn apply(
    tree: Tree,
    undone: Option<Edit>,
    edits: Vec<Edit>,
    ids: &HashMap<String, u32>,
    growth: &dyn Growth,
) -> Edited {
    if edits.is_empty() && undone.is_none() {
        return Edited { tree, edits };
    }
    let mut levels: Vec<Level> = tree.nodes.iter().map(|node| node.level).collect();
    levels.sort_unstable();
    levels.dedup();
    let mut editing = Editing {
        growing: Growing::new(tree, growth),
        ids,
        levels,
        first: HashMap::new(),
        names: BTreeMap::new(),
        unnamed: BTreeSet::new(),
    };
    if let Some(undone) = undone {
        let mut groups = undone.before;
        editing.apply(&mut groups, true);
    }
    let mut edits = edits;
    for edit in &mut edits {
        let creates = matches!(edit.verb, Verb::Pin | Verb::Merge | Verb::Split);
        let found = editing.apply(&mut edit.after, creates);
        if matches!(edit.verb, Verb::Merge | Verb::Split) {
            editing.unnamed.extend(found);
        }
    }
    editing.finish();
    editing.let_go(&mut edits);
    Edited {
        tree: Tree::new(editing.growing.nodes.into_values().collect()),
        edits,
    }
}

struct Editing<'a> {
    growing: Growing<'a>,
    ids: &'a HashMap<String, u32>,
    /// The levels of the tree, entities first.
    levels: Vec<Level>,
    /// Nodes as they were before the first edit, those that were touched.
    first: HashMap<u64, Node>,
    names: BTreeMap<u64, String>,
    /// Nodes that get a new name where they have changed.
    unnamed: BTreeSet<u64>,
}

impl Editing<'_> {
    /// Puts the members of each group into its node; returns the nodes. One that is not there is made if it may be.
    fn apply(&mut self, groups: &mut [Group], creates: bool) -> Vec<u64> {
        let is_there = |group: &&Group| self.by_id(&group.node).is_some();
        let there = groups.iter().filter(is_there);
        let mut taken: HashSet<u64> = there.map(|group| group.node.id).collect();
        let mut found = Vec::new();
        for group in groups {
            let Some(id) = self.node_of(group, creates, &taken) else {
                continue;
            };
            taken.insert(id);
            for member in &mut group.members {
                match member {
                    Member::Document(path) => {
                        if let Some(&document) = self.ids.get(path) {
                            self.put_document(document, id);
                        }
                    }
                    Member::Node(anchor) => {
                        if let Some(child) = self.find(anchor) {
                            anchor.id = child;
                            self.put_node(child, id);
                        }
                    }
                }
            }
            if let Some(name) = &group.name {
                self.names.insert(id, name.clone());
            }
            found.push(id);
        }
        found
    }

    fn by_id(&self, anchor: &Anchor) -> Option<u64> {
        let node = self.growing.nodes.get(&anchor.id);
        node.filter(|node| node.level == anchor.level)
            .map(|node| node.id)
    }

    /// The node of this id, else the one of its level that holds most of the anchor's documents.
    fn find(&self, anchor: &Anchor) -> Option<u64> {
        if let Some(id) = self.by_id(anchor) {
            return Some(id);
        }
        let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
        let documents = anchor
            .documents
            .iter()
            .filter_map(|path| self.ids.get(path));
        for node in documents.filter_map(|&document| self.above(document, anchor.level)) {
            *votes.entry(node).or_default() += 1;
        }
        let best = votes.into_iter().rev().max_by_key(|(_, votes)| *votes);
        best.map(|(node, _)| node)
    }

    /// The node of a level that a document is in.
    fn above(&self, document: u32, level: Level) -> Option<u64> {
        let mut at = self.growing.entities.get(&document).copied();
        loop {
            let node = self.growing.nodes.get(&at?)?;
            if node.level == level {
                return Some(node.id);
            }
            at = node.parent;
        }
    }

    /// The node of a group; one that is another group's counts as not there.
    fn node_of(&mut self, group: &mut Group, creates: bool, taken: &HashSet<u64>) -> Option<u64> {
        let by_id = self.by_id(&group.node);
        let found = by_id.or_else(|| self.find(&group.node).filter(|id| !taken.contains(id)));
        match found {
            Some(id) => {
                group.node.id = id;
                Some(id)
            }
            None if creates => self.create(group),
            None => None,
        }
    }

    /// Makes a node beside the one that holds the first of the group's members.
    fn create(&mut self, group: &Group) -> Option<u64> {
        let Anchor { id, level, .. } = group.node;
        let holder = group.members.iter().find_map(|member| match member {
            Member::Document(path) => self.above(*self.ids.get(path)?, level),
            Member::Node(anchor) => self.growing.nodes.get(&self.find(anchor)?)?.parent,
        });
        let parent = self.growing.nodes.get(&holder?)?;
        if parent.level != level || self.growing.nodes.contains_key(&id) {
            return None;
        }
        let parent = parent.parent;
        if let Some(parent) = parent {
            self.touch(parent);
            let parent = self.growing.nodes.get_mut(&parent)?;
            parent.children.push(id);
        }
        let node = Node {
            id,
            level,
            name: String::new(),
            summary: String::new(),
            parent,
            children: Vec::new(),
            documents: Vec::new(),
            n_documents: 0,
            vector: Vec::new(),
        };
        self.growing.nodes.insert(id, node);
        self.growing.touched.insert(id);
        self.unnamed.insert(id);
        Some(id)
    }

    fn put_document(&mut self, document: u32, into: u64) {
        let Some(&from) = self.growing.entities.get(&document) else {
            return;
        };
        let is_entity = self.level_of(into) == Some(Level::Entity);
        if from == into || !is_entity {
            return;
        }
        self.touch(from);
        self.touch(into);
        self.growing.take_out(document);
        self.growing.entities.insert(document, into);
        if let Some(node) = self.growing.nodes.get_mut(&into) {
            node.documents.push(document);
        }
    }

    fn put_node(&mut self, child: u64, into: u64) {
        let Some(node) = self.growing.nodes.get(&child) else {
            return;
        };
        let from = node.parent;
        let place = self.levels.binary_search(&node.level).ok();
        let above = place.and_then(|place| self.levels.get(place + 1)).copied();
        if from == Some(into) || above.is_none() || above != self.level_of(into) {
            return;
        }
        self.touch(into);
        let nodes = &mut self.growing.nodes;
        nodes.entry(child).and_modify(|own| own.parent = Some(into));
        nodes.entry(into).and_modify(|own| own.children.push(child));
        if let Some(from) = from {
            self.touch(from);
            let nodes = &mut self.growing.nodes;
            nodes
                .entry(from)
                .and_modify(|own| own.children.retain(|own| *own != child));
        }
    }

    fn level_of(&self, id: u64) -> Option<Level> {
        self.growing.nodes.get(&id).map(|node| node.level)
    }

    fn touch(&mut self, id: u64) {
        if self.growing.touched.insert(id)
            && let Some(node) = self.growing.nodes.get(&id)
        {
            self.first.insert(id, node.clone());
        }
    }

    /// Removes what is empty, and brings counts, vectors, summaries and names of what has changed up to date.
    fn finish(&mut self) {
        self.remove_empty();
        let touched = std::mem::take(&mut self.growing.touched);
        for id in touched {
            let Some(node) = self.growing.nodes.get_mut(&id) else {
                continue;
            };
            if !is_as_before(node, self.first.get(&id)) {
                self.growing.touched.insert(id);
            }
        }
        self.growing.refresh();
        self.sum_up();
        for id in std::mem::take(&mut self.unnamed) {
            if self.growing.touched.contains(&id)
                && !self.names.contains_key(&id)
                && let Some(name) = self.name(id)
            {
                self.names.insert(id, name);
            }
        }
        for (id, name) in std::mem::take(&mut self.names) {
            if let Some(node) = self.growing.nodes.get_mut(&id) {
                node.name = name;
            }
        }
    }

    /// A node above the entities that was made says what its largest part says.
    fn sum_up(&mut self) {
        for level in self.levels.clone() {
            for id in &self.growing.touched {
                let Some(node) = self.growing.nodes.get(id) else {
                    continue;
                };
                if node.level != level || !node.summary.is_empty() {
                    continue;
                }
                let children = node.children.iter();
                let children = children.filter_map(|child| self.growing.nodes.get(child));
                let largest = children.max_by_key(|child| (child.n_documents, child.id));
                let summary = largest.map(|child| child.summary.clone());
                if let (Some(summary), Some(node)) = (summary, self.growing.nodes.get_mut(id)) {
                    node.summary = summary;
                }
            }
        }
    }

    fn remove_empty(&mut self) {
        for level in self.levels.clone() {
            for id in self.growing.touched.clone() {
                let Some(node) = self.growing.nodes.get(&id) else {
                    continue;
                };
                if node.level == level && node.documents.is_empty() && node.children.is_empty() {
                    if let Some(parent) = node.parent {
                        self.touch(parent);
                    }
                    self.growing.remove(id);
                }
            }
        }
    }

    /// A name that tells a node from what stands beside it.
    fn name(&self, id: u64) -> Option<String> {
        let nodes = &self.growing.nodes;
        let node = nodes.get(&id)?;
        let mut path = Vec::new();
        let mut above = node.parent.and_then(|parent| nodes.get(&parent));
        while let Some(parent) = above {
            path.push(parent.name.clone());
            above = parent.parent.and_then(|parent| nodes.get(&parent));
        }
        let is_beside = |own: &&Node| own.level == node.level && own.parent == node.parent;
        let mut beside: Vec<&Node> = nodes.values().filter(is_beside).collect();
        beside.sort_by_key(|own| own.id);
        let mut documents: Vec<OwnedDocument> = Vec::new();
        let (mut members, mut own) = (Vec::new(), None);
        for other in beside {
            let chosen = spread(&self.growing.members(other.id), NAMING_DOCUMENTS);
            let first = documents.len();
            documents.extend(self.growing.growth.documents(&chosen));
            if other.id == id {
                own = Some(members.len());
            }
            // A group without documents at hand has no name.
            if documents.len() > first {
                members.push((first..documents.len()).collect::<Vec<usize>>());
            } else if other.id == id {
                return None;
            }
        }
        let all: Vec<TreeDocument> = documents.iter().map(OwnedDocument::as_ref).collect();
        let mut phrases = Phrases::default();
        let shares = phrases.shares(&all, &members);
        let groups = members.iter().zip(&shares).map(|(members, shares)| Named {
            members,
            shares,
            parent: 0,
            path: &path,
        });
        let groups: Vec<Named> = groups.collect();
        let names = Namer::new(&all, &phrases, &[], &[]).names_or_titles(&groups);
        names.into_iter().nth(own?)
    }

    /// A node that went because it was empty is found by its id only, should it come back: its documents are another's.
    fn let_go(&self, edits: &mut [Edit]) {
        for edit in edits {
            for group in edit.after.iter_mut().chain(&mut edit.before) {
                let anchors = group.members.iter_mut().filter_map(|member| match member {
                    Member::Document(_) => None,
                    Member::Node(anchor) => Some(anchor),
                });
                for anchor in anchors.chain([&mut group.node]) {
                    let id = anchor.id;
                    if self.first.contains_key(&id) && !self.growing.nodes.contains_key(&id) {
                        anchor.documents.clear();
                    }
                }
            }
        }
    }
}

/// Puts what is in a node in its order, as before and then by number; true where it is what was in it before.
fn is_as_before(node: &mut Node, before: Option<&Node>) -> bool {
    let places: HashMap<u64, usize> = before.map_or_else(HashMap::new, |before| {
        let children = before.children.iter().enumerate();
        children.map(|(place, &child)| (child, place)).collect()
    });
    let place = |child: &u64| (places.get(child).copied().unwrap_or(usize::MAX), *child);
    node.children.sort_by_key(place);
    let mut documents: Vec<u32> = before.map_or_else(Vec::new, |own| own.documents.clone());
    documents.sort_unstable();
    node.documents.sort_unstable();
    match before {
        Some(before) if documents == node.documents && before.children == node.children => {
            node.documents.clone_from(&before.documents);
            true
        }
        _ => false,
    }
}
