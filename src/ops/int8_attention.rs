//! Attention in int8 to keys and values that are packed already: what passage and sparse attention share.
//!
//! Queries, keys and values are codes with one scale a row. The scale of a value is multiplied into the
//! probability that weighs it before that is quantised, so what is rounded is what counts. Probabilities are
//! codes as well, scaled by the largest of their row; the sum that divides them is taken before rounding.

use super::{
    int8_product::{
        Activations, LINE_DEPTHS, Line, PANEL_COLUMNS, SIGNED_ZERO_POINT, product_of_lines,
    },
    pointwise::{
        Block, LANES, MAX_CODE, add, coarse_exp2, codes, exp2, larger, largest, max, multiply,
        multiply_add, numbers, subtract, sum,
    },
    simd::Isa,
};

/// Queries that are scored at once: their scores stay in the first cache.
const QUERY_ROWS: usize = 6;
/// Added to the score of a key that must not be seen.
pub const HIDDEN: f32 = -1e30;

/// Keys and values as operands of products; their number is a multiple of [`PANEL_COLUMNS`].
#[derive(Debug, Default)]
pub struct PackedKeys {
    /// Column = key, depth = dimension: `[n_keys / PANEL_COLUMNS, size / LINE_DEPTHS]`.
    pub keys: Vec<Line>,
    pub key_sums: Vec<i32>,
    /// Column = dimension, depth = key: `[size / PANEL_COLUMNS, n_keys / LINE_DEPTHS]`.
    pub values: Vec<Line>,
    pub value_sums: Vec<i32>,
    /// `[n_keys]` each.
    pub key_scales: Vec<f32>,
    pub value_scales: Vec<f32>,
}

/// Rows in codes with the signed zero point, `[n_rows, size]`, and their scales, `[n_rows]`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub codes: &'a [u8],
    pub scales: &'a [f32],
    /// Dimensions, a multiple of 16.
    pub size: usize,
}

/// What is added to scores, in base 2, and whether attending to nothing is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Bias<'a> {
    /// `[n_biases, n_keys]`; row r of the queries takes bias r modulo their number.
    pub rows: &'a [f32],
    /// A key of score 0 whose value is zero.
    pub null: bool,
}

/// Room for scores, kept between calls.
#[derive(Debug, Default)]
pub struct ScoreScratch {
    /// Products with keys, `[QUERY_ROWS, n_keys]`.
    scores: Vec<i32>,
    /// Logits in base 2, then their exponentials times the scales of values.
    weights: Vec<f32>,
    codes: Vec<u8>,
    mixed: Vec<i32>,
    rows: [Row; QUERY_ROWS],
}

/// What is known of a row of scores: blocks first, so that no row waits for its lanes to be added up.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    /// The largest logits, then the largest weights.
    largest: Block,
    sums: Block,
    /// The largest logit.
    best: f32,
    /// What makes a code of a weight.
    inverse: f32,
    /// What the product with the values' codes is multiplied by.
    factor: f32,
}

/// Writes softmax(q·k / √size + bias)·v of every row to `out[row * out_stride..][..size]`.
#[inline(always)]
pub fn attend<I: Isa>(
    isa: I,
    queries: Rows,
    packed: &PackedKeys,
    bias: Bias,
    scratch: &mut ScoreScratch,
    (out, out_stride): (&mut [f32], usize),
) {
    let (n_all, size, n_keys) = (queries.scales.len(), queries.size, packed.key_scales.len());
    let n_biases = bias.rows.len() / n_keys;
    scratch.resize(n_keys, size);
    let temperature = std::f32::consts::LOG2_E / (size as f32).sqrt();
    for first in (0..n_all).step_by(QUERY_ROWS) {
        let n_rows = QUERY_ROWS.min(n_all - first);
        let rows = Activations {
            codes: &queries.codes[first * size..],
            stride: size,
            n_rows,
            zero_point: SIGNED_ZERO_POINT,
        };
        let scores = &mut scratch.scores;
        product_of_lines(isa, rows, &packed.keys, &packed.key_sums, scores);
        let scales = &queries.scales[first..first + n_rows];
        for (row, scale) in scales.iter().enumerate() {
            let own = (first + row) % n_biases;
            let own = &bias.rows[own * n_keys..][..n_keys];
            scratch.logits::<I>(row, scale * temperature, packed, own);
        }
        scratch.find_best(n_rows, bias.null);
        for row in 0..n_rows {
            scratch.exponentials::<I>(row, packed);
        }
        scratch.sum_up::<I>(n_rows, bias.null);
        for row in 0..n_rows {
            scratch.quantise::<I>(row, n_keys);
        }
        let weights = Activations {
            codes: &scratch.codes,
            stride: n_keys,
            n_rows,
            zero_point: 0,
        };
        let mixed = &mut scratch.mixed;
        product_of_lines(isa, weights, &packed.values, &packed.value_sums, mixed);
        let rows = scratch.mixed.chunks_exact(size).zip(&scratch.rows);
        for (at, (mixed, row)) in rows.take(n_rows).enumerate() {
            let out = &mut out[(first + at) * out_stride..][..size];
            let factor = [row.factor; LANES];
            let mixed = mixed.as_chunks::<LANES>().0;
            for (out, mixed) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(mixed) {
                *out = multiply(&numbers(mixed), &factor);
            }
        }
    }
}

