//! What one long document costs: time and memory against its length, and sparse against dense attention.
//!
//! `cargo bench --bench long_documents [-- LARGEST [VAULT]]` encodes documents of 8k to LARGEST (1M) tokens with global
//! blocks whose output is not zero, and prints time per token, the exponent of the cost and the peak of memory; before,
//! what the blocks add to a vault (the bundled one), once to all notes and once to those of 8 passages or more, as they
//! are trained.

#[path = "support.rs"]
mod support;
#[path = "text.rs"]
mod text;

use std::path::{Path, PathBuf};

use shas::{
    corpus,
    model::{
        Encoder, PassageInput,
        config::LAYOUT,
        global::{GlobalConfig, GlobalWeights, config::Branches},
    },
    text::{Passage, layout},
};
use support::{Result, project, seconds};
use text::tokens;

const LENGTHS: [usize; 5] = [8 << 10, 32 << 10, 128 << 10, 512 << 10, 1 << 20];
/// Notes that stand for their vault.
const MAX_NOTES: usize = 400;
/// Word pieces of a passage, without those that frame it.
const BODY: usize = 230;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|own| own != "--bench");
    let largest = arguments.next().map_or(Ok(1 << 20), |own| own.parse())?;
    let folder = arguments.next().map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| project().join("corpora/vault"));
    let plain = load()?;
    let text = tokens(&plain, largest)?;
    let sparse = with_blocks(load()?, &GlobalConfig::default())?;
    println!("{} threads", rayon::current_num_threads());
    let all = GlobalConfig {
        least_passages: 2,
        ..GlobalConfig::default()
    };
    vault(&plain, [&with_blocks(load()?, &all)?, &sparse], &folder)?;
    let (mut lengths, mut times) = (Vec::new(), Vec::new());
    for length in LENGTHS.into_iter().filter(|&length| length <= largest) {
        let time = encode(&sparse, &text[..length])?;
        let without = encode(&plain, &text[..length])?;
        println!(
            "{length:>8} tokens: {:.1} µs a token, {:.1} of them global blocks ({:+.0}%); peak {} MB",
            1e6 * time / length as f64,
            1e6 * (time - without) / length as f64,
            1e2 * (time / without - 1.0),
            peak_mb()?
        );
        lengths.push(length as f64);
        times.push(time);
    }
    let per_token = |at: usize| times[at] / lengths[at];
    println!(
        "time per token, longest against shortest: {:.2}; exponent of the cost: {:.3}",
        per_token(times.len() - 1) / per_token(0),
        exponent(&lengths, &times)
    );
    parts(&plain, &text[..largest.min(128 << 10)])?;
    match largest > 32 << 10 {
        true => dense(&plain, &sparse, &text),
        false => Ok(()),
    }
}

/// What the blocks add to the time of a vault: its notes in batches, as when it is indexed.
fn vault(plain: &Encoder, sparse: [&Encoder; 2], folder: &Path) -> Result<()> {
    let mut notes: Vec<Vec<(Vec<u32>, Vec<u32>)>> = Vec::new();
    // Some of the notes, from all of the vault.
    let documents: Vec<_> = corpus::read(folder)?.flatten().collect();
    for document in documents
        .iter()
        .step_by(documents.len().div_ceil(MAX_NOTES))
    {
        let passages = layout(document, plain.tokenizer(), &LAYOUT)?.passages;
        let ids = |passage: Passage| {
            let body = passage.tokens.iter().map(|token| token.id).collect();
            (passage.prefix.to_vec(), body)
        };
        notes.push(passages.into_iter().map(ids).collect());
    }
    let inputs: Vec<Vec<PassageInput>> = notes
        .iter()
        .map(|note| {
            let passages = note.iter();
            passages
                .map(|(prefix, body)| PassageInput { prefix, body })
                .collect()
        })
        .collect();
    let inputs: Vec<&[PassageInput]> = inputs.iter().map(Vec::as_slice).collect();
    let (mut without, mut with) = (0.0, [0.0; 2]);
    for batch in inputs.chunks(64) {
        without += seconds(|| plain.encode_documents(batch).map(drop))?;
        for (with, encoder) in with.iter_mut().zip(sparse) {
            *with += seconds(|| encoder.encode_documents(batch).map(drop))?;
        }
    }
    let [all, long] = with.map(|own| 1e2 * (own / without - 1.0));
    println!(
        "{}, {} notes: {without:.1} s without global blocks, {long:+.0}% with them, which leave notes of fewer than {} \
         passages alone; {all:+.0}% where they do not",
        folder.display(),
        notes.len(),
        GlobalConfig::default().least_passages,
    );
    Ok(())
}

