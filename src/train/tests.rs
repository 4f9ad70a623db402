//! Every stage learns from a tiny set that is made of the bundled vault.

use std::{fmt::Write, fs, path::Path};

use serde_json::{Value, json};

use super::{recipe::OptimiserOptions, *};

/// Notes of the set, and paragraphs of each.
const NOTES: usize = 6;
const PARAGRAPHS: usize = 5;
/// Steps on one batch, and what must be left of each part of the loss behind them.
const STEPS: usize = 12;
const LEFT: f64 = 0.7;
/// The same where only global blocks learn, and texts are too short for them to see much.
const LEFT_BY_BLOCKS: f64 = 0.9;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Writes questions on notes in the BEIR layout.
fn write_set(folder: &Path) {
    let questions = fs::read_to_string(project().join("corpora/questions.jsonl")).expect("reads");
    let (mut corpus, mut queries) = (String::new(), String::new());
    let mut judged = "query-id\tcorpus-id\tscore\n".to_owned();
    let mut n_notes = 0;
    for question in questions.lines() {
        let question: Value = serde_json::from_str(question).expect("parses");
        let evidence = &question["evidence"][0];
        let (path, quote) = (&evidence["path"], &evidence["quote"]);
        let (path, quote) = (
            path.as_str().expect("a path"),
            quote.as_str().expect("a quote"),
        );
        let note = fs::read_to_string(project().join("corpora/vault").join(path)).expect("reads");
        let paragraphs: Vec<&str> = note.split("\n\n").filter(|own| own.len() > 80).collect();
        let Some(right) = paragraphs.iter().position(|own| own.contains(quote)) else {
            continue;
        };
        let first = right.saturating_sub(PARAGRAPHS - 1);
        for (at, text) in paragraphs.iter().enumerate().skip(first).take(PARAGRAPHS) {
            let line = json!({ "_id": format!("{n_notes}#{at}"), "title": path, "text": text });
            writeln!(corpus, "{line}").expect("writes");
        }
        let answer: Vec<&str> = quote.split(' ').skip(1).take(2).collect();
        let id = &question["id"];
        let line =
            json!({ "_id": id, "text": question["question"], "answers": [answer.join(" ")] });
        writeln!(queries, "{line}").expect("writes");
        let id = id.as_str().expect("an id");
        writeln!(judged, "{id}\t{n_notes}#{right}\t1").expect("writes");
        n_notes += 1;
        if n_notes == NOTES {
            break;
        }
    }
    assert_eq!(n_notes, NOTES);
    fs::create_dir(folder.join("qrels")).expect("creates");
    fs::write(folder.join("corpus.jsonl"), corpus).expect("writes");
    fs::write(folder.join("queries.jsonl"), queries).expect("writes");
    fs::write(folder.join("qrels/train.tsv"), judged).expect("writes");
}

fn recipe(stage: &str, frozen_layers: usize) -> Recipe {
    let text = format!(
        r#"
        stage = "{stage}"
        steps = 3
        seed = 7
        frozen_layers = {frozen_layers}
        [optimiser]
        learning_rate = 2e-4
        head_learning_rate = 5e-3
        warmup = 1
        clip = 1.0
        [batch]
        slots = 1
        passages = 12
        questions = 3
        titled = 0.0
        cloze_removed = 1.0
        reader_negatives = 2
        spans = 2
        masked = 0.1
        [validation]
        every = 2
        batches = 1
        share = 0.2
        [[source]]
        path = "set"
        kind = "questions"
        weight = 1.0
        "#
    );
    toml::from_str(&text).expect("is a recipe")
}

/// The recipe of global blocks alone: all else stays as it is.
fn blocks_recipe() -> Recipe {
    let recipe = recipe("retrieval", 6);
    Recipe {
        global: Some(GlobalConfig {
            least_passages: 2,
            within_levels: false,
            parents_and_children: false,
            ..GlobalConfig::default()
        }),
        optimiser: OptimiserOptions {
            head_learning_rate: 0.0,
            global_learning_rate: 2e-3,
            ..recipe.optimiser
        },
        ..recipe
    }
}

fn options(data: &Path, output: &str) -> TrainOptions {
    TrainOptions {
        start: project().join("assets/model"),
        data: data.to_owned(),
        output: data.join(output),
        device: Device::Cpu,
    }
}

fn set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("set")).expect("creates");
    write_set(&folder.path().join("set"));
    folder
}

