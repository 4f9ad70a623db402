//! What the kernels take on a GPU, beside their floors: build with `kernels/build.sh --bench cuda`, run the binary there.
//!
//! `cuda [TOKENS...]`, 32,768, 131,072 and 1,048,576 where nothing is said. The floor of attention is its operations
//! over 790 TFLOP/s. `tests/bench/cuda_peers.py` gives PyTorch's times on the same machine.

use std::{error::Error, sync::Arc};

use candle_core::{
    DType, Device, Storage, Tensor,
    cuda_backend::{
        CudaDType,
        cudarc::driver::{
            CudaEvent, CudaStream, DevicePtr, DeviceRepr, result, sys::CUevent_flags,
        },
    },
};
use half::bf16;
use rand::{Rng, SeedableRng, rngs::StdRng};
use shas::{
    model::{
        cuda_encoder::{
            Address, Buffer,
            global::{Document, Functions, Layout, MAX_SELECTED, PoolWeights, Projections},
        },
        device::DeviceChoice,
        global::GlobalConfig,
    },
    ops::sparse_attention::N_BUCKETS,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SIZE: usize = 64;
const OPERATIONS_PER_SECOND: f64 = 790e12;
const N_RELEVANCES: usize = 6;
/// What a token has beside its gates: relevances, and the weights of the indexer's heads.
const N_CONTROLS: usize = N_RELEVANCES + 4;

fn main() -> Result<()> {
    let (device, missing) = DeviceChoice::Cuda(0).open();
    if let Some(reason) = missing {
        return Err(reason.into());
    }
    let lengths: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|own| own.parse().ok())
        .collect();
    let lengths = match lengths.is_empty() {
        true => vec![32_768, 131_072, 1_048_576],
        false => lengths,
    };
    println!("global block, milliseconds, medians");
    println!("heads   tokens   pool+keys  descend  attend   whole   floor  keys/query  TFLOP/s");
    for heads in [12, 8] {
        for n_tokens in &lengths {
            global(&device, heads, *n_tokens)?;
        }
    }
    Ok(())
}

/// Random numbers in the place of what the model computes, over passages as long as a book's.
struct Setting {
    config: GlobalConfig,
    functions: Functions,
    document: Document,
    weights: PoolWeights,
    projections: Projections,
    // Freed with the setting.
    _tensors: [Tensor; 4],
}

impl Setting {
    fn new(device: &Device, heads: usize, n_tokens: usize) -> Result<Self> {
        let config = GlobalConfig {
            heads,
            ..GlobalConfig::default()
        };
        let stream = &device.as_cuda_device()?.cuda_stream();
        let mut numbers = StdRng::seed_from_u64(1);
        let layout = Layout::new(&config, &passages(&mut numbers, n_tokens));
        let mut document = Document::new(layout, n_tokens, stream)?;
        let mut spread = |n: usize, spread: f32| -> Vec<f32> {
            (0..n)
                .map(|_| numbers.random_range(-spread..spread))
                .collect()
        };
        document.tokens = Buffer::bf16(&spread(n_tokens * SIZE, 1.7), stream)?;
        let control_stride = (3 * heads + N_CONTROLS).next_multiple_of(8);
        let normal =
            |shape: &[usize], kind| Tensor::randn(0f32, 1.0, shape, device)?.to_dtype(kind);
        let tensors = [
            normal(&[n_tokens, heads, SIZE], DType::BF16)?,
            normal(
                &[n_tokens, config.index_heads, config.index_size],
                DType::BF16,
            )?,
            normal(&[n_tokens, control_stride], DType::F32)?,
            Tensor::zeros((n_tokens, heads, SIZE), DType::BF16, device)?,
        ];
        Ok(Self {
            functions: Functions::load(&config, stream)?,
            weights: PoolWeights {
                queries: Buffer::bf16(&spread(4 * SIZE, 0.5), stream)?,
                residuals: Buffer::bf16(&spread(4 * SIZE * SIZE, 0.1), stream)?,
                index_key: Buffer::bf16(&spread(config.index_size * SIZE, 0.2), stream)?,
                distance: Buffer::f32(&spread(heads * N_BUCKETS, 0.5), stream)?,
            },
            projections: Projections {
                queries: address::<bf16>(&tensors[0], stream)?,
                index_queries: address::<bf16>(&tensors[1], stream)?,
                controls: address::<f32>(&tensors[2], stream)?,
                control_stride,
                index_weights_at: 3 * heads + N_RELEVANCES,
                out: address::<bf16>(&tensors[3], stream)?,
                log_sums: 0,
            },
            document,
            config,
            _tensors: tensors,
        })
    }

