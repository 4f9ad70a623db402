//! What a question costs: encoding it, scanning vectors, attending to granules, and all of it on an index.
//!
//! `cargo bench --bench reading [-- INDEX [QUESTIONS]]` measures the parts, each beside the plain form that defines it;
//! with an index folder, also whole questions on it: the bundled ones, or the `question` of each line of a file.

#[path = "support.rs"]
mod support;

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};

use half::f16;
use rayon::prelude::*;
use shas::{
    answer,
    model::Encoder,
    ops::{
        granule_keys::{GranuleKeys, KEY_BYTES, KEY_DIMENSIONS, QueryKeys, attend, attend_slow},
        simd::{Instructions, Isa, Kernel},
    },
    query::{
        self,
        dense::{QueryVector, nearest_by_document, nearest_exact},
    },
    store::Snapshot,
};
use support::{Result, median, project, quantile, seconds};

const RUNS: usize = 9;
const VECTORS: usize = 1_000_000;
const DIMENSIONS: usize = 384;
/// Granules of 400 candidates with two neighbours each at 64 granules, and of as many documents at 512.
const GRANULES: usize = 400 * (3 * 64 + 512);
const TOKENS: usize = 12;
const NEAREST: usize = 200;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|own| own != "--bench");
    let (index, questions_file) = (arguments.next(), arguments.next());
    let encoder = Encoder::load(&project().join("assets/model"))?;
    println!(
        "{} threads, {}",
        rayon::current_num_threads(),
        Instructions::best().name()
    );
    let questions = questions(questions_file.map(PathBuf::from))?;
    encode(&encoder, &questions)?;
    scan()?;
    attend_granules()?;
    if let Some(index) = index {
        let snapshot = Snapshot::open(Path::new(&index))?;
        println!("{index}: {} passages", snapshot.n_passages());
        scan_by_document(&snapshot, &encoder, &questions)?;
        ask(&snapshot, &encoder, &questions)?;
    }
    Ok(())
}

fn questions(file: Option<PathBuf>) -> Result<Vec<String>> {
    let file = file.unwrap_or_else(|| project().join("corpora/questions.jsonl"));
    let lines = std::fs::read_to_string(file)?;
    lines
        .lines()
        .map(|line| {
            let question: serde_json::Value = serde_json::from_str(line)?;
            Ok(question["question"]
                .as_str()
                .ok_or("a line has no question")?
                .to_owned())
        })
        .collect()
}

fn encode(encoder: &Encoder, questions: &[String]) -> Result<()> {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let times: Vec<f64> = questions
        .iter()
        .map(|question| seconds(|| one.install(|| encoder.encode_query(question))))
        .collect::<Result<_>>()?;
    report("encoding a question, one core", times);
    Ok(())
}

/// Products of one vector with many, beside a loop over f32.
fn scan() -> Result<()> {
    let codes: Vec<i8> = (0..VECTORS * DIMENSIONS)
        .map(|at| (at * 31 % 255) as u8 as i8)
        .collect();
    let query: Vec<i8> = (0..DIMENSIONS)
        .map(|at| (at * 17 % 255) as u8 as i8)
        .collect();
    let fast = || {
        let rows = codes.par_chunks(1_024 * DIMENSIONS);
        let best = rows
            .map(|codes| {
                Instructions::best().run(Best {
                    codes,
                    query: &query,
                })
            })
            .max();
        Ok::<_, Infallible>(std::hint::black_box(best))
    };
    let slow = || {
        let rows = codes.par_chunks(DIMENSIONS).map(|codes| {
            let products = codes
                .iter()
                .zip(&query)
                .map(|(a, b)| f32::from(*a) * f32::from(*b));
            products.sum::<f32>()
        });
        Ok::<_, Infallible>(std::hint::black_box(rows.reduce(|| f32::MIN, f32::max)))
    };
    compare("scanning 1M vectors", &mut || seconds(fast), &mut || {
        seconds(slow)
    })
}

struct Best<'a> {
    codes: &'a [i8],
    query: &'a [i8],
}

impl Kernel for Best<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> i32 {
        let mut best = i32::MIN;
        for codes in self.codes.chunks_exact(DIMENSIONS) {
            best = best.max(isa.dot(codes, self.query));
        }
        best
    }
}

