//! Tokens a second of the encoder beside its peers, and beside the matrix product that it is made of.
//!
//! `cargo bench --bench encoder [-- FOLDER [ROUNDS]]` takes passages of the notes in FOLDER (the bundled vault).
//! Every round times each contender once on the same passages; figures are medians over the rounds, ratios the
//! medians of the ratios within a round. All use rayon's number of threads (`RAYON_NUM_THREADS`).

#[path = "support.rs"]
mod support;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use shas::{
    corpus,
    model::{Encoder, PassageInput, Precision, config::MAX_PASSAGE_TOKENS},
    ops::{
        int8_product::{
            Activations, PANEL_COLUMNS, PackedMatrix, SIGNED_ZERO_POINT, TILE_PANELS, product,
        },
        simd::{Instructions, Isa, Kernel},
    },
    text::{LayoutOptions, layout},
};
use support::{Result, median, project, seconds};

/// Passages that every contender encodes.
const PASSAGES: usize = 256;
const ROUNDS: usize = 5;
/// The trunk's products, `[rows × depth]·[depth × columns]`.
const SHAPES: [(usize, usize, usize); 4] = [
    (4096, 384, 1536),
    (4096, 384, 1152),
    (4096, 384, 384),
    (4096, 1536, 384),
];
/// Multiply-adds of the trunk's linear layers for a token: six layers of 384·(1152 + 384 + 1536) + 1536·384.
const LINEAR_OPERATIONS: f64 = 2.0 * 6.0 * (384.0 * 3072.0 + 1536.0 * 384.0);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|own| own != "--bench")
        .collect();
    let folder = arguments
        .first()
        .map_or(project().join("corpora/vault"), Into::into);
    let rounds = arguments.get(1).map_or(Ok(ROUNDS), |own| own.parse())?;
    let weights = project().join("assets/model");
    let int8 = Encoder::load(&weights)?;
    let f32 = Encoder::load_with(&weights, Precision::F32)?;
    let bodies = passages(&folder, &int8)?;
    let inputs: Vec<PassageInput> = bodies
        .iter()
        .map(|body| PassageInput { prefix: &[], body })
        .collect();
    let n_tokens: usize = bodies.iter().map(|body| body.len() + 2).sum();
    println!(
        "{} passages, {n_tokens} tokens; {} threads, {}",
        inputs.len(),
        rayon::current_num_threads(),
        Instructions::best().name()
    );
    let gemm = products()?;
    let mut peers = peers(&bodies)?;
    let mut names = vec!["shas int8".to_owned(), "candle f32".to_owned()];
    names.extend(peers.iter().map(|peer| peer.name.clone()));
    let mut times = vec![Vec::new(); names.len()];
    int8.encode(&inputs)?;
    for _ in 0..rounds {
        times[0].push(seconds(|| int8.encode(&inputs))?);
        times[1].push(seconds(|| f32.encode(&inputs))?);
        for (times, peer) in times[2..].iter_mut().zip(&mut peers) {
            times.push(peer.time()?);
        }
    }
    println!("\n{:24} {:>10} {:>16}", "", "tokens/s", "shas is ahead by");
    for (name, own) in names.iter().zip(&times) {
        let ratios = own
            .iter()
            .zip(&times[0])
            .map(|(peer, own)| peer / own)
            .collect();
        println!(
            "{name:24} {:10.0} {:15.2}×",
            n_tokens as f64 / median(own.clone()),
            median(ratios)
        );
    }
    let attention: f64 = bodies
        .iter()
        .map(|body| (body.len() + 2).pow(2) as f64)
        .sum();
    let linear = LINEAR_OPERATIONS * n_tokens as f64;
    let whole = linear + 6.0 * 2.0 * 2.0 * 384.0 * attention;
    let time = median(times[0].clone());
    for (name, operations) in [("linear layers alone", linear), ("with attention", whole)] {
        let rate = operations / time / 1e9;
        println!(
            "the encoder's {name}: {rate:.0} GOP/s, {:.0}% of the product [4096×384]·[384×1536]",
            100.0 * rate / gemm
        );
    }
    Ok(())
}

/// Token ids of [`PASSAGES`] passages, spread evenly over the folder.
fn passages(folder: &Path, encoder: &Encoder) -> Result<Vec<Vec<u32>>> {
    let options = LayoutOptions {
        max_tokens: MAX_PASSAGE_TOKENS,
        max_prefix: 0,
    };
    let mut bodies: Vec<Vec<u32>> = Vec::new();
    for document in corpus::read(folder)?.filter_map(std::result::Result::ok) {
        let layout = layout(&document, encoder.tokenizer(), &options)?;
        let tokens = layout.passages.iter();
        bodies.extend(tokens.map(|passage| passage.tokens.iter().map(|token| token.id).collect()));
    }
    let stride = bodies.len().div_ceil(PASSAGES).max(1);
    Ok(bodies.into_iter().step_by(stride).collect())
}

