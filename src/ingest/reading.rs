//! Reading: what has changed, cut into passages, and found by its text from here on.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use rayon::prelude::*;

use super::{
    Event, IngestError, Outcome, Progress,
    records::{self, Incoming},
    timed,
};
use crate::{
    corpus::{self, Document, Documents, ScannedFile, Skipped},
    model::config::LAYOUT,
    store::{
        BlobBuilder, BlobPlace, Commit, Due, FileRecord, FileState, FileStatus, SegmentBuilder,
        Stamp, StoreError, StoreWriter, text_hash,
    },
    text::{Layout, Tokenizer, layout},
};

/// Bytes of text that are cut and committed at once.
const BATCH_BYTES: usize = 8 << 20;

/// What there is to read.
pub(super) struct Source {
    items: Items,
    /// What the walk itself had to leave out.
    skipped: Vec<Skipped>,
    /// Files of the index that are no longer there.
    gone: Vec<String>,
    /// Why files could not be read the last time; they are tried again each time.
    failed: HashMap<String, Option<String>>,
}

/// Documents that come as they are made, under the name of a file.
pub struct Stream {
    pub name: String,
    pub documents: Documents,
}

enum Items {
    Files(Vec<ScannedFile>),
    Stream(Stream),
    Documents(Vec<Document>),
}

impl Source {
    /// The files of `corpus` that do not look as the store knows them.
    pub fn scan(corpus: &Path, store: &StoreWriter) -> Result<Self, IngestError> {
        let (files, skipped) = corpus::scan(corpus)?;
        let known = store.files()?;
        let documents = store.n_documents();
        // A disk that is not mounted looks like this as well, and its index is worth hours.
        if files.is_empty() && documents > 0 {
            return Err(IngestError::Vanished {
                path: corpus.to_owned(),
                documents,
            });
        }
        let there: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let kept: HashSet<&str> = skipped.iter().map(|own| own.path.as_str()).collect();
        let is_gone =
            |path: &&String| !there.contains(path.as_str()) && !kept.contains(path.as_str());
        let gone = known.keys().filter(is_gone).cloned().collect();
        let looks_new = |file: &ScannedFile| {
            let known = known.get(&file.path);
            known.is_none_or(|known| known.stamp != Stamp::new(file.bytes, file.modified))
        };
        let skipped = skipped.into_iter().filter(|own| {
            let known = known.get(&own.path);
            known.is_none_or(|known| known.status.reason.as_ref() != Some(&own.reason))
        });
        let skipped = skipped.collect();
        let failed = known.values().map(|known| &known.status);
        let failed = failed.filter(|status| status.state == FileState::Failed);
        let failed = failed.map(|status| (status.path.clone(), status.reason.clone()));
        let failed = failed.collect();
        let files = files.into_iter().filter(looks_new).collect();
        Ok(Self {
            items: Items::Files(files),
            skipped,
            gone,
            failed,
        })
    }

    /// What comes from this stream and nothing else.
    pub fn stream(stream: Stream, store: &StoreWriter) -> Result<Self, StoreError> {
        let known = store.files()?.into_keys();
        Ok(Self {
            gone: known.filter(|path| *path != stream.name).collect(),
            items: Items::Stream(stream),
            skipped: Vec::new(),
            failed: HashMap::new(),
        })
    }

    /// These documents and no others.
    pub fn given(documents: Vec<Document>, store: &StoreWriter) -> Result<Self, StoreError> {
        let there: HashSet<&str> = documents.iter().map(|own| own.path.as_str()).collect();
        let known = store.files()?.into_keys();
        let gone = known
            .filter(|path| !there.contains(path.as_str()))
            .collect();
        Ok(Self {
            items: Items::Documents(documents),
            skipped: Vec::new(),
            gone,
            failed: HashMap::new(),
        })
    }
}

/// Reads, cuts and commits everything that has changed.
pub(super) fn read(
    source: Source,
    store: &mut StoreWriter,
    tokenizer: &Tokenizer,
    progress: Progress,
    outcome: &mut Outcome,
) -> Result<(), IngestError> {
    let mut reading = Reading::new((source.gone, source.failed), store, tokenizer, outcome)?;
    for skipped in source.skipped {
        reading.leave_out(skipped);
    }
    match source.items {
        Items::Files(files) => {
            if !progress(Event::Found { files: files.len() }) {
                return Err(IngestError::Stopped);
            }
            for (done, file) in files.iter().enumerate() {
                let stamp = Stamp::new(file.bytes, file.modified);
                reading.file(&file.path, stamp, corpus::open(file))?;
                let event = Event::Read {
                    files: done + 1,
                    documents: reading.n_documents,
                };
                if !progress(event) {
                    reading.commit()?;
                    return Err(IngestError::Stopped);
                }
            }
        }
        Items::Stream(stream) => {
            if !progress(Event::Found { files: 1 }) {
                return Err(IngestError::Stopped);
            }
            reading.file(&stream.name, Stamp::default(), stream.documents)?;
            // What fills the pipe may have failed, and the index is worth hours.
            if reading.n_documents == 0 && reading.store.n_documents() > 0 {
                return Err(IngestError::Vanished {
                    path: stream.name.into(),
                    documents: reading.store.n_documents(),
                });
            }
        }
        Items::Documents(documents) => {
            for document in documents {
                let status = records::indexed(&document.path);
                reading.document(document, None, Stamp::default())?;
                reading.commit.files.push(FileRecord {
                    stamp: Stamp::default(),
                    status,
                    left_out: Vec::new(),
                });
            }
        }
    }
    reading.finish()
}

