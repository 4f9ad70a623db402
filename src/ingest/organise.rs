//! What is made of all documents together: their links, and the tree above them.

use std::collections::{BTreeSet, HashMap};

use super::{IngestError, mentions};
use crate::{
    corpus::{Document, LinkResolver},
    ops::similarity::normalise,
    store::{DocumentRecord, Snapshot, StoreWriter},
    tree::{self, Tree},
};

/// Gives every document the ids of those that it links to or mentions.
pub(super) fn link_documents(
    documents: &[Document],
    store: &StoreWriter,
) -> Result<(), IngestError> {
    let records: HashMap<String, DocumentRecord> = store
        .documents()?
        .into_iter()
        .map(|record| (record.path.clone(), record))
        .collect();
    let ids: Vec<Option<u32>> = documents
        .iter()
        .map(|document| records.get(&document.path).map(|record| record.id))
        .collect();
    let resolver = LinkResolver::new(documents);
    let mentions = mentions::Mentions::new(documents)?;
    for (index, document) in documents.iter().enumerate() {
        let mut targets: BTreeSet<usize> = document
            .links
            .iter()
            .filter_map(|link| resolver.resolve(&document.path, link))
            .collect();
        targets.extend(mentions.in_text(&document.text));
        targets.remove(&index);
        let links: Vec<u32> = targets
            .into_iter()
            .filter_map(|target| ids[target])
            .collect();
        if let Some(record) = records
            .get(&document.path)
            .filter(|record| record.links != links)
        {
            store.put_document(&DocumentRecord {
                links,
                ..record.clone()
            })?;
        }
    }
    Ok(())
}

/// Builds the tree over the documents of a snapshot.
pub(super) fn build_tree(documents: &[Document], snapshot: &Snapshot) -> Tree {
    let by_path: HashMap<&str, &Document> = documents
        .iter()
        .map(|document| (document.path.as_str(), document))
        .collect();
    let records = &snapshot.body.documents;
    let vectors: Vec<Vec<f32>> = (0..records.len())
        .map(|document| document_vector(snapshot, document))
        .collect();
    let paths: Vec<String> = records
        .iter()
        .map(|record| match by_path.get(record.path.as_str()) {
            Some(document) => document.path_in_hierarchy(),
            None => record.path.clone(),
        })
        .collect();
    let inputs: Vec<tree::TreeDocument> = records
        .iter()
        .zip(&paths)
        .zip(&vectors)
        .map(|((record, path), vector)| tree::TreeDocument {
            id: record.id,
            title: &record.title,
            tags: &record.tags,
            path,
            text: by_path
                .get(record.path.as_str())
                .map_or("", |document| document.text.as_str()),
            vector,
        })
        .collect();
    let edges: Vec<tree::Edge> = records
        .iter()
        .enumerate()
        .flat_map(|(from, record)| record.links.iter().map(move |&to| (from, to)))
        .filter_map(|(from, to)| {
            Some(tree::Edge {
                from,
                to: snapshot.document_with_id(to)?,
            })
        })
        .collect();
    tree::build(&inputs, &edges, &tree::TreeOptions::default())
}

/// The unit-length mean of a document's passage vectors.
fn document_vector(snapshot: &Snapshot, document: usize) -> Vec<f32> {
    let (segment, row) = snapshot.segment_of(document);
    if row.n_passages == 0 {
        return Vec::new();
    }
    let (codes, scale) = segment.mean(&row);
    let mut vector: Vec<f32> = codes.iter().map(|&code| f32::from(code) * scale).collect();
    normalise(&mut vector);
    vector
}
