//! What documents take on a GPU: build with `kernels/build.sh --bench cuda_documents`, run the binary there.
//!
//! `cuda_documents [MODEL [FOLDER...]]` encodes one document of 32k, 128k and 1M tokens whole, with global blocks as they
//! start, and beside it the same passages without them; then the texts of each FOLDER from disk to vectors and keys,
//! with the seconds that reading, cutting and encoding took. The three overlap, so that their sum is more than the whole.

#[path = "support.rs"]
mod support;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Instant,
};

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rayon::prelude::*;
use shas::{
    corpus::{self, Document},
    model::{
        Encoder, PassageEncoder, PassageInput,
        config::{LAYOUT, ModelConfig},
        device::DeviceChoice,
        encoder_on,
        global::{GLOBAL_AFTER_LAYERS, GlobalConfig, block_name},
        load_config, save,
    },
    text::{Tokenizer, layout},
};
use support::{Result, median, project, seconds};

const LENGTHS: [usize; 3] = [32 << 10, 128 << 10, 1 << 20];
/// Word pieces of a passage, without the two that frame it.
const BODY: usize = 254;
/// Bytes of text that are cut at once.
const BATCH_BYTES: usize = 8 << 20;
const RUNS: usize = 5;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|own| own != "--bench");
    let model = arguments.next().map(PathBuf::from);
    let model = &model.unwrap_or_else(|| project().join("assets/model"));
    let (device, missing) = DeviceChoice::Cuda(0).open();
    if let Some(reason) = missing {
        return Err(reason.into());
    }
    let plain = on_gpu(&device, model)?;
    let folder = tempfile::tempdir()?;
    add_blocks(model, folder.path())?;
    let whole = on_gpu(&device, folder.path())?;
    println!("  tokens  whole, ms  ns/token  passages alone, ms  ns/token");
    for n_tokens in LENGTHS {
        let [with, without] = [&*whole, &*plain].map(|own| document(own, n_tokens));
        let (with, without) = (with?, without?);
        let per_token = |own: f64| 1e9 * own / n_tokens as f64;
        println!(
            "{n_tokens:8} {:10.1} {:9.1} {:19.1} {:9.1}",
            1e3 * with,
            per_token(with),
            1e3 * without,
            per_token(without)
        );
    }
    for folder in arguments {
        let _warm = texts(&*plain, Path::new(&folder))?;
        println!("{folder}: {}", texts(&*plain, Path::new(&folder))?);
    }
    Ok(())
}

fn on_gpu(device: &Device, model: &Path) -> Result<Box<dyn PassageEncoder>> {
    match encoder_on(device, Encoder::load(model)?) {
        (encoder, None) => Ok(encoder),
        (_, Some(reason)) => Err(reason.into()),
    }
}

/// Copies a model and gives it global blocks as they are before training: they do all of the work and add nothing.
fn add_blocks(model: &Path, folder: &Path) -> Result<()> {
    let config = GlobalConfig::default();
    let start = Encoder::load(model)?.untrained(&config);
    save::copy_model(model, folder)?;
    let shape = ModelConfig {
        global: Some(config.clone()),
        ..load_config(folder)?
    };
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for layer in GLOBAL_AFTER_LAYERS {
        let own = start.tensors(&config, shape.hidden_size, &Device::Cpu)?;
        let named = own.into_iter();
        tensors
            .extend(named.map(|(name, tensor)| (format!("{}.{name}", block_name(layer)), tensor)));
    }
    candle_core::safetensors::save(&tensors, folder.join(save::GLOBAL_FILE))?;
    Ok(save::config(&shape, folder)?)
}

/// Seconds to encode one document of random words.
fn document(encoder: &dyn PassageEncoder, n_tokens: usize) -> Result<f64> {
    let mut numbers = StdRng::seed_from_u64(1);
    let ids: Vec<u32> = (0..n_tokens / (BODY + 2) * BODY)
        .map(|_| numbers.random_range(2_000..28_000))
        .collect();
    let passages = ids.chunks(BODY);
    let passages: Vec<PassageInput> = passages
        .map(|body| PassageInput { prefix: &[], body })
        .collect();
    let run = || seconds(|| encoder.encode_documents(&[&passages]).map(drop));
    run()?;
    let times = (0..RUNS).map(|_| run()).collect::<Result<_>>()?;
    Ok(median(times))
}

