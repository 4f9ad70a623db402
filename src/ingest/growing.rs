//! The tree follows the documents: it grows, and is built anew when much has changed.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, hash_map::Entry},
    path::Path,
};

use super::{IngestError, text_spool::TextSpool, texts::Texts};
use crate::{
    corpus::path_in_hierarchy,
    store::{Commit, DocumentRecord, Due, Segment, StoreError, StoreWriter},
    tree::{
        self, Contents, Edge, Growth, OwnedDocument, Tree, TreeDocument, TreeOptions,
        edit::{self, Edit, Edited},
    },
};

/// A tree is built anew when more than one document in so many has changed since.
const MAX_CHANGED: usize = 5;
/// Brings the tree up to date with the documents that are encoded.
pub(super) fn grow(
    corpus: &Path,
    store: &mut StoreWriter,
    rebuild: bool,
) -> Result<(), IngestError> {
    let library = Library::open(corpus, store)?;
    let before = store.tree()?;
    let placed: HashSet<u32> = before
        .nodes
        .iter()
        .flat_map(|node| node.documents.iter().copied())
        .collect();
    let due = store.due(Due::Grow)?;
    let is_due: HashSet<u32> = due.iter().copied().collect();
    let is_changed = |id: &u32| is_due.contains(id) || !placed.contains(id);
    let changed: Vec<u32> = library.ids().filter(is_changed).collect();
    let mut gone: Vec<u32> = placed
        .into_iter()
        .filter(|id| !library.places.contains_key(id))
        .collect();
    gone.sort_unstable();
    let n_changed = store.changed()? as usize + changed.len() + gone.len();
    let options = TreeOptions::default();
    let is_anew = rebuild || n_changed * MAX_CHANGED > library.records.len();
    let tree = match is_anew {
        true => library.build(&options)?,
        false => tree::grow(before.clone(), &changed, &gone, &library, &options),
    };
    // Ids stay with what nodes hold, unless a fresh tree was asked for.
    let tree = match is_anew && !rebuild {
        true => tree.with_ids_of(&before),
        false => tree,
    };
    let edits = store.edits()?;
    let edited = library.edited(tree, None, edits.clone());
    let mut commit = difference(&before, edited.tree);
    commit.changed = Some(match is_anew {
        true => 0,
        false => n_changed as u32,
    });
    drop(library);
    if edited.edits != edits {
        store.write_edits(&edited.edits)?;
    }
    store.commit(commit)?;
    Ok(store.done(Due::Grow, &due)?)
}

/// What it takes to make one tree of another.
pub(super) fn difference(before: &Tree, after: Tree) -> Commit {
    let places = after.places();
    let gone = before.nodes.iter().map(|node| node.id);
    let gone_nodes = gone.filter(|id| !places.contains_key(id)).collect();
    let old = before.places();
    let is_new = |node: &tree::Node| {
        let place = old.get(&node.id);
        place.is_none_or(|&place| before.nodes[place] != *node)
    };
    Commit {
        nodes: after.nodes.into_iter().filter(is_new).collect(),
        gone_nodes,
        ..Commit::default()
    }
}

/// The encoded documents, with their vectors and texts at hand.
pub(super) struct Library<'a> {
    corpus: &'a Path,
    store: &'a StoreWriter,
    /// By id.
    records: Vec<DocumentRecord>,
    places: HashMap<u32, usize>,
    linked_from: HashMap<u32, Vec<u32>>,
    segments: HashMap<u32, Segment>,
}

impl<'a> Library<'a> {
    pub fn open(corpus: &'a Path, store: &'a StoreWriter) -> Result<Self, StoreError> {
        let mut records = Vec::new();
        for record in store.documents() {
            let record = record?;
            if record.n_encoded > 0 || record.n_passages == 0 {
                // The tree asks for no part of a document.
                records.push(DocumentRecord {
                    sections: Vec::new(),
                    passage_sections: Vec::new(),
                    records: Vec::new(),
                    passage_records: Vec::new(),
                    ..record
                });
            }
        }
        records.sort_by_key(|record| record.id);
        let mut segments = HashMap::new();
        let mut linked_from: HashMap<u32, Vec<u32>> = HashMap::new();
        for record in &records {
            if let Entry::Vacant(closed) = segments.entry(record.segment) {
                closed.insert(store.segment(record.segment)?);
            }
            for &to in &record.links {
                linked_from.entry(to).or_default().push(record.id);
            }
        }
        let places = records.iter().enumerate();
        Ok(Self {
            corpus,
            store,
            places: places.map(|(place, record)| (record.id, place)).collect(),
            records,
            linked_from,
            segments,
        })
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        self.records.iter().map(|record| record.id)
    }

