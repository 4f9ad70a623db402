//! The trunk and the heads on the GPU: weights in bf16, and the order of products and kernels.

use std::{ops::Range, sync::Arc};

use candle_core::cuda_backend::cudarc::driver::CudaStream;

use super::{
    batch::{Batch, MAX_BATCH_TOKENS},
    hopper::{HopperKernels, HopperProduct},
    kernels::{Kernels, NormAddresses},
    memory::{Address, Buffer, HIDDEN, INNER, Room},
    product::{Epilogue, Library, Product},
};
use crate::model::{Encoder, ModelError, config::ModelConfig, weights::WeightFile};

/// Heads of attention: the kernels know no other number.
const HEADS: usize = 12;
/// Products take rows in multiples of this, so that few shapes are planned; the rows behind the last token are idle.
pub const ROWS_STEP: usize = 2_048;

/// A LayerNorm's weights on the GPU.
struct Norm {
    weight: Buffer,
    bias: Buffer,
}

struct Layer {
    qkv: WideProduct,
    output: Product,
    output_norm: Norm,
    expand: WideProduct,
    contract: Product,
    contract_norm: Norm,
}

/// A product of states with more columns than they have, in the fastest way that the GPU knows.
enum WideProduct {
    Hopper(HopperProduct),
    Library(Product),
}

/// The model on the GPU.
pub struct Trunk {
    library: Library,
    kernels: Kernels,
    words: Buffer,
    /// With the segment added.
    positions: Buffer,
    norm: Norm,
    layers: Vec<Layer>,
    projection: Product,
    idf: Buffer,
}

impl Trunk {
    /// Loads the weights of a CPU encoder's folder.
    pub fn load(encoder: &Encoder, stream: &Arc<CudaStream>) -> Result<Self, ModelError> {
        let config = encoder.config();
        if (
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
        ) != (HIDDEN, HEADS, INNER)
        {
            return Err(ModelError::GpuShape);
        }
        let file = WeightFile::open(&encoder.folder().join("model.safetensors"))?;
        let hopper = HopperKernels::load(stream)?;
        let source = Source {
            file,
            stream,
            hopper: hopper.as_ref(),
        };
        let words = source.matrix("embeddings.word_embeddings", HIDDEN)?;
        let mut positions = source.matrix("embeddings.position_embeddings", HIDDEN)?;
        // Passages have one segment, so only the first row of the two is used.
        let segment = source.matrix("embeddings.token_type_embeddings", HIDDEN)?;
        for position in positions.chunks_exact_mut(HIDDEN) {
            let pairs = position.iter_mut().zip(&segment);
            pairs.for_each(|(position, segment)| *position += segment);
        }
        let granules = encoder.granules();
        let tokens = 0..config.vocab_size as u32;
        let idf: Vec<f32> = tokens.map(|token| granules.idf(token)).collect();
        let no_bias = Epilogue::None;
        Ok(Self {
            library: Library::open()?,
            kernels: Kernels::load(stream, config.layer_norm_eps)?,
            words: Buffer::bf16(&words, stream)?,
            positions: Buffer::bf16(&positions, stream)?,
            norm: source.norm("embeddings.LayerNorm")?,
            layers: source.layers(config)?,
            projection: Product::new(granules.projection(), &[], no_bias, stream, HIDDEN)?,
            idf: Buffer::f32(&idf, stream)?,
        })
    }

    /// Starts everything that makes the results of a batch, whose words lie in `room`.
    pub fn encode(
        &mut self,
        batch: &Batch,
        room: &Room,
        stream: &Arc<CudaStream>,
    ) -> Result<(), ModelError> {
        self.embed(batch, room, stream)?;
        self.run(batch, 0..self.layers.len(), room, stream)?;
        self.finish(batch, room, stream)
    }

    /// Starts the first states of a batch, in `room`.
    pub fn embed(
        &self,
        batch: &Batch,
        room: &Room,
        stream: &Arc<CudaStream>,
    ) -> Result<(), ModelError> {
        let at = &(batch, &room.addresses(batch));
        let tables = (
            self.words.address(),
            self.positions.address(),
            self.norm.addresses(),
        );
        self.kernels
            .embed(stream, *at, &tables, room.states.address())
    }

    /// Takes the states of a batch through layers, in `room`.
    pub fn run(
        &mut self,
        batch: &Batch,
        layers: Range<usize>,
        room: &Room,
        stream: &Arc<CudaStream>,
    ) -> Result<(), ModelError> {
        let n_rows = rows_of(batch);
        let at = &(batch, &room.addresses(batch));
        let lt = (&self.library, &room.workspace);
        let [states, mixed] = [&room.states, &room.mixed].map(Buffer::address);
        let [qkv, inner] = [&room.qkv, &room.inner].map(Buffer::address);
        let kernels = &self.kernels;
        for layer in &mut self.layers[layers] {
            layer.qkv.apply(lt, stream, n_rows, (states, qkv))?;
            kernels.attend(stream, *at, qkv, mixed)?;
            layer.output.apply(lt, stream, n_rows, (mixed, states))?;
            kernels.normalise(stream, states, &layer.output_norm.addresses(), n_rows)?;
            layer.expand.apply(lt, stream, n_rows, (states, inner))?;
            layer.contract.apply(lt, stream, n_rows, (inner, states))?;
            kernels.normalise(stream, states, &layer.contract_norm.addresses(), n_rows)?;
        }
        Ok(())
    }

