//! Dense attention inside one passage in int8, a head at a time and without a tensor of all scores.

use super::{
    int8_attention::{self, Bias, HIDDEN, PackedKeys, Rows, ScoreScratch},
    simd::Isa,
};

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
    packed: PackedKeys,
    mask: Vec<f32>,
    scores: ScoreScratch,
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
    let rows = |codes, scales| Rows {
        codes,
        scales,
        size: head.size,
    };
    let AttentionScratch {
        packed,
        mask,
        scores,
    } = scratch;
    packed.pack(
        rows(head.keys, head.key_scales),
        rows(head.values, head.value_scales),
    );
    mask.clear();
    mask.resize(head.key_scales.len(), 0.0);
    mask.resize(packed.key_scales.len(), HIDDEN);
    let bias = Bias {
        rows: mask,
        null: false,
    };
    let queries = rows(head.queries, head.query_scales);
    int8_attention::attend(isa, queries, packed, bias, scores, (out, out_stride));
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