/// A document of the index, as far as it takes to see whether it has changed.
struct Known {
    id: u32,
    hash: [u8; 32],
    /// The file that it stands in.
    file: String,
}

struct Reading<'a> {
    store: &'a mut StoreWriter,
    tokenizer: &'a Tokenizer,
    outcome: &'a mut Outcome,
    known: HashMap<String, Known>,
    /// Paths of the documents of files that hold several.
    within: HashMap<String, Vec<String>>,
    /// Paths of documents whose files are gone, by the hash of their text.
    moved: HashMap<[u8; 32], String>,
    gone_files: HashSet<String>,
    /// New paths of documents, by those that they had.
    renamed: HashMap<String, String>,
    failed: HashMap<String, Option<String>>,
    batch: Vec<Incoming>,
    bytes: usize,
    commit: Commit,
    /// Documents that the files hold, and those of them that are new or whose text is.
    n_documents: usize,
    n_read: usize,
}

impl<'a> Reading<'a> {
    fn new(
        (gone, failed): (Vec<String>, HashMap<String, Option<String>>),
        store: &'a mut StoreWriter,
        tokenizer: &'a Tokenizer,
        outcome: &'a mut Outcome,
    ) -> Result<Self, IngestError> {
        let gone_files: HashSet<String> = gone.into_iter().collect();
        let (mut known, mut moved) = (HashMap::new(), HashMap::new());
        let mut within: HashMap<String, Vec<String>> = HashMap::new();
        for record in store.documents() {
            let record = record?;
            if let Some(file) = &record.file {
                within
                    .entry(file.clone())
                    .or_default()
                    .push(record.path.clone());
            }
            let file = record.file().to_owned();
            if gone_files.contains(&file) {
                moved.insert(record.hash, record.path.clone());
            }
            let entry = Known {
                id: record.id,
                hash: record.hash,
                file,
            };
            known.insert(record.path, entry);
        }
        Ok(Self {
            store,
            tokenizer,
            outcome,
            known,
            within,
            moved,
            gone_files,
            renamed: HashMap::new(),
            failed,
            batch: Vec::new(),
            bytes: 0,
            commit: Commit::default(),
            n_documents: 0,
            n_read: 0,
        })
    }

    fn leave_out(&mut self, skipped: Skipped) {
        self.commit.files.push(FileRecord {
            stamp: Stamp::default(),
            status: records::left_out(&skipped),
            left_out: Vec::new(),
        });
        self.outcome.skipped.push(skipped);
    }

    /// Reads one file to its end; the documents that it held before and does not hold now are gone.
    fn file(
        &mut self,
        path: &str,
        mut stamp: Stamp,
        mut documents: Documents,
    ) -> Result<(), IngestError> {
        let mut status = records::indexed(path);
        let mut left_out: Vec<FileStatus> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        loop {
            let next = timed(&mut self.outcome.seconds.read, || documents.next());
            match next {
                Some(Ok(document)) => {
                    seen.insert(document.path.clone());
                    let within = (document.path != path).then(|| path.to_owned());
                    self.document(document, within, stamp)?;
                }
                Some(Err(skipped)) => {
                    match skipped.path == path {
                        true => status = records::left_out(&skipped),
                        false => left_out.push(records::left_out(&skipped)),
                    }
                    self.outcome.skipped.push(skipped);
                }
                None => break,
            }
        }
        let mut before = self.within.remove(path).unwrap_or_default();
        before.push(path.to_owned());
        before.retain(|path| !seen.contains(path));
        before.into_iter().for_each(|path| self.forget(path));
        if status.state == FileState::Failed {
            // Permissions change without a trace in the stamp.
            stamp = Stamp::default();
            if self.failed.get(path) == Some(&status.reason) {
                return Ok(());
            }
        }
        self.commit.files.push(FileRecord {
            stamp,
            status,
            left_out,
        });
        Ok(())
    }

