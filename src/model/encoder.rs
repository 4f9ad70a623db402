//! The encoder: passages in, unit vectors and granule keys out.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use candle_core::Device;
use rayon::prelude::*;

use super::{
    ModelError,
    config::{CLS_TOKEN, FusionWeights, ModelConfig, SEP_TOKEN},
    f32_trunk::F32Trunk,
    global::{
        BlockView, F32GlobalBlock, GLOBAL_AFTER_LAYERS, Global, GlobalBlock, GlobalConfig,
        GlobalWeights, block_name, view,
    },
    granule::{GranuleHead, GranuleTables},
    int8_trunk::Int8Trunk,
    layers::Layers,
    packed::PackedBatch,
    reader::Reader,
    router::Router,
    save::GLOBAL_FILE,
    trunk::Trunk,
    weights::{self, WeightFile},
};
use crate::{
    ops::{
        granule_keys::{GranuleKeys, KEY_DIMENSIONS},
        simd::Instructions,
        similarity::mean_direction,
    },
    text::Tokenizer,
};

/// Passages of small documents whose states are held at once: 100 MB at most.
const BATCH_PASSAGES: usize = 256;
/// Passages of a long document that go through the layers at once, for each thread: their states stay in the cache.
const STREAMED_PASSAGES: usize = 16;

/// What the model reads of one passage.
#[derive(Debug, Clone, Copy)]
pub struct PassageInput<'a> {
    /// Word pieces of the context prefix.
    pub prefix: &'a [u32],
    /// Word pieces of the passage's own text.
    pub body: &'a [u32],
}

/// What the model keeps of one passage.
#[derive(Debug, Clone, PartialEq)]
pub struct PassageEncoding {
    /// The mean of its states, unit length, `[hidden]`.
    pub vector: Vec<f32>,
    /// Granules of the prefix (with `[CLS]`), then those of the body from a fresh granule on.
    pub keys: GranuleKeys,
    /// How many of the keys belong to the prefix and so cannot be quoted.
    pub n_prefix_granules: usize,
}

/// How the trunk and the global blocks are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Weights and activations in int8.
    Int8,
    /// Everything in f32, by candle: the reference.
    F32,
}

impl Precision {
    /// What is faster on this processor: int8, unless it has no instructions for that.
    pub fn fastest() -> Self {
        match Instructions::best().is_portable() {
            true => Self::F32,
            false => Self::Int8,
        }
    }

    /// A global block over states of `hidden` dimensions.
    fn global(
        self,
        config: &GlobalConfig,
        weights: GlobalWeights,
        hidden: usize,
    ) -> Result<Box<dyn Global>, ModelError> {
        let config = config.clone();
        Ok(match self {
            Self::Int8 => Box::new(GlobalBlock::new(config, weights, hidden)?),
            Self::F32 => {
                let device = &Device::Cpu;
                Box::new(F32GlobalBlock::new(config, &weights, hidden, device)?)
            }
        })
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "int8" => Ok(Self::Int8),
            "f32" => Ok(Self::F32),
            _ => Err(format!("`{name}` is no precision; give int8 or f32")),
        }
    }
}

/// Tokenizer, trunk and heads, ready to encode.
pub struct Encoder {
    tokenizer: Tokenizer,
    pub(super) layers: Layers,
    pub(super) granules: GranuleHead,
    router: Option<Router>,
    reader: OnceLock<Option<Reader>>,
    folder: PathBuf,
    config: ModelConfig,
    pub(super) hidden: usize,
    precision: Precision,
    fingerprint: String,
}

