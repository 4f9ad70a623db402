//! Encoding: the word pieces that wait become vectors and granule keys, the most telling documents first.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    Event, IndexOptions, IngestError, Outcome, Progress, open_files::OpenFiles, records, timed,
};
use crate::{
    model::{PassageEncoder, PassageEncoding, PassageInput},
    store::{Commit, DocumentRecord, Due, PassagePieces, SegmentBuilder, StoreError, StoreWriter},
};

/// Passages after which a segment is written and progress is lasting.
const SEGMENT_PASSAGES: usize = 2_048;
/// Readers see what was encoded after at least so long, and publishing takes no more than one part in so many of the time.
const PUBLISH_AFTER: Duration = Duration::from_secs(20);
const PUBLISH_SHARE: u32 = 20;

/// A document that is not encoded as far as it is wanted.
pub(super) struct Waiting {
    id: u32,
    path: String,
    /// So many of its first passages are to be encoded.
    wanted: u32,
    /// When it was last changed.
    modified: u64,
}

/// The documents that wait, the most recent and most linked first.
pub(super) fn waiting(
    store: &StoreWriter,
    options: &IndexOptions,
) -> Result<Vec<Waiting>, StoreError> {
    let mut linked: HashMap<u32, u64> = HashMap::new();
    let mut waiting = Vec::new();
    for record in store.documents() {
        let record = record?;
        for link in &record.links {
            *linked.entry(*link).or_default() += 1;
        }
        let wanted = match options.leads {
            true => record.n_lead,
            false => record.n_passages,
        };
        if record.n_encoded < wanted {
            waiting.push(Waiting {
                id: record.id,
                path: record.path,
                wanted,
                modified: record.stamp.modified,
            });
        }
    }
    let recency = places(&waiting, |own| own.modified);
    let links = places(&waiting, |own| linked.get(&own.id).copied().unwrap_or(0));
    waiting.sort_by_cached_key(|own| (recency(own) + links(own), own.id));
    Ok(waiting)
}

/// Gives the place of a document by a key, the largest first; equals share a place.
fn places<K: Fn(&Waiting) -> u64>(
    waiting: &[Waiting],
    key: K,
) -> impl Fn(&Waiting) -> usize + use<K> {
    let mut keys: Vec<u64> = waiting.iter().map(&key).collect();
    keys.sort_unstable_by(|a, b| b.cmp(a));
    move |own| keys.partition_point(|&other| other > key(own))
}

/// Encodes what waits, and publishes from time to time.
pub(super) fn encode(
    waiting: &[Waiting],
    corpus: &Path,
    store: &mut StoreWriter,
    encoder: &dyn PassageEncoder,
    progress: Progress,
    outcome: &mut Outcome,
) -> Result<(), IngestError> {
    let documents = waiting.len();
    if documents == 0 {
        return Ok(());
    }
    let mut goes_on = progress(Event::Waiting { documents });
    let mut files = OpenFiles::default();
    let mut segment = Vec::new();
    let mut batch = Vec::new();
    let (mut in_batch, mut in_segment) = (0, 0);
    let mut published = Instant::now();
    for (done, waiting) in waiting.iter().enumerate() {
        let last = done + 1 == documents;
        if let Some(open) = timed(&mut outcome.seconds.store, || {
            open(waiting, store, &mut files)
        })? {
            in_batch += open.pieces.len();
            batch.push(open);
        }
        let mut tokens = 0;
        if in_batch >= encoder.batch_passages() || last || !goes_on {
            in_segment += in_batch;
            in_batch = 0;
            let batch = std::mem::take(&mut batch);
            let n_tokens =
                |open: &Open| open.pieces.iter().map(|own| own.body.len()).sum::<usize>();
            tokens = batch.iter().map(n_tokens).sum();
            let encode = || encode_batch(batch, encoder);
            segment.extend(timed(&mut outcome.seconds.encode, encode)?);
        }
        if in_segment >= SEGMENT_PASSAGES || last || !goes_on {
            in_segment = 0;
            let segment = std::mem::take(&mut segment);
            let write = || write_segment(segment, store, &mut files);
            timed(&mut outcome.seconds.store, write)?;
            let waited = published.elapsed();
            if !last && waited >= PUBLISH_AFTER {
                let start = Instant::now();
                timed(&mut outcome.seconds.store, || store.publish(corpus))?;
                // The next time comes when this one is a small part of what lies between.
                published = Instant::now()
                    + (start.elapsed() * PUBLISH_SHARE).saturating_sub(PUBLISH_AFTER);
            }
        }
        outcome.tokens += tokens;
        if !goes_on {
            return Err(IngestError::Stopped);
        }
        goes_on = progress(Event::Done {
            documents: done + 1,
            tokens,
        });
    }
    Ok(())
}

/// A document at hand: its record and the pieces to encode.
struct Open {
    record: DocumentRecord,
    pieces: Vec<PassagePieces>,
}

fn open(
    waiting: &Waiting,
    store: &StoreWriter,
    files: &mut OpenFiles,
) -> Result<Option<Open>, StoreError> {
    let Some(record) = store.document(&waiting.path)? else {
        return Ok(None);
    };
    let Some(place) = record.pieces else {
        return Ok(None);
    };
    let pieces: Option<Vec<PassagePieces>> = files.blobs(place.file, store)?.get(place.number);
    Ok(pieces.map(|mut pieces| {
        pieces.truncate(waiting.wanted as usize);
        Open { record, pieces }
    }))
}

fn encode_batch(
    batch: Vec<Open>,
    encoder: &dyn PassageEncoder,
) -> Result<Vec<(DocumentRecord, Vec<PassageEncoding>)>, IngestError> {
    let pieces = batch.iter().map(|open| open.pieces.as_slice());
    let inputs: Vec<Vec<PassageInput>> = pieces.map(records::inputs).collect();
    let inputs: Vec<&[PassageInput]> = inputs.iter().map(Vec::as_slice).collect();
    let encodings = encoder.encode_documents(&inputs)?;
    let records = batch.into_iter().map(|open| open.record);
    Ok(records.zip(encodings).collect())
}

fn write_segment(
    encoded: Vec<(DocumentRecord, Vec<PassageEncoding>)>,
    store: &mut StoreWriter,
    files: &mut OpenFiles,
) -> Result<(), StoreError> {
    if encoded.is_empty() {
        return Ok(());
    }
    let mut builder = SegmentBuilder::default();
    let mut commit = Commit::default();
    for (mut record, encodings) in encoded {
        let before = files.segment(record.segment, store)?;
        let passages = before.documents()[record.row as usize].passages();
        let spans = before.rows()[passages].iter().map(|row| row.span());
        record.row = builder.push(spans, &encodings);
        record.n_encoded = encodings.len() as u32;
        if record.n_encoded == record.n_passages {
            record.pieces = None;
        }
        commit.due.push((Due::Grow, record.id));
        commit.documents.push(record);
    }
    let name = store.write_segment(&builder)?;
    for record in &mut commit.documents {
        record.segment = name;
    }
    store.commit(commit)
}
