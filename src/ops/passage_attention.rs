//! Dense attention inside one passage in int8, a head at a time and without a tensor of all scores.
//!
//! Queries, keys and values are codes with one scale a row. The scale of a value is multiplied into the
//! probability that weighs it before that is quantised, so what is rounded is what counts. Probabilities are
//! codes as well, scaled by the largest of their row; the sum that divides them is taken before rounding.

use super::{
    int8_product::{
        Activations, LINE_DEPTHS, Line, PANEL_COLUMNS, SIGNED_ZERO_POINT, product_of_lines,
    },
    pointwise::{
        LANES, add, exp2, larger, largest, multiply, multiply_add, numbers, quantise_within, sum,
    },
    simd::Isa,
};

/// Queries that are scored at once: their scores stay in the first cache.
const QUERY_ROWS: usize = 12;
/// What hides a key that pads the last panel.
const HIDDEN: f32 = -1e30;

/// One head of one passage.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Codes with the signed zero point, `[n_tokens, size]` each.
    pub queries: &'a [u8],
    pub keys: &'a [u8],
    pub values: &'a [u8],
    /// `[n_tokens]` each.
    pub query_scales: &'a [f32],
    pub key_scales: &'a [f32],
    pub value_scales: &'a [f32],
    /// Dimensions of the head, a multiple of 16.
    pub size: usize,
}

/// Room for the packed operands and the scores, kept between calls.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    keys: Vec<Line>,
    key_sums: Vec<i32>,
    values: Vec<Line>,
    value_sums: Vec<i32>,
    /// Scale and mask of each key, scale of each value: `[n_tokens, padded]`.
    key_scales: Vec<f32>,
    mask: Vec<f32>,
    value_scales: Vec<f32>,
    scores: Vec<i32>,
    weights: Vec<f32>,
    codes: Vec<u8>,
    mixed: Vec<i32>,
    factors: [f32; QUERY_ROWS],
}

/// Writes softmax(q·k / √size)·v of every token to `out[token * out_stride..][..size]`.
#[inline(always)]
pub fn attend<I: Isa>(
    isa: I,
    head: &Head,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
    out_stride: usize,
) {
    let n_tokens = head.query_scales.len();
    let padded = n_tokens.next_multiple_of(PANEL_COLUMNS);
    scratch.pack(head, padded);
    let temperature = std::f32::consts::LOG2_E / (head.size as f32).sqrt();
    for first in (0..n_tokens).step_by(QUERY_ROWS) {
        let n_rows = QUERY_ROWS.min(n_tokens - first);
        let queries = Activations {
            codes: &head.queries[first * head.size..],
            stride: head.size,
            n_rows,
            zero_point: SIGNED_ZERO_POINT,
        };
        product_of_lines(
            isa,
            queries,
            &scratch.keys,
            &scratch.key_sums,
            &mut scratch.scores,
        );
        for row in 0..n_rows {
            let scale = head.query_scales[first + row] * temperature;
            scratch.factors[row] = scratch.probabilities::<I>(row, scale, padded);
        }
        let weights = Activations {
            codes: &scratch.codes,
            stride: padded,
            n_rows,
            zero_point: 0,
        };
        product_of_lines(
            isa,
            weights,
            &scratch.values,
            &scratch.value_sums,
            &mut scratch.mixed,
        );
        for row in 0..n_rows {
            let factor = scratch.factors[row];
            let mixed = &scratch.mixed[row * head.size..][..head.size];
            for (out, sum) in out[(first + row) * out_stride..].iter_mut().zip(mixed) {
                *out = *sum as f32 * factor;
            }
        }
    }
}

impl AttentionScratch {
    #[inline(always)]
    fn pack(&mut self, head: &Head, padded: usize) {
        let n_tokens = head.query_scales.len();
        let zero = Line([0; PANEL_COLUMNS * LINE_DEPTHS]);
        self.keys.clear();
        self.keys
            .resize(padded / PANEL_COLUMNS * (head.size / LINE_DEPTHS), zero);
        self.key_sums.clear();
        self.key_sums.resize(padded, 0);
        pack_keys(head, &mut self.keys, &mut self.key_sums);
        self.values.clear();
        self.values
            .resize(head.size / PANEL_COLUMNS * (padded / LINE_DEPTHS), zero);
        self.value_sums.clear();
        self.value_sums.resize(head.size, 0);
        pack_values(head, &mut self.values, &mut self.value_sums);
        for (own, scales) in [
            (&mut self.key_scales, head.key_scales),
            (&mut self.value_scales, head.value_scales),
        ] {
            own.clear();
            own.extend_from_slice(scales);
            own.resize(padded, 0.0);
        }
        self.mask.clear();
        self.mask.resize(n_tokens, 0.0);
        self.mask.resize(padded, HIDDEN);
        self.scores.resize(QUERY_ROWS * padded, 0);
        self.weights.resize(padded, 0.0);
        self.codes.resize(QUERY_ROWS * padded, 0);
        self.mixed.resize(QUERY_ROWS * head.size, 0);
    }

