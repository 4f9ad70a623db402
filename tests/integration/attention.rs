//! A question's attention at every level, on the bundled vault and on a note without headings.

use shas::{
    ingest::{self, IndexOptions},
    query::{Level, Ranking, Target},
    store::Snapshot,
};

use crate::vault::{ENCODER, ranking_of, snapshot};

const BROAD: &str = "stars and their lives";
const DETAILED: &str = "When did the Curiosity rover land on Mars?";

fn check_shares(ranking: &Ranking) {
    let levels = &ranking.attention.levels;
    assert!(levels.is_sorted_by(|a, b| a.level < b.level));
    let weights: f32 = levels.iter().map(|own| own.weight).sum();
    assert!((weights - 1.0).abs() < 1e-4, "{weights}");
    for own in levels {
        let shares = own.nodes.iter().map(|node| node.share);
        assert!(shares.clone().is_sorted_by(|a, b| a >= b));
        assert!((1..=8).contains(&own.nodes.len()), "{}", own.level);
        assert!((shares.sum::<f32>() - 1.0).abs() < 1e-4, "{}", own.level);
    }
}

#[test]
fn a_broad_question_attends_to_the_tree_and_a_detailed_one_to_a_passage() {
    let snapshot = snapshot();
    let broad = ranking_of(&snapshot, BROAD);
    let route = broad.route(None).expect("matches");
    assert!(route.level <= Level::Entity, "{}", route.level);
    assert!(matches!(route.target(), Some(Target::Node(_))));
    let detailed = ranking_of(&snapshot, DETAILED);
    let route = detailed.route(None).expect("matches");
    assert!(route.level >= Level::Document, "{}", route.level);
    let levels = &detailed.attention.levels;
    assert_eq!(levels.len(), 7, "one for each level of the pyramid");
    let best = levels.iter().find(|own| own.level == Level::Passage);
    let Some(Target::Passage(passage)) = best.and_then(|own| own.target()) else {
        panic!("a passage");
    };
    assert_eq!(passage, detailed.passages[0].passage);
    let Some(Target::Granule(holder, granule)) = levels[6].target() else {
        panic!("a granule");
    };
    assert_eq!(holder, passage);
    assert!(granule < usize::from(snapshot.row_of(passage).1.n_granules));
}

#[test]
fn shares_add_up_and_stay_the_same() {
    let snapshot = snapshot();
    for question in [BROAD, DETAILED, "古琴有几种声音？", "zzzz"] {
        let ranking = ranking_of(&snapshot, question);
        check_shares(&ranking);
        assert_eq!(ranking.attention, ranking_of(&snapshot, question).attention);
    }
}

#[test]
fn the_passages_of_a_section_hold_those_of_the_sections_below() {
    let snapshot = snapshot();
    for (document, record) in snapshot.body.documents.iter().enumerate() {
        let all = snapshot.passages_of(document);
        assert_eq!(snapshot.passages_of_section(document, 0), all);
        for passage in all {
            let mut at = Some(snapshot.section_of(passage));
            while let Some(section) = at {
                let below = snapshot.passages_of_section(document, section);
                assert!(below.contains(&passage), "{}: {section}", record.path);
                at = record.sections[section]
                    .parent
                    .map(|parent| parent as usize);
            }
        }
    }
}

#[test]
fn one_note_without_headings_is_attended_to() {
    let (notes, index) = (tempfile::tempdir(), tempfile::tempdir());
    let (notes, index) = (notes.expect("a folder"), index.expect("a folder"));
    let text = "The ciabatta was first baked near Venice in 1982.";
    std::fs::write(notes.path().join("bread.txt"), text).expect("writes");
    ingest::index(
        notes.path(),
        index.path(),
        &*ENCODER,
        &IndexOptions::default(),
        &|_| true,
    )
    .expect("indexes");
    let mut snapshot = Snapshot::open(index.path()).expect("opens");
    check_shares(&ranking_of(
        &snapshot,
        "Where was the first ciabatta baked?",
    ));
    snapshot.body.tree.nodes.clear();
    let ranking = ranking_of(&snapshot, "Where was the first ciabatta baked?");
    check_shares(&ranking);
    assert!(ranking.attention.levels[0].level >= Level::Document);
}
