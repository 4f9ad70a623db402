//! Whatever happens while an index is written, nothing is lost: `kill -9`, full disks, edits, renames, two writers.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use shas::{
    store::{Snapshot, StoreError, doctor},
    tree::Level,
};

use crate::vault::shas;

/// Times that indexing is killed.
const KILLS: u64 = 32;
const NOTES: usize = 20;

/// Twenty notes that link to each other.
fn write_notes(folder: &Path) {
    let subjects = ["rye", "basalt", "sonata", "comet"];
    for note in 0..NOTES {
        let subject = subjects[note % subjects.len()];
        let text = format!(
            "# {subject} note {note}\n\nThis note is about {subject}, number {note}. It goes on for a while about \
             {subject}.\n\n## More\n\nSee [[note {}]]. The {subject} of note {note} is described at some length.\n",
            (note * 7 + 3) % NOTES
        );
        let folder = folder.join(subject);
        fs::create_dir_all(&folder).expect("creates");
        fs::write(folder.join(format!("note {note}.md")), text).expect("writes");
    }
}

/// One of several edits: another text, a new note, a rename, a note less.
fn edit(folder: &Path, round: u64) {
    let note = |number: u64, subject: &str| folder.join(subject).join(format!("note {number}.md"));
    match round % 4 {
        0 => fs::write(
            note(4, "rye"),
            format!("# Rye\n\nEdited in round {round}. [[note 5]]\n"),
        ),
        1 => fs::write(
            folder.join(format!("new {round}.md")),
            format!("A new note, written in round {round}, about rye and comets.\n"),
        ),
        2 => fs::rename(
            folder.join(format!("new {}.md", round - 1)),
            folder.join(format!("moved {round}.md")),
        ),
        _ if round % 8 == 3 => fs::remove_file(folder.join(format!("moved {}.md", round - 1))),
        _ => Ok(()),
    }
    .expect("edits");
}

fn index(corpus: &Path, index: &Path) -> Output {
    let output = shas(index).arg("index").arg(corpus).output();
    let output = output.expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    output
}

/// What was published is whole; before the first time nothing is, and that is said.
fn assert_whole(index: &Path) {
    match doctor::examine(index) {
        Ok(findings) => {
            let damage: Vec<_> = findings.iter().filter(|own| own.is_damage).collect();
            assert!(damage.is_empty(), "{damage:?}");
        }
        Err(StoreError::Absent { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// All that an index holds, by path.
fn content(index: &Path) -> BTreeMap<String, String> {
    let snapshot = Snapshot::open(index).expect("opens");
    let documents = &snapshot.body.documents;
    let path_of = |id: &u32| {
        let document = snapshot.document_with_id(*id).expect("is there");
        documents[document].path.clone()
    };
    let units = snapshot.text.units().expect("reads");
    let entries = documents.iter().enumerate().map(|(document, record)| {
        let mut links: Vec<String> = record.links.iter().map(path_of).collect();
        links.sort();
        let (segment, row) = snapshot.segment_of(document);
        let (codes, scales) = segment.vectors(row.vectors());
        let granules: Vec<_> = segment.rows()[row.passages()]
            .iter()
            .map(|row| (row.span(), row.n_granules, segment.keys(row.granules()).0))
            .collect();
        let vectors = blake3::hash(format!("{codes:?} {scales:?} {granules:?}").as_bytes());
        let content = format!(
            "{} {:?} {} of {} passages, {} units, links {links:?}, sections {:?}, vectors {vectors}",
            record.title,
            record.hash,
            record.n_encoded,
            record.n_passages,
            units[&record.id],
            record.sections
        );
        (record.path.clone(), content)
    });
    entries.collect()
}

/// The tree by names and paths.
fn tree(index: &Path) -> Vec<String> {
    let snapshot = Snapshot::open(index).expect("opens");
    let tree = &snapshot.body.tree;
    let mut nodes: Vec<String> = tree
        .nodes
        .iter()
        .map(|node| {
            let below = tree.documents_below(node);
            let places = below.iter().filter_map(|&id| snapshot.document_with_id(id));
            let mut paths: Vec<&str> = places
                .map(|document| snapshot.body.documents[document].path.as_str())
                .collect();
            paths.sort_unstable();
            format!("{} {}: {paths:?}", node.level, node.id)
        })
        .collect();
    nodes.sort();
    assert!(tree.nodes.iter().any(|node| node.level == Level::Entity));
    nodes
}

/// The index holds what one holds that was never interrupted, and its tree built anew is the same.
fn assert_as_if_nothing_had_happened(corpus: &Path, own: &Path) {
    let fresh = tempfile::tempdir().expect("a folder");
    index(corpus, fresh.path());
    assert_eq!(content(own), content(fresh.path()));
    for folder in [own, fresh.path()] {
        let rebuilt = shas(folder).args(["tree", "--rebuild"]).output();
        assert!(rebuilt.expect("runs").status.success());
    }
    assert_eq!(tree(own), tree(fresh.path()));
}

#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let corpus = tempfile::tempdir().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    write_notes(corpus.path());
    let start = Instant::now();
    let probe = tempfile::tempdir().expect("a folder");
    index(corpus.path(), probe.path());
    let whole = start.elapsed();
    let mut state = 0x5eed_u64;
    for round in 0..KILLS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let share = (state >> 40) as f64 / (1u64 << 24) as f64;
        let mut child = shas(folder.path())
            .arg("index")
            .arg(corpus.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        // Later runs have less to do, so they are killed earlier.
        let wait = whole.mul_f64(share * if round < KILLS / 2 { 1.0 } else { 0.3 });
        std::thread::sleep(wait.max(Duration::from_millis(5)));
        child.kill().expect("kills");
        child.wait().expect("ends");
        assert_whole(folder.path());
        if round % 2 == 1 {
            edit(corpus.path(), round / 2);
        }
    }
    index(corpus.path(), folder.path());
    assert_whole(folder.path());
    assert_as_if_nothing_had_happened(corpus.path(), folder.path());
}

/// Files may not grow beyond some size, which is what a full disk looks like to a program.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let corpus = tempfile::tempdir().expect("a folder");
    write_notes(corpus.path());
    let folder = tempfile::tempdir().expect("a folder");
    let mut failures = 0;
    for blocks in [0, 1, 4, 16, 32, 64, 128, 256, 1_024] {
        let binary = assert_cmd::cargo::cargo_bin("shas");
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
            .arg(blocks.to_string())
            .arg(binary)
            .arg("index")
            .arg(corpus.path())
            .env("SHAS_INDEX", folder.path())
            .output()
            .expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            failures += 1;
            let last = errors.lines().last().unwrap_or("");
            assert!(
                last.starts_with("shas: ") && last.contains("space"),
                "{errors}"
            );
            assert!(!errors.contains("panicked"), "{errors}");
        }
        assert_whole(folder.path());
    }
    assert!(failures >= 3, "{failures} runs failed");
    index(corpus.path(), folder.path());
    assert_as_if_nothing_had_happened(corpus.path(), folder.path());
}
