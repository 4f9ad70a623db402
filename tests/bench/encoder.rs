//! Tokens a second of the encoder beside its peers.

use shas::model::{Encoder, PassageInput, Precision};
use shas::{
    corpus,
    text::{LayoutOptions, layout},
};
use std::time::Instant;

fn main() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::args()
        .nth(1)
        .filter(|a| !a.starts_with("--"))
        .map_or(root.join("corpora/vault"), Into::into);
    let int8 = Encoder::load(&root.join("assets/model")).unwrap();
    let f32 = Encoder::load_with(&root.join("assets/model"), Precision::F32).unwrap();
    let mut bodies: Vec<Vec<u32>> = Vec::new();
    let t = Instant::now();
    for document in corpus::read(&folder).unwrap().filter_map(Result::ok) {
        let l = layout(
            &document,
            int8.tokenizer(),
            &LayoutOptions {
                max_tokens: 256,
                max_prefix: 0,
            },
        )
        .unwrap();
        for p in l.passages {
            bodies.push(p.tokens.iter().map(|t| t.id).collect());
        }
    }
    let tokens: usize = bodies.iter().map(|b| b.len() + 2).sum();
    println!(
        "{} passages {} tokens, tokenised {:.0} tok/s",
        bodies.len(),
        tokens,
        tokens as f64 / t.elapsed().as_secs_f64()
    );
    let inputs: Vec<PassageInput> = bodies
        .iter()
        .map(|body| PassageInput { prefix: &[], body })
        .collect();
    for _ in 0..4 {
        let t = Instant::now();
        let v: Vec<_> = inputs
            .chunks(256)
            .flat_map(|c| int8.encode(c).unwrap())
            .collect();
        let s = t.elapsed().as_secs_f64();
        println!(
            "int8 {:.0} tok/s ({} vectors), {:.0} GOP/s linear",
            tokens as f64 / s,
            v.len(),
            tokens as f64 * 21.23e6 / s / 1e9
        );
    }
    if std::env::var("F32").is_ok() {
        let some = &inputs[..inputs.len().min(300)];
        let n: usize = some.iter().map(|p| p.body.len() + 2).sum();
        let t = Instant::now();
        let b = f32.encode(some).unwrap();
        println!("f32 {:.0} tok/s", n as f64 / t.elapsed().as_secs_f64());
        let a = int8.encode(some).unwrap();
        let mut cos: Vec<f32> = a
            .iter()
            .zip(&b)
            .map(|(a, b)| a.vector.iter().zip(&b.vector).map(|(a, b)| a * b).sum())
            .collect();
        cos.sort_by(f32::total_cmp);
        println!(
            "cosine min {} p5 {} mean {}",
            cos[0],
            cos[cos.len() / 20],
            cos.iter().sum::<f32>() / cos.len() as f32
        );
    }
    let q = "Who was the first person to walk on the surface of the moon and when did it happen?";
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    one.install(|| {
        for _ in 0..3 {
            let t = Instant::now();
            int8.encode_query(q).unwrap();
            println!("query {:.2} ms", t.elapsed().as_secs_f64() * 1e3);
        }
    });
}