/// The passages of some documents, as word pieces.
#[derive(Default)]
struct Cut {
    passages: Vec<(Vec<u32>, Vec<u32>)>,
    /// Seconds that reading and cutting them took.
    read: f64,
    cut: f64,
}

/// Reads, cuts and encodes a folder, the three at once; says what it came to.
fn texts(encoder: &dyn PassageEncoder, folder: &Path) -> Result<String> {
    let start = Instant::now();
    let (documents, to_cut) = sync_channel(4);
    let (cut, to_encode) = sync_channel(4);
    let tokenizer = encoder.tokenizer();
    thread::scope(|scope| {
        scope.spawn(move || read(folder, &documents));
        scope.spawn(move || cut_all(&to_cut, tokenizer, &cut));
        let (mut n_passages, mut n_tokens, mut seconds) = (0, 0, [0.0; 3]);
        for batch in to_encode {
            let batch: Cut = batch;
            let inputs = batch.passages.iter();
            let inputs: Vec<PassageInput> = inputs
                .map(|(prefix, body)| PassageInput { prefix, body })
                .collect();
            let own = Instant::now();
            encoder.encode_documents(&[&inputs])?;
            let encoded = own.elapsed().as_secs_f64();
            let parts = seconds.iter_mut().zip([batch.read, batch.cut, encoded]);
            parts.for_each(|(all, own)| *all += own);
            n_passages += inputs.len();
            let lengths = inputs.iter().map(|own| own.prefix.len() + own.body.len());
            n_tokens += lengths.sum::<usize>();
        }
        let whole = start.elapsed().as_secs_f64();
        let [read, cut, encoded] = seconds;
        let threads = rayon::current_num_threads();
        Ok(format!(
            "{n_tokens} tokens, {n_passages} passages in {whole:.2} s, {:.2}M tokens/s; reading {read:.2} s, cutting on \
             {threads} threads {cut:.2} s, encoding {encoded:.2} s",
            n_tokens as f64 / whole / 1e6
        ))
    })
}

/// Sends the documents of a folder on in batches, with the seconds that reading them took.
fn read(folder: &Path, documents: &SyncSender<(Vec<Document>, f64)>) {
    let mut start = Instant::now();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let Ok(all) = corpus::read(folder) else {
        return;
    };
    for document in all.flatten() {
        bytes += document.text.len();
        batch.push(document);
        if bytes >= BATCH_BYTES {
            let full = (std::mem::take(&mut batch), start.elapsed().as_secs_f64());
            if documents.send(full).is_err() {
                return;
            }
            (start, bytes) = (Instant::now(), 0);
        }
    }
    // Nobody is left to hear of it when this fails.
    documents
        .send((batch, start.elapsed().as_secs_f64()))
        .unwrap_or_default();
}

/// Cuts batches of documents into passages.
fn cut_all(
    documents: &Receiver<(Vec<Document>, f64)>,
    tokenizer: &Tokenizer,
    passages: &SyncSender<Cut>,
) {
    for (batch, read) in documents {
        let start = Instant::now();
        let all = batch.par_iter().filter_map(|document| {
            let passages = layout(document, tokenizer, &LAYOUT).ok()?.passages;
            let ids = passages.into_iter().map(|own| {
                let body = own.tokens.iter().map(|token| token.id).collect();
                (own.prefix.to_vec(), body)
            });
            Some(ids.collect::<Vec<(Vec<u32>, Vec<u32>)>>())
        });
        let batch = Cut {
            passages: all.flatten_iter().collect(),
            read,
            cut: start.elapsed().as_secs_f64(),
        };
        if passages.send(batch).is_err() {
            return;
        }
    }
}
