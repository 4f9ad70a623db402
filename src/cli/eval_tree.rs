//! `shas eval-tree`: a table a gold taxonomy, or JSON.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{Common, commands, indexing::Bar, output, output::say, paths};
use crate::{
    eval::{DepthReport, SystemReport, TreeEvalOptions, TreeReport, evaluate_tree},
    model::abstraction::AbstractionHead,
};

/// What `shas eval-tree` takes.
#[derive(Args)]
pub struct EvalTreeArgs {
    /// Folders with a docs.jsonl: a "text" a line, and classes "l1", "l2" and so on, or a "book" and a "path" of chapters
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Keep the documents' vectors in this folder, so that a later run encodes nothing
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Judge so many documents of each set, always the same ones
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub fn run(common: &Common, args: &EvalTreeArgs) -> Result<()> {
    let encoder = commands::passage_encoder(common)?;
    let options = TreeEvalOptions {
        cache: args.cache.clone(),
        limit: args.limit,
        head: AbstractionHead::load(&paths::model(common)?)?.unwrap_or_default(),
    };
    let mut reports = Vec::new();
    for folder in &args.folders {
        let bar = Bar::default();
        let full = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let report = evaluate_tree(&full, &*encoder, &options, &|event| bar.show(event))?;
        bar.finish();
        if !common.json {
            print(&report);
        }
        reports.push(report);
    }
    if common.json {
        output::json(&reports)?;
    }
    Ok(())
}

fn print(report: &TreeReport) {
    let counts: Vec<String> = report.n_classes.iter().map(ToString::to_string).collect();
    say!(
        "{}: {} documents, {} classes",
        report.set,
        report.n_documents,
        counts.join(" → ")
    );
    let depths = report.n_classes.iter();
    let heads = depths.map(|count| format!("{:^35}", format!("{count} classes")));
    say!("  {:<16} {:<12} {}", "", "", heads.collect::<String>());
    let head = format!(
        "{:>6} {:>6} {:>6} {:>6} {:>6}",
        "NMI", "ARI", "purity", "dendr.", "binary"
    );
    let heads = vec![head; report.n_classes.len()];
    say!(
        "  {:<16} {:<12} {} {:>6} {:>6}",
        "vectors",
        "",
        heads.join(" "),
        "F1",
        "binary"
    );
    for system in &report.systems {
        print_system(system);
    }
    for names in &report.names {
        say!(
            "  names, {:<12} {:>4} of {:>4} have a word of their class",
            names.level,
            names.named,
            names.judged
        );
    }
    if !report.concepts.is_empty() {
        say!(
            "  {:<55} {:>7} {:>6} {:>8} {:>9} {:>6}",
            "vectors of nodes",
            "classes",
            "mean",
            "centred",
            "siblings",
            "head"
        );
    }
    for own in &report.concepts {
        let [low, high] = own.gain_interval;
        say!(
            "  {:<55} {:>7} {:>6.3} {:>8.3} {:>9.3} {:>6.3}  {:+.3} [{low:+.3}, {high:+.3}]",
            own.task,
            own.n_classes,
            own.mean,
            own.centred,
            own.without_siblings,
            own.head,
            own.head - own.mean
        );
    }
}

fn print_system(system: &SystemReport) {
    let figure = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    let depth = |depth: &DepthReport| {
        let of_cut = depth.agreement;
        format!(
            "{:>6.3} {:>6.3} {:>6.3} {:>6} {:>6}",
            of_cut.nmi,
            of_cut.ari,
            of_cut.purity,
            figure(depth.dendrogram_purity),
            figure(depth.binary_dendrogram_purity)
        )
    };
    let depths: Vec<String> = system.depths.iter().map(depth).collect();
    say!(
        "  {:<16} {:<12} {} {:>6} {:>6}",
        system.vectors,
        system.system,
        depths.join(" "),
        figure(system.hierarchical_f1),
        figure(system.binary_hierarchical_f1)
    );
}
