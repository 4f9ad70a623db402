//! `shas eval-tree` on a small gold set: notes of the bundled vault, whose folders are the classes.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::vault::{corpus, shas};

/// Notes of each folder.
const NOTES: usize = 12;

/// Writes the gold set; its second depth has classes for one folder only.
fn write_gold(folder: &Path) {
    let mut lines = String::new();
    for class in ["Astronomy", "Bread", "Music"] {
        let entries = fs::read_dir(corpus().join(class)).expect("reads");
        let mut notes: Vec<_> = entries.map(|entry| entry.expect("reads").path()).collect();
        notes.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
        notes.sort();
        for note in &notes[..NOTES] {
            let finer = (class == "Bread").then_some("Baking");
            let title = note.file_stem().expect("a name").to_string_lossy();
            let text = fs::read_to_string(note).expect("reads");
            let line = json!({"title": title, "text": text, "l1": class, "l2": finer});
            lines.push_str(&format!("{line}\n"));
        }
    }
    fs::write(folder.join("docs.jsonl"), lines).expect("writes");
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("is text")
}

#[test]
fn the_tree_is_judged_beside_its_peers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gold, cache) = (folder.path().join("gold"), folder.path().join("cache"));
    fs::create_dir(&gold).expect("creates");
    write_gold(&gold);
    let run = |arguments: &[&str]| {
        let mut command = shas(folder.path());
        command
            .arg("eval-tree")
            .arg(&gold)
            .arg("--cache")
            .arg(&cache);
        stdout(command.args(arguments))
    };
    let printed = run(&["--json"]);
    assert_eq!(fs::read_dir(&cache).expect("reads").count(), 1);
    assert_eq!(
        printed,
        run(&["--json"]),
        "kept vectors give the same figures"
    );
    let reports: Value = serde_json::from_str(&printed).expect("is JSON");
    let report = &reports[0];
    assert_eq!(report["n_documents"], 3 * NOTES);
    assert_eq!(report["n_classes"], json!([3, 1]));
    let systems = report["systems"].as_array().expect("a list");
    assert_eq!(systems.len(), 2 * 5);
    let figure = |system: &str, name: &str| {
        let is_own = |own: &&Value| own["system"] == system && own["vectors"] == "model + lexical";
        let own = systems.iter().find(is_own).expect("is judged");
        let depth = &own["depths"][0][name];
        depth.as_f64().expect("a figure")
    };
    for name in ["nmi", "ari", "purity", "dendrogram_purity"] {
        let (own, random) = (figure("shas", name), figure("random", name));
        assert!(own > random + 0.1, "{name}: {own} {random}");
    }
    assert!(systems.iter().any(|own| own["hierarchical_f1"].is_null()));
    // Three classes have siblings but no twenty names.
    let concepts = report["concepts"].as_array().expect("a list");
    let odd = concepts.last().expect("is judged");
    assert_eq!(
        (&odd["task"], &odd["n_classes"]),
        (&json!("odd one out of 5"), &json!(3))
    );
    let (mean, head) = (odd["mean"].as_f64(), odd["head"].as_f64());
    assert!(mean.is_some_and(|mean| mean > 0.5), "{odd}");
    assert!(head.is_some_and(|head| head > 0.5), "{odd}");
    let table = run(&["--limit", "20"]);
    assert!(
        table.starts_with("gold: 20 documents, 3 → 1 classes"),
        "{table}"
    );
    assert_eq!(fs::read_dir(&cache).expect("reads").count(), 2);
    let widths: Vec<usize> = table
        .lines()
        .skip(2)
        .take(11)
        .map(|line| line.chars().count())
        .collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
}
