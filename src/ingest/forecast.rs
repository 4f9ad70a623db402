//! What indexing would take: files, word pieces, time on this machine, and disk.
//!
//! A sample of the files is read and cut, some of it is encoded, and the rest is taken to be alike.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{IngestError, records};
use crate::{
    corpus::{self, Documents, ScannedFile},
    model::{Encoder, config::LAYOUT},
    store::PassagePieces,
    text::layout,
};

/// Time that is spent on reading the sample, and on encoding.
const READING: Duration = Duration::from_secs(4);
const ENCODING: Duration = Duration::from_secs(1);
/// Documents that are read of one file of many.
const DOCUMENTS_OF_A_FILE: usize = 400;
/// Passages that are encoded at once.
const BATCH: usize = 32;
/// Bytes that the index takes: for each word piece, and for each byte of text that is not a file of its own.
const BYTES_A_TOKEN: f64 = 22.0;
const BYTES_OF_TEXT: f64 = 0.6;

/// What indexing would take.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Forecast {
    pub files: usize,
    /// Bytes of the files.
    pub bytes: u64,
    /// Files that the walk leaves out.
    pub skipped: usize,
    /// Share of the bytes that was read for this forecast.
    pub sampled: f64,
    pub documents: u64,
    pub tokens: u64,
    /// Until everything can be found by its text.
    pub reading_seconds: f64,
    /// Until everything is encoded.
    pub encoding_seconds: f64,
    /// What the index takes on disk.
    pub disk_bytes: u64,
}

/// What the sample came to.
#[derive(Default)]
struct Sample {
    /// Bytes of the files, or of the parts of them, that were read.
    bytes: f64,
    documents: usize,
    tokens: usize,
    extracted_bytes: usize,
    seconds: f64,
    pieces: Vec<PassagePieces>,
}

/// Forecasts the indexing of `corpus`.
///
/// # Errors
/// When the corpus cannot be opened, or the model cannot encode.
pub fn forecast(corpus: &Path, encoder: &Encoder) -> Result<Forecast, IngestError> {
    let (mut files, skipped) = corpus::scan(corpus)?;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    // In the order of a hash of their names, the first files are as good as drawn.
    files.sort_by_cached_key(|file| *blake3::hash(file.path.as_bytes()).as_bytes());
    let mut sample = Sample::default();
    let start = Instant::now();
    for file in &files {
        if start.elapsed() > READING {
            break;
        }
        sample.read(file, encoder)?;
    }
    sample.seconds = start.elapsed().as_secs_f64();
    let rate = tokens_a_second(&sample, encoder)?;
    let scale = bytes as f64 / sample.bytes.max(1.0);
    let tokens = sample.tokens as f64 * scale;
    let extracted = sample.extracted_bytes as f64 * scale;
    Ok(Forecast {
        files: files.len(),
        bytes,
        skipped: skipped.len(),
        sampled: (1.0 / scale).min(1.0),
        documents: (sample.documents as f64 * scale) as u64,
        tokens: tokens as u64,
        reading_seconds: sample.seconds * scale,
        encoding_seconds: tokens / rate,
        disk_bytes: (tokens * BYTES_A_TOKEN + extracted * BYTES_OF_TEXT) as u64,
    })
}

impl Sample {
    fn read(&mut self, file: &ScannedFile, encoder: &Encoder) -> Result<(), IngestError> {
        let mut documents: Documents = corpus::open(file);
        let mut text_bytes = 0;
        for document in documents.by_ref().take(DOCUMENTS_OF_A_FILE).flatten() {
            let layout = layout(&document, encoder.tokenizer(), &LAYOUT)?;
            let pieces = records::pieces(&layout);
            self.documents += 1;
            self.tokens += pieces.iter().map(|own| own.body.len()).sum::<usize>();
            text_bytes += document.text.len();
            self.extracted_bytes += records::extracted(&document).map_or(0, |own| own.text.len());
            self.pieces.extend(pieces);
        }
        // Where a file goes on, how much of it was read is guessed from its text: dumps hold half as much again.
        let is_whole = documents.next().is_none();
        self.bytes += match is_whole {
            true => file.bytes as f64,
            false => (text_bytes as f64 * markup_share(&file.path)).min(file.bytes as f64),
        };
        Ok(())
    }
}

/// Bytes of a file for a byte of its text.
fn markup_share(path: &str) -> f64 {
    match path.rsplit('.').next() {
        Some("bz2" | "zst" | "gz") => 0.5,
        Some("xml") => 2.0,
        _ => 1.1,
    }
}

/// Word pieces that this machine encodes a second.
fn tokens_a_second(sample: &Sample, encoder: &Encoder) -> Result<f64, IngestError> {
    let (start, mut tokens) = (Instant::now(), 0);
    for batch in sample.pieces.chunks(BATCH) {
        let inputs = records::inputs(batch);
        encoder.encode_documents(&[&inputs])?;
        tokens += batch.iter().map(|own| own.body.len()).sum::<usize>();
        if start.elapsed() > ENCODING {
            break;
        }
    }
    Ok((tokens as f64 / start.elapsed().as_secs_f64()).max(1.0))
}