/// The attention to a pool's granules, beside its definition.
fn attend_granules() -> Result<()> {
    let key = |seed: usize| -> Vec<f32> {
        (0..KEY_DIMENSIONS)
            .map(|at| ((seed * 131 + at * 7) as f32).sin())
            .collect()
    };
    let mut keys = GranuleKeys::default();
    (0..4_096).for_each(|granule| keys.push(&key(granule)));
    let tokens: Vec<Vec<f32>> = (0..TOKENS).map(|token| key(token + 9_999)).collect();
    let query = QueryKeys::new(tokens.iter().map(Vec::as_slice));
    let codes: Vec<u8> = keys
        .codes
        .iter()
        .copied()
        .cycle()
        .take(GRANULES * KEY_BYTES)
        .collect();
    let scales: Vec<f16> = keys.scales.iter().copied().cycle().take(GRANULES).collect();
    let run = |attend: fn(&QueryKeys, &[u8], &[f16], &mut [f32]), share: usize| {
        let rows = codes
            .par_chunks(704 * KEY_BYTES)
            .zip(scales.par_chunks(704));
        rows.take(400 / share).for_each(|(codes, scales)| {
            let mut best = [0.0; TOKENS];
            attend(&query, codes, scales, &mut best);
            std::hint::black_box(best);
        });
        Ok::<_, Infallible>(())
    };
    compare(
        "attending to 400 candidates' 281,600 granules",
        &mut || seconds(|| run(attend, 1)),
        // The definition is slow, so it takes a sixteenth.
        &mut || Ok(16.0 * seconds(|| run(attend_slow, 16))?),
    )
}

/// The scan that stops early, which serves above a million passages, beside the exact one.
fn scan_by_document(snapshot: &Snapshot, encoder: &Encoder, questions: &[String]) -> Result<()> {
    let (mut recalls, mut times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for question in questions {
        let query = QueryVector::new(&encoder.encode_query(question)?.vector);
        let (mut exact, mut found) = (Vec::new(), Vec::new());
        let all = seconds(|| {
            exact = nearest_exact(snapshot, &query, NEAREST);
            Ok::<_, Infallible>(())
        })?;
        let early = seconds(|| {
            found = nearest_by_document(snapshot, &query, NEAREST);
            Ok::<_, Infallible>(())
        })?;
        recalls.push(
            exact.iter().filter(|own| found.contains(own)).count() as f64 / exact.len() as f64,
        );
        times.push(early);
        ratios.push(all / early);
    }
    let recall = recalls.iter().sum::<f64>() / recalls.len() as f64;
    let worst = recalls.iter().copied().fold(1.0, f64::min);
    println!(
        "the {NEAREST} nearest, documents as an inverted file: recall {recall:.4} (lowest {worst:.3}), {:.2} ms, {:.2}× the exact scan",
        1e3 * median(times),
        median(ratios)
    );
    Ok(())
}

/// Whole questions, from the words to the cited answer, and no further than the ranking.
fn ask(snapshot: &Snapshot, encoder: &Encoder, questions: &[String]) -> Result<()> {
    let rank = |question: &str, fast: bool| {
        let asked = query::Question::plain(question);
        query::rank(snapshot, encoder, &asked, &encoder.fusion(fast))
    };
    let ask = |question: &str, fast: bool| {
        let ranking = rank(question, fast)?;
        let options = answer::AnswerOptions::default();
        answer::answer(snapshot, encoder, question, &ranking, &options)
    };
    // The first round warms the page cache.
    for question in questions {
        ask(question, false)?;
    }
    type Run<'a> = &'a dyn Fn(&str) -> std::result::Result<(), query::QueryError>;
    let times = |run: Run| -> Result<Vec<f64>> {
        questions
            .iter()
            .map(|question| seconds(|| run(question)))
            .collect()
    };
    report("search", times(&|own| rank(own, true).map(drop))?);
    report("ask --fast", times(&|own| ask(own, true).map(drop))?);
    report("ask", times(&|own| ask(own, false).map(drop))?);
    Ok(())
}

fn compare(
    name: &str,
    fast: &mut dyn FnMut() -> Result<f64>,
    slow: &mut dyn FnMut() -> Result<f64>,
) -> Result<()> {
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (fast, slow) = (fast()?, slow()?);
        times.push(fast);
        ratios.push(slow / fast);
    }
    println!(
        "{name}: {:.1} ms, {:.1}× the plain form",
        1e3 * median(times),
        median(ratios)
    );
    Ok(())
}

fn report(name: &str, times: Vec<f64>) {
    println!(
        "{name}: p50 {:.1} ms, p95 {:.1} ms",
        1e3 * quantile(times.clone(), 0.5),
        1e3 * quantile(times, 0.95)
    );
}
