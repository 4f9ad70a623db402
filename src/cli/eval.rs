//! `shas eval`: a table a set, one of all in Markdown, or JSON; of folders the ranking, of files the answers.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::{Common, commands, indexing::Bar, markdown, output, output::say, paths};
use crate::{
    corpus::{BeirOptions, Split},
    eval::{AnswersReport, EvalOptions, Report, evaluate, evaluate_answers},
    model::Encoder,
};

/// What `shas eval` takes.
#[derive(Args)]
pub struct EvalArgs {
    /// Folders with corpus.jsonl, queries.jsonl and qrels/test.tsv; or files: .json in SQuAD's layout, .jsonl of
    /// questions with evidence from the folder `vault` beside it
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Join consecutive turns into passages of about 170 words
    #[arg(long)]
    merge_turns: bool,
    /// Ask the first 400 questions behind their document's title
    #[arg(long)]
    title_questions: bool,
    /// Count every gain as 1
    #[arg(long)]
    binary: bool,
    /// Print one Markdown table of the rankings and one of the answers
    #[arg(long)]
    markdown: bool,
}

pub fn run(common: &Common, args: &EvalArgs) -> Result<()> {
    let options = EvalOptions {
        beir: BeirOptions {
            split: Split::Test,
            merge_turns: args.merge_turns,
            title_questions: args.title_questions,
        },
        binary: args.binary,
        fast: common.fast,
    };
    let encoder = commands::encoder(common)?;
    let (mut rankings, mut answered) = (Vec::new(), Vec::new());
    let mut reports = Vec::new();
    for folder in &args.folders {
        if folder.is_file() {
            let report = answers(common, folder, &encoder, &options)?;
            if !common.json && !args.markdown {
                print_answers(&report);
            }
            reports.push(serde_json::to_value(&report)?);
            answered.push(report);
            continue;
        }
        let report = one(common, folder, &encoder, &options)?;
        if !common.json && !args.markdown {
            print(&report);
        }
        reports.push(serde_json::to_value(&report)?);
        rankings.push(report);
    }
    match (common.json, args.markdown) {
        (true, _) => output::json(&reports)?,
        (false, true) => say!("{}", markdown::tables(&rankings, &answered)),
        (false, false) => {}
    }
    Ok(())
}

fn one(common: &Common, folder: &Path, encoder: &Encoder, options: &EvalOptions) -> Result<Report> {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let index = index_of(common, &full, encoder, &options.beir)?;
    let bar = Bar::default();
    let report = evaluate(&full, &index, encoder, options, &|event| bar.show(event))?;
    bar.finish();
    Ok(report)
}

fn answers(
    common: &Common,
    file: &Path,
    encoder: &Encoder,
    options: &EvalOptions,
) -> Result<AnswersReport> {
    let full = file.canonicalize()?;
    let index = index_of(common, &full, encoder, &options.beir)?;
    let bar = Bar::default();
    let progress = &|event| bar.show(event);
    let report = evaluate_answers(&full, &index, encoder, options.fast, progress)?;
    bar.finish();
    Ok(report)
}

/// Where the index of a set is kept, so that a second run encodes nothing.
pub fn index_of(
    common: &Common,
    folder: &Path,
    encoder: &Encoder,
    beir: &BeirOptions,
) -> Result<PathBuf> {
    let key = format!(
        "{}\n{beir:?}\n{:?}\n{}",
        folder.display(),
        common.precision(),
        encoder.fingerprint()
    );
    let name = blake3::hash(key.as_bytes()).to_hex();
    let index = match &common.index {
        Some(index) => index.clone(),
        None => paths::data_folder()?.join("eval"),
    };
    Ok(index.join(&name[..16]))
}

fn print(report: &Report) {
    say!(
        "{}: {} records, {} questions",
        report.set,
        report.n_docs,
        report.n_queries
    );
    say!("  {:<6} {:>8} {:>8} {:>9}", "", "nDCG@10", "R@5", "R@10");
    for (system, figures) in &report.systems {
        say!(
            "  {system:<6} {:>8.3} {:>8.3} {:>9.3}",
            figures.ndcg10,
            figures.recall5,
            figures.recall10
        );
    }
}

fn print_answers(report: &AnswersReport) {
    say!("{}: {} questions", report.set, report.n_questions);
    say!(
        "  {:<9} {:>8} {:>6} {:>9} {:>6} {:>7} {:>6} {:>9} {:>6} {:>6} {:>6} {:>6} {:>7}",
        "",
        "holds@1",
        "@3",
        "overlap@1",
        "@3",
        "notes",
        "all",
        "evidence",
        "kinds",
        "levels",
        "AUC",
        "kept",
        "caught"
    );
    let shown = |figure: f64| match figure.is_nan() {
        true => "–".to_owned(),
        false => format!("{figure:.3}"),
    };
    for (system, own) in &report.systems {
        say!(
            "  {system:<9} {:>8} {:>6} {:>9} {:>6} {:>7} {:>6} {:>9} {:>6} {:>6} {:>6} {:>6} {:>7}",
            shown(own.holds_first),
            shown(own.holds_three),
            shown(own.overlaps_first),
            shown(own.overlaps_three),
            shown(own.notes),
            shown(own.all_notes),
            shown(own.evidence),
            shown(own.kinds),
            shown(own.levels),
            shown(own.support_auc),
            shown(own.kept),
            shown(own.caught)
        );
    }
    if let Some(own) = &report.spans {
        say!(
            "  the reader's span in the question's paragraph: exact {}, F1 {}; a paragraph that answers against one that \
             does not: AUC {}",
            shown(own.exact),
            shown(own.f1),
            shown(own.relevance_auc)
        );
    }
}