impl Encoder {
    /// Loads `config.json`, `tokenizer.json`, `model.safetensors` and `granules.safetensors` from a folder.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        Self::load_with(folder, Precision::fastest())
    }

    /// Loads the model, to be computed in `precision`.
    pub fn load_with(folder: &Path, precision: Precision) -> Result<Self, ModelError> {
        let config = load_config(folder)?;
        let file = WeightFile::open(&folder.join("model.safetensors"))?;
        let granules = WeightFile::open(&folder.join("granules.safetensors"))?;
        let tables = GranuleTables::load(&granules, config.hidden_size, config.vocab_size)?;
        let trunk: Box<dyn Trunk> = match precision {
            Precision::Int8 => Box::new(Int8Trunk::load(&config, &file)?),
            Precision::F32 => {
                let tensors = file.dequantised(&Device::Cpu)?;
                let vb = weights::var_builder(tensors, &Device::Cpu);
                Box::new(F32Trunk::load(&config, vb)?)
            }
        };
        let global = match &config.global {
            Some(shape) => load_global(shape, folder, config.hidden_size, precision)?,
            None => Vec::new(),
        };
        Ok(Self {
            tokenizer: Tokenizer::from_file(&folder.join("tokenizer.json"))?,
            layers: Layers {
                trunk,
                global,
                least_passages: config.global.as_ref().map_or(0, |own| own.least_passages),
                hidden: config.hidden_size,
            },
            reader: OnceLock::new(),
            folder: folder.to_owned(),
            granules: GranuleHead::new(tables, config.hidden_size)?,
            router: Router::load(folder, config.hidden_size)?,
            hidden: config.hidden_size,
            precision,
            fingerprint: match &config.fingerprint {
                Some(fingerprint) => fingerprint.clone(),
                None => fingerprint(folder)?,
            },
            config,
        })
    }

    /// Puts global blocks between the layers, in place of any that were loaded.
    ///
    /// # Errors
    /// When a number of the shape is out of its bounds.
    pub fn with_global(
        mut self,
        config: &GlobalConfig,
        weights: [GlobalWeights; GLOBAL_AFTER_LAYERS.len()],
    ) -> Result<Self, ModelError> {
        let blocks = weights
            .into_iter()
            .map(|own| self.precision.global(config, own, self.hidden));
        self.layers.global = blocks.collect::<Result<_, _>>()?;
        self.layers.least_passages = config.least_passages;
        Ok(self)
    }

    /// The weights from which a global block of this shape is trained: it adds nothing yet.
    pub fn untrained(&self, config: &GlobalConfig) -> GlobalWeights {
        GlobalWeights::start(config, self.granules.projection(), self.hidden)
    }

    /// The tokenizer that the trunk was trained with.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The joint reader, where the model has one; it is loaded when it is first asked for.
    pub fn reader(&self) -> Result<Option<&Reader>, ModelError> {
        if let Some(loaded) = self.reader.get() {
            return Ok(loaded.as_ref());
        }
        let loaded = Reader::load(&self.folder, &self.config, self.precision)?;
        Ok(self.reader.get_or_init(|| loaded).as_ref())
    }

    /// The shape of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What the parts of a ranking count, without the joint reader where it is to be `fast`.
    pub fn fusion(&self, fast: bool) -> FusionWeights {
        let weights = self.config.fusion.unwrap_or_default();
        if fast {
            weights.without_reader()
        } else {
            weights
        }
    }

    /// The folder that the weights lie in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What makes granule keys of states.
    pub fn granules(&self) -> &GranuleHead {
        &self.granules
    }

    /// Dimensions of the vectors.
    pub fn dimensions(&self) -> usize {
        self.hidden
    }

    /// Names these weights: two encoders with the same fingerprint give the same vectors.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Encodes the passages of one document, in order.
    pub fn encode(&self, passages: &[PassageInput]) -> Result<Vec<PassageEncoding>, ModelError> {
        Ok(self.encode_documents(&[passages])?.concat())
    }

    /// Encodes the passages of documents, in order; no document sees another.
    pub fn encode_documents(
        &self,
        documents: &[&[PassageInput]],
    ) -> Result<Vec<Vec<PassageEncoding>>, ModelError> {
        let mut encodings = Vec::with_capacity(documents.len());
        let mut first = 0;
        while first < documents.len() {
            if documents[first].len() > BATCH_PASSAGES {
                encodings.push(self.encode_long(documents[first])?);
                first += 1;
                continue;
            }
            let mut end = first;
            let mut n_passages = 0;
            while end < documents.len() && n_passages + documents[end].len() <= BATCH_PASSAGES {
                n_passages += documents[end].len();
                end += 1;
            }
            encodings.extend(self.encode_batch(&documents[first..end])?);
            first = end;
        }
        Ok(encodings)
    }

    /// Encodes documents that fit into one batch.
    fn encode_batch(
        &self,
        documents: &[&[PassageInput]],
    ) -> Result<Vec<Vec<PassageEncoding>>, ModelError> {
        let passages = documents.concat();
        let mut borders = vec![0];
        for document in documents {
            borders.push(borders[borders.len() - 1] + document.len());
        }
        let batch = packed(&passages);
        let states = self.layers.forward(&batch, &borders)?;
        let mut encodings = self
            .passage_encodings(&passages, &batch, &states)
            .into_iter();
        let of = |document: &&[PassageInput]| encodings.by_ref().take(document.len()).collect();
        Ok(documents.iter().map(of).collect())
    }

    /// Encodes a document of any length, of which it holds one batch at a time.
    fn encode_long(&self, passages: &[PassageInput]) -> Result<Vec<PassageEncoding>, ModelError> {
        let n_streamed = (STREAMED_PASSAGES * rayon::current_num_threads()).min(BATCH_PASSAGES);
        let parts: Vec<&[PassageInput]> = passages.chunks(n_streamed).collect();
        let batches: Vec<PackedBatch> = parts.iter().map(|part| packed(part)).collect();
        let mut encodings = Vec::with_capacity(passages.len());
        self.layers.stream(&batches, |at, states| {
            encodings.extend(self.passage_encodings(parts[at], &batches[at], states));
        })?;
        Ok(encodings)
    }

    /// `states` are those of `batch`, `[n_tokens, hidden]`.
    fn passage_encodings(
        &self,
        passages: &[PassageInput],
        batch: &PackedBatch,
        states: &[f32],
    ) -> Vec<PassageEncoding> {
        let passages = passages.par_iter().enumerate();
        passages
            .map(|(index, passage)| {
                let tokens = batch.starts[index]..batch.starts[index + 1];
                let states = &states[tokens.start * self.hidden..tokens.end * self.hidden];
                self.passage_encoding(passage, states)
            })
            .collect()
    }

    /// What tells kinds and sizes of answers, where the model has it.
    pub fn router(&self) -> Option<&Router> {
        self.router.as_ref()
    }

    /// What each global block sees of one document; nothing where there are no blocks.
    pub fn view(&self, passages: &[PassageInput]) -> Result<Vec<BlockView>, ModelError> {
        let batches: Vec<PackedBatch> = passages.chunks(BATCH_PASSAGES).map(packed).collect();
        view::view(&self.layers, &batches)
    }

    /// The shape of the global blocks, where there are any.
    pub fn global_config(&self) -> Option<&GlobalConfig> {
        let first = self.layers.global.first()?;
        first.int8().map(GlobalBlock::config)
    }

    /// The states of every token, `[n_tokens, hidden]` row by row, of passages that do not see each other.
    pub fn states(&self, batch: &PackedBatch) -> Result<Vec<f32>, ModelError> {
        let alone: Vec<usize> = (0..=batch.len()).collect();
        self.layers.forward(batch, &alone)
    }

    /// The states behind the first `n_layers` local layers alone, `[n_tokens, hidden]`.
    pub fn local_states(
        &self,
        batch: &PackedBatch,
        n_layers: usize,
    ) -> Result<Vec<f32>, ModelError> {
        let mut states = vec![0.0; batch.token_ids.len() * self.hidden];
        self.layers.trunk.run(batch, 0..n_layers, &mut states)?;
        Ok(states)
    }

    /// `states` is `[n_tokens, hidden]`.
    fn passage_encoding(&self, passage: &PassageInput, states: &[f32]) -> PassageEncoding {
        let keys = self.granules.keys(states);
        // [CLS] opens the prefix's granules, [SEP] closes the body's; neither has an idf.
        let tokens: Vec<u32> = framed(passage.prefix, passage.body).collect();
        let (head, body) = tokens.split_at(1 + passage.prefix.len());
        let (head_keys, body_keys) = keys.split_at(head.len() * KEY_DIMENSIONS);
        let mut pooled = GranuleKeys::default();
        let n_prefix_granules = match passage.prefix {
            [] => 0,
            _ => self.granules.pool(head, head_keys, &mut pooled),
        };
        let body = &body[..passage.body.len()];
        self.granules.pool(body, body_keys, &mut pooled);
        PassageEncoding {
            vector: mean(states, self.hidden),
            keys: pooled,
            n_prefix_granules,
        }
    }
}