impl ScoreScratch {
    #[inline(always)]
    fn resize(&mut self, n_keys: usize, size: usize) {
        self.scores.resize(QUERY_ROWS * n_keys, 0);
        self.weights.resize(QUERY_ROWS * n_keys, 0.0);
        self.codes.resize(QUERY_ROWS * n_keys, 0);
        self.mixed.resize(QUERY_ROWS * size, 0);
    }

    /// Turns a row of scores into logits.
    #[inline(always)]
    fn logits<I: Isa>(&mut self, row: usize, scale: f32, packed: &PackedKeys, bias: &[f32]) {
        let n_keys = bias.len();
        let scores = &self.scores[row * n_keys..][..n_keys];
        let weights = &mut self.weights[row * n_keys..][..n_keys];
        let keys = packed.key_scales.as_chunks().0.iter();
        let keys = keys.zip(bias.as_chunks().0);
        let blocks = weights.as_chunks_mut().0.iter_mut();
        let blocks = blocks.zip(scores.as_chunks().0);
        let mut largest = [HIDDEN; LANES];
        let scale = [scale; LANES];
        for ((weights, scores), (scales, bias)) in blocks.zip(keys) {
            let block = multiply_add::<I>(&multiply(&numbers(scores), &scale), scales, bias);
            largest = larger(&largest, &block);
            *weights = block;
        }
        self.rows[row].largest = largest;
    }

    /// Finds the largest logit of each row.
    #[inline(always)]
    fn find_best(&mut self, n_rows: usize, null: bool) {
        let least = if null { 0.0 } else { HIDDEN };
        for row in &mut self.rows[..n_rows] {
            row.best = max(largest(&row.largest), least);
        }
    }

    /// Turns a row of logits into weights.
    #[inline(always)]
    fn exponentials<I: Isa>(&mut self, row: usize, packed: &PackedKeys) {
        let n_keys = packed.value_scales.len();
        let weights = &mut self.weights[row * n_keys..][..n_keys];
        let row = &mut self.rows[row];
        let best = [row.best; LANES];
        let (mut sums, mut heaviest) = ([0.0; LANES], [0.0; LANES]);
        let blocks = weights.as_chunks_mut().0.iter_mut();
        for (weights, scales) in blocks.zip(packed.value_scales.as_chunks().0) {
            let block = coarse_exp2::<I>(&subtract(weights, &best));
            sums = add(&sums, &block);
            let block = multiply(&block, scales);
            heaviest = larger(&heaviest, &block);
            *weights = block;
        }
        row.sums = sums;
        row.largest = heaviest;
    }

    /// Brings the lanes of each row together.
    #[inline(always)]
    fn sum_up<I: Isa>(&mut self, n_rows: usize, null: bool) {
        for row in &mut self.rows[..n_rows] {
            let nothing = if null { exp2::<I>(-row.best) } else { 0.0 };
            let heaviest = largest(&row.largest);
            // Twice the range of signed codes: probabilities have no sign.
            row.inverse = 2.0 * MAX_CODE / max(heaviest, f32::MIN_POSITIVE);
            row.factor = heaviest / (2.0 * MAX_CODE * (sum(&row.sums) + nothing));
        }
    }

