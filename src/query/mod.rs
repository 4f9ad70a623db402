//! What does the question attend to? Here is a question, gimme its [`Ranking`].
//!
//! The read path on one page: the passages that a [`Question`]'s conditions allow → candidates from the text index and from passage vectors → the question's tokens
//! attend to the candidates' granules, their neighbours', their section's and their document's → z-scores are added →
//! the tree and near passages are heard, or the attention follows links → the joint reader reads the best passages with the
//! question → the attention is summed up at every level → the router weighs the levels.

mod attention;
pub mod dense;
mod descent;
mod fusion;
mod granules;
mod indexed;
mod levels;
mod link_features;
mod links;
mod mention;
mod neighbours;
mod question;
mod reading;
mod routing;
mod source;
mod surroundings;
mod tree;

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap, HashSet},
};

use rayon::prelude::*;

use crate::{
    model::{
        Encoder, ModelError, QueryEncoding,
        router::{Kind, N_SIZE_FEATURES},
    },
    store::{Snapshot, StoreError, text_index::TextQuery},
};

use dense::QueryVector;
pub use fusion::{FusionWeights, z_scores};
pub use granules::{attend_by_level, best_granules};
pub use indexed::IndexedText;
pub use levels::{Attention, Level, LevelAttention, NodeAttention, Target};
pub use links::{Edge, Hop};
pub use mention::mention;
pub use question::Question;
pub use reading::Readings;
pub use routing::groups;
pub use source::{SourceText, file_of, line_of};

/// Candidates taken from the text index, and from passage vectors.
const CANDIDATES: usize = 200;

/// Why a question could not be ranked.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the index was made by another model; run `shas index --rebuild`")]
    OtherModel,
}

/// What a passage scores; the parts are z-scores over the pool of candidates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Parts {
    pub bm25: f32,
    pub passage: f32,
    pub granule: f32,
    /// What the tree's evidence adds.
    pub tree: f32,
    /// What the passages nearest to it add.
    pub near: f32,
    /// What links from the best documents add.
    pub links: f32,
    /// What the joint reader adds to those that it has read.
    pub reader: f32,
}

/// One ranked passage.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedPassage {
    /// Number of the passage in the snapshot.
    pub passage: usize,
    /// Index of its document in the snapshot.
    pub document: usize,
    pub score: f32,
    pub parts: Parts,
}

/// The question and what it attends to.
pub struct Ranking {
    pub query: QueryEncoding,
    /// Best first.
    pub passages: Vec<RankedPassage>,
    /// Empty where nothing matches.
    pub attention: Attention,
    /// What the router saw of the sizes of answers.
    pub size_features: [f32; N_SIZE_FEATURES],
    /// What the joint reader found in the passages that it read; empty where it was left out.
    pub readings: Readings,
    /// The links that were followed, one to each document that gained by one.
    pub hops: Vec<Hop>,
    /// What the parts of its scores count.
    pub weights: FusionWeights,
}

impl Ranking {
    /// The level that the attention favours, or the attention of the level that is `wanted`.
    pub fn route(&self, wanted: Option<Level>) -> Option<&LevelAttention> {
        match wanted {
            Some(wanted) => {
                let mut levels = self.attention.levels.iter();
                levels.find(|own| own.level == wanted)
            }
            None => routing::favoured(&self.attention),
        }
    }

    /// The kind of answer that is wanted.
    pub fn kind(&self) -> Kind {
        let [_, concept, synthesis] = self.query.kinds;
        match self.route(None).map(|own| own.level.kind()) {
            // What a node is about is a concept as well.
            Some(Kind::Synthesis) if synthesis < concept => Kind::Concept,
            Some(kind) => kind,
            None => Kind::Detail,
        }
    }

    /// The best passage of each document, best first.
    pub fn documents(&self) -> impl Iterator<Item = &RankedPassage> {
        let mut seen = HashSet::new();
        self.passages
            .iter()
            .filter(move |ranked| seen.insert(ranked.document))
    }
}

/// One candidate with its unscaled parts.
pub(crate) struct Candidate {
    pub passage: usize,
    pub document: usize,
    pub bm25: f32,
    /// None before the passage is encoded.
    pub dense: Option<f32>,
    pub late: Option<f32>,
}

/// Ranks the passages of `snapshot` for `question`.
///
/// # Errors
/// When the snapshot was made by another model, or cannot be read.
pub fn rank(
    snapshot: &Snapshot,
    encoder: &Encoder,
    question: &Question,
    weights: &FusionWeights,
) -> Result<Ranking, QueryError> {
    let mut rankings = rank_together(&[snapshot], encoder, question, weights)?;
    Ok(rankings.remove(0))
}

