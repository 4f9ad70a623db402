//! `shas train`: follows a recipe, with its progress on stderr; or draws what came of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::DeserializeOwned;

use super::{
    Common, abstracting, commands, curves, eval, indexing::Bar, output::say, paths, routing,
};
use crate::{
    eval::{FusionRecipe, FusionSet, LinkRecipe, learn, learn_links},
    model::{config::ModelConfig, save},
    query::FusionWeights,
    train::{Recipe, StepReport, TrainOptions, train},
};

/// What `shas train` takes.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TrainArgs {
    #[command(subcommand)]
    action: Option<TrainAction>,
    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Subcommand)]
enum TrainAction {
    /// Draw the curves of a run
    #[command(after_help = "Example: shas train plot model/metrics.jsonl curves.svg")]
    Plot {
        /// What the run wrote
        metrics: PathBuf,
        /// Where the drawing goes
        svg: PathBuf,
    },
}

#[derive(Args)]
pub(super) struct RunArgs {
    /// The recipe, a TOML file
    pub recipe: PathBuf,
    /// The folder that the recipe's sources are in
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub data: PathBuf,
    /// Where the model goes, with its metrics; a run that was stopped goes on there
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Follow the recipe for so many steps only
    #[arg(long)]
    steps: Option<usize>,
}

pub fn run(common: &Common, args: &TrainArgs) -> Result<()> {
    match (&args.action, &args.run) {
        (Some(TrainAction::Plot { metrics, svg }), _) => curves::plot(metrics, svg),
        (None, Some(args)) => follow(common, args),
        (None, None) => bail!("give a recipe; those of the shipped model are in assets/recipes"),
    }
}

fn follow(common: &Common, args: &RunArgs) -> Result<()> {
    let table = recipe_table(&args.recipe)?;
    match table.get("stage").and_then(toml::Value::as_str) {
        Some("fusion") => return fuse(common, args, &parsed(table, &args.recipe)?),
        Some("links") => return link(common, args, &parsed(table, &args.recipe)?),
        Some("abstraction") => {
            return abstracting::learn(common, args, &parsed(table, &args.recipe)?);
        }
        Some("router") => return routing::learn(common, args, &parsed(table, &args.recipe)?),
        _ => {}
    }
    let mut recipe = Recipe::read(&args.recipe)?;
    recipe.steps = args.steps.unwrap_or(recipe.steps);
    let (device, instead) = common.device.open();
    if let Some(reason) = instead {
        eprintln!("{reason}; training on the CPU");
    }
    let options = TrainOptions {
        start: paths::model(common)?,
        data: args.data.clone(),
        output: args.output.clone(),
        device,
    };
    let bar = bar();
    train(&recipe, &options, &|report| show(&bar, report))?;
    bar.finish_and_clear();
    say!("wrote {}", args.output.display());
    Ok(())
}

fn recipe_table(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the recipe {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is no recipe", path.display()))
}

fn parsed<R: DeserializeOwned>(table: toml::Table, path: &Path) -> Result<R> {
    let recipe = table.try_into();
    recipe.with_context(|| format!("{} cannot be followed", path.display()))
}

/// Learns what the parts of a ranking count, and writes it into the model's `config.json`.
fn fuse(common: &Common, args: &RunArgs, recipe: &FusionRecipe) -> Result<()> {
    let encoder = commands::encoder(common)?;
    let mut sets = Vec::new();
    for source in &recipe.sources {
        let folder = source_folder(args, &source.path)?;
        let beir = source.beir();
        let index = eval::index_of(common, &folder, &encoder, &beir)?;
        sets.push(FusionSet {
            folder,
            index,
            beir,
        });
    }
    let bar = Bar::default();
    let tell = |weights: &FusionWeights, ndcg: f64| eprintln!("nDCG@10 {ndcg:.4}: {weights:?}");
    let with = (&encoder, common.fast);
    let learned = learn(recipe, &sets, with, &|event| bar.show(event), &tell)?;
    bar.finish();
    save::copy_model(encoder.folder(), &args.output)?;
    let config = ModelConfig {
        fusion: Some(learned.weights),
        ..encoder.config().clone()
    };
    save::config(&config, &args.output)?;
    let reader = learned
        .with_reader
        .map_or_else(String::new, |(before, after)| {
            format!(", with the joint reader {before:.4} -> {after:.4}")
        });
    say!(
        "nDCG@10 {:.4} -> {:.4}{reader}: {:?}",
        learned.before,
        learned.after,
        learned.weights
    );
    Ok(())
}

/// Learns how far links lead, and writes it into the model's `config.json`.
fn link(common: &Common, args: &RunArgs, recipe: &LinkRecipe) -> Result<()> {
    let encoder = commands::encoder(common)?;
    let folder = source_folder(args, &recipe.set)?;
    let index = eval::index_of(common, &folder, &encoder, &recipe.beir())?;
    let bar = Bar::default();
    let progress = &|event| bar.show(event);
    let learned = learn_links(recipe, (&folder, &index), &encoder, progress)?;
    bar.finish();
    save::copy_model(encoder.folder(), &args.output)?;
    let config = ModelConfig {
        links: Some(learned.weights),
        ..encoder.config().clone()
    };
    save::config(&config, &args.output)?;
    say!("{} questions: {:?}", learned.n_questions, learned.weights);
    for (hops, [without, with]) in [
        ("one hop", learned.one_hop),
        ("several hops", learned.several_hops),
    ] {
        say!(
            "{hops}, documents of questions left out: nDCG@10 {:.4} -> {:.4}, recall@5 {:.4} -> {:.4}",
            without.ndcg10,
            with.ndcg10,
            without.recall5,
            with.recall5
        );
    }
    Ok(())
}

/// The folder of a recipe's source.
pub(super) fn source_folder(args: &RunArgs, path: &Path) -> Result<PathBuf> {
    let folder = args.data.join(path);
    let full = folder.canonicalize();
    full.with_context(|| format!("cannot find the source {}", folder.display()))
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn show(bar: &ProgressBar, report: &StepReport) {
    bar.set_length(report.n_steps as u64);
    bar.set_position(report.step as u64);
    bar.set_message(format!(
        "loss {:.3}, gradient {:.2}, {:.0} tokens/s",
        report.loss, report.gradient, report.tokens_per_second
    ));
    if !report.validation.is_empty() {
        let figures = report.validation.iter();
        let figures: Vec<String> = figures
            .map(|(name, value)| format!("{name} {value:.4}"))
            .collect();
        let line = format!(
            "step {}: loss {:.3}; {}",
            report.step,
            report.loss,
            figures.join(", ")
        );
        match bar.is_hidden() {
            true => eprintln!("{line}"),
            false => bar.println(line),
        }
    }
}
