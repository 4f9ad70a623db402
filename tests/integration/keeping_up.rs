//! An index keeps up with its files: edits, renames, a watched folder, leads first, several collections.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;
use shas::{
    ingest::{self, IndexOptions, IngestError, Outcome},
    store::Snapshot,
};
use tempfile::TempDir;

use crate::vault::{ENCODER, shas};

/// A vault and its index, on their own.
struct Vault {
    corpus: TempDir,
    index: TempDir,
}

impl Vault {
    fn new(notes: &[(&str, &str)]) -> Self {
        let [corpus, index] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
        let vault = Self { corpus, index };
        notes
            .iter()
            .for_each(|(path, text)| vault.write(path, text));
        vault
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.corpus.path().join(path);
        fs::create_dir_all(path.parent().expect("has one")).expect("creates");
        fs::write(path, text).expect("writes");
    }

    fn index_with(&self, options: &IndexOptions) -> Result<Outcome, IngestError> {
        let (corpus, index) = (self.corpus.path(), self.index.path());
        ingest::index(corpus, index, &*ENCODER, options, &|_| true)
    }

    fn index(&self) -> Outcome {
        let options = IndexOptions::default();
        self.index_with(&options).expect("indexes")
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::open(self.index.path()).expect("opens")
    }

    /// Id, number of passages and paths of linked documents.
    fn document(&self, path: &str) -> (u32, u32, Vec<String>) {
        let snapshot = self.snapshot();
        let documents = &snapshot.body.documents;
        let found = documents.iter().find(|document| document.path == path);
        let found = found.unwrap_or_else(|| panic!("no {path}"));
        let linked = found.links.iter().map(|&id| {
            let document = snapshot.document_with_id(id).expect("is there");
            documents[document].path.clone()
        });
        (found.id, found.n_passages, linked.collect())
    }
}

const NOTES: [(&str, &str); 4] = [
    (
        "a/Rye.md",
        "# Rye bread\n\nRye needs a starter. See [[Starter]].\n",
    ),
    ("a/Starter.md", "Flour and water, fed daily.\n"),
    (
        "b/Comet.md",
        "# Comets\n\nA comet is ice and dust. It shone above the Basalt Plateau.\n",
    ),
    (
        "b/Basalt.md",
        "# Basalt\n\nBasalt is a dark rock that was once lava.\n",
    ),
];

#[test]
fn only_what_has_changed_is_done_again() {
    let vault = Vault::new(&NOTES);
    assert_eq!(vault.index().unchanged, 0);
    let starter = vault.document("a/Starter.md");
    // An edit touches its document, its ancestors and what was due.
    vault.write("b/Comet.md", "# Comets\n\nA comet is ice, dust and time.\n");
    let outcome = vault.index();
    assert_eq!((outcome.unchanged, outcome.renamed), (3, 0));
    assert!(outcome.writes <= 16, "{} writes", outcome.writes);
    // A rename keeps id and vectors where the title was not the file's name, and links follow.
    let from = vault.corpus.path().join("b/Basalt.md");
    fs::rename(from, vault.corpus.path().join("a/Dark rock.md")).expect("renames");
    let outcome = vault.index();
    assert_eq!(
        (outcome.renamed, outcome.removed, outcome.tokens),
        (1, 0, 0)
    );
    // Where it was, the document is encoded behind its new title.
    let from = vault.corpus.path().join("a/Starter.md");
    fs::rename(from, vault.corpus.path().join("a/Sour.md")).expect("renames");
    let outcome = vault.index();
    assert!(outcome.tokens > 0 && outcome.removed == 0);
    assert_eq!(vault.document("a/Sour.md").0, starter.0);
    assert!(vault.document("a/Rye.md").2.is_empty());
    // A file that only looks new is read, and that is all.
    vault.write("a/Rye.md", NOTES[0].1);
    let outcome = vault.index();
    assert_eq!((outcome.unchanged, outcome.tokens), (4, 0));
    fs::remove_file(vault.corpus.path().join("a/Sour.md")).expect("removes");
    let outcome = vault.index();
    assert_eq!((outcome.indexed, outcome.removed), (3, 1));
    assert_eq!(vault.index().writes, 0);
}