    /// Turns a row of scores into codes; returns what a product with the values' codes is multiplied by.
    #[inline(always)]
    fn probabilities<I: Isa>(&mut self, row: usize, scale: f32, padded: usize) -> f32 {
        let scores = self.scores[row * padded..][..padded]
            .as_chunks::<LANES>()
            .0
            .iter();
        let weights = self.weights.as_chunks_mut().0;
        let keys = self.key_scales.as_chunks::<LANES>().0.iter();
        let keys = keys.zip(self.mask.as_chunks::<LANES>().0);
        let mut best = [HIDDEN; LANES];
        let scale = [scale; LANES];
        for ((weights, scores), (scales, mask)) in weights.iter_mut().zip(scores).zip(keys) {
            let block = multiply_add::<I>(&multiply(&numbers(scores), &scale), scales, mask);
            best = larger(&best, &block);
            *weights = block;
        }
        let best = largest(&best);
        for weight in self.weights[..padded].iter_mut() {
            *weight = exp2::<I>(*weight - best);
        }
        let (mut sums, mut heaviest) = ([0.0; LANES], [0.0; LANES]);
        let weights = self.weights[..padded].as_chunks_mut().0;
        for (weights, scales) in weights.iter_mut().zip(self.value_scales.as_chunks().0) {
            sums = add(&sums, weights);
            let block = multiply(weights, scales);
            heaviest = larger(&heaviest, &block);
            *weights = block;
        }
        let heaviest = largest(&heaviest);
        let codes = &mut self.codes[row * padded..][..padded];
        // Twice the range of signed codes: probabilities have no sign.
        quantise_within::<I>(&self.weights[..padded], heaviest / 2.0, 0.0, codes);
        heaviest / 254.0 / sum(&sums)
    }
}

/// Keys as weights: column = key, depth = dimension.
#[inline(always)]
fn pack_keys(head: &Head, lines: &mut [Line], sums: &mut [i32]) {
    let depth_lines = head.size / LINE_DEPTHS;
    for (key, codes) in head.keys.chunks_exact(head.size).enumerate() {
        let panel = &mut lines[key / PANEL_COLUMNS * depth_lines..][..depth_lines];
        let at = key % PANEL_COLUMNS * LINE_DEPTHS;
        for (line, codes) in panel.iter_mut().zip(codes.as_chunks::<LINE_DEPTHS>().0) {
            line.0[at..at + LINE_DEPTHS].copy_from_slice(&codes.map(signed));
        }
        let sum: i32 = codes.iter().map(|&code| i32::from(code)).sum();
        sums[key] = sum - SIGNED_ZERO_POINT * head.size as i32;
    }
}

/// Values as weights: column = dimension, depth = token.
#[inline(always)]
fn pack_values(head: &Head, lines: &mut [Line], sums: &mut [i32]) {
    let depth_lines = lines.len() / (head.size / PANEL_COLUMNS);
    for row in head.values.chunks_exact(head.size) {
        for (sum, code) in sums.iter_mut().zip(row) {
            *sum += i32::from(*code) - SIGNED_ZERO_POINT;
        }
    }
    for (group, rows) in head.values.chunks(LINE_DEPTHS * head.size).enumerate() {
        for panel in 0..head.size / PANEL_COLUMNS {
            // Four tokens' codes of 16 dimensions; tokens past the end are zeros.
            let mut tokens = [[SIGNED_ZERO_POINT as u8; PANEL_COLUMNS]; LINE_DEPTHS];
            for (token, row) in tokens.iter_mut().zip(rows.chunks_exact(head.size)) {
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

/// The definition of [`attend`] in f32: `queries`, `keys`, `values` and the result are `[n_tokens, size]`.
pub fn attend_slow(queries: &[f32], keys: &[f32], values: &[f32], size: usize) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let attend = |query: &[f32]| {
        let scores = keys
            .chunks_exact(size)
            .map(|key| dot(query, key) / (size as f32).sqrt());
        let weights: Vec<f32> = scores.map(f32::exp).collect();
        let total: f32 = weights.iter().sum();
        let mut mixed = vec![0.0; size];
        for (value, weight) in values.chunks_exact(size).zip(weights) {
            for (mixed, value) in mixed.iter_mut().zip(value) {
                *mixed += value * weight / total;
            }
        }
        mixed
    };
    queries.chunks_exact(size).flat_map(attend).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::{
        pointwise::quantise,
        simd::{Instructions, Kernel},
    };

    const SIZE: usize = 32;

    struct Attend<'a>(Head<'a>);

    impl Kernel for Attend<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Vec<f32> {
            let mut out = vec![f32::NAN; self.0.query_scales.len() * SIZE];
            attend(
                isa,
                &self.0,
                &mut AttentionScratch::default(),
                &mut out,
                SIZE,
            );
            out
        }
    }

    /// Codes and scales of `[n_tokens, SIZE]`.
    fn quantised(rows: &[f32]) -> (Vec<u8>, Vec<f32>) {
        let mut codes = vec![0; rows.len()];
        let rows = rows.chunks_exact(SIZE).zip(codes.chunks_exact_mut(SIZE));
        let scales =
            rows.map(|(row, codes)| quantise::<crate::ops::int8_product::Portable>(row, codes));
        let scales = scales.collect();
        (codes, scales)
    }

    proptest! {
        #[test]
        fn int8_attention_is_near_its_definition(n_tokens in 1usize..70, spread in 0.1f32..3.0, seed in any::<u32>()) {
            let mut state = seed;
            let mut rows = || -> Vec<f32> {
                let next = |_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * spread
                };
                (0..n_tokens * SIZE).map(next).collect()
            };
            let (queries, keys, values) = (rows(), rows(), rows());
            let expected = attend_slow(&queries, &keys, &values, SIZE);
            let (queries, query_scales) = quantised(&queries);
            let (keys, key_scales) = quantised(&keys);
            let (values, value_scales) = quantised(&values);
            let head = Head {
                queries: &queries,
                keys: &keys,
                values: &values,
                query_scales: &query_scales,
                key_scales: &key_scales,
                value_scales: &value_scales,
                size: SIZE,
            };
            for instructions in Instructions::all() {
                for (own, expected) in instructions.run(Attend(head)).iter().zip(&expected) {
                    prop_assert!((own - expected).abs() < 0.06 * spread, "{own} {expected}");
                }
            }
        }
    }
}
