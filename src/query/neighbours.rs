//! A passage is likelier to answer where one near to it in meaning does.

use rayon::prelude::*;

use super::{RankedPassage, fusion::z_scores};
use crate::{ops::int8_product::dot, store::Snapshot};

/// The nearest candidates of other documents that a passage is judged by.
const NEAREST: usize = 10;

/// A candidate: its document, its z-score, and its vector in int8 with the vector's scale.
struct Neighbour<'a> {
    document: usize,
    score: f32,
    vector: Option<(&'a [i8], f32)>,
}

/// Of each passage the best z-score among the candidates nearest to it, times their cosine, at least 0; what is in its
/// own document has its weight already.
pub fn evidence(snapshot: &Snapshot, passages: &[RankedPassage]) -> Vec<f32> {
    let scores: Vec<f32> = passages.iter().map(|ranked| ranked.score).collect();
    let candidates = passages.iter().zip(z_scores(&scores));
    let candidates: Vec<Neighbour> = candidates
        .map(|(ranked, score)| Neighbour {
            document: ranked.document,
            score,
            vector: snapshot.vector_of(ranked.passage),
        })
        .collect();
    let evidence = candidates.par_iter().map(|own| own.evidence(&candidates));
    evidence.collect()
}

impl Neighbour<'_> {
    fn evidence(&self, candidates: &[Self]) -> f32 {
        let others = candidates
            .iter()
            .filter(|own| own.document != self.document);
        let near = others.filter_map(|other| Some((self.cosine(other)?, other.score)));
        let mut near: Vec<(f32, f32)> = near.collect();
        if near.len() > NEAREST {
            near.select_nth_unstable_by(NEAREST, |a, b| {
                b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
            });
            near.truncate(NEAREST);
        }
        let evidence = near.into_iter().map(|(cosine, score)| cosine * score);
        evidence.fold(0.0, f32::max)
    }

    /// None before both are encoded.
    fn cosine(&self, other: &Self) -> Option<f32> {
        let ((own, own_scale), (theirs, scale)) = (self.vector?, other.vector?);
        Some(dot(own, theirs) as f32 * own_scale * scale)
    }
}