    /// Takes a document in, unless it is as it was.
    fn document(
        &mut self,
        document: Document,
        file: Option<String>,
        stamp: Stamp,
    ) -> Result<(), IngestError> {
        self.n_documents += 1;
        let hash = text_hash(document.text.as_bytes());
        let mut incoming = Incoming {
            document,
            id: 0,
            is_new: false,
            hash,
            stamp,
            file,
        };
        let document = &incoming.document;
        let known = self.known.get(&document.path);
        let before = match known {
            Some(known) if known.hash == hash => Some(document.path.clone()),
            Some(_) => None,
            None => self.moved.remove(&hash),
        };
        if let Some(before) = before
            && let Some(mut record) = self.store.document(&before)?
        {
            let is_same = record.title == document.title
                && record.aliases == document.aliases
                && record.tags == document.tags;
            if before != document.path {
                self.known.remove(&before);
                self.commit.gone.push(before.clone());
                self.renamed.insert(before.clone(), document.path.clone());
                self.outcome.renamed += usize::from(is_same);
            }
            if is_same {
                if before != document.path || record.stamp != stamp {
                    record.path = incoming.document.path;
                    record.file = incoming.file;
                    record.stamp = stamp;
                    self.commit.documents.push(record);
                }
                return Ok(());
            }
            incoming.id = record.id;
            return self.push(incoming);
        }
        let known = self.known.get(&document.path);
        incoming.is_new = known.is_none();
        incoming.id = match known {
            Some(known) => known.id,
            None => self.store.next_document_id(),
        };
        self.push(incoming)
    }

    fn push(&mut self, incoming: Incoming) -> Result<(), IngestError> {
        self.n_read += 1;
        self.bytes += incoming.document.text.len();
        self.batch.push(incoming);
        match self.bytes >= BATCH_BYTES {
            true => self.commit(),
            false => Ok(()),
        }
    }

    fn forget(&mut self, path: String) {
        if let Some(known) = self.known.remove(&path) {
            self.commit.gone.push(path);
            self.commit.gone_links.push(known.id);
            self.outcome.removed += 1;
        }
    }

    fn finish(mut self) -> Result<(), IngestError> {
        let gone = std::mem::take(&mut self.gone_files);
        let of_gone = self
            .known
            .iter()
            .filter(|(_, own)| gone.contains(&own.file));
        let lost: Vec<String> = of_gone.map(|(path, _)| path.clone()).collect();
        lost.into_iter().for_each(|path| self.forget(path));
        self.commit.gone_files.extend(gone);
        self.commit()?;
        let n_documents = self.store.n_documents();
        self.outcome.indexed = n_documents;
        self.outcome.unchanged = n_documents - self.n_read;
        Ok(())
    }

    /// Cuts the batch and commits it with all that was found until now.
    fn commit(&mut self) -> Result<(), IngestError> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        let cut = |incoming: &Incoming| layout(&incoming.document, self.tokenizer, &LAYOUT);
        let layouts = timed(&mut self.outcome.seconds.tokenise, || {
            batch.par_iter().map(cut).collect::<Result<Vec<_>, _>>()
        })?;
        let commit = std::mem::take(&mut self.commit);
        let renamed = std::mem::take(&mut self.renamed);
        timed(&mut self.outcome.seconds.store, || {
            self.store.follow_renames(&renamed)?;
            store(&batch, &layouts, commit, self.store)
        })
    }
}

/// Commits a batch: text units, word pieces for the encoder, extracted texts and records.
fn store(
    batch: &[Incoming],
    layouts: &[Layout],
    mut commit: Commit,
    store: &mut StoreWriter,
) -> Result<(), IngestError> {
    let (new, known): (Vec<&Incoming>, Vec<&Incoming>) = batch.iter().partition(|own| own.is_new);
    let new: Vec<u32> = new.iter().map(|own| own.id).collect();
    let gone = commit.gone_links.iter().copied();
    let known: Vec<u32> = known.iter().map(|own| own.id).chain(gone).collect();
    if new.is_empty() && known.is_empty() {
        let is_idle = commit.files.is_empty() && commit.gone_files.is_empty();
        return match is_idle && commit.documents.is_empty() {
            true => Ok(()),
            false => Ok(store.commit(commit)?),
        };
    }
    store.replace_text(&known, &new)?;
    let (mut segment, mut pieces) = (SegmentBuilder::default(), BlobBuilder::default());
    let mut texts = BlobBuilder::default();
    let pieces_file = store.next_blob();
    for (incoming, layout) in batch.iter().zip(layouts) {
        let spans = layout.passages.iter().map(|passage| passage.span.clone());
        let mut record = records::record(incoming, layout);
        record.row = segment.push(spans, &[]);
        record.pieces = Some(BlobPlace {
            file: pieces_file,
            number: pieces.push(&records::pieces(layout))?,
        });
        if let Some(text) = records::extracted(&incoming.document) {
            record.text = Some(BlobPlace {
                file: pieces_file + 1,
                number: texts.push(&text)?,
            });
        }
        records::add_text(incoming, layout, store)?;
        let links = records::links(&incoming.document);
        commit.links.push((incoming.id, links));
        commit.due.push((Due::Link, incoming.id));
        if layout.passages.is_empty() {
            commit.due.push((Due::Grow, incoming.id));
        }
        commit.documents.push(record);
    }
    if !batch.is_empty() {
        let name = store.write_segment(&segment)?;
        let new = commit.documents.len() - batch.len();
        for record in &mut commit.documents[new..] {
            record.segment = name;
        }
        store.write_blobs(&pieces)?;
        if !texts.is_empty() {
            store.write_blobs(&texts)?;
        }
    }
    Ok(store.commit(commit)?)
}
