//! What parts of a ranking count is measured and learned by commands, on a set in the BEIR layout made of the bundled
//! vault: every note is a record, its first sentence without the note's title the question.

use std::{fs, path::Path};

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::vault::corpus;

fn shas(data: &Path, arguments: &[&str]) -> Value {
    let output = Command::cargo_bin("shas")
        .expect("is built")
        .env("SHAS_INDEX", data.join("index"))
        .args(arguments)
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn notes(folder: &Path, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("is a folder")
        .flatten()
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            notes(&path, found);
        } else if path.extension().is_some_and(|own| own == "md") {
            let title = path
                .file_stem()
                .expect("has a name")
                .to_string_lossy()
                .into_owned();
            found.push((title, fs::read_to_string(&path).expect("is text")));
        }
    }
}

/// Writes the set into `folder`.
fn write_set(folder: &Path) {
    let mut found = Vec::new();
    notes(&corpus(), &mut found);
    found.truncate(30);
    let (mut records, mut queries) = (String::new(), String::new());
    let mut relevance = String::from("query-id\tcorpus-id\tscore\n");
    for (at, (title, text)) in found.iter().enumerate() {
        let prose = text
            .split("\n\n")
            .find(|part| part.len() > 80 && !part.starts_with(['#', '-']));
        let Some(sentence) = prose.and_then(|part| part.split(". ").next()) else {
            continue;
        };
        let question = sentence.replace(title.as_str(), "it");
        records += &format!(
            "{}\n",
            json!({"_id": format!("r{at}"), "title": title, "text": text})
        );
        queries += &format!("{}\n", json!({"_id": format!("q{at}"), "text": question}));
        relevance += &format!("q{at}\tr{at}\t1\n");
    }
    fs::create_dir_all(folder.join("qrels")).expect("is made");
    for (name, content) in [
        ("corpus.jsonl", &records),
        ("queries.jsonl", &queries),
        ("qrels/train.tsv", &relevance),
        ("qrels/test.tsv", &relevance),
    ] {
        fs::write(folder.join(name), content).expect("is written");
    }
}

/// Writes a recipe, follows it into `model`, and gives the config that comes of it.
fn trained(data: &Path, recipe: &str) -> Value {
    fs::write(data.join("recipe.toml"), recipe).expect("is written");
    let path = |name: &str| data.join(name).to_string_lossy().into_owned();
    let folder = data.to_string_lossy().into_owned();
    let (recipe, output) = (path("recipe.toml"), path("model"));
    let arguments = ["train", &recipe, "--data", &folder, "--output", &output];
    shas(data, &arguments);
    let config = fs::read_to_string(data.join("model/config.json")).expect("is written");
    serde_json::from_str(&config).expect("is JSON")
}

#[test]
fn how_far_links_lead_is_learned() {
    let folder = tempfile::tempdir().expect("is made");
    let data = folder.path();
    write_set(&data.join("set"));
    let config = trained(
        data,
        "stage = \"links\"\nset = \"set\"\nof_each = 12\nseed = 1\none_hop = 0.5\ntemperature = 0.8\npenalty = 0.001\n",
    );
    assert!(config["links"]["bias"].is_number(), "{config}");
    let weights = config["links"]["weights"].as_array().expect("are given");
    // What is known of a link speaks for it or against it, as its sign says.
    for (weight, sign) in weights.iter().zip([-1.0, -1.0, -1.0, 1.0, 1.0]) {
        assert!(
            weight.as_f64().expect("is a number") * sign >= 0.0,
            "{weights:?}"
        );
    }
    assert!(weights.iter().any(|own| own.as_f64() != Some(0.0)));
}

#[test]
fn weights_are_learned_and_used() {
    let folder = tempfile::tempdir().expect("is made");
    let data = folder.path();
    write_set(&data.join("set"));
    let config = trained(
        data,
        "stage = \"fusion\"\nquestions = 12\nseed = 1\n[[source]]\npath = \"set\"\n",
    );
    assert_eq!(config["fusion"]["bm25"], 1.0);
    assert!(
        config["fusion"]["granule"]
            .as_f64()
            .is_some_and(|own| own > 0.0)
    );

    let path = |name: &str| data.join(name).to_string_lossy().into_owned();
    let (set, output) = (path("set"), path("model"));
    let reports = shas(
        data,
        &["--fast", "--model", &output, "eval", "--json", &set],
    );
    let systems = reports[0]["systems"].as_object().expect("has systems");
    let names: Vec<&String> = systems.keys().collect();
    assert_eq!(names, ["bm25", "dense", "fast", "rrf", "sum"]);
    let ndcg = |name: &str| systems[name]["ndcg10"].as_f64().expect("is a number");
    assert!(ndcg("fast") >= 0.9 && ndcg("rrf") >= 0.8, "{reports}");
}
