//! Edits in sequence: the tree stays one, doing them again changes nothing, a new tree takes them, undoing restores.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::{
    ops::similarity::normalise,
    tree::{Growth, Node, OwnedDocument, TreeDocument, TreeOptions, build},
};

/// Documents of four subjects, each around a direction of its own.
struct Notes(Vec<OwnedDocument>);

impl Notes {
    fn new(count: usize, seed: usize) -> Self {
        let subjects = ["basalt", "sonata", "yeast", "comet"];
        let note = |own: usize| {
            let subject = own % subjects.len();
            let mut vector: Vec<f32> = (0..16)
                .map(|at| ((own * 31 + at * 17 + seed * 7) % 13) as f32 / 13.0 - 0.5)
                .collect();
            vector[subject] += 2.0;
            normalise(&mut vector);
            let word = subjects[subject];
            OwnedDocument {
                id: own as u32,
                title: format!("{word} {own}"),
                path: format!("{word}/{own}.md"),
                text: format!("About {word} {own}. This {word} is described at some length here."),
                vector,
                ..OwnedDocument::default()
            }
        };
        Self((0..count).map(note).collect())
    }

    /// A tree of small nodes, so that there are many.
    fn tree(&self) -> Tree {
        let documents: Vec<TreeDocument> = self.0.iter().map(OwnedDocument::as_ref).collect();
        let options = TreeOptions {
            entity_size: 3,
            ..TreeOptions::default()
        };
        build(&documents, &[], &options)
    }

    fn apply(&self, tree: Tree, undone: Option<Edit>, edits: &[Edit]) -> Edited {
        let ids = self.0.iter().map(|own| (own.path.clone(), own.id));
        let ids: HashMap<String, u32> = ids.collect();
        apply(tree, undone, edits.to_vec(), &ids, self)
    }

    fn edit(&self, tree: &Tree, edits: &[Edit], request: &Request) -> Result<Edit, EditError> {
        request.edit(&Known {
            tree,
            edits,
            growth: self,
            path: &|id| self.0.get(id as usize).map(|own| own.path.clone()),
        })
    }

    fn assert_whole(&self, tree: &Tree) {
        let mut placed: Vec<u32> = Vec::new();
        for node in &tree.nodes {
            placed.extend(&node.documents);
            assert!(!node.name.is_empty() && node.n_documents > 0, "{node:?}");
            assert_eq!(node.documents.is_empty(), node.level != Level::Entity);
            assert_eq!(node.parent.is_none(), node.level == Level::Domain);
            assert_eq!(
                node.n_documents as usize,
                tree.documents_below(node).len(),
                "{}",
                node.name
            );
            let parent = node.parent.map(|parent| tree.node(parent).unwrap());
            assert!(parent.is_none_or(|own| own.level > node.level
                && own.children.iter().filter(|id| **id == node.id).count() == 1));
            for child in &node.children {
                assert_eq!(tree.node(*child).unwrap().parent, Some(node.id));
            }
            let mut mean = vec![0.0; 16];
            for id in tree.documents_below(node) {
                let vector = &self.0[id as usize].vector;
                mean.iter_mut()
                    .zip(vector)
                    .for_each(|(sum, own)| *sum += own);
            }
            normalise(&mut mean);
            let near = mean.iter().zip(&node.vector);
            assert!(near.into_iter().all(|(a, b)| (a - b).abs() < 1e-4));
        }
        placed.sort_unstable();
        let all: Vec<u32> = (0..self.0.len() as u32).collect();
        assert_eq!(placed, all);
    }
}

impl Growth for Notes {
    fn documents(&self, ids: &[u32]) -> Vec<OwnedDocument> {
        ids.iter().map(|&id| self.0[id as usize].clone()).collect()
    }

    fn vector(&self, id: u32) -> Vec<f32> {
        self.0[id as usize].vector.clone()
    }

    fn linked(&self, _: u32) -> Vec<u32> {
        Vec::new()
    }
}

/// What a tree holds, whatever the order.
fn content(tree: &Tree) -> BTreeMap<u64, (String, Option<u64>, BTreeSet<u32>)> {
    let node = |own: &Node| {
        let documents = tree.documents_below(own).into_iter().collect();
        (own.id, (own.name.clone(), own.parent, documents))
    };
    tree.nodes.iter().map(node).collect()
}