    /// Runs the three parts; gives the milliseconds of each.
    fn run(&self, stream: &Arc<CudaStream>) -> Result<[f64; 3]> {
        let (functions, document, config) = (&self.functions, &self.document, &self.config);
        let mark = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let start = mark()?;
        functions.build(stream, document, &self.weights, config)?;
        let built = mark()?;
        functions.descend(stream, document, &self.projections, config)?;
        let chosen = mark()?;
        functions.attend(stream, document, &self.projections, (&self.weights, config))?;
        let end = mark()?;
        end.synchronize()?;
        let between = |a: &CudaEvent, b: &CudaEvent| a.elapsed_ms(b).map(f64::from);
        Ok([
            between(&start, &built)?,
            between(&built, &chosen)?,
            between(&chosen, &end)?,
        ])
    }

    /// Keys that a query reads, on average: what the lists hold, counted.
    fn keys_a_query(&self, stream: &CudaStream) -> Result<f64> {
        stream.synchronize()?;
        let layout = &self.document.layout;
        let lists = self.document.lists();
        let n_granules = layout.granules.len();
        let selected = read(lists.selected, n_granules * MAX_SELECTED)?;
        let n_selected = read(lists.n_selected, n_granules)?;
        let n_cover = read(lists.n_cover, n_granules)?;
        let first_leaf = layout.start(layout.leaf_level);
        let n_leaves = layout.start(layout.leaf_level + 1) - first_leaf;
        let mut borders = read(lists.node_starts + 4 * first_leaf as Address, n_leaves)?;
        borders.push(layout.n_tokens() as u32);
        let window = self.config.window as u32;
        let (mut n_keys, mut n_queries) = (0, 0);
        for (at, granule) in layout.granules.iter().enumerate() {
            let first = granule.start.saturating_sub(window);
            let end = (granule.end + window).min(layout.n_tokens() as u32);
            let near = (granule.own_start - first.min(granule.own_start))
                + (end - end.min(granule.own_end));
            let leaves = &selected[at * MAX_SELECTED..][..n_selected[at] as usize];
            let far: u32 = leaves
                .iter()
                .map(|&leaf| (borders[leaf as usize], borders[leaf as usize + 1]))
                .filter(|leaf| leaf.0 < first || end < leaf.1)
                .map(|leaf| leaf.1 - leaf.0)
                .sum();
            let queries = u64::from(granule.end - granule.start);
            n_keys += queries * u64::from(near + far + n_cover[at]);
            n_queries += queries;
        }
        Ok(n_keys as f64 / n_queries as f64)
    }
}

fn global(device: &Device, heads: usize, n_tokens: usize) -> Result<()> {
    let setting = Setting::new(device, heads, n_tokens)?;
    let stream = device.as_cuda_device()?.cuda_stream();
    for _ in 0..3 {
        setting.run(&stream)?;
    }
    let runs = (0..20)
        .map(|_| setting.run(&stream))
        .collect::<Result<Vec<_>>>()?;
    let part = |at: usize| median(runs.iter().map(|run| run[at]).collect());
    let whole = median(runs.iter().map(|run| run.iter().sum()).collect());
    let keys = setting.keys_a_query(&stream)?;
    let operations = 4.0 * (SIZE * heads * n_tokens) as f64 * keys;
    let floor = operations / OPERATIONS_PER_SECOND * 1e3;
    println!(
        "{heads:5} {n_tokens:8} {:11.3} {:8.3} {:7.3} {whole:7.3} {floor:7.3} {keys:11.0} {:8.0}",
        part(0),
        part(1),
        part(2),
        operations / part(2) / 1e9,
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Borders of passages of 205 to 256 tokens.
fn passages(numbers: &mut StdRng, n_tokens: usize) -> Vec<u32> {
    let mut borders = vec![0];
    while borders[borders.len() - 1] < n_tokens as u32 {
        let end = borders[borders.len() - 1] + numbers.random_range(205..=256);
        borders.push(end.min(n_tokens as u32));
    }
    borders
}

/// Where a tensor's numbers lie.
fn address<T: CudaDType + DeviceRepr>(tensor: &Tensor, stream: &CudaStream) -> Result<Address> {
    match &*tensor.storage_and_layout().0 {
        Storage::Cuda(storage) => Ok(storage.as_cuda_slice::<T>()?.device_ptr(stream).0),
        _ => Err("the tensor is not on the GPU".into()),
    }
}

/// Numbers that lie on the GPU.
fn read(address: Address, count: usize) -> Result<Vec<u32>> {
    let mut values = vec![0; count];
    // SAFETY: the address is that of so many numbers, and nothing is under way.
    unsafe { result::memcpy_dtoh_sync(&mut values, address) }?;
    Ok(values)
}