    fn build(&self, options: &TreeOptions) -> Result<Tree, StoreError> {
        let mut texts = Texts::new(self.corpus, self.store);
        let read = |record: &DocumentRecord| Ok(texts.read(record)?.unwrap_or_default());
        let spool = TextSpool::of(&self.records, self.store.folder(), read)?;
        let contents = Spooled {
            library: self,
            spool: &spool,
        };
        let documents = self.records.iter().zip(&spool.paths);
        let documents = documents.map(|(record, path)| TreeDocument {
            id: record.id,
            title: &record.title,
            tags: &record.tags,
            is_index: record.is_index,
            path,
            contents: &contents,
        });
        let documents: Vec<TreeDocument> = documents.collect();
        let links = self.records.iter().enumerate();
        let links = links.flat_map(|(from, record)| {
            let to = record.links.iter().filter_map(|to| self.places.get(to));
            to.map(move |&to| Edge { from, to })
        });
        let links: Vec<Edge> = links.collect();
        Ok(tree::build(&documents, &links, options))
    }

    /// The tree with the user's edits, after one of them is taken back.
    pub fn edited(&self, tree: Tree, undone: Option<Edit>, edits: Vec<Edit>) -> Edited {
        let named = edits.iter().chain(&undone).flat_map(Edit::paths);
        let named: HashSet<&str> = named.map(String::as_str).collect();
        let all = self.records.iter();
        let named = all.filter(|record| named.contains(record.path.as_str()));
        let ids: HashMap<String, u32> = named
            .map(|record| (record.path.clone(), record.id))
            .collect();
        edit::apply(tree, undone, edits, &ids, self)
    }

    /// The path of a document.
    pub fn path(&self, id: u32) -> Option<String> {
        let place = self.places.get(&id)?;
        Some(self.records[*place].path.clone())
    }

    fn owned(&self, record: &DocumentRecord, text: String) -> OwnedDocument {
        OwnedDocument {
            id: record.id,
            title: record.title.clone(),
            tags: record.tags.clone(),
            is_index: record.is_index,
            path: path_in_hierarchy(&record.path, &text),
            text,
            vector: self.vector_of(record),
        }
    }

    /// The unit-length mean of a document's passage vectors.
    fn vector_of(&self, record: &DocumentRecord) -> Vec<f32> {
        let segment = &self.segments[&record.segment];
        segment.mean_direction(&segment.documents()[record.row as usize])
    }
}

/// The library while a tree is built of it: its texts are read again and again, so they lie in a file side by side.
struct Spooled<'a> {
    library: &'a Library<'a>,
    spool: &'a TextSpool,
}

impl Contents for Spooled<'_> {
    fn text(&self, id: u32) -> Cow<'_, str> {
        let place = self.library.places.get(&id);
        Cow::Owned(place.map_or_else(String::new, |&place| self.spool.read(place)))
    }

    fn vector(&self, id: u32) -> Cow<'_, [f32]> {
        Cow::Owned(self.library.vector(id))
    }
}

impl Growth for Library<'_> {
    fn documents(&self, ids: &[u32]) -> Vec<OwnedDocument> {
        let mut texts = Texts::new(self.corpus, self.store);
        let records = ids
            .iter()
            .filter_map(|id| Some(&self.records[*self.places.get(id)?]));
        records
            .map(|record| {
                // A text that cannot be read has no phrases; its vector still counts.
                let text = texts.read(record).ok().flatten().unwrap_or_default();
                self.owned(record, text)
            })
            .collect()
    }

    fn vector(&self, id: u32) -> Vec<f32> {
        let place = self.places.get(&id);
        place.map_or_else(Vec::new, |&place| self.vector_of(&self.records[place]))
    }

    fn linked(&self, id: u32) -> Vec<u32> {
        let own = self
            .places
            .get(&id)
            .map(|&place| &self.records[place].links);
        let others = self.linked_from.get(&id);
        own.into_iter().chain(others).flatten().copied().collect()
    }
}