#[test]
fn a_new_title_finds_its_old_mentions_and_a_lost_one_drops_them() {
    let vault = Vault::new(&NOTES);
    vault.index();
    assert_eq!(vault.document("b/Comet.md").2, ["b/Basalt.md"]);
    // The longer title hides the shorter one in it.
    vault.write(
        "c/Plateau.md",
        "---\ntitle: Basalt Plateau\n---\nHigh and flat.\n",
    );
    vault.index();
    assert_eq!(vault.document("b/Comet.md").2, ["c/Plateau.md"]);
    fs::remove_file(vault.corpus.path().join("c/Plateau.md")).expect("removes");
    vault.index();
    assert_eq!(vault.document("b/Comet.md").2, ["b/Basalt.md"]);
}

#[test]
fn leads_are_encoded_first_and_the_rest_when_it_is_asked_for() {
    let long = "The rye starter is fed and kept warm by the baker each day. ".repeat(60);
    let text = format!("# Rye\n\nIn short: a sour bread.\n\n{long}\n\n## History\n\n{long}\n");
    let vault = Vault::new(&[("Rye.md", &text), ("Empty.md", "# Only a heading\n")]);
    let leads = IndexOptions {
        leads: true,
        ..IndexOptions::default()
    };
    vault.index_with(&leads).expect("indexes");
    let encoded = || {
        let documents = vault.snapshot().body.documents;
        let rye = documents.iter().find(|own| own.path == "Rye.md");
        rye.map(|own| (own.n_encoded, own.n_lead, own.n_passages))
    };
    let (n_encoded, n_lead, n_passages) = encoded().expect("is there");
    assert!(0 < n_encoded && n_encoded == n_lead && n_lead < n_passages);
    assert_eq!(vault.index_with(&leads).expect("indexes").tokens, 0);
    assert!(vault.index().tokens > 0);
    assert_eq!(encoded(), Some((n_passages, n_lead, n_passages)));
}

#[test]
fn a_folder_that_has_vanished_keeps_its_index() {
    let vault = Vault::new(&NOTES);
    vault.index();
    for folder in ["a", "b"] {
        fs::remove_dir_all(vault.corpus.path().join(folder)).expect("removes");
    }
    let refused = vault.index_with(&IndexOptions::default());
    assert!(refused.is_err_and(|error| error.to_string().contains("holds no documents any more")));
    assert_eq!(vault.snapshot().body.documents.len(), NOTES.len());
}

#[test]
fn a_watched_folder_is_followed_and_has_one_writer() {
    let vault = Vault::new(&NOTES);
    let corpus = vault.corpus.path().to_string_lossy().into_owned();
    let mut watch = shas(vault.index.path())
        .args(["watch", &corpus])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("is piped")).lines();
    let mut next = || lines.next().expect("goes on").expect("is text");
    assert!(next().starts_with("4 documents; watching"));
    let second = shas(vault.index.path())
        .args(["index", &corpus])
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&second.stderr);
    assert!(
        !second.status.success() && errors.contains("shas watch"),
        "{errors}"
    );
    // As editors do: written beside, then renamed.
    vault.write(
        "a/.Rye.md.swp",
        "# Rye bread\n\nNow with caraway, which the walrus likes.\n",
    );
    let beside = vault.corpus.path().join("a/.Rye.md.swp");
    fs::rename(beside, vault.corpus.path().join("a/Rye.md")).expect("renames");
    let line = next();
    assert!(line.contains("1 read, 0 renamed, 0 removed"), "{line}");
    let answer = shas(vault.index.path())
        .args(["ask", "what does the walrus like?"])
        .output();
    watch.kill().expect("kills");
    watch.wait().expect("ends");
    let answer = String::from_utf8(answer.expect("runs").stdout).expect("is text");
    assert!(answer.contains("caraway"), "{answer}");
}