/// Prints what the products of the trunk's shapes reach alone; returns the first in GOP/s.
fn products() -> Result<f64> {
    println!("\n{:28} {:>10} {:>12}", "product", "int8", "candle f32");
    let mut rates = Vec::new();
    for (rows, depth, columns) in SHAPES {
        let codes: Vec<u8> = (0..rows * depth).map(|at| (at * 7 % 255) as u8).collect();
        let weights: Vec<i8> = (0..columns * depth)
            .map(|at| (at * 11 % 255) as u8 as i8)
            .collect();
        let packed = PackedMatrix::new(&weights, depth);
        let left = Tensor::rand(-1f32, 1f32, (rows, depth), &Device::Cpu)?;
        let right = Tensor::rand(-1f32, 1f32, (depth, columns), &Device::Cpu)?;
        let (mut int8, mut f32) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            int8.push(seconds(|| {
                codes.par_chunks(depth * 256).for_each_init(
                    Vec::new,
                    |out: &mut Vec<i32>, codes| {
                        Instructions::best().run(Product {
                            codes,
                            weights: &packed,
                            out,
                        });
                    },
                );
                Ok::<_, std::convert::Infallible>(())
            })?);
            f32.push(seconds(|| left.matmul(&right))?);
        }
        let rate = |times| 2e-9 * (rows * depth * columns) as f64 / median(times);
        let name = format!("[{rows}×{depth}]·[{depth}×{columns}]");
        rates.push(rate(int8));
        println!(
            "{name:28} {:5.0} GOP/s {:5.0} GFLOP/s",
            rates[rates.len() - 1],
            rate(f32)
        );
    }
    Ok(rates[0])
}

/// A product as the encoder takes it: a group of panels after the other.
struct Product<'a> {
    codes: &'a [u8],
    weights: &'a PackedMatrix,
    out: &'a mut Vec<i32>,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let n_rows = self.codes.len() / self.weights.depth();
        let activations = Activations {
            codes: self.codes,
            stride: self.weights.depth(),
            n_rows,
            zero_point: SIGNED_ZERO_POINT,
        };
        self.out.resize(n_rows * TILE_PANELS * PANEL_COLUMNS, 0);
        for first in (0..self.weights.columns() / PANEL_COLUMNS).step_by(TILE_PANELS) {
            product(
                isa,
                activations,
                self.weights,
                first..first + TILE_PANELS,
                self.out,
            );
        }
    }
}

/// A contender in another process, which takes a round for each line that it is sent.
struct Peer {
    name: String,
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn time(&mut self) -> Result<f64> {
        let input = self.process.stdin.as_mut().ok_or("the peer has no stdin")?;
        writeln!(input)?;
        Ok(self.line()?.trim().parse()?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A peer that is gone already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts onnxruntime's forms, or says why there are none.
fn peers(bodies: &[Vec<u32>]) -> Result<Vec<Peer>> {
    let folder = project().join("target/bench-peers");
    let setup = Command::new(project().join("tests/bench/setup_peers.sh"))
        .arg(&folder)
        .output()?;
    if !setup.status.success() {
        println!(
            "\nonnxruntime is left out: {}",
            String::from_utf8_lossy(&setup.stderr).trim()
        );
        return Ok(Vec::new());
    }
    let framed: Vec<Vec<u32>> = bodies
        .iter()
        .map(|body| [&[101], body.as_slice(), &[102]].concat())
        .collect();
    let passages = folder.join("passages.json");
    std::fs::write(&passages, serde_json::to_string(&framed)?)?;
    ["int8", "f32", "shipped"]
        .into_iter()
        .map(|form| {
            let mut process = Command::new(folder.join("bin/python"))
                .arg(project().join("tests/bench/onnxruntime_peer.py"))
                .arg(&passages)
                .args([&rayon::current_num_threads().to_string(), form])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let answers = BufReader::new(process.stdout.take().ok_or("the peer has no stdout")?);
            let mut peer = Peer {
                name: format!("onnxruntime {form}"),
                process,
                answers,
            };
            // It is ready when it has told its batch.
            peer.line()?;
            Ok(peer)
        })
        .collect()
}
