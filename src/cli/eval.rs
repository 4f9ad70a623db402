//! `shas eval`: a table a set, or JSON.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Common, commands, indexing::Bar, output, output::say, paths};
use crate::{
    corpus::BeirOptions,
    eval::{EvalOptions, Report, evaluate},
    model::Encoder,
};

pub fn run(common: &Common, folders: &[PathBuf], options: &EvalOptions) -> Result<()> {
    let encoder = commands::encoder(common)?;
    let mut reports = Vec::new();
    for folder in folders {
        let report = one(common, folder, &encoder, options)?;
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

fn one(common: &Common, folder: &Path, encoder: &Encoder, options: &EvalOptions) -> Result<Report> {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let index = index_of(common, &full, encoder, &options.beir)?;
    let bar = Bar::default();
    let report = evaluate(&full, &index, encoder, options, &|event| bar.show(event))?;
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
