//! The write path on one page: read → cut → encode → store → link → tree → publish.
//!
//! A document whose text has not changed since it was stored is neither encoded nor stored again, which also
//! is how an interrupted run resumes.

mod mentions;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    corpus::{self, CorpusError, Document, LinkResolver, Skipped},
    model::{
        Encoder, ModelError, PassageInput,
        config::{MAX_PASSAGE_TOKENS, MAX_PREFIX_TOKENS},
    },
    store::{
        DocumentRecord, FileState, FileStatus, SectionRecord, SegmentBuilder, Snapshot, StoreError,
        StoreWriter, TextUnit,
    },
    text::{Layout, LayoutOptions, TextError, layout},
    tree::{self, Tree},
};

/// Passages that are encoded at once.
const BATCH_PASSAGES: usize = 256;
/// Passages after which a segment is written and progress is lasting.
const SEGMENT_PASSAGES: usize = 2_048;

/// Why nothing could be indexed.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the title index could not be built: {0}")]
    Titles(#[from] fst::Error),
}

/// What is told while indexing.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// So many documents were found.
    Found { documents: usize },
    /// So many documents are done, and so many word pieces were encoded since the last event.
    Done { documents: usize, tokens: usize },
    /// All documents are stored; links and tree follow.
    Organising,
}

/// What indexing came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub indexed: usize,
    /// How many of them were as before.
    pub unchanged: usize,
    pub skipped: Vec<Skipped>,
}

/// Indexes the folder or file `corpus` into the index folder `index`.
pub fn index(
    corpus: &Path,
    index: &Path,
    encoder: &Encoder,
    progress: &dyn Fn(Event),
) -> Result<Outcome, IngestError> {
    let (mut documents, mut skipped) = (Vec::new(), Vec::new());
    for item in corpus::read(corpus)? {
        match item {
            Ok(document) => documents.push(document),
            Err(problem) => skipped.push(problem),
        }
    }
    let mut outcome =
        index_documents(corpus, documents, skipped.clone(), index, encoder, progress)?;
    outcome.skipped = skipped;
    Ok(outcome)
}

/// Indexes documents that were read already; those of the index that are not among them are forgotten.
pub fn index_documents(
    corpus: &Path,
    documents: Vec<Document>,
    skipped: Vec<Skipped>,
    index: &Path,
    encoder: &Encoder,
    progress: &dyn Fn(Event),
) -> Result<Outcome, IngestError> {
    progress(Event::Found {
        documents: documents.len(),
    });
    let mut store = StoreWriter::open(index, encoder.fingerprint())?;
    let paths: HashSet<&str> = documents
        .iter()
        .map(|document| document.path.as_str())
        .collect();
    for record in store.documents()? {
        if !paths.contains(record.path.as_str()) {
            store.remove_document(&record.path)?;
        }
    }
    let unchanged = encode_documents(&documents, &mut store, encoder, progress)?;
    progress(Event::Organising);
    link_documents(&documents, &store)?;
    store.put_statuses(&statuses(&documents, &skipped))?;
    // Until the new tree is built, readers keep the old one.
    let tree = Snapshot::open(index).map(|before| before.body.tree);
    store.publish(corpus, tree.unwrap_or_default())?;
    let tree = build_tree(&documents, &Snapshot::open(index)?);
    store.publish(corpus, tree)?;
    Ok(Outcome {
        indexed: documents.len(),
        unchanged,
        skipped: Vec::new(),
    })
}

