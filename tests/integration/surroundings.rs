//! What the tree and near passages say: heard where documents are short and link to nothing, and nowhere else.

use std::fmt::Write;

use shas::{
    ingest::{self, IndexOptions},
    query::{FusionWeights, Question, RankedPassage, Ranking, rank},
    store::Snapshot,
};

use crate::vault::{ENCODER, ranking_of, snapshot};

const QUESTION: &str = "What keeps bees healthy in winter?";
const SUBJECTS: [&str; 3] = ["Bees", "Ships", "Clay"];
const SENTENCES: [[&str; 4]; 3] = [
    [
        "Bees gather in a cluster and keep warm through the winter by shivering.",
        "A healthy colony of bees needs honey stores and a dry hive in the cold months.",
        "Mites weaken bees in autumn, so that a colony is lost before spring.",
        "A windbreak keeps the hive of the bees dry and healthy.",
    ],
    [
        "Ships carry ballast so that they stay upright in heavy seas.",
        "The keel of a ship runs along its whole length.",
        "Sailors reef the sails of a ship when the wind rises.",
        "A rudder steers the ship from its stern.",
    ],
    [
        "Clay shrinks when it dries and once more in the kiln.",
        "Porcelain is made of white clay that turns to glass.",
        "A glaze covers the clay and keeps water out.",
        "Potters wedge clay to drive the air out of it.",
    ],
];

/// A vault of twelve notes, each of one sentence so many times, and what is asked of it.
fn asked(repeats: usize) -> Ranking {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (subject, sentences) in SUBJECTS.iter().zip(SENTENCES) {
        for (number, sentence) in sentences.iter().enumerate() {
            let mut text = format!("# {subject} {number}\n\n");
            for _ in 0..repeats {
                writeln!(text, "{sentence}\n").expect("is written");
            }
            let path = folder.path().join(format!("{subject} {number}.md"));
            std::fs::write(path, text).expect("is written");
        }
    }
    let index = tempfile::tempdir().expect("a temporary folder");
    let options = IndexOptions::default();
    ingest::index(folder.path(), index.path(), &*ENCODER, &options, &|_| true).expect("indexes");
    let snapshot = Snapshot::open(index.path()).expect("opens");
    let weights = FusionWeights::default().without_reader();
    rank(&snapshot, &ENCODER, &Question::plain(QUESTION), &weights).expect("ranks")
}

/// The most that near passages add to any.
fn most(ranking: &Ranking) -> f32 {
    let added = ranking.passages.iter().map(|own| own.parts.near);
    added.fold(0.0, f32::max)
}

#[test]
fn short_notes_without_links_hear_their_surroundings() {
    let ranking = asked(1);
    let near = most(&ranking);
    assert!(near > 0.2, "{near}");
    // The notes on bees stand by each other.
    let best = &ranking.passages[..4];
    assert!(best.iter().all(|own| own.parts.near > 0.0), "{best:?}");
    let of_long = most(&asked(160));
    assert!(of_long < 0.7 * near, "{of_long} {near}");
}

#[test]
fn what_links_hears_nothing() {
    let ranking = ranking_of(&snapshot(), "When did the Curiosity rover land on Mars?");
    let silent = |own: &RankedPassage| own.parts.near == 0.0 && own.parts.tree == 0.0;
    assert!(ranking.passages.iter().all(silent));
}