/// One of all changes that can be asked for, valid or not.
fn request(tree: &Tree, (verb, a, b): (u8, usize, usize)) -> Request {
    let node = |at: usize| &tree.nodes[at % tree.nodes.len()];
    let (own, other) = (node(a), node(b));
    let like = |level: Level| {
        let nodes: Vec<&Node> = tree.nodes.iter().filter(|own| own.level == level).collect();
        nodes[b % nodes.len()].id
    };
    match verb {
        0 => Request::Rename {
            node: own.id,
            name: format!("Named {b}"),
        },
        1 => Request::Pin { node: own.id },
        2 => Request::Merge {
            node: own.id,
            into: like(own.level),
        },
        3 => Request::Split {
            node: own.id,
            parts: 2 + b % 2,
        },
        4 => Request::Move {
            what: Placed::Document(a as u32 % 40),
            into: like(Level::Entity),
        },
        _ => Request::Move {
            what: Placed::Node(own.id),
            into: other.id,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_edited_the_tree_is_whole(
        asked in prop::collection::vec((0u8..6, 0usize..100, 0usize..100), 1..8),
    ) {
        let notes = Notes::new(40, 0);
        let first = notes.tree();
        let (mut tree, mut edits) = (first.clone(), Vec::new());
        for own in asked {
            let Ok(edit) = notes.edit(&tree, &edits, &request(&tree, own)) else {
                continue;
            };
            let node = edit.node();
            edits.push(edit);
            let edited = notes.apply(tree, None, &edits);
            (tree, edits) = (edited.tree, edited.edits);
            notes.assert_whole(&tree);
            prop_assert!(node.is_some_and(|id| tree.node(id).is_some()));
            let again = notes.apply(tree.clone(), None, &edits);
            prop_assert_eq!(&again.tree, &tree);
            prop_assert_eq!(&again.edits, &edits);
        }
        // A new tree of the same notes, and one of others.
        for new in [first.clone(), Notes::new(40, 3).tree()] {
            let edited = notes.apply(new, None, &edits);
            let again = notes.apply(edited.tree.clone(), None, &edited.edits);
            prop_assert_eq!(content(&again.tree), content(&edited.tree));
        }
        while let Some(undone) = edits.pop() {
            let edited = notes.apply(tree, Some(undone), &edits);
            (tree, edits) = (edited.tree, edited.edits);
            notes.assert_whole(&tree);
        }
        prop_assert_eq!(content(&tree), content(&first));
    }
}

#[test]
fn edits_outlast_a_tree_of_other_nodes() {
    let notes = Notes::new(40, 0);
    let mut tree = notes.tree();
    let entity = |tree: &Tree, at: usize| {
        let mut entities = tree.nodes.iter().filter(|own| own.level == Level::Entity);
        entities.nth(at).unwrap().clone()
    };
    let mut edits = Vec::new();
    let (pinned, merged) = (entity(&tree, 0), [entity(&tree, 1), entity(&tree, 2)]);
    let (split, named) = (entity(&tree, 3), entity(&tree, 4));
    let name = "Mine".to_owned();
    for request in [
        Request::Pin { node: pinned.id },
        Request::Merge {
            node: merged[0].id,
            into: merged[1].id,
        },
        Request::Split {
            node: split.id,
            parts: 2,
        },
        Request::Rename {
            node: named.id,
            name,
        },
        Request::Move {
            what: Placed::Document(split.documents[0]),
            into: pinned.id,
        },
    ] {
        edits.push(notes.edit(&tree, &edits, &request).unwrap());
        tree = notes.apply(tree, None, &edits).tree;
    }
    let other = Notes::new(40, 9);
    let mut new = other.tree();
    // No node of the new tree has an id of the old one.
    for node in &mut new.nodes {
        node.id += 1;
        node.parent.iter_mut().for_each(|id| *id += 1);
        node.children.iter_mut().for_each(|id| *id += 1);
    }
    let edited = other.apply(Tree::new(new.nodes), None, &edits);
    other.assert_whole(&edited.tree);
    let holder = |id: u32| {
        let mut nodes = edited.tree.nodes.iter();
        nodes.find(|own| own.documents.contains(&id)).unwrap()
    };
    let together = |documents: &[u32]| {
        let holders: BTreeSet<u64> = documents.iter().map(|&id| holder(id).id).collect();
        holders.len() == 1
    };
    let with_moved = [&pinned.documents[..], &split.documents[..1]].concat();
    assert!(together(&with_moved));
    assert_eq!(holder(pinned.documents[0]).name, pinned.name);
    assert!(together(
        &[&merged[0].documents[..], &merged[1].documents[..]].concat()
    ));
    assert!(!together(&split.documents[1..]) || split.documents.len() == 2);
    assert!(edited.tree.nodes.iter().any(|own| own.name == "Mine"));
    assert!(edited.edits.iter().all(|edit| edit.applies(&edited.tree)));
}

#[test]
fn what_cannot_be_done_is_told() {
    let notes = Notes::new(40, 0);
    let tree = notes.tree();
    let of = |level: Level| tree.nodes.iter().find(|own| own.level == level).unwrap();
    let (domain, entity) = (of(Level::Domain), of(Level::Entity));
    let check = |request: Request, expected: &str| {
        let error = notes.edit(&tree, &[], &request).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let (node, into) = (entity.id, domain.id);
    check(Request::Pin { node: 1 }, "not in the tree");
    let name = " \n".to_owned();
    check(Request::Rename { node, name }, "needs a name");
    check(Request::Merge { node, into: node }, "is one node");
    check(Request::Merge { node, into }, "another level");
    check(Request::Split { node, parts: 1 }, "cannot be split into 1");
    let what = Placed::Node(node);
    check(Request::Move { what, into }, "of the level domain");
    let what = Placed::Document(entity.documents[0]);
    check(Request::Move { what, into: node }, "already");
    check(Request::Move { what, into }, "of the level domain");
}
