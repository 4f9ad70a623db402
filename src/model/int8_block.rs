//! One layer of the trunk in int8 over packed passages: what [`LocalBlock`](super::local_block::LocalBlock) defines.

use super::{
    ModelError,
    config::ModelConfig,
    int8_linear::{Add, Finish, GROUP_COLUMNS, Int8Linear, Int8Rows},
    weights::WeightFile,
};
use crate::ops::{
    passage_attention::{AttentionScratch, Head, attend},
    pointwise::{LANES, gelu, layer_norm, quantise},
    simd::Isa,
};

/// Tokens whose inner states are held at once, so that they stay in the second cache.
const FEED_FORWARD_ROWS: usize = 96;

/// A local block in int8.
pub struct Int8Block {
    query_key_value: Int8Linear,
    output: Int8Linear,
    attention_norm: Norm,
    expand: Int8Linear,
    contract: Int8Linear,
    norm: Norm,
    hidden: usize,
    head_size: usize,
}

/// LayerNorm.
pub struct Norm {
    gain: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

/// Room that a block works in, kept between calls.
#[derive(Default)]
pub struct BlockScratch {
    rows: Int8Rows,
    sums: Vec<i32>,
    /// Queries, keys and values in codes, `[3, heads, n_tokens, head_size]`, and their scales without the last.
    heads: Vec<u8>,
    head_scales: Vec<f32>,
    attention: AttentionScratch,
    context: Vec<f32>,
    inner: Vec<f32>,
}

impl Norm {
    pub fn load(file: &WeightFile, name: &str, config: &ModelConfig) -> Result<Self, ModelError> {
        Ok(Self {
            gain: file.values(&format!("{name}.weight"), config.hidden_size)?,
            bias: file.values(&format!("{name}.bias"), config.hidden_size)?,
            epsilon: config.layer_norm_eps as f32,
        })
    }

    /// `states` is `[n_tokens, hidden]`.
    #[inline(always)]
    pub fn forward<I: Isa>(&self, states: &mut [f32]) {
        for state in states.chunks_exact_mut(self.gain.len()) {
            layer_norm::<I>(state, &self.gain, &self.bias, self.epsilon);
        }
    }
}

impl Int8Block {
    /// Loads the block whose tensors are named `name.…`.
    pub fn load(file: &WeightFile, name: &str, config: &ModelConfig) -> Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let head_size = config.head_size();
        if !GROUP_COLUMNS.is_multiple_of(head_size) || !head_size.is_multiple_of(LANES) {
            return Err(ModelError::Shape);
        }
        let linear = |part: &str, columns, depth| {
            Int8Linear::load(file, &[format!("{name}.{part}")], columns, depth)
        };
        let projections =
            ["query", "key", "value"].map(|part| format!("{name}.attention.self.{part}"));
        Ok(Self {
            query_key_value: Int8Linear::load(file, &projections, hidden, hidden)?,
            output: linear("attention.output.dense", hidden, hidden)?,
            attention_norm: Norm::load(
                file,
                &format!("{name}.attention.output.LayerNorm"),
                config,
            )?,
            expand: linear("intermediate.dense", inner, hidden)?,
            contract: linear("output.dense", hidden, inner)?,
            norm: Norm::load(file, &format!("{name}.output.LayerNorm"), config)?,
            hidden,
            head_size,
        })
    }

    /// `states` is `[n_tokens, hidden]`; passage i is the tokens `starts[i]..starts[i + 1]`.
    #[inline(always)]
    pub fn forward<I: Isa>(
        &self,
        isa: I,
        states: &mut [f32],
        starts: &[usize],
        scratch: &mut BlockScratch,
    ) {
        self.attention(isa, states, starts, scratch);
        self.attention_norm.forward::<I>(states);
        for states in states.chunks_mut(FEED_FORWARD_ROWS * self.hidden) {
            self.feed_forward(isa, states, scratch);
        }
        self.norm.forward::<I>(states);
    }

    /// Adds the attention inside each passage to `states`.
    #[inline(always)]
    fn attention<I: Isa>(
        &self,
        isa: I,
        states: &mut [f32],
        starts: &[usize],
        scratch: &mut BlockScratch,
    ) {
        let (hidden, size) = (self.hidden, self.head_size);
        let (n_tokens, n_heads) = (states.len() / hidden, hidden / size);
        let BlockScratch {
            rows,
            sums,
            heads,
            head_scales,
            attention,
            context,
            ..
        } = scratch;
        heads.resize(3 * n_tokens * hidden, 0);
        head_scales.resize(3 * n_tokens * n_heads, 0.0);
        context.resize(n_tokens * hidden, 0.0);
        rows.fill::<I>(states, hidden);
        let mut split = SplitHeads {
            codes: heads,
            scales: head_scales,
            size,
            n_tokens,
        };
        self.query_key_value.forward(isa, rows, sums, &mut split);
        for tokens in starts.windows(2).map(|border| border[0]..border[1]) {
            for head in 0..n_heads {
                let part = |part: usize| {
                    let first = (part * n_heads + head) * n_tokens;
                    let (from, to) = (first + tokens.start, first + tokens.end);
                    (&heads[from * size..to * size], &head_scales[from..to])
                };
                let ((queries, query_scales), (keys, key_scales), (values, value_scales)) =
                    (part(0), part(1), part(2));
                let inputs = Head {
                    queries,
                    keys,
                    values,
                    query_scales,
                    key_scales,
                    value_scales,
                    size,
                };
                attend(
                    isa,
                    &inputs,
                    attention,
                    &mut context[tokens.start * hidden + head * size..],
                    hidden,
                );
            }
        }
        rows.fill::<I>(context, hidden);
        let mut add = Add { states, hidden };
        self.output.forward(isa, rows, sums, &mut add);
    }

    /// Adds the feed-forward half to `states`.
    #[inline(always)]
    fn feed_forward<I: Isa>(&self, isa: I, states: &mut [f32], scratch: &mut BlockScratch) {
        let (hidden, width) = (self.hidden, self.expand.columns());
        let BlockScratch {
            rows, sums, inner, ..
        } = scratch;
        inner.resize(states.len() / hidden * width, 0.0);
        rows.fill::<I>(states, hidden);
        let mut gelu = Gelu { inner, width };
        self.expand.forward(isa, rows, sums, &mut gelu);
        rows.fill::<I>(inner, width);
        let mut add = Add { states, hidden };
        self.contract.forward(isa, rows, sums, &mut add);
    }
}

/// Quantises the queries, keys and values of each head: `[3, heads, n_tokens, size]`.
struct SplitHeads<'a> {
    codes: &'a mut [u8],
    scales: &'a mut [f32],
    size: usize,
    n_tokens: usize,
}

impl Finish for SplitHeads<'_> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, token: usize, column: usize, outputs: &[f32; GROUP_COLUMNS]) {
        let size = self.size;
        for (head, outputs) in outputs.chunks_exact(size).enumerate() {
            let at = (column / size + head) * self.n_tokens + token;
            self.scales[at] = quantise::<I>(outputs, &mut self.codes[at * size..][..size]);
        }
    }
}

/// Writes the GELU of outputs, `[n_tokens, width]`.
struct Gelu<'a> {
    inner: &'a mut [f32],
    width: usize,
}

impl Finish for Gelu<'_> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, token: usize, column: usize, outputs: &[f32; GROUP_COLUMNS]) {
        let inner = &mut self.inner[token * self.width + column..][..GROUP_COLUMNS];
        for (inner, output) in inner.iter_mut().zip(outputs) {
            *inner = gelu::<I>(*output);
        }
    }
}