/// What each branch costs by itself, beside blocks that have none.
fn parts(plain: &Encoder, text: &[u32]) -> Result<()> {
    let without = encode(plain, text)?;
    for (name, which) in [
        ("none", 3),
        ("window", 0),
        ("compressed", 1),
        ("selected", 2),
    ] {
        let config = GlobalConfig {
            branches: Branches {
                window: which == 0,
                compressed: which == 1,
                selected: which == 2,
            },
            ..GlobalConfig::default()
        };
        let time = encode(&with_blocks(load()?, &config)?, text)? - without;
        println!(
            "{:>8} tokens, branch {name}: {:.1} µs a token",
            text.len(),
            1e6 * time / text.len() as f64
        );
    }
    Ok(())
}

/// Dense attention in the same blocks, beside the sparse one: block time only.
fn dense(plain: &Encoder, sparse: &Encoder, text: &[u32]) -> Result<()> {
    let everything = GlobalConfig {
        branches: Branches {
            window: false,
            compressed: false,
            selected: true,
        },
        opened: usize::MAX,
        leaves: usize::MAX,
        leaves_per_selected: 1,
        ..GlobalConfig::default()
    };
    let dense = with_blocks(load()?, &everything)?;
    let mut before = None;
    for length in [8 << 10, 32 << 10] {
        let without = encode(plain, &text[..length])?;
        let dense = encode(&dense, &text[..length])? - without;
        let sparse = encode(sparse, &text[..length])? - without;
        println!(
            "{length:>8} tokens: dense attention in the same blocks takes {:.1}× as long",
            dense / sparse
        );
        if let Some((dense_before, _)) = before.replace((dense, sparse)) {
            // A token's dense cost is linear in the length, its sparse cost is constant.
            let growth = (dense / 32.0 - dense_before / 8.0) / 24.0;
            let at_128k = (dense / 32.0 + growth * 96.0) / (sparse / 32.0);
            println!("  131072 tokens, extrapolated: {at_128k:.0}×");
        }
    }
    Ok(())
}

fn load() -> Result<Encoder> {
    Ok(Encoder::load(&project().join("assets/model"))?)
}

fn with_blocks(encoder: Encoder, config: &GlobalConfig) -> Result<Encoder> {
    let mut weights: GlobalWeights = encoder.untrained(config);
    let output = weights.output.iter_mut().enumerate();
    output.for_each(|(at, own)| *own = 0.02 * (at as f32 * 0.61).sin());
    Ok(encoder.with_global(config, [weights.clone(), weights.clone(), weights])?)
}

/// Seconds to encode `text` as one document.
fn encode(encoder: &Encoder, text: &[u32]) -> Result<f64> {
    let passages: Vec<PassageInput> = text
        .chunks(BODY)
        .map(|body| PassageInput { prefix: &[], body })
        .collect();
    let runs = if text.len() > 100_000 { 1 } else { 3 };
    let times: Vec<f64> = (0..runs)
        .map(|_| seconds(|| encoder.encode(&passages).map(drop)))
        .collect::<Result<_>>()?;
    Ok(support::median(times))
}

/// The slope of log time over log length.
fn exponent(lengths: &[f64], times: &[f64]) -> f64 {
    let count = lengths.len() as f64;
    let mean = |values: &[f64]| values.iter().map(|value| value.ln()).sum::<f64>() / count;
    let (x, y) = (mean(lengths), mean(times));
    let pairs = || lengths.iter().zip(times);
    let covariance: f64 = pairs().map(|(a, b)| (a.ln() - x) * (b.ln() - y)).sum();
    let variance: f64 = pairs().map(|(a, _)| (a.ln() - x).powi(2)).sum();
    covariance / variance
}

/// The most memory that was resident.
fn peak_mb() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    let kb = line.split_whitespace().nth(1).unwrap_or("0");
    Ok(kb.parse::<usize>()? / 1024)
}