/// Learns one batch by heart and returns the parts of its loss before and after.
fn by_heart(recipe: &Recipe) -> (Figures, Figures) {
    let folder = set();
    let start = Start::load(&project().join("assets/model"), recipe.global.as_ref());
    let start = start.expect("loads");
    let pools = pools(recipe, folder.path(), &start.tokenizer).expect("reads");
    let batch = Sampler::new(pools, recipe.batch, recipe.seed).expect("samples");
    let batch = batch.draw(Part::Training, 0);
    let (task, parameters) = task(recipe, &start, &Device::Cpu).expect("makes the stage");
    let mut optimiser = Optimiser::new(parameters, recipe.optimiser, STEPS).expect("starts");
    let before = task.loss(&batch).expect("runs").1;
    for _ in 0..STEPS {
        let (loss, _) = task.loss(&batch).expect("runs");
        let mut gradients = Gradients::default();
        let store = loss.backward().expect("passes");
        gradients.add(optimiser.parameters(), &store).expect("adds");
        optimiser.step(&gradients).expect("steps");
    }
    (before, task.loss(&batch).expect("runs").1)
}

/// Panics unless at most `left` of every part of the loss is left.
fn check_learns(recipe: &Recipe, left: f64) {
    let (before, after) = by_heart(recipe);
    assert!(!before.is_empty());
    for (name, before) in before {
        let after = after[&name];
        assert!(after <= left * before, "{name}: {before} became {after}");
    }
}

#[test]
fn the_retrieval_stage_lowers_every_part_of_its_loss() {
    check_learns(&recipe("retrieval", 5), LEFT);
}

#[test]
fn the_reader_stage_lowers_every_part_of_its_loss() {
    check_learns(&recipe("reader", 5), LEFT);
}

#[test]
fn global_blocks_alone_lower_every_part_of_the_loss() {
    check_learns(&blocks_recipe(), LEFT_BY_BLOCKS);
}

/// Whether a gradient can reach a parameter at all.
///
/// A key's bias moves all scores of a query alike, so that the softmax hides it. The indexer chooses and has a loss of
/// its own; what is switched off has no gradient.
fn is_reachable(name: &str) -> bool {
    let hidden = [".affinity", ".within_", ".up", ".down", ".index_"];
    let of_block = name.starts_with("global.");
    let is_hidden = of_block && hidden.iter().any(|own| name.contains(own));
    !name.ends_with("key.bias") && !is_hidden
}

#[test]
fn gradients_reach_every_parameter_that_can_have_one() {
    let folder = set();
    for recipe in [recipe("retrieval", 0), recipe("reader", 0), blocks_recipe()] {
        let start = Start::load(&project().join("assets/model"), recipe.global.as_ref());
        let start = start.expect("loads");
        let pools = pools(&recipe, folder.path(), &start.tokenizer).expect("reads");
        let sampler = Sampler::new(pools, recipe.batch, recipe.seed).expect("samples");
        let batch = sampler.draw(Part::Training, 0);
        let (task, parameters) = task(&recipe, &start, &Device::Cpu).expect("makes the stage");
        let mut optimiser = Optimiser::new(parameters, recipe.optimiser, 2).expect("starts");
        // The heads of a reader and the outputs of blocks start at zero and hide the rest, so they take a step first.
        let mut unreached = Vec::new();
        for _ in 0..2 {
            let (loss, _) = task.loss(&batch).expect("runs");
            let mut gradients = Gradients::default();
            let store = loss.backward().expect("passes");
            gradients.add(optimiser.parameters(), &store).expect("adds");
            let names = optimiser.parameters().iter().map(|own| own.name.clone());
            unreached = names
                .filter(|name| is_reachable(name))
                .filter(|name| {
                    gradients.of(name).is_none_or(|gradient| {
                        let largest = gradient.abs().and_then(|own| own.max_all());
                        let largest = largest.and_then(|own| own.to_scalar::<f32>());
                        largest.expect("compares") == 0.0
                    })
                })
                .collect();
            optimiser.step(&gradients).expect("steps");
        }
        assert!(unreached.is_empty(), "{:?}: {unreached:?}", recipe.stage);
    }
}

/// Three steps at once, and two, a stop, and one more, end in the same weights.
#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let folder = set();
    let recipe = recipe("retrieval", 5);
    let whole = options(folder.path(), "whole");
    train(&recipe, &whole, &|_| ()).expect("trains");
    let parted = options(folder.path(), "parted");
    let stopped = std::panic::catch_unwind(|| {
        train(&recipe, &parted, &|report| {
            assert_ne!(report.step, 3, "stopped")
        })
    });
    assert!(stopped.is_err());
    assert!(parted.output.join("checkpoint.json").exists());
    train(&recipe, &parted, &|report| assert_eq!(report.step, 3)).expect("goes on");
    assert!(!parted.output.join("checkpoint.json").exists());
    for name in ["model.safetensors", "granules.safetensors"] {
        let read = |folder: &Path| fs::read(folder.join(name)).expect("reads");
        assert!(
            read(&whole.output) == read(&parted.output),
            "{name} differs"
        );
    }
    let lines = fs::read_to_string(parted.output.join("metrics.jsonl")).expect("reads");
    assert_eq!(lines.lines().count(), 3);
    crate::model::Encoder::load(&parted.output).expect("is a whole model");
}
