//! A linear layer in int8: weights with a scale a channel, activations with a scale a token.

use super::{
    ModelError,
    weights::{WeightFile, quantise},
};
use crate::ops::{
    int8_product::{Activations, PANEL_COLUMNS, PackedMatrix, SIGNED_ZERO_POINT, product},
    pointwise::{self, LANES, mul_add},
    simd::{Instructions, Isa, Kernel},
};

/// Outputs that are finished at a time.
pub const GROUP_COLUMNS: usize = 64;
const GROUP_PANELS: usize = GROUP_COLUMNS / PANEL_COLUMNS;

/// What becomes of the outputs of a linear layer, [`GROUP_COLUMNS`] of one row at a time.
pub trait Finish {
    /// Takes the outputs from `column` on of `row`; implementations are `#[inline(always)]`.
    fn finish<I: Isa>(&mut self, row: usize, column: usize, outputs: &[f32; GROUP_COLUMNS]);
}

/// Writes outputs as they are, `[n_rows, columns]`.
pub struct Write<'a> {
    pub out: &'a mut [f32],
    pub columns: usize,
}

impl Finish for Write<'_> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, outputs: &[f32; GROUP_COLUMNS]) {
        self.out[row * self.columns + column..][..GROUP_COLUMNS].copy_from_slice(outputs);
    }
}

/// Adds outputs to states, `[n_rows, hidden]`.
pub struct Add<'a> {
    pub states: &'a mut [f32],
    pub hidden: usize,
}

impl Finish for Add<'_> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, outputs: &[f32; GROUP_COLUMNS]) {
        let states = &mut self.states[row * self.hidden + column..][..GROUP_COLUMNS];
        for (state, output) in states.iter_mut().zip(outputs) {
            *state += output;
        }
    }
}

/// y = W x + b with packed W.
pub struct Int8Linear {
    weights: PackedMatrix,
    /// `[columns]` each.
    scales: Vec<f32>,
    bias: Vec<f32>,
}

/// Rows of activations in int8.
#[derive(Debug, Default)]
pub struct Int8Rows {
    codes: Vec<u8>,
    scales: Vec<f32>,
}

impl Int8Rows {
    /// Quantises `values`, `[n_rows, width]`.
    #[inline(always)]
    pub fn fill<I: Isa>(&mut self, values: &[f32], width: usize) {
        self.codes.resize(values.len(), 0);
        self.scales.resize(values.len() / width, 0.0);
        let rows = values.chunks_exact(width);
        let codes = self.codes.chunks_exact_mut(width);
        for ((row, codes), scale) in rows.zip(codes).zip(&mut self.scales) {
            *scale = pointwise::quantise::<I>(row, codes);
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.scales.len()
    }
}

impl Int8Linear {
    /// Loads layers that share their input side by side: `name.weight`, `name.bias` of each name, `[columns, depth]`.
    pub fn load(
        file: &WeightFile,
        names: &[String],
        columns: usize,
        depth: usize,
    ) -> Result<Self, ModelError> {
        let (mut codes, mut scales, mut bias) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let matrix = file.matrix(&format!("{name}.weight"), depth)?;
            codes.extend_from_slice(matrix.codes());
            scales.extend_from_slice(&matrix.scales);
            bias.extend(file.values(&format!("{name}.bias"), columns)?);
        }
        Self::packed(&codes, scales, bias, depth)
    }

    /// Packs a matrix given in f32, `[columns, depth]`, without bias.
    pub fn new(weights: &[f32], depth: usize) -> Result<Self, ModelError> {
        Self::with_bias(weights, vec![0.0; weights.len() / depth], depth)
    }

    /// Packs a matrix given in f32, `[columns, depth]`, and its bias, `[columns]`.
    pub fn with_bias(weights: &[f32], bias: Vec<f32>, depth: usize) -> Result<Self, ModelError> {
        let (codes, scales) = quantise(weights, depth);
        Self::packed(&codes, scales, bias, depth)
    }

    fn packed(
        codes: &[i8],
        scales: Vec<f32>,
        bias: Vec<f32>,
        depth: usize,
    ) -> Result<Self, ModelError> {
        if scales.len() != bias.len()
            || !scales.len().is_multiple_of(GROUP_COLUMNS)
            || !depth.is_multiple_of(LANES)
        {
            return Err(ModelError::Shape);
        }
        Ok(Self {
            weights: PackedMatrix::new(codes, depth),
            scales,
            bias,
        })
    }

    /// Number of outputs.
    pub fn columns(&self) -> usize {
        self.scales.len()
    }

    /// Number of inputs.
    pub fn depth(&self) -> usize {
        self.weights.depth()
    }

    /// The outputs of rows, `[n_rows, depth]` to `[n_rows, columns]`.
    pub fn apply(&self, values: &[f32]) -> Vec<f32> {
        Instructions::best().run(Apply {
            linear: self,
            values,
        })
    }

    /// Hands the outputs of every row and group of columns to `finish`.
    ///
    /// `sums` is room for the integers, kept between calls.
    #[inline(always)]
    pub fn forward<I: Isa>(
        &self,
        isa: I,
        rows: &Int8Rows,
        sums: &mut Vec<i32>,
        finish: &mut impl Finish,
    ) {
        let activations = Activations {
            codes: &rows.codes,
            stride: self.weights.depth(),
            n_rows: rows.len(),
            zero_point: SIGNED_ZERO_POINT,
        };
        sums.resize(rows.len() * GROUP_COLUMNS, 0);
        let scales = self.scales.as_chunks::<GROUP_COLUMNS>().0;
        let biases = self.bias.as_chunks::<GROUP_COLUMNS>().0;
        for (group, (scales, bias)) in scales.iter().zip(biases).enumerate() {
            let panels = group * GROUP_PANELS..(group + 1) * GROUP_PANELS;
            product(isa, activations, &self.weights, panels, sums);
            let sums = sums.as_chunks::<GROUP_COLUMNS>().0.iter();
            for (row, (sums, row_scale)) in sums.zip(&rows.scales).enumerate() {
                let mut outputs = [0.0; GROUP_COLUMNS];
                for (at, output) in outputs.iter_mut().enumerate() {
                    let scaled = sums[at] as f32 * row_scale;
                    *output = mul_add::<I>(scaled, scales[at], bias[at]);
                }
                finish.finish::<I>(row, group * GROUP_COLUMNS, &outputs);
            }
        }
    }
}

struct Apply<'a> {
    linear: &'a Int8Linear,
    values: &'a [f32],
}

impl Kernel for Apply<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> Vec<f32> {
        let Self { linear, values } = self;
        let mut rows = Int8Rows::default();
        rows.fill::<I>(values, linear.depth());
        let mut out = vec![0.0; rows.len() * linear.columns()];
        let mut write = Write {
            out: &mut out,
            columns: linear.columns(),
        };
        linear.forward(isa, &rows, &mut Vec::new(), &mut write);
        out
    }
}