/// Reads the shape of the model in `folder`.
pub fn load_config(folder: &Path) -> Result<ModelConfig, ModelError> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|source| ModelError::Read {
        path: path.clone(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|error| ModelError::corrupt(&path, error))
}

fn load_global(
    shape: &GlobalConfig,
    folder: &Path,
    hidden: usize,
    precision: Precision,
) -> Result<Vec<Box<dyn Global>>, ModelError> {
    shape.check()?;
    let file = WeightFile::open(&folder.join(GLOBAL_FILE))?;
    GLOBAL_AFTER_LAYERS
        .iter()
        .map(|layer| {
            let weights = GlobalWeights::load(&file, &block_name(*layer), shape, hidden)?;
            precision.global(shape, weights, hidden)
        })
        .collect()
}

fn packed(passages: &[PassageInput]) -> PackedBatch {
    let mut batch = PackedBatch::default();
    for passage in passages {
        batch.push(framed(passage.prefix, passage.body));
    }
    batch
}

/// `[CLS] prefix body [SEP]`.
pub(super) fn framed<'a>(prefix: &'a [u32], body: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    std::iter::once(CLS_TOKEN)
        .chain(prefix.iter().copied())
        .chain(body.iter().copied())
        .chain(std::iter::once(SEP_TOKEN))
}

/// The unit-length mean of `states` (`[n_tokens, hidden]`).
pub(super) fn mean(states: &[f32], hidden: usize) -> Vec<f32> {
    mean_direction(states.chunks_exact(hidden), hidden)
}

/// The hash of the weights and the tokenizer in `folder`.
pub fn fingerprint(folder: &Path) -> Result<String, ModelError> {
    let mut hasher = blake3::Hasher::new();
    for name in [
        "model.safetensors",
        "granules.safetensors",
        "tokenizer.json",
        GLOBAL_FILE,
    ] {
        let path = folder.join(name);
        if name == GLOBAL_FILE && !path.exists() {
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|source| ModelError::Read { path, source })?;
        hasher.update(&bytes);
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}
