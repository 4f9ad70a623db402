//! How good is the ranking? Here is a set in the BEIR layout, gimme its [`Report`].

mod metrics;

use std::{collections::BTreeMap, path::Path};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    corpus::{BeirOptions, CorpusError, read_beir},
    ingest::{IngestError, index_documents},
    model::Encoder,
    query::{FusionWeights, QueryError, RankedPassage, rank},
    store::Snapshot,
};

pub use metrics::Metrics;

/// Lines that are ranked for a question.
const RANKED: usize = 10;

/// Why a set could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// How sets are read and judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvalOptions {
    pub beir: BeirOptions,
    /// Counts every gain as 1.
    pub binary: bool,
}

/// The figures of one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub set: String,
    pub n_docs: usize,
    pub n_queries: usize,
    /// By system: bm25, dense, sum, fast (without the joint reader), shas.
    pub systems: BTreeMap<&'static str, Metrics>,
}

/// The systems and what their parts count.
const SYSTEMS: [(&str, FusionWeights); 5] = [
    (
        "bm25",
        FusionWeights {
            bm25: 1.0,
            passage: 0.0,
            granule: 0.0,
            tree: 0.0,
            link: 0.0,
            reader: 0.0,
        },
    ),
    (
        "dense",
        FusionWeights {
            bm25: 0.0,
            passage: 1.0,
            granule: 0.0,
            tree: 0.0,
            link: 0.0,
            reader: 0.0,
        },
    ),
    ("sum", FusionWeights::SUM),
    ("fast", FusionWeights::FAST),
    ("shas", FusionWeights::UNTRAINED),
];

/// Evaluates the set in `folder`, keeping its index in `index`; `progress` hears of questions done and their number.
pub fn evaluate(
    folder: &Path,
    index: &Path,
    encoder: &Encoder,
    options: &EvalOptions,
    progress: crate::ingest::Progress,
) -> Result<Report, EvalError> {
    let beir = read_beir(folder, &options.beir)?;
    let n_docs = beir
        .documents
        .iter()
        .map(|document| document.records.len())
        .sum();
    index_documents(folder, beir.documents, index, encoder, progress)?;
    let snapshot = Snapshot::open(index)?;
    let gains = |query: &str| {
        let mut gains = beir.relevance[query].clone();
        if options.binary {
            gains.values_mut().for_each(|gain| *gain = 1);
        }
        gains
    };
    let judged: Vec<[Metrics; SYSTEMS.len()]> = beir
        .queries
        .par_iter()
        .map(|query| {
            let gains = gains(&query.id);
            let mut figures = [Metrics::default(); SYSTEMS.len()];
            for (figures, (_, weights)) in figures.iter_mut().zip(SYSTEMS) {
                let ranking = rank(&snapshot, encoder, &query.text, &weights)?;
                let records = ranked_records(&snapshot, &ranking.passages);
                *figures = Metrics::of(&records, &gains);
            }
            Ok::<_, EvalError>(figures)
        })
        .collect::<Result<_, _>>()?;
    let systems = SYSTEMS.iter().enumerate().map(|(system, (name, _))| {
        (
            *name,
            Metrics::mean(judged.iter().map(|figures| figures[system])),
        )
    });
    Ok(Report {
        set: folder
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        n_docs,
        n_queries: beir.queries.len(),
        systems: systems.collect(),
    })
}

/// The first records of a ranking, each at its best passage.
fn ranked_records<'a>(snapshot: &'a Snapshot, passages: &[RankedPassage]) -> Vec<&'a str> {
    let mut records: Vec<&str> = Vec::with_capacity(RANKED);
    for ranked in passages {
        let document = &snapshot.body.documents[ranked.document];
        let local = ranked.passage - snapshot.passages_of(ranked.document).start;
        let record = document.records[document.passage_records[local] as usize].as_str();
        if !records.contains(&record) {
            records.push(record);
        }
        if records.len() == RANKED {
            break;
        }
    }
    records
}