#[test]
fn collections_are_asked_one_by_one_or_together() {
    let home = tempfile::tempdir().expect("a folder");
    let [bread, stone] = [&NOTES[..2], &NOTES[2..]].map(Vault::new);
    let run = |arguments: &[&str]| {
        let output = Command::new(assert_cmd::cargo::cargo_bin("shas"))
            .env("HOME", home.path())
            .env("XDG_DATA_HOME", home.path())
            .env_remove("SHAS_INDEX")
            .args(arguments)
            .output()
            .expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = String::from_utf8(output.stdout).expect("is text");
        (output.status.success(), printed, errors)
    };
    let path = |vault: &Vault| vault.corpus.path().to_string_lossy().into_owned();
    for (name, vault) in [("bread", &bread), ("stone", &stone)] {
        let (added, _, errors) = run(&["collection", "add", name, &path(vault)]);
        assert!(added, "{errors}");
    }
    let collections = |arguments: &[&str]| -> Vec<String> {
        let (found, printed, errors) = run(arguments);
        assert!(found, "{errors}");
        let hits: Value = serde_json::from_str(&printed).expect("is JSON");
        let hits = hits["hits"].as_array().expect("a list").clone();
        let names = hits.iter().filter_map(|hit| hit["collection"].as_str());
        names.map(str::to_owned).collect()
    };
    let question = "what is a dark rock or a rye starter?";
    let both = collections(&["search", question, "--json", "-c", "bread", "-c", "stone"]);
    assert_eq!(both.len(), 4, "{both:?}");
    assert!(both.contains(&"bread".to_owned()) && both.contains(&"stone".to_owned()));
    let one = collections(&["search", question, "--json", "-c", "stone"]);
    assert_eq!(one, ["stone", "stone"]);
    let (_, answer, _) = run(&["ask", "which rock is dark?", "-c", "bread", "-c", "stone"]);
    assert!(answer.contains("stone: b/Basalt.md:3"), "{answer}");
    assert!(run(&["collection", "remove", "bread", "--with-index"]).0);
    assert!(!run(&["collection", "list"]).1.contains("bread"));
    let (known, _, errors) = run(&["ask", "what?", "-c", "bread"]);
    assert!(
        !known && errors.contains("there is no collection `bread`"),
        "{errors}"
    );
}

#[test]
fn lines_from_standard_input_are_a_collection() {
    let home = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str], lines: &str| {
        let output = assert_cmd::Command::cargo_bin("shas")
            .expect("is built")
            .env("HOME", home.path())
            .env("XDG_DATA_HOME", home.path())
            .env_remove("SHAS_INDEX")
            .args(arguments)
            .write_stdin(lines)
            .output()
            .expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (printed, errors)
    };
    let index = |lines: &str| run(&["index", "-", "--name", "news", "--json"], lines);
    let rye = r#"{"id": "rye", "text": "Rye bread needs a starter that is a day old."}"#;
    let basalt = r#"{"id": "basalt", "text": "Basalt is a dark rock."}"#;
    let (first, errors) = index(&format!("{rye}\n{basalt}\nno object\n"));
    assert_eq!(
        (&first["indexed"], &first["skipped"]),
        (&2.into(), &1.into())
    );
    assert!(
        errors.contains("news: line 3 is not a JSON object"),
        "{errors}"
    );
    let (found, errors) = run(&["search", "dark rock", "-c", "news", "--json"], "");
    assert_eq!(found["hits"][0]["path"], "news/basalt", "{errors}");
    // The lines are the corpus: those that do not come again are gone, but none at all are a broken pipe.
    let (again, _) = index(rye);
    assert_eq!(
        (&again["unchanged"], &again["removed"]),
        (&1.into(), &1.into())
    );
    let (_, errors) = index("");
    assert!(
        errors.contains("news holds no documents any more"),
        "{errors}"
    );
}

#[test]
fn a_dry_run_says_what_it_would_take_and_writes_nothing() {
    let vault = Vault::new(&NOTES);
    let corpus = vault.corpus.path().to_string_lossy().into_owned();
    let arguments = ["index", "--dry-run", "--json", &corpus];
    let output = shas(vault.index.path())
        .args(arguments)
        .output()
        .expect("runs");
    let forecast: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(
        (&forecast["files"], &forecast["documents"]),
        (&4.into(), &4.into())
    );
    let tokens = forecast["tokens"].as_u64().expect("a number");
    assert_eq!(tokens as usize, vault.index().tokens);
    let empty = tempfile::tempdir().expect("a folder");
    shas(empty.path()).args(arguments).output().expect("runs");
    assert_eq!(fs::read_dir(empty.path()).expect("reads").count(), 0);
}
