//! The bundled vault, indexed once for all tests, and its tree.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use shas::{
    ingest::{self, IndexOptions},
    model::Encoder,
    query::{FusionWeights, Question, Ranking, rank},
    store::Snapshot,
    tree::Level,
};

/// The top of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The bundled vault.
pub fn corpus() -> PathBuf {
    project().join("corpora/vault")
}

/// The shipped model.
pub static ENCODER: LazyLock<Encoder> =
    LazyLock::new(|| Encoder::load(&project().join("assets/model")).expect("the model loads"));

/// The index of the bundled vault; the folder lives as long as the tests.
pub static INDEX: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let outcome = ingest::index(
        &corpus(),
        folder.path(),
        &*ENCODER,
        &IndexOptions::default(),
        &|_| true,
    )
    .expect("indexes");
    assert_eq!(outcome.indexed + outcome.skipped.len(), 153);
    folder
});

/// The program, with its index in this folder and the shipped model.
pub fn shas(index: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("shas"));
    command.env("SHAS_INDEX", index).env_remove("SHAS_MODEL");
    command
}

/// What was published of it.
pub fn snapshot() -> Snapshot {
    Snapshot::open(INDEX.path()).expect("opens")
}

#[test]
fn the_tree_has_the_designed_levels() {
    let tree = snapshot().body.tree;
    let count = |level| tree.nodes.iter().filter(|node| node.level == level).count();
    let (entities, categories, domains) = (
        count(Level::Entity),
        count(Level::Category(1)),
        count(Level::Domain),
    );
    assert!((12..=18).contains(&entities), "{entities} entities");
    assert!((4..=6).contains(&categories), "{categories} categories");
    assert!((2..=3).contains(&domains), "{domains} domains");
}

/// Notes of one subject belong together: of each category's notes that lie in a subject's folder, most lie in one.
#[test]
fn domains_follow_the_subjects() {
    let snapshot = snapshot();
    let tree = &snapshot.body.tree;
    for node in tree
        .nodes
        .iter()
        .filter(|node| node.level == Level::Category(1))
    {
        let below = tree.documents_below(node);
        let folders: Vec<&str> = below
            .iter()
            .filter_map(|&id| snapshot.document_with_id(id))
            .map(|document| {
                snapshot.body.documents[document]
                    .path
                    .split('/')
                    .next()
                    .unwrap_or("")
            })
            .collect();
        let counts = ["Astronomy", "Bread", "Music"]
            .map(|subject| folders.iter().filter(|folder| **folder == subject).count());
        let (most, all) = (counts.into_iter().max(), counts.iter().sum::<usize>());
        let is_clear = most.is_some_and(|most| all > 0 && most * 10 >= all * 8);
        assert!(is_clear, "{}: {folders:?}", node.name);
    }
}

#[test]
fn a_second_run_encodes_nothing_and_changes_nothing() {
    let before = snapshot().body;
    let outcome = ingest::index(
        &corpus(),
        INDEX.path(),
        &*ENCODER,
        &IndexOptions::default(),
        &|_| true,
    )
    .expect("indexes");
    assert_eq!(outcome.unchanged, outcome.indexed);
    let after = snapshot().body;
    assert_eq!(before.documents, after.documents);
    assert_eq!(before.tree, after.tree);
}

/// The ranking of a question in plain words, without the joint reader, which takes seconds where nothing is optimised.
pub fn ranking_of(snapshot: &Snapshot, question: &str) -> Ranking {
    let weights = FusionWeights::default().without_reader();
    rank(snapshot, &ENCODER, &Question::plain(question), &weights).expect("ranks")
}
