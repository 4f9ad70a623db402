//! The commands as a user runs them, on the bundled vault.

use assert_cmd::Command;
use serde_json::Value;

use crate::vault::{self, INDEX, corpus};

fn shas(arguments: &[&str]) -> String {
    let output = Command::cargo_bin("shas")
        .expect("is built")
        .env("SHAS_INDEX", INDEX.path())
        .args(arguments)
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("is text")
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&shas(arguments)).expect("is JSON")
}

#[test]
fn open_without_a_terminal_prints_the_top_of_the_tree() {
    let vault = corpus();
    let printed = shas(&["open", &vault.to_string_lossy()]);
    assert!(
        printed
            .lines()
            .next()
            .is_some_and(|line| line.contains("documents")),
        "{printed}"
    );
    assert!(printed.lines().count() >= 7, "{printed}");
}

#[test]
fn ask_answers_with_citations() {
    let answer = json(&[
        "ask",
        "--json",
        "When did the Curiosity rover land on Mars?",
    ]);
    assert_eq!(answer["citations"][0]["path"], "Astronomy/Mars.md");
    assert!(
        answer["answer"]["text"]
            .as_str()
            .is_some_and(|text| text.contains("6 August 2012"))
    );
    let levels = answer["levels"].as_object().expect("an object");
    let names: Vec<&str> = levels.keys().map(String::as_str).collect();
    for name in [
        "domain", "category", "entity", "document", "section", "passage",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    for key in [
        "path",
        "line_start",
        "line_end",
        "byte_start",
        "byte_end",
        "quote",
        "score",
    ] {
        assert!(!answer["citations"][0][key].is_null(), "{key}");
    }
    assert!(answer["timings_ms"].is_object());
    let attended = answer["attention"].as_array().expect("a list");
    assert_eq!(attended[6]["level"], "granule");
    for own in attended {
        let best = &own["nodes"][0];
        assert!(own["weight"].is_number() && best["share"].is_number());
        assert!(best["id"].is_u64() && best["name"].is_string(), "{own}");
    }
    let of_granule = &attended[6]["nodes"][0];
    assert!(of_granule["granule"].is_u64(), "{of_granule}");
    let broad = json(&["ask", "--json", "--level", "category", "stars"]);
    assert_eq!(broad["answer"]["level"], "category");
}

#[test]
fn ask_explains_and_climbs_and_says_what_it_does_not_know() {
    let question = "When did the Curiosity rover land on Mars?";
    let answer = json(&[
        "ask",
        "--fast",
        "--json",
        "--explain",
        "--depth",
        "entity",
        question,
    ]);
    assert_eq!(answer["supported"], true);
    let depths = answer["ladder"].as_array().expect("is a ladder").iter();
    let depths: Vec<&str> = depths.filter_map(|rung| rung["depth"].as_str()).collect();
    assert_eq!(depths, ["domain", "category", "entity"]);
    let first = &answer["explanation"]["candidates"][0];
    let names = first["parts"].as_array().expect("has parts").iter();
    let names: Vec<&str> = names.filter_map(|part| part["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "bm25", "passage", "granule", "tree", "near", "links", "reader"
        ]
    );
    assert!(first["granules"]["neighbours"].is_number() && first["levels"].is_array());
    let printed = shas(&[
        "ask",
        "--fast",
        "--explain",
        "--depth",
        "sentence",
        question,
    ]);
    for shown in [
        "domain: ",
        "sentence: Mars",
        "stands for Astronomy/",
        "why:",
        "granules",
    ] {
        assert!(printed.contains(shown), "{shown}: {printed}");
    }
    let printed = shas(&["ask", "--fast", "How do I reset the password of my router?"]);
    assert!(
        printed.starts_with("This corpus does not seem to answer that."),
        "{printed}"
    );
    let wrong = Command::cargo_bin("shas")
        .expect("is built")
        .args(["ask", "--depth", "word", question])
        .output();
    let wrong = String::from_utf8(wrong.expect("runs").stderr).expect("is text");
    assert!(wrong.contains("the depths are domain, category"), "{wrong}");
}

#[test]
fn search_lists_hits_with_their_parts() {
    let found = json(&[
        "search",
        "--json",
        "--limit",
        "3",
        "how is sourdough kept alive",
    ]);
    let hits = found["hits"].as_array().expect("a list");
    assert_eq!(hits.len(), 3);
    assert_eq!(found["attention"][0]["level"], "domain");
    assert!(
        hits[0]["path"]
            .as_str()
            .is_some_and(|path| path.starts_with("Bread/")),
        "{found}"
    );
    assert!(hits[0]["line"].as_u64().is_some_and(|line| line > 0));
    for part in ["bm25", "passage", "granule", "tree", "links"] {
        assert!(hits[0]["parts"][part].is_number(), "{part}");
    }
}

#[test]
fn chinese_is_found_by_its_characters() {
    let found = json(&["search", "--json", "--limit", "3", "古琴有几种声音？"]);
    assert_eq!(found["hits"][0]["path"], "Music/古琴.md");
}

#[test]
fn tree_and_status_give_everything_as_json() {
    let tree = json(&["tree", "--json"]);
    assert_eq!(
        tree["levels"],
        serde_json::json!(["domain", "category", "entity", "document"])
    );
    let nodes = tree["nodes"].as_array().expect("a list");
    let mut documents = 0;
    for node in nodes {
        assert!(!node["name"].as_str().expect("a name").is_empty());
        assert!(node["summary"].is_string());
        assert_eq!(node["parent"].is_null(), node["level"] == "domain");
        assert!(!node["children"].as_array().expect("a list").is_empty());
        if node["level"] == "domain" {
            documents += node["n_documents"].as_u64().expect("a count");
        }
    }
    let status = json(&["status", "--json"]);
    assert_eq!(status["counts"]["indexed"], documents);
    assert_eq!(status["counts"]["skipped"], 1, "the empty note");
    assert_eq!(status["files"].as_array().expect("a list").len(), 153);
}

#[test]
fn inspect_shows_what_the_global_blocks_see() {
    let note = corpus().join("Astronomy/Galilean moons.md");
    let note = note.to_string_lossy();
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("moons.svg");
    let printed = shas(&["inspect", &note, "--svg", &svg.to_string_lossy()]);
    for part in [
        "pyramid",
        "untrained",
        "after layer 6",
        "mean gate",
        "Europa",
    ] {
        assert!(
            printed.to_lowercase().contains(&part.to_lowercase()),
            "{part}: {printed}"
        );
    }
    let drawn = std::fs::read_to_string(&svg).expect("is text");
    assert!(drawn.starts_with("<svg"));
    assert!(drawn.contains("Galilean moons.md"));

    let seen = json(&["inspect", "--json", "--preset", "nsa", &note]);
    let passages = seen["passages"].as_array().expect("a list");
    assert_eq!(seen["blocks"].as_array().expect("a list").len(), 3);
    for (at, passage) in passages.iter().enumerate() {
        let far = passage["far"].as_array().expect("a list");
        assert_eq!(far.len(), 3);
        assert!(
            far.iter()
                .all(|far| far["passage"] != passage["place"]["passage"])
        );
        assert_eq!(seen["blocks"][0]["attention"][at][at], 0.0);
    }
}

#[test]
fn inspect_says_where_there_is_nothing_to_see() {
    let one = shas(&[
        "inspect",
        &corpus().join("Inbox/Books to borrow.md").to_string_lossy(),
    ]);
    assert!(one.contains("leave it unchanged"), "{one}");
    let output = Command::cargo_bin("shas")
        .expect("is built")
        .arg("inspect")
        .arg(corpus().join("Inbox/Untitled.md"))
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("is empty"), "{errors}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let help = shas(&["--help"]);
    let commands = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help");
    let mut count = 0;
    for command in commands {
        assert!(
            shas(&[command, "--help"]).contains("Example: shas "),
            "{command}"
        );
        count += 1;
    }
    assert!(count >= 9);
}

/// Paths of what a search finds.
fn found(question: &str) -> Vec<String> {
    let printed = json(&["search", "--json", "--limit", "10", question]);
    let hits = printed["hits"].as_array().expect("an array").iter();
    hits.map(|hit| hit["path"].as_str().expect("a path").to_owned())
        .collect()
}

#[test]
fn a_search_keeps_to_its_conditions() {
    let astronomy = found("path:astronomy/ rover");
    assert!(astronomy.len() > 3, "{astronomy:?}");
    assert!(astronomy.iter().all(|path| path.starts_with("Astronomy/")));
    assert!(!found("-path:Astronomy/ rover").contains(&"Astronomy/Mars.md".to_owned()));
    assert_eq!(found("\"6 August 2012\" landing"), ["Astronomy/Mars.md"]);
    assert!(!found("planets -curiosity").is_empty());
    assert!(
        !found("red planet -curiosity -\"olympus mons\"").contains(&"Astronomy/Mars.md".to_owned())
    );
    assert_eq!(
        found("\"a sentence that nobody wrote here\""),
        [] as [&str; 0]
    );
}

#[test]
fn a_misspelled_word_is_understood() {
    assert_eq!(found("curiosty rovre")[0], "Astronomy/Mars.md");
}

/// Comments are not indexed, so what stands behind them is still found where it is.
#[test]
fn quotes_stand_behind_comments_and_never_in_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let note = "# Harbour\n\nThe harbour was dredged twice for larger ships.\n\n%% Zeppelin hangars: ask about those \
                in Friedrichshafen before autumn %%\n\n<!-- the list of ships is kept elsewhere and is not public -->\n\n\
                The zeppelin hangars in Friedrichshafen were torn down.\n";
    let vault = folder.path().join("vault");
    std::fs::create_dir(&vault).expect("creates");
    std::fs::write(vault.join("Harbour.md"), note).expect("writes");
    let index = folder.path().join("index");
    let run = |arguments: &[&str]| {
        let output = vault::shas(&index).args(arguments).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    run(&["index", vault.to_str().expect("is UTF-8")]);
    let question = "zeppelin hangars in Friedrichshafen";
    let answer = run(&["ask", "--fast", "--json", question]);
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("is JSON");
    assert_eq!(answer["supported"], true);
    let quotes = answer["citations"].as_array().expect("are citations");
    let quotes: Vec<&str> = quotes
        .iter()
        .filter_map(|own| own["quote"].as_str())
        .collect();
    assert!(quotes[0].contains("were torn down"), "{quotes:?}");
    assert!(
        quotes.iter().all(|own| !own.contains("before autumn")),
        "{quotes:?}"
    );
}
