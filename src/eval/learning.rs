//! What should each part of a ranking count? Here are sets whose answers are known, gimme the weights.
//!
//! Coordinate ascent on the mean nDCG@10 of the sets, each counting the same: one weight after another is multiplied by
//! a few factors, and the best value is kept. BM25 counts 1: only ratios matter. The joint reader is slow, so its weight
//! is sought last, on fewer questions. The tree keeps its own: it serves broad questions, of which no training set is at
//! hand. How far links lead is learned by [`links`](super::links).

use std::{collections::BTreeSet, path::PathBuf};

use rand::{SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{EvalError, EvalOptions, Judged, Prepared, System};
use crate::{
    corpus::{BeirOptions, Split},
    ingest::Progress,
    model::Encoder,
    query::FusionWeights,
};

/// What a weight is multiplied by.
const FACTORS: [f32; 6] = [0.5, 0.7, 0.85, 1.2, 1.4, 2.0];
/// Rounds over all weights.
const ROUNDS: usize = 2;
/// What a change has to gain, so that noise moves nothing.
const LEAST_GAIN: f64 = 5e-4;
/// Of the questions, one in so many is read by the joint reader.
const READER_STEP: usize = 6;

/// A recipe for the weights: one TOML file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FusionRecipe {
    pub stage: FusionStage,
    /// Questions of a set, at most, drawn by `seed`.
    pub questions: usize,
    pub seed: u64,
    #[serde(rename = "source")]
    pub sources: Vec<FusionSource>,
}

/// What tells this recipe from those of the trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FusionStage {
    Fusion,
}

/// A set with its training questions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FusionSource {
    /// Below the data folder.
    pub path: PathBuf,
    /// Whether its records are turns of meetings, to be joined.
    #[serde(default)]
    pub meetings: bool,
}

impl FusionSource {
    /// How the set is read.
    pub fn beir(&self) -> BeirOptions {
        BeirOptions {
            split: Split::Train,
            merge_turns: self.meetings,
            title_questions: false,
        }
    }
}

/// A set of the recipe and where its index is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct FusionSet {
    pub folder: PathBuf,
    pub index: PathBuf,
    pub beir: BeirOptions,
}

/// What was learned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Learned {
    pub weights: FusionWeights,
    /// Mean nDCG@10 of the sets without the joint reader, by the weights before and by these.
    pub before: f64,
    pub after: f64,
    /// The same with the joint reader, on fewer questions; nothing where its weight was not sought.
    pub with_reader: Option<(f64, f64)>,
}

/// A weight, by what reaches it.
type Coordinate = fn(&mut FusionWeights) -> &mut f32;

/// Learns the weights on the training questions of `sets`, that of the joint reader only where it is not to be `fast`;
/// `tell` hears of every change.
///
/// # Errors
/// When a set cannot be read or ranked.
pub fn learn(
    recipe: &FusionRecipe,
    sets: &[FusionSet],
    (encoder, fast): (&Encoder, bool),
    progress: Progress,
    tell: &dyn Fn(&FusionWeights, f64),
) -> Result<Learned, EvalError> {
    let prepare = |set: &FusionSet| {
        let options = EvalOptions {
            beir: set.beir,
            ..EvalOptions::default()
        };
        let mut prepared = Prepared::new(&set.folder, &set.index, encoder, &options, progress)?;
        prepared.queries = drawn(prepared.queries, recipe);
        Ok(prepared)
    };
    let sets: Vec<Prepared> = sets.iter().map(prepare).collect::<Result<_, EvalError>>()?;
    let search = Search {
        sets: &sets,
        encoder,
        tell,
    };
    let first_stage: [Coordinate; 2] = [|own| &mut own.passage, |own| &mut own.granule];
    let start = encoder.fusion(true);
    let (mut weights, before, after) = search.ascend(start, &first_stage, (ROUNDS, 1))?;
    weights.reader = encoder.fusion(false).reader;
    let mut with_reader = None;
    if !fast {
        let reader: [Coordinate; 1] = [|own| &mut own.reader];
        let (found, before, after) = search.ascend(weights, &reader, (1, READER_STEP))?;
        (weights, with_reader) = (found, Some((before, after)));
    }
    Ok(Learned {
        weights,
        before,
        after,
        with_reader,
    })
}

/// The recipe's number of questions, in their order.
fn drawn(all: Vec<Judged>, recipe: &FusionRecipe) -> Vec<Judged> {
    let numbers: Vec<usize> = (0..all.len()).collect();
    let mut random = StdRng::seed_from_u64(recipe.seed);
    let kept: BTreeSet<usize> = numbers
        .choose_multiple(&mut random, recipe.questions)
        .copied()
        .collect();
    let all = all.into_iter().enumerate();
    all.filter(|(at, _)| kept.contains(at))
        .map(|(_, query)| query)
        .collect()
}

struct Search<'a> {
    sets: &'a [Prepared],
    encoder: &'a Encoder,
    tell: &'a dyn Fn(&FusionWeights, f64),
}

impl Search<'_> {
    /// The best weights found, and the figures of the first and of these.
    fn ascend(
        &self,
        mut weights: FusionWeights,
        coordinates: &[Coordinate],
        (rounds, step): (usize, usize),
    ) -> Result<(FusionWeights, f64, f64), EvalError> {
        let before = self.ndcg(&weights, step)?;
        let mut best = before;
        for _ in 0..rounds {
            for coordinate in coordinates {
                let centre = weights;
                for factor in FACTORS {
                    let mut tried = centre;
                    *coordinate(&mut tried) *= factor;
                    let found = self.ndcg(&tried, step)?;
                    if found > best + LEAST_GAIN {
                        (weights, best) = (tried, found);
                        (self.tell)(&weights, best);
                    }
                }
            }
        }
        Ok((weights, before, best))
    }

    /// The mean over the sets, of one question in `step`.
    fn ndcg(&self, weights: &FusionWeights, step: usize) -> Result<f64, EvalError> {
        let mut sum = 0.0;
        for set in self.sets {
            let queries: Vec<&Judged> = set.queries.iter().step_by(step).collect();
            let figures: Vec<f64> = queries
                .par_iter()
                .map(|query| {
                    let system = System::Parts(*weights);
                    Ok(set.judge(self.encoder, query, system)?.ndcg10)
                })
                .collect::<Result<_, EvalError>>()?;
            sum += figures.iter().sum::<f64>() / figures.len().max(1) as f64;
        }
        Ok(sum / self.sets.len().max(1) as f64)
    }
}
