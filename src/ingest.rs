//! The write path on one page: read → cut → encode → store → link → tree → publish.
//!
//! A document whose text has not changed since it was stored is neither encoded nor stored again, which also
//! is how an interrupted run resumes.

mod mentions;
mod organise;
mod records;

use std::{collections::HashSet, path::Path, time::Instant};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    corpus::{self, CorpusError, Document, Skipped},
    model::{
        Encoder, ModelError, PassageEncoding, PassageInput,
        config::{MAX_PASSAGE_TOKENS, MAX_PREFIX_TOKENS},
    },
    store::{DocumentRecord, SegmentBuilder, Snapshot, StoreError, StoreWriter},
    text::{Layout, LayoutOptions, Passage, TextError, layout},
};

/// Bytes of text that are cut and encoded at once.
const BATCH_BYTES: usize = 1 << 18;
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    pub indexed: usize,
    /// How many of them were as before.
    pub unchanged: usize,
    /// Word pieces that were encoded, prefixes and special tokens not counted.
    pub tokens: usize,
    pub skipped: Vec<Skipped>,
    pub seconds: StageSeconds,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct StageSeconds {
    /// Finding, reading and parsing the files.
    pub read: f64,
    /// Cutting into passages and word pieces.
    pub tokenise: f64,
    pub encode: f64,
    /// Segments, text index, records and snapshots.
    pub store: f64,
    /// Links and mentions.
    pub link: f64,
    pub tree: f64,
}

/// Runs `work` and adds the time that it takes to `seconds`.
fn timed<T>(seconds: &mut f64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *seconds += start.elapsed().as_secs_f64();
    result
}

/// Indexes the folder or file `corpus` into the index folder `index`.
pub fn index(
    corpus: &Path,
    index: &Path,
    encoder: &Encoder,
    progress: &dyn Fn(Event),
) -> Result<Outcome, IngestError> {
    let (mut documents, mut skipped) = (Vec::new(), Vec::new());
    let mut read = 0.0;
    timed(&mut read, || {
        for item in corpus::read(corpus)? {
            match item {
                Ok(document) => documents.push(document),
                Err(problem) => skipped.push(problem),
            }
        }
        Ok::<_, IngestError>(())
    })?;
    let mut outcome =
        index_documents(corpus, documents, skipped.clone(), index, encoder, progress)?;
    outcome.skipped = skipped;
    outcome.seconds.read = read;
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
    let mut outcome = Outcome {
        indexed: documents.len(),
        ..Outcome::default()
    };
    encode_documents(&documents, &mut store, encoder, progress, &mut outcome)?;
    progress(Event::Organising);
    let seconds = &mut outcome.seconds;
    timed(&mut seconds.link, || {
        organise::link_documents(&documents, &store)
    })?;
    store.put_statuses(&records::statuses(&documents, &skipped))?;
    // Until the new tree is built, readers keep the old one.
    let tree = Snapshot::open(index).map(|before| before.body.tree);
    timed(&mut seconds.store, || {
        store.publish(corpus, tree.unwrap_or_default())
    })?;
    let snapshot = Snapshot::open(index)?;
    let tree = timed(&mut seconds.tree, || {
        organise::build_tree(&documents, &snapshot)
    });
    timed(&mut seconds.store, || store.publish(corpus, tree))?;
    Ok(outcome)
}

/// Stores what is new or changed.
fn encode_documents(
    documents: &[Document],
    store: &mut StoreWriter,
    encoder: &Encoder,
    progress: &dyn Fn(Event),
    outcome: &mut Outcome,
) -> Result<(), IngestError> {
    let mut batch: Vec<Pending> = Vec::new();
    let mut segment: Vec<Encoded> = Vec::new();
    let (mut bytes, mut n_passages) = (0, 0);
    for (done, document) in documents.iter().enumerate() {
        match pending(document, store)? {
            Some(pending) => {
                bytes += document.text.len();
                batch.push(pending);
            }
            None => outcome.unchanged += 1,
        }
        let last = done + 1 == documents.len();
        let mut tokens = 0;
        if bytes >= BATCH_BYTES || last {
            let encoded = encode(std::mem::take(&mut batch), encoder, &mut outcome.seconds)?;
            let layouts = || encoded.iter().map(|encoded| &encoded.layout.passages);
            tokens = layouts()
                .flatten()
                .map(|passage| passage.tokens.len())
                .sum();
            n_passages += layouts().map(Vec::len).sum::<usize>();
            segment.extend(encoded);
            bytes = 0;
        }
        if n_passages >= SEGMENT_PASSAGES || last {
            let segment = std::mem::take(&mut segment);
            timed(&mut outcome.seconds.store, || write_segment(segment, store))?;
            n_passages = 0;
        }
        outcome.tokens += tokens;
        progress(Event::Done {
            documents: done + 1,
            tokens,
        });
    }
    Ok(())
}

