//! How good is the ranking? Here is a set in the BEIR layout, gimme its [`Report`]. How good is the tree? [`TreeReport`]. And the
//! answers? [`AnswersReport`].

mod answers;
mod hop_questions;
mod learning;
mod links;
mod logistic;
mod metrics;
mod routing;
mod spans;
mod tree_quality;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    corpus::{BeirOptions, CorpusError, read_beir},
    ingest::{IngestError, index_documents},
    model::Encoder,
    query::{FusionWeights, QueryError, Question, RankedPassage, rank},
    store::Snapshot,
};

pub use answers::{AnswerFigures, AnswersReport, evaluate_answers};
pub use learning::{FusionRecipe, FusionSet, FusionSource, FusionStage, Learned, learn};
pub use links::{LearnedLinks, LinkRecipe, LinkStage, learn_links};
pub use metrics::Metrics;
pub use routing::{
    KindQuestion, LearnedRouter, RoutedVault, RouterRecipe, RouterStage, VaultFigures, learn_router,
};
pub use spans::SpanFigures;
pub use tree_quality::{
    ConceptReport, DepthReport, NamesOfLevel, SystemReport, TreeEvalOptions, TreeReport,
    document_vectors, evaluate_tree, name_vectors,
};

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
    #[error(
        "cannot keep vectors in {path}: {source}; give --cache a folder that can be written to"
    )]
    Cache {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// How sets are read and judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvalOptions {
    pub beir: BeirOptions,
    /// Counts every gain as 1.
    pub binary: bool,
    /// Leaves the joint reader out.
    pub fast: bool,
}

/// The figures of one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub set: String,
    pub n_docs: usize,
    pub n_queries: usize,
    /// By system: bm25, dense, sum, rrf, fast (without the joint reader), shas.
    pub systems: BTreeMap<&'static str, Metrics>,
}

/// How passages are ranked.
#[derive(Debug, Clone, Copy)]
enum System {
    /// By the sum of weighted parts.
    Parts(FusionWeights),
    /// By the sum of reciprocal ranks in BM25 and by passage vectors.
    ReciprocalRanks,
}

/// The constant of reciprocal rank fusion that its authors give.
const RRF_CONSTANT: f64 = 60.0;

/// The baselines, and what `encoder` was made for without the joint reader and, unless it is to be `fast`, with it.
fn systems(encoder: &Encoder, fast: bool) -> Vec<(&'static str, System)> {
    let mut systems = vec![
        ("bm25", System::Parts(FusionWeights::BM25)),
        ("dense", System::Parts(FusionWeights::DENSE)),
        ("sum", System::Parts(FusionWeights::SUM)),
        ("rrf", System::ReciprocalRanks),
        ("fast", System::Parts(encoder.fusion(true))),
    ];
    if !fast {
        systems.push(("shas", System::Parts(encoder.fusion(false))));
    }
    systems
}

impl System {
    fn rank(
        self,
        snapshot: &Snapshot,
        encoder: &Encoder,
        question: &str,
    ) -> Result<Vec<RankedPassage>, QueryError> {
        let weights = match self {
            Self::Parts(weights) => weights,
            Self::ReciprocalRanks => FusionWeights::SUM,
        };
        let question = Question::plain(question);
        let mut passages = rank(snapshot, encoder, &question, &weights)?.passages;
        if matches!(self, Self::ReciprocalRanks) {
            fuse_ranks(&mut passages);
        }
        Ok(passages)
    }
}

/// Sorts by the sum of reciprocal ranks.
fn fuse_ranks(passages: &mut [RankedPassage]) {
    let mut scores = vec![0.0; passages.len()];
    for part in [
        |own: &RankedPassage| own.parts.bm25,
        |own: &RankedPassage| own.parts.passage,
    ] {
        let mut order: Vec<usize> = (0..passages.len()).collect();
        order.sort_by(|a, b| part(&passages[*b]).total_cmp(&part(&passages[*a])));
        for (rank, at) in order.into_iter().enumerate() {
            scores[at] += 1.0 / (RRF_CONSTANT + rank as f64 + 1.0);
        }
    }
    for (passage, score) in passages.iter_mut().zip(scores) {
        passage.score = score as f32;
    }
    passages.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage)));
}

/// A set, indexed.
struct Prepared {
    pub name: String,
    pub n_docs: usize,
    pub queries: Vec<Judged>,
    pub snapshot: Snapshot,
}

/// A question and the gain of each record that answers it.
struct Judged {
    pub text: String,
    pub gains: BTreeMap<String, u32>,
}

impl Prepared {
    /// Reads the set in `folder` and keeps its index in `index`.
    pub fn new(
        folder: &Path,
        index: &Path,
        encoder: &Encoder,
        options: &EvalOptions,
        progress: crate::ingest::Progress,
    ) -> Result<Self, EvalError> {
        let beir = read_beir(folder, &options.beir)?;
        let records = beir.documents.iter().map(|document| document.records.len());
        let n_docs = records.sum();
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        index_documents(folder, beir.documents, index, encoder, progress)?;
        let mut relevance = beir.relevance;
        let queries = beir.queries.into_iter().map(|query| {
            let mut gains = relevance.remove(&query.id).unwrap_or_default();
            if options.binary {
                gains.values_mut().for_each(|gain| *gain = 1);
            }
            Judged {
                text: query.text,
                gains,
            }
        });
        Ok(Self {
            name: name.unwrap_or_default(),
            n_docs,
            queries: queries.collect(),
            snapshot: Snapshot::open(index)?,
        })
    }

    fn judge(
        &self,
        encoder: &Encoder,
        query: &Judged,
        system: System,
    ) -> Result<Metrics, EvalError> {
        let passages = system.rank(&self.snapshot, encoder, &query.text)?;
        let records = ranked_records(&self.snapshot, &passages);
        Ok(Metrics::of(&records, &query.gains))
    }
}

/// Evaluates the set in `folder`, keeping its index in `index`; `progress` hears of questions done and their number.
pub fn evaluate(
    folder: &Path,
    index: &Path,
    encoder: &Encoder,
    options: &EvalOptions,
    progress: crate::ingest::Progress,
) -> Result<Report, EvalError> {
    let set = Prepared::new(folder, index, encoder, options, progress)?;
    let systems = systems(encoder, options.fast);
    let judged: Vec<Vec<Metrics>> = set
        .queries
        .par_iter()
        .map(|query| {
            let judge = |(_, system): &(&str, System)| set.judge(encoder, query, *system);
            systems.iter().map(judge).collect::<Result<_, _>>()
        })
        .collect::<Result<_, EvalError>>()?;
    let systems = systems.iter().enumerate().map(|(system, (name, _))| {
        let figures = judged.iter().map(|figures| figures[system]);
        (*name, Metrics::mean(figures))
    });
    Ok(Report {
        n_docs: set.n_docs,
        n_queries: set.queries.len(),
        systems: systems.collect(),
        set: set.name,
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