/// Stores what is new or changed; returns the number of documents that are as before.
fn encode_documents(
    documents: &[Document],
    store: &mut StoreWriter,
    encoder: &Encoder,
    progress: &dyn Fn(Event),
) -> Result<usize, IngestError> {
    let mut unchanged = 0;
    let mut pending: Vec<Pending> = Vec::new();
    let mut segment = Vec::new();
    for (done, document) in documents.iter().enumerate() {
        let hash = *blake3::hash(document.text.as_bytes()).as_bytes();
        let stored = store.document(&document.path)?;
        if stored
            .as_ref()
            .is_some_and(|record| record.hash == hash && record.title == document.title)
        {
            unchanged += 1;
            progress(Event::Done {
                documents: done + 1,
                tokens: 0,
            });
            continue;
        }
        let options = LayoutOptions {
            max_tokens: MAX_PASSAGE_TOKENS,
            max_prefix: MAX_PREFIX_TOKENS,
        };
        let layout = layout(document, encoder.tokenizer(), &options)?;
        let id = match &stored {
            Some(record) => record.id,
            None => store.next_document_id()?,
        };
        let tokens = layout
            .passages
            .iter()
            .map(|passage| passage.tokens.len())
            .sum();
        pending.push(Pending {
            document,
            layout,
            id,
            hash,
        });
        let n_passages: usize = pending
            .iter()
            .map(|pending| pending.layout.passages.len())
            .sum();
        if n_passages >= BATCH_PASSAGES {
            segment.extend(encode(std::mem::take(&mut pending), encoder)?);
        }
        if segment
            .iter()
            .map(|(pending, _)| pending.layout.passages.len())
            .sum::<usize>()
            >= SEGMENT_PASSAGES
        {
            write_segment(std::mem::take(&mut segment), store)?;
        }
        progress(Event::Done {
            documents: done + 1,
            tokens,
        });
    }
    segment.extend(encode(pending, encoder)?);
    write_segment(segment, store)?;
    Ok(unchanged)
}

/// A document that is cut but not yet stored.
struct Pending<'a> {
    document: &'a Document,
    layout: Layout,
    id: u32,
    hash: [u8; 32],
}

type Encoded<'a> = (Pending<'a>, Vec<crate::model::PassageEncoding>);

fn encode<'a>(
    pending: Vec<Pending<'a>>,
    encoder: &Encoder,
) -> Result<Vec<Encoded<'a>>, IngestError> {
    let bodies: Vec<Vec<Vec<u32>>> = pending
        .iter()
        .map(|pending| {
            let passages = pending.layout.passages.iter();
            passages
                .map(|passage| passage.tokens.iter().map(|token| token.id).collect())
                .collect()
        })
        .collect();
    let inputs: Vec<PassageInput> = pending
        .iter()
        .zip(&bodies)
        .flat_map(|(pending, bodies)| pending.layout.passages.iter().zip(bodies))
        .map(|(passage, body)| PassageInput {
            prefix: &passage.prefix,
            body,
        })
        .collect();
    let mut encodings = encoder.encode(&inputs)?.into_iter();
    Ok(pending
        .into_iter()
        .map(|pending| {
            let own = encodings
                .by_ref()
                .take(pending.layout.passages.len())
                .collect();
            (pending, own)
        })
        .collect())
}

fn write_segment(encoded: Vec<Encoded>, store: &mut StoreWriter) -> Result<(), IngestError> {
    if encoded.is_empty() {
        return Ok(());
    }
    let mut builder = SegmentBuilder::default();
    let mut records = Vec::new();
    for (pending, encodings) in &encoded {
        let first = builder.len() as u32;
        for (passage, encoding) in pending.layout.passages.iter().zip(encodings) {
            builder.push(passage.span.clone(), encoding);
        }
        records.push(record(pending, first));
        store.text.remove(pending.id);
        add_text(pending, store)?;
    }
    let segment = store.write_segment(&builder)?;
    // Text first: a document that sled names is always found in the text index as well.
    store.text.commit()?;
    for record in &mut records {
        record.segment = segment;
        store.put_document(record)?;
    }
    store.flush()?;
    Ok(())
}