/// A document that is new or has changed.
struct Pending<'a> {
    document: &'a Document,
    id: u32,
    hash: [u8; 32],
}

/// What is to be stored of it.
struct Encoded<'a> {
    pending: Pending<'a>,
    layout: Layout,
    encodings: Vec<PassageEncoding>,
}

/// None when the document is as it was stored.
fn pending<'a>(
    document: &'a Document,
    store: &StoreWriter,
) -> Result<Option<Pending<'a>>, StoreError> {
    let hash = *blake3::hash(document.text.as_bytes()).as_bytes();
    let id = match store.document(&document.path)? {
        Some(record) if record.hash == hash && record.title == document.title => return Ok(None),
        Some(record) => record.id,
        None => store.next_document_id()?,
    };
    Ok(Some(Pending { document, id, hash }))
}

/// Cuts documents into passages and encodes those.
fn encode<'a>(
    batch: Vec<Pending<'a>>,
    encoder: &Encoder,
    seconds: &mut StageSeconds,
) -> Result<Vec<Encoded<'a>>, IngestError> {
    let options = LayoutOptions {
        max_tokens: MAX_PASSAGE_TOKENS,
        max_prefix: MAX_PREFIX_TOKENS,
    };
    let cut = |pending: &Pending| layout(pending.document, encoder.tokenizer(), &options);
    let layouts = timed(&mut seconds.tokenise, || {
        batch.par_iter().map(cut).collect::<Result<Vec<_>, _>>()
    })?;
    let bodies = |layout: &Layout| -> Vec<Vec<u32>> {
        let ids = layout.passages.iter().map(|passage| &passage.tokens);
        ids.map(|tokens| tokens.iter().map(|token| token.id).collect())
            .collect()
    };
    let bodies: Vec<Vec<Vec<u32>>> = layouts.iter().map(bodies).collect();
    let inputs: Vec<Vec<PassageInput>> = layouts
        .iter()
        .zip(&bodies)
        .map(|(layout, bodies)| {
            let passages = layout.passages.iter().zip(bodies);
            passages
                .map(|(passage, body)| input(passage, body))
                .collect()
        })
        .collect();
    let inputs: Vec<&[PassageInput]> = inputs.iter().map(Vec::as_slice).collect();
    let encodings = timed(&mut seconds.encode, || encoder.encode_documents(&inputs))?;
    let documents = batch.into_iter().zip(layouts).zip(encodings);
    Ok(documents
        .map(|((pending, layout), encodings)| Encoded {
            pending,
            layout,
            encodings,
        })
        .collect())
}

fn input<'a>(passage: &'a Passage, body: &'a [u32]) -> PassageInput<'a> {
    PassageInput {
        prefix: &passage.prefix,
        body,
    }
}

fn write_segment(encoded: Vec<Encoded>, store: &mut StoreWriter) -> Result<(), IngestError> {
    if encoded.is_empty() {
        return Ok(());
    }
    let mut builder = SegmentBuilder::default();
    let mut documents: Vec<DocumentRecord> = Vec::new();
    for encoded in &encoded {
        let spans = encoded.layout.passages.iter().map(|own| own.span.clone());
        let row = builder.push(spans.zip(&encoded.encodings));
        documents.push(records::record(encoded, row));
        store.text.remove(encoded.pending.id);
        records::add_text(encoded, store)?;
    }
    let segment = store.write_segment(&builder)?;
    // Text first: a document that sled names is always found in the text index as well.
    store.text.commit()?;
    for record in &mut documents {
        record.segment = segment;
        store.put_document(record)?;
    }
    store.flush()?;
    Ok(())
}