/// Ranks the passages of several snapshots in one pool, so that scores compare between them; one ranking each.
///
/// # Errors
/// As [`rank`].
pub fn rank_together(
    snapshots: &[&Snapshot],
    encoder: &Encoder,
    question: &Question,
    weights: &FusionWeights,
) -> Result<Vec<Ranking>, QueryError> {
    let fingerprint = encoder.fingerprint();
    if snapshots.iter().any(|own| own.body.model != fingerprint) {
        return Err(QueryError::OtherModel);
    }
    let text = question.text.as_str();
    let query = &encoder.encode_query(text)?;
    let mut ranked = gathered(snapshots, query, question, weights)?;
    let mut hops = Vec::with_capacity(snapshots.len());
    for (snapshot, passages) in snapshots.iter().zip(&mut ranked) {
        surroundings::add(snapshot, &query.vector, passages, weights);
        let edges = match weights.link {
            0.0 => Vec::new(),
            _ => link_features::edges(snapshot, encoder, query, text, passages)?,
        };
        let link_weights = encoder.config().links.unwrap_or_default();
        hops.push(links::follow(&edges, passages, &link_weights, weights.link));
    }
    let readings = reading::add(snapshots, encoder, text, &mut ranked, weights.reader)?;
    let found = ranked.into_iter().zip(readings).zip(hops);
    let rankings = snapshots.iter().zip(found);
    let rankings = rankings.map(|(snapshot, ((mut passages, readings), hops))| {
        sort(&mut passages);
        let mut attention = attention::attend(snapshot, query, &passages);
        let size_features = routing::size_features(snapshot, text, &attention);
        if let Some(router) = encoder.router() {
            routing::route(router, query.kinds, &size_features, &mut attention);
        }
        Ranking {
            attention,
            size_features,
            query: query.clone(),
            passages,
            readings,
            hops,
            weights: *weights,
        }
    });
    Ok(rankings.collect())
}

/// What a question's links may change, and what is known of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Linked {
    /// What each candidate document scores before links, tree and reader are heard.
    pub scores: HashMap<usize, f32>,
    pub edges: Vec<Edge>,
}

/// The links that `question` may follow.
///
/// # Errors
/// As [`rank`].
pub fn linked(
    snapshot: &Snapshot,
    encoder: &Encoder,
    question: &Question,
    weights: &FusionWeights,
) -> Result<Linked, QueryError> {
    let text = question.text.as_str();
    let query = &encoder.encode_query(text)?;
    let passages = gathered(&[snapshot], query, question, weights)?.concat();
    Ok(Linked {
        scores: links::scores(&passages),
        edges: link_features::edges(snapshot, encoder, query, text, &passages)?,
    })
}

/// The candidates of each snapshot, with those that links lead to, and what they score by themselves.
fn gathered(
    snapshots: &[&Snapshot],
    query: &QueryEncoding,
    question: &Question,
    weights: &FusionWeights,
) -> Result<Vec<Vec<RankedPassage>>, QueryError> {
    let vector = QueryVector::new(&query.vector);
    let mut searched = Vec::with_capacity(snapshots.len());
    let mut pools = Vec::with_capacity(snapshots.len());
    for snapshot in snapshots {
        let own = Searched {
            snapshot,
            terms: snapshot.text.query(&question.text)?,
            allowed: question.allowed(snapshot)?,
        };
        pools.push(own.candidates(query, &vector, &own.pool(&vector)?)?);
        searched.push(own);
    }
    let first = fusion::fuse(&pools, weights);
    for ((own, pool), passages) in searched.iter().zip(&mut pools).zip(first) {
        let linked = links::unseen_documents(own.snapshot, &passages);
        let best = linked.iter();
        let best = best.filter_map(|&document| best_passage(own.snapshot, &vector, document));
        let added = best.filter(|passage| own.allows(passage)).collect();
        pool.extend(own.candidates(query, &vector, &added)?);
        pool.sort_by_key(|candidate| candidate.passage);
    }
    Ok(fusion::fuse(&pools, weights))
}