fn record(pending: &Pending, first_passage: u32) -> DocumentRecord {
    let Pending {
        document,
        layout,
        id,
        hash,
    } = pending;
    let sections = layout.sections.iter().map(|section| SectionRecord {
        heading: section.heading.clone(),
        level: section.level,
        start: section.span.start as u32,
        end: section.span.end as u32,
        parent: section.parent.map(|parent| parent as u32),
    });
    let passages = &layout.passages;
    DocumentRecord {
        id: *id,
        path: document.path.clone(),
        title: document.title.clone(),
        aliases: document.aliases.clone(),
        tags: document.tags.clone(),
        hash: *hash,
        segment: 0,
        first_passage,
        n_passages: passages.len() as u32,
        sections: sections.collect(),
        passage_sections: passages
            .iter()
            .map(|passage| passage.section as u32)
            .collect(),
        records: document
            .records
            .iter()
            .map(|record| record.id.clone())
            .collect(),
        passage_records: passages
            .iter()
            .filter_map(|passage| passage.record.map(|record| record as u32))
            .collect(),
        links: Vec::new(),
    }
}

/// Adds a document's units to the text index: its records, else its passages.
fn add_text(pending: &Pending, store: &StoreWriter) -> Result<(), StoreError> {
    let document = pending.document;
    let tags = document.tags.join(" ");
    let unit = |ordinal: usize, headings: &str, span: std::ops::Range<usize>| {
        store.text.add(&TextUnit {
            document: pending.id,
            ordinal: ordinal as u32,
            title: &document.title,
            headings,
            tags: &tags,
            body: &document.text[span],
        })
    };
    for (ordinal, record) in document.records.iter().enumerate() {
        unit(ordinal, "", record.span.clone())?;
    }
    if !document.records.is_empty() {
        return Ok(());
    }
    for (ordinal, passage) in pending.layout.passages.iter().enumerate() {
        let mut headings = Vec::new();
        let mut at = Some(passage.section).filter(|&section| section > 0);
        while let Some(section) = at.filter(|&section| section > 0) {
            headings.push(pending.layout.sections[section].heading.as_str());
            at = pending.layout.sections[section].parent;
        }
        unit(ordinal, &headings.join(". "), passage.span.clone())?;
    }
    if pending.layout.passages.is_empty() {
        unit(0, &document.aliases.join(". "), 0..0)?;
    }
    Ok(())
}

/// Gives every document the ids of those that it links to or mentions.
fn link_documents(documents: &[Document], store: &StoreWriter) -> Result<(), IngestError> {
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

fn build_tree(documents: &[Document], snapshot: &Snapshot) -> Tree {
    let by_path: HashMap<&str, &Document> = documents
        .iter()
        .map(|document| (document.path.as_str(), document))
        .collect();
    let records = &snapshot.body.documents;
    let vectors: Vec<Vec<f32>> = (0..records.len())
        .map(|document| document_vector(snapshot, document))
        .collect();
    let inputs: Vec<tree::TreeDocument> = records
        .iter()
        .zip(&vectors)
        .map(|(record, vector)| tree::TreeDocument {
            id: record.id,
            title: &record.title,
            tags: &record.tags,
            path: &record.path,
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
    let (segment, first) = snapshot.segment_of(document);
    let mut sum: Vec<f32> = Vec::new();
    for passage in first..first + snapshot.passages_of(document).len() {
        let (vector, scale) = segment.vector(passage);
        sum.resize(vector.len(), 0.0);
        sum.iter_mut()
            .zip(vector)
            .for_each(|(sum, value)| *sum += f32::from(*value) * scale);
    }
    crate::model::granule::normalise(&mut sum);
    sum
}

fn statuses(documents: &[Document], skipped: &[Skipped]) -> Vec<FileStatus> {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let indexed = documents.iter().map(|document| FileStatus {
        path: document.path.clone(),
        state: FileState::Indexed,
        reason: None,
        time,
    });
    let skipped = skipped.iter().map(|skipped| FileStatus {
        path: skipped.path.clone(),
        state: if skipped.failed {
            FileState::Failed
        } else {
            FileState::Skipped
        },
        reason: Some(skipped.reason.clone()),
        time,
    });
    indexed.chain(skipped).collect()
}