    /// Starts the vectors and keys of a batch, from its last states.
    pub fn finish(
        &mut self,
        batch: &Batch,
        room: &Room,
        stream: &Arc<CudaStream>,
    ) -> Result<(), ModelError> {
        let at = &(batch, &room.addresses(batch));
        let [states, keys] = [&room.states, &room.keys].map(Buffer::address);
        self.kernels.pool_passages(stream, *at, states)?;
        let lt = (&self.library, &room.workspace);
        self.projection
            .apply(lt, stream, rows_of(batch), (states, keys))?;
        self.kernels
            .pool_granules(stream, *at, keys, self.idf.address())
    }

    /// Number of layers.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// What products need beside their operands.
    pub fn library(&self) -> &Library {
        &self.library
    }
}

/// Rows that products take for the tokens of a batch.
fn rows_of(batch: &Batch) -> usize {
    let n_rows = batch.n_tokens.next_multiple_of(ROWS_STEP);
    n_rows.min(MAX_BATCH_TOKENS)
}

impl WideProduct {
    fn apply(
        &mut self,
        lt: (&Library, &Buffer),
        stream: &Arc<CudaStream>,
        n_rows: usize,
        places: (Address, Address),
    ) -> Result<(), ModelError> {
        match self {
            Self::Hopper(product) => product.apply(stream, n_rows, places),
            Self::Library(product) => product.apply(lt, stream, n_rows, places),
        }
    }
}

impl Norm {
    fn addresses(&self) -> NormAddresses {
        NormAddresses {
            weight: self.weight.address(),
            bias: self.bias.address(),
        }
    }
}

/// The weight file on its way to the GPU.
struct Source<'a> {
    file: WeightFile,
    stream: &'a Arc<CudaStream>,
    hopper: Option<&'a HopperKernels>,
}

impl Source<'_> {
    fn layers(&self, config: &ModelConfig) -> Result<Vec<Layer>, ModelError> {
        let numbers = 0..config.num_hidden_layers;
        let layers = numbers.map(|number| self.layer(&format!("encoder.layer.{number}")));
        layers.collect()
    }

    fn layer(&self, name: &str) -> Result<Layer, ModelError> {
        let attention = format!("{name}.attention");
        let of_self = ["query", "key", "value"].map(|own| format!("{attention}.self.{own}"));
        let intermediate = [format!("{name}.intermediate.dense")];
        let output = format!("{attention}.output.dense");
        let contract = format!("{name}.output.dense");
        Ok(Layer {
            qkv: self.wide_product(&of_self, HIDDEN, Epilogue::Bias)?,
            output: self.product(&output, (HIDDEN, HIDDEN))?,
            output_norm: self.norm(&format!("{attention}.output.LayerNorm"))?,
            expand: self.wide_product(&intermediate, INNER, Epilogue::BiasAndGelu)?,
            contract: self.product(&contract, (HIDDEN, INNER))?,
            contract_norm: self.norm(&format!("{name}.output.LayerNorm"))?,
        })
    }

    fn product(
        &self,
        name: &str,
        (n_columns, depth): (usize, usize),
    ) -> Result<Product, ModelError> {
        let (weight, bias) = self.linear(&[name.to_owned()], (n_columns, depth))?;
        let epilogue = Epilogue::BiasAndAddend;
        Product::new(&weight, &bias, epilogue, self.stream, depth)
    }

    /// The product of states with linear layers of `n_columns` each, side by side.
    fn wide_product(
        &self,
        names: &[String],
        n_columns: usize,
        epilogue: Epilogue,
    ) -> Result<WideProduct, ModelError> {
        let (weight, bias) = self.linear(names, (n_columns, HIDDEN))?;
        let Some(kernels) = self.hopper else {
            let product = Product::new(&weight, &bias, epilogue, self.stream, HIDDEN)?;
            return Ok(WideProduct::Library(product));
        };
        let expands = epilogue == Epilogue::BiasAndGelu;
        let product = HopperProduct::new(kernels, (&weight, &bias), expands, self.stream)?;
        Ok(WideProduct::Hopper(product))
    }

    /// Weight and bias of linear layers of `[n_columns, depth]`, side by side.
    fn linear(
        &self,
        names: &[String],
        (n_columns, depth): (usize, usize),
    ) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weight.extend(self.matrix(name, depth)?);
            bias.extend(self.file.values(&format!("{name}.bias"), n_columns)?);
        }
        Ok((weight, bias))
    }

    fn matrix(&self, name: &str, n_columns: usize) -> Result<Vec<f32>, ModelError> {
        let matrix = self.file.matrix(&format!("{name}.weight"), n_columns)?;
        Ok(matrix.dequantised())
    }

    fn norm(&self, name: &str) -> Result<Norm, ModelError> {
        let values = |part| self.file.values(&format!("{name}.{part}"), HIDDEN);
        Ok(Norm {
            weight: Buffer::f32(&values("weight")?, self.stream)?,
            bias: Buffer::f32(&values("bias")?, self.stream)?,
        })
    }
}
