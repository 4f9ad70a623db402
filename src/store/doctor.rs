//! Is the index whole? Every part is read and compared with the others.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use serde::Serialize;

use super::{DocumentRecord, FileState, Snapshot, StoreError, edits};
use crate::tree::edit::Edit;

/// What was found about one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub part: &'static str,
    /// A clause, with the remedy where there is something to do.
    pub what: String,
    /// False where all is well, or where the next `shas index` mends it by itself.
    pub is_damage: bool,
}

/// Examines the index in `folder`.
///
/// # Errors
/// When there is no index, or when its snapshot or the user's edits cannot be read at all.
pub fn examine(folder: &Path) -> Result<Vec<Finding>, StoreError> {
    let snapshot = Snapshot::open(folder)?;
    Ok(vec![
        segments(&snapshot),
        blobs(&snapshot),
        text(&snapshot)?,
        links(&snapshot),
        tree(&snapshot),
        edited(folder, &snapshot)?,
        files(&snapshot),
    ])
}

fn finding(part: &'static str, fine: String, problems: &[String]) -> Finding {
    let more = match problems.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    Finding {
        part,
        what: problems.first().map_or(fine, |first| first.clone() + &more),
        is_damage: !problems.is_empty(),
    }
}

fn segments(snapshot: &Snapshot) -> Finding {
    let segments = snapshot.body.segments.iter().zip(snapshot.segments());
    let broken = segments.filter(|(_, segment)| !segment.verify());
    let problems: Vec<String> = broken
        .map(|(name, _)| format!("segment {name} has a wrong checksum"))
        .collect();
    let fine = format!(
        "{} segments hold {} passages, every checksum holds",
        snapshot.body.segments.len(),
        snapshot.n_passages()
    );
    finding("vectors", fine, &problems)
}

fn blobs(snapshot: &Snapshot) -> Finding {
    let blobs = snapshot.body.blobs.iter().zip(snapshot.blobs());
    let broken = blobs.filter(|(_, blobs)| !blobs.verify());
    let mut problems: Vec<String> = broken
        .map(|(name, _)| format!("blob file {name} has a wrong checksum"))
        .collect();
    let mut count = 0;
    for (document, record) in snapshot.body.documents.iter().enumerate() {
        if record.text.is_none() {
            continue;
        }
        count += 1;
        let text = snapshot.extracted(document);
        if text.is_none_or(|text| !record.is_text(text.text.as_bytes())) {
            problems.push(format!(
                "the text of {} is not what was indexed",
                record.path
            ));
        }
    }
    let fine = format!("{count} extracted texts are as they were indexed");
    finding("texts", fine, &problems)
}

/// Documents and text units name each other, unless a run is at work or was interrupted.
fn text(snapshot: &Snapshot) -> Result<Finding, StoreError> {
    let found: HashMap<u32, u32> = snapshot.text.units()?;
    let expected = |record: &DocumentRecord| match record.records.len() {
        0 => record.n_passages.max(1),
        records => records as u32,
    };
    let documents = &snapshot.body.documents;
    let own: HashSet<u32> = documents.iter().map(|record| record.id).collect();
    let others = documents
        .iter()
        .filter(|record| found.get(&record.id) != Some(&expected(record)))
        .count()
        + found.keys().filter(|id| !own.contains(id)).count();
    let what = match others {
        0 => format!(
            "{} text units, one for every passage",
            snapshot.text.n_units()
        ),
        _ => format!(
            "{others} documents are being replaced; `shas index` completes an interrupted run"
        ),
    };
    Ok(Finding {
        part: "text",
        what,
        is_damage: false,
    })
}

fn links(snapshot: &Snapshot) -> Finding {
    let links = || snapshot.body.documents.iter().flat_map(|own| &own.links);
    let lost = links().filter(|&&id| snapshot.document_with_id(id).is_none());
    Finding {
        part: "links",
        what: match lost.count() {
            0 => format!("{} links, all to documents of the index", links().count()),
            lost => {
                format!("{lost} links lead to documents that are gone; `shas index` drops them")
            }
        },
        is_damage: false,
    }
}

/// Every node has its parent and children, and no document has two places.
fn tree(snapshot: &Snapshot) -> Finding {
    let tree = &snapshot.body.tree;
    let places = tree.places();
    let node = |id: &u64| places.get(id).map(|&place| &tree.nodes[place]);
    let mut problems = Vec::new();
    let mut placed: HashSet<u32> = HashSet::new();
    for own in &tree.nodes {
        let parent = own.parent.as_ref().map(node);
        if parent.is_some_and(|parent| parent.is_none_or(|it| !it.children.contains(&own.id))) {
            problems.push(format!("node “{}” is not among its parent's", own.name));
        }
        let is_child = |id: &u64| node(id).is_some_and(|child| child.parent == Some(own.id));
        if !own.children.iter().all(is_child) {
            problems.push(format!("a child of node “{}” is missing", own.name));
        }
        for id in &own.documents {
            if !placed.insert(*id) {
                problems.push(format!("document {id} stands in two entities"));
            }
        }
    }
    let documents = snapshot.body.documents.iter();
    let loose = documents.filter(|own| !placed.contains(&own.id)).count();
    let fine = match loose {
        0 => format!("{} nodes hold every document once", tree.nodes.len()),
        _ => format!(
            "{} nodes; {loose} documents wait for their vectors, `shas index` goes on",
            tree.nodes.len()
        ),
    };
    finding("tree", fine, &problems)
}

/// The user's edits are in the tree, or wait for documents that are gone.
fn edited(folder: &Path, snapshot: &Snapshot) -> Result<Finding, StoreError> {
    let edits = edits::read(folder)?;
    let waits = |edit: &&Edit| !edit.applies(&snapshot.body.tree);
    Ok(Finding {
        part: "edits",
        what: match edits.iter().filter(waits).count() {
            0 => format!("{} changes of yours in the tree", edits.len()),
            waiting => format!(
                "{waiting} of {} changes of yours wait for documents or nodes that are gone; `shas tree edits` lists them",
                edits.len()
            ),
        },
        is_damage: false,
    })
}

fn files(snapshot: &Snapshot) -> Finding {
    let count = |state| snapshot.body.n_files(state);
    Finding {
        part: "files",
        what: format!(
            "{} indexed, {} skipped, {} failed; `shas status` has the reasons",
            count(FileState::Indexed),
            count(FileState::Skipped),
            count(FileState::Failed)
        ),
        is_damage: false,
    }
}