    /// Turns a row of weights into codes.
    #[inline(always)]
    fn quantise<I: Isa>(&mut self, row: usize, n_keys: usize) {
        let weights = &self.weights[row * n_keys..][..n_keys];
        let own = &mut self.codes[row * n_keys..][..n_keys];
        let inverse = [self.rows[row].inverse; LANES];
        for (own, weights) in own.as_chunks_mut().0.iter_mut().zip(weights.as_chunks().0) {
            *own = codes::<I>(weights, &inverse);
        }
    }
}

impl PackedKeys {
    /// Packs rows of codes with the signed zero point, `[n, size]`, their scales and sizes; those that pad the last
    /// panel have a scale of 0 and must be hidden by the bias.
    #[inline(always)]
    pub fn pack(&mut self, keys: Rows, values: Rows) {
        let size = keys.size;
        let padded = keys.scales.len().next_multiple_of(PANEL_COLUMNS);
        let zero = Line([0; PANEL_COLUMNS * LINE_DEPTHS]);
        self.keys.clear();
        self.keys
            .resize(padded / PANEL_COLUMNS * (size / LINE_DEPTHS), zero);
        self.key_sums.clear();
        self.key_sums.resize(padded, 0);
        pack_keys(keys, &mut self.keys, &mut self.key_sums);
        self.values.clear();
        self.values
            .resize(size / PANEL_COLUMNS * (padded / LINE_DEPTHS), zero);
        self.value_sums.clear();
        self.value_sums.resize(size, 0);
        pack_values(values, &mut self.values, &mut self.value_sums);
        for (own, scales) in [
            (&mut self.key_scales, keys.scales),
            (&mut self.value_scales, values.scales),
        ] {
            own.clear();
            own.extend_from_slice(scales);
            own.resize(padded, 0.0);
        }
    }
}

/// Keys as weights: column = key, depth = dimension.
#[inline(always)]
pub fn pack_keys(rows: Rows, lines: &mut [Line], sums: &mut [i32]) {
    let depth_lines = rows.size / LINE_DEPTHS;
    for (key, codes) in rows.codes.chunks_exact(rows.size).enumerate() {
        let panel = &mut lines[key / PANEL_COLUMNS * depth_lines..][..depth_lines];
        let at = key % PANEL_COLUMNS * LINE_DEPTHS;
        for (line, codes) in panel.iter_mut().zip(codes.as_chunks::<LINE_DEPTHS>().0) {
            line.0[at..at + LINE_DEPTHS].copy_from_slice(&codes.map(signed));
        }
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        sums[key] = sum - SIGNED_ZERO_POINT * rows.size as i32;
    }
}

/// Values as weights: column = dimension, depth = token.
#[inline(always)]
fn pack_values(rows: Rows, lines: &mut [Line], sums: &mut [i32]) {
    let depth_lines = lines.len() / (rows.size / PANEL_COLUMNS);
    for row in rows.codes.chunks_exact(rows.size) {
        for (sum, code) in sums.iter_mut().zip(row) {
            *sum += i32::from(*code) - SIGNED_ZERO_POINT;
        }
    }
    for (group, tokens_codes) in rows.codes.chunks(LINE_DEPTHS * rows.size).enumerate() {
        for panel in 0..rows.size / PANEL_COLUMNS {
            // Four tokens' codes of 16 dimensions; tokens past the end are zeros.
            let mut tokens = [[SIGNED_ZERO_POINT as u8; PANEL_COLUMNS]; LINE_DEPTHS];
            for (token, row) in tokens.iter_mut().zip(tokens_codes.chunks_exact(rows.size)) {
                token.copy_from_slice(&row[panel * PANEL_COLUMNS..][..PANEL_COLUMNS]);
            }
            let line = &mut lines[panel * depth_lines + group].0;
            for (at, code) in line.iter_mut().enumerate() {
                *code = signed(tokens[at % LINE_DEPTHS][at / LINE_DEPTHS]);
            }
        }
    }
}

#[inline(always)]
fn signed(code: u8) -> i8 {
    code.wrapping_sub(SIGNED_ZERO_POINT as u8) as i8
}