/// The passage of a document that is nearest; the first where none is encoded.
fn best_passage(snapshot: &Snapshot, vector: &QueryVector, document: usize) -> Option<usize> {
    let passages = snapshot.passages_of(document);
    let scored = passages.map(|passage| {
        let cosine = vector.cosine(snapshot, passage);
        (passage, cosine.unwrap_or(f32::NEG_INFINITY))
    });
    // Of equals the last is taken, so the first passage has to come last.
    let best = scored.rev().max_by(|a, b| a.1.total_cmp(&b.1));
    best.map(|best| best.0)
}

/// The passages of a text unit: all of a record's, else the one with its number.
fn passages_of_unit(snapshot: &Snapshot, document: usize, ordinal: u32) -> Vec<usize> {
    let record = &snapshot.body.documents[document];
    let passages = snapshot.passages_of(document);
    if record.passage_records.is_empty() {
        return passages.skip(ordinal as usize).take(1).collect();
    }
    passages
        .zip(&record.passage_records)
        .filter(|(_, unit)| **unit == ordinal)
        .map(|(passage, _)| passage)
        .collect()
}

/// A snapshot and what a question makes of it.
struct Searched<'a> {
    snapshot: &'a Snapshot,
    terms: TextQuery,
    /// The passages that meet the question's conditions, where it has any.
    allowed: Option<BTreeSet<usize>>,
}

impl Searched<'_> {
    fn allows(&self, passage: &usize) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.contains(passage))
    }

    /// The passages that are looked at closely: the best by the text index and by vectors, of those that are allowed.
    fn pool(&self, vector: &QueryVector) -> Result<BTreeSet<usize>, QueryError> {
        let depth = match &self.allowed {
            None => CANDIDATES,
            Some(allowed) if allowed.len() <= 2 * CANDIDATES => return Ok(allowed.clone()),
            // Conditions which a tenth of the corpus meets leave as many candidates as no condition.
            Some(_) => 10 * CANDIDATES,
        };
        let mut pool = BTreeSet::new();
        for hit in self.snapshot.text.search(&self.terms, depth)? {
            if let Some(document) = self.snapshot.document_with_id(hit.document) {
                pool.extend(passages_of_unit(self.snapshot, document, hit.ordinal));
            }
        }
        pool.retain(|passage| self.allows(passage));
        let near = dense::nearest(self.snapshot, vector, depth).into_iter();
        let near = near.map(|(passage, _)| passage);
        let near = near.filter(|passage| self.allows(passage));
        pool.extend(near.take(CANDIDATES));
        if pool.is_empty() {
            let allowed = self.allowed.iter().flatten();
            pool.extend(allowed.take(CANDIDATES));
        }
        Ok(pool)
    }

    /// Gives every passage of the pool all its parts.
    fn candidates(
        &self,
        query: &QueryEncoding,
        vector: &QueryVector,
        pool: &BTreeSet<usize>,
    ) -> Result<Vec<Candidate>, QueryError> {
        let snapshot = self.snapshot;
        let mut by_document: HashMap<usize, Vec<usize>> = HashMap::new();
        for &passage in pool {
            by_document
                .entry(snapshot.document_of(passage))
                .or_default()
                .push(passage);
        }
        let ids = by_document
            .keys()
            .map(|&document| snapshot.body.documents[document].id)
            .collect();
        let bm25 = snapshot.text.scores(&self.terms, &ids)?;
        let documents: Vec<(usize, Vec<usize>)> = by_document.into_iter().collect();
        let mut candidates: Vec<Candidate> = documents
            .par_iter()
            .flat_map_iter(|(document, passages)| {
                let late = granules::attend(snapshot, query, *document, passages);
                let record = &snapshot.body.documents[*document];
                let first = snapshot.passages_of(*document).start;
                let bm25 = &bm25;
                passages.iter().zip(late).map(move |(&passage, late)| {
                    let local = passage - first;
                    let unit = record
                        .passage_records
                        .get(local)
                        .copied()
                        .unwrap_or(local as u32);
                    let dense = vector.cosine(snapshot, passage);
                    Candidate {
                        passage,
                        document: *document,
                        bm25: bm25.get(&(record.id, unit)).copied().unwrap_or(0.0),
                        dense,
                        late: dense.map(|_| late),
                    }
                })
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.passage);
        Ok(candidates)
    }
}

fn sort(passages: &mut [RankedPassage]) {
    passages.sort_by(by_score);
}

/// The best first; of equally good ones the first in the snapshot.
fn by_score(a: &RankedPassage, b: &RankedPassage) -> Ordering {
    b.score.total_cmp(&a.score).then(a.passage.cmp(&b.passage))
}
