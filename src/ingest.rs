//! The write path on one page: read → cut → search by text → link → encode → grow the tree → publish.
//!
//! Only what has changed is done again: a file that looks as it did is not opened, a document whose text has not
//! changed is neither encoded nor stored again, and one whose file was renamed keeps its id and its vectors. Every
//! step is committed as it is done, so an interrupted run goes on where it was. A corpus can be searched by its text
//! as soon as it is read; vectors follow, the most recent and most linked documents first.

mod compacting;
mod editing;
mod encoding;
mod forecast;
mod growing;
mod linking;
mod mentions;
mod open_files;
mod reading;
mod records;
mod text_spool;
mod texts;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use serde::Serialize;

use crate::{
    corpus::{CorpusError, Document, Skipped},
    model::{ModelError, PassageEncoder},
    store::{StoreError, StoreWriter},
    text::TextError,
};

pub use editing::{Change, ChangeError, Changed, edit};
pub use forecast::{Forecast, forecast};
pub use mentions::spoken;
pub use reading::Stream;

/// Stands for the path of a corpus that came from a stream.
pub const STREAM: &str = "-";
/// So few documents are published once, with their vectors.
const FEW_DOCUMENTS: usize = 32;

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
    #[error(
        "{path} holds no documents any more, but its index has {documents} documents; bring the files back, or run \
         `shas index --rebuild` if they are gone for good"
    )]
    Vanished { path: PathBuf, documents: usize },
    #[error("stopped; what is done is kept, and `shas index` goes on from here")]
    Stopped,
}

/// How a corpus is indexed.
#[derive(Debug, Clone, Copy, Default)]
pub struct IndexOptions {
    /// Encode the lead of each document only, what stands before its second heading; the rest is found by its text.
    pub leads: bool,
    /// Build the tree anew instead of letting it grow.
    pub rebuild_tree: bool,
}

/// What is told while indexing.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    /// So many files have to be read.
    Found { files: usize },
    /// So many files are read, and so many documents were in them.
    Read { files: usize, documents: usize },
    /// All files are read; links follow.
    Linking,
    /// All texts can be searched; so many documents wait for the encoder.
    Waiting { documents: usize },
    /// So many of them are done, and so many word pieces were encoded since the last event.
    Done { documents: usize, tokens: usize },
    /// All documents are stored; the tree follows.
    Organising,
}

/// What hears of progress; indexing stops where it returns false.
pub type Progress<'a> = &'a dyn Fn(Event) -> bool;

/// What indexing came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Documents that the index holds now.
    pub indexed: usize,
    /// How many of them were as before.
    pub unchanged: usize,
    /// How many were only renamed.
    pub renamed: usize,
    /// How many are gone.
    pub removed: usize,
    /// Word pieces that were encoded, prefixes and special tokens not counted.
    pub tokens: usize,
    /// Entries written to the database.
    pub writes: usize,
    /// Files that were left out in this run.
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

/// Brings the index folder `index` up to date with the folder or file `corpus`.
///
/// # Errors
/// When the corpus cannot be opened, when the index cannot be written, or when `progress` says to stop; what was done
/// until then is kept.
pub fn index(
    corpus: &Path,
    index: &Path,
    encoder: &dyn PassageEncoder,
    options: &IndexOptions,
    progress: Progress,
) -> Result<Outcome, IngestError> {
    let mut store = StoreWriter::open(index, encoder.fingerprint(), "shas index")?;
    update(corpus, &mut store, encoder, options, progress)
}

/// As [`index`], into a store that is open already.
pub fn update(
    corpus: &Path,
    store: &mut StoreWriter,
    encoder: &dyn PassageEncoder,
    options: &IndexOptions,
    progress: Progress,
) -> Result<Outcome, IngestError> {
    let source = reading::Source::scan(corpus, store)?;
    run(source, corpus, store, encoder, options, progress)
}

/// Brings the index folder `index` up to date with what comes from a stream: it is the corpus, in the place of a path.
///
/// # Errors
/// As [`index`]; also when nothing comes from it but the index has documents.
pub fn index_stream(
    stream: Stream,
    index: &Path,
    encoder: &dyn PassageEncoder,
    options: &IndexOptions,
    progress: Progress,
) -> Result<Outcome, IngestError> {
    let mut store = StoreWriter::open(index, encoder.fingerprint(), "shas index")?;
    let source = reading::Source::stream(stream, &store)?;
    let corpus = Path::new(STREAM);
    run(source, corpus, &mut store, encoder, options, progress)
}

/// Indexes documents that were read already; those of the index that are not among them are forgotten.
pub fn index_documents(
    corpus: &Path,
    documents: Vec<Document>,
    index: &Path,
    encoder: &dyn PassageEncoder,
    progress: Progress,
) -> Result<Outcome, IngestError> {
    let mut store = StoreWriter::open(index, encoder.fingerprint(), "shas index")?;
    let source = reading::Source::given(documents, &store)?;
    let options = IndexOptions::default();
    run(source, corpus, &mut store, encoder, &options, progress)
}

fn run(
    source: reading::Source,
    corpus: &Path,
    store: &mut StoreWriter,
    encoder: &dyn PassageEncoder,
    options: &IndexOptions,
    progress: Progress,
) -> Result<Outcome, IngestError> {
    let mut outcome = Outcome::default();
    reading::read(source, store, encoder.tokenizer(), progress, &mut outcome)?;
    // Whatever was written, now or by a run that was interrupted, is not published yet.
    let is_new = !store.is_published()?;
    if is_new {
        if !progress(Event::Linking) {
            return Err(IngestError::Stopped);
        }
        timed(&mut outcome.seconds.link, || linking::link(corpus, store))?;
    }
    let waiting = encoding::waiting(store, options)?;
    if waiting.len() > FEW_DOCUMENTS {
        timed(&mut outcome.seconds.store, || store.publish(corpus))?;
    }
    encoding::encode(&waiting, corpus, store, encoder, progress, &mut outcome)?;
    if is_new || !waiting.is_empty() || options.rebuild_tree {
        if !progress(Event::Organising) {
            return Err(IngestError::Stopped);
        }
        timed(&mut outcome.seconds.tree, || {
            growing::grow(corpus, store, options.rebuild_tree)
        })?;
        timed(&mut outcome.seconds.store, || {
            compacting::compact(store)?;
            store.publish(corpus)
        })?;
    }
    outcome.writes = store.n_writes();
    Ok(outcome)
}
