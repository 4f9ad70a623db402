//! Why the ranking is as it is: every part of a candidate's score, in numbers and in words.

use serde::Serialize;

use super::{hit, hop, hop::NamedHop, sentence::Sources};
use crate::{
    model::granule::N_LEVELS,
    query::{Level, RankedPassage, Ranking, Target, attend_by_level},
    store::Snapshot,
    tree::Node,
};

/// Candidates that are explained.
const EXPLAINED: usize = 8;

/// What the best candidates owe their place to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Best first.
    pub candidates: Vec<Candidate>,
}

/// One candidate and the parts of its score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    pub name: String,
    pub path: String,
    pub line: usize,
    pub score: f32,
    /// They add up to the score.
    pub parts: Vec<Part>,
    /// What the passage itself, those next to it, its section and its document give to the granules' part.
    pub granules: GranuleShares,
    /// The attention of the levels that hold it, and its share there, broadest first.
    pub levels: Vec<LevelPrior>,
    /// Names of the nodes above its document, broadest first.
    pub tree_path: Vec<String>,
    /// The link that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<NamedHop>,
}

/// One part of a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    pub name: &'static str,
    /// In deviations from the candidates' mean, where it is measured so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<f32>,
    /// What it counts, where that is a fixed number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
    /// What it adds to the score.
    pub adds: f32,
    pub words: String,
}

/// Similarities of the question's word pieces to granules, by where those stand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GranuleShares {
    pub passage: f32,
    pub neighbours: f32,
    pub section: f32,
    pub document: f32,
}

/// What a level expects of the candidate before it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LevelPrior {
    pub level: Level,
    /// Share of the levels' attention.
    pub weight: f32,
    /// Of that, the share of what holds the candidate.
    pub share: f32,
}

/// Explains the best candidates of a ranking, one of each document.
pub fn explain(snapshot: &Snapshot, ranking: &Ranking) -> Explanation {
    let mut sources = Sources::default();
    let best = ranking.documents().take(EXPLAINED);
    let candidates = best.map(|ranked| candidate(snapshot, ranking, ranked, &mut sources));
    Explanation {
        candidates: candidates.collect(),
    }
}

fn candidate(
    snapshot: &Snapshot,
    ranking: &Ranking,
    ranked: &RankedPassage,
    sources: &mut Sources,
) -> Candidate {
    let place = hit::hit(snapshot, ranked);
    let tree_path = nodes_above(snapshot, ranked.document);
    let hop = ranking.hops.iter().find(|hop| hop.to == ranked.document);
    let by_level = attend_by_level(snapshot, &ranking.query, ranked.document, &[ranked.passage]);
    let [passage, neighbours, section, document] =
        by_level.first().copied().unwrap_or([0.0; N_LEVELS]);
    Candidate {
        name: place.name,
        path: place.path,
        line: place.line,
        score: ranked.score,
        parts: parts(ranking, ranked),
        granules: GranuleShares {
            passage,
            neighbours,
            section,
            document,
        },
        levels: priors(snapshot, ranking, ranked, &tree_path),
        tree_path: tree_path.iter().map(|node| node.name.clone()).collect(),
        hop: hop.map(|hop| hop::named(snapshot, hop, sources)),
    }
}

fn parts(ranking: &Ranking, ranked: &RankedPassage) -> Vec<Part> {
    let (own, weights) = (&ranked.parts, &ranking.weights);
    let measured = |name, deviations: f32, weight: f32, what: &str| Part {
        name,
        deviations: Some(deviations),
        weight: Some(weight),
        adds: weight * deviations,
        words: format!("{what} {}", against_the_others(deviations)),
    };
    let added = |name, adds: f32, words: String| Part {
        name,
        deviations: None,
        weight: None,
        adds,
        words,
    };
    let reading = ranking.readings.get(&ranked.passage);
    vec![
        measured(
            "bm25",
            own.bm25,
            weights.bm25,
            "the question's words stand in it",
        ),
        measured(
            "passage",
            own.passage,
            weights.passage,
            "its meaning as a whole is near",
        ),
        measured(
            "granule",
            own.granule,
            weights.granule,
            "its single words mean what is asked",
        ),
        added("tree", own.tree, tree_words(own.tree).to_owned()),
        added("near", own.near, near_words(own.near).to_owned()),
        added(
            "links",
            own.links,
            match ranking.hops.iter().find(|hop| hop.to == ranked.document) {
                Some(hop) => format!(
                    "a link carries it {:.0}% of the way up to what links to it",
                    hop.share * 100.0
                ),
                None => "no document that scores more links to it".to_owned(),
            },
        ),
        added(
            "reader",
            own.reader,
            match reading {
                Some(reading) => format!(
                    "the joint reader gives it odds of {:.2} to answer",
                    reading.relevance.exp()
                ),
                None => "the joint reader did not read it".to_owned(),
            },
        ),
    ]
}

/// What the tree adds, in words.
fn tree_words(adds: f32) -> &'static str {
    match adds {
        0.0 => "not asked, since links are followed or the tree says nothing",
        adds if adds > 0.0 => "the question descends the tree to its entity",
        _ => "the question descends the tree elsewhere",
    }
}

/// What near passages add, in words.
fn near_words(adds: f32) -> &'static str {
    match adds > 0.0 {
        true => "a passage of another document that is near to it scores well",
        false => "not asked, since links are followed, or no passage near to it scores well",
    }
}

/// A z-score in words.
fn against_the_others(deviations: f32) -> &'static str {
    match deviations {
        z if z >= 2.5 => "far more than in the other candidates",
        z if z >= 1.0 => "more than in most candidates",
        z if z >= 0.25 => "a little more than in most",
        z if z > -0.25 => "as much as in the others",
        _ => "less than in most candidates",
    }
}

/// The nodes that hold a document, broadest first.
pub(super) fn nodes_above(snapshot: &Snapshot, document: usize) -> Vec<&Node> {
    let tree = &snapshot.body.tree;
    let id = snapshot.body.documents[document].id;
    let entity = tree.nodes.iter().find(|node| node.documents.contains(&id));
    entity.map_or_else(Vec::new, |entity| tree.path(entity))
}

/// The attention of each level to what holds the candidate.
fn priors(
    snapshot: &Snapshot,
    ranking: &Ranking,
    ranked: &RankedPassage,
    above: &[&Node],
) -> Vec<LevelPrior> {
    let section = snapshot.section_of(ranked.passage);
    let holds = |target: Target| match target {
        Target::Node(id) => above.iter().any(|node| node.id == id),
        Target::Document(document) => document == ranked.document,
        Target::Section(document, own) => document == ranked.document && own == section,
        Target::Passage(passage) => passage == ranked.passage,
        Target::Granule(..) => false,
    };
    let levels = ranking.attention.answerable().map(|own| LevelPrior {
        level: own.level,
        weight: own.weight,
        share: own
            .nodes
            .iter()
            .filter(|node| holds(node.target))
            .map(|node| node.share)
            .sum(),
    });
    levels.collect()
}
