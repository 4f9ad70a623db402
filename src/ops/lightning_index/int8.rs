//! The lightning indexer in int8: what a granule's queries make of some nodes.
//!
//! Keys are codes with one scale each, the largest magnitude becoming 127: the scaling rule of FP8 blocks, applied to
//! a key.

use super::super::{
    int8_attention::{Rows, pack_keys},
    int8_product::{
        Activations, LINE_DEPTHS, Line, PANEL_COLUMNS, SIGNED_ZERO_POINT, product_of_lines,
    },
    pointwise::{LANES, mul_add, quantise},
    simd::{Instructions, Isa, Kernel},
};

/// The keys of a level's nodes in codes with the signed zero point.
#[derive(Debug, Clone, Default)]
pub struct IndexKeys {
    /// `[n_nodes, size]`.
    codes: Vec<u8>,
    scales: Vec<f32>,
    size: usize,
}

/// The queries of a granule, `[n_queries * heads]` rows.
#[derive(Debug, Default)]
pub struct IndexQueries {
    codes: Vec<u8>,
    /// What each row's ReLU is multiplied by: its scale and its head's weight, divided by the number of queries.
    factors: Vec<f32>,
}

/// Room for the packed keys and their products, kept between calls.
#[derive(Debug, Default)]
pub struct IndexScratch {
    codes: Vec<u8>,
    scales: Vec<f32>,
    lines: Vec<Line>,
    sums: Vec<i32>,
    products: Vec<i32>,
}

impl IndexKeys {
    /// Quantises keys, `[n_nodes, size]`; `size` is a multiple of 16.
    pub fn new(keys: &[f32], size: usize) -> Self {
        Instructions::best().run(Encode { keys, size })
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// True when there is no node.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }
}

struct Encode<'a> {
    keys: &'a [f32],
    size: usize,
}

impl Kernel for Encode<'_> {
    type Output = IndexKeys;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> IndexKeys {
        let Self { keys, size } = self;
        let mut codes = vec![0; keys.len()];
        let mut scales = vec![0.0; keys.len() / size];
        for (node, scale) in scales.iter_mut().enumerate() {
            let own = node * size..(node + 1) * size;
            *scale = quantise::<I>(&keys[own.clone()], &mut codes[own]);
        }
        IndexKeys {
            codes,
            scales,
            size,
        }
    }
}

impl IndexQueries {
    /// Empties it for another granule.
    pub fn clear(&mut self) {
        self.codes.clear();
        self.factors.clear();
    }

    /// Adds one head of one query, `[size]`, with the weight of the head divided by the number of queries.
    #[inline(always)]
    pub fn push<I: Isa>(&mut self, query: &[f32], weight: f32) {
        let start = self.codes.len();
        self.codes.resize(start + query.len(), 0);
        let scale = quantise::<I>(query, &mut self.codes[start..]);
        self.factors.push(scale * weight);
    }
}

/// The mean over queries of Σ over heads of w·ReLU(q·k), of each of `nodes`, into `scores`.
#[inline(always)]
pub fn score<I: Isa>(
    isa: I,
    queries: &IndexQueries,
    keys: &IndexKeys,
    nodes: &[u32],
    scratch: &mut IndexScratch,
    scores: &mut Vec<f32>,
) {
    let size = keys.size;
    let padded = nodes.len().next_multiple_of(PANEL_COLUMNS);
    scratch.codes.clear();
    scratch.scales.clear();
    for &node in nodes {
        let node = node as usize;
        scratch
            .codes
            .extend_from_slice(&keys.codes[node * size..(node + 1) * size]);
        scratch.scales.push(keys.scales[node]);
    }
    scratch.lines.clear();
    scratch.lines.resize(
        padded / PANEL_COLUMNS * (size / LINE_DEPTHS),
        Line([0; PANEL_COLUMNS * LINE_DEPTHS]),
    );
    scratch.sums.clear();
    scratch.sums.resize(padded, 0);
    let rows = Rows {
        codes: &scratch.codes,
        scales: &scratch.scales,
        size,
    };
    pack_keys(rows, &mut scratch.lines, &mut scratch.sums);
    let activations = Activations {
        codes: &queries.codes,
        stride: size,
        n_rows: queries.factors.len(),
        zero_point: SIGNED_ZERO_POINT,
    };
    scratch.products.resize(queries.factors.len() * padded, 0);
    product_of_lines(
        isa,
        activations,
        &scratch.lines,
        &scratch.sums,
        &mut scratch.products,
    );
    scores.clear();
    scores.resize(padded, 0.0);
    for (products, factor) in scratch.products.chunks_exact(padded).zip(&queries.factors) {
        let blocks = scores.as_chunks_mut::<LANES>().0.iter_mut();
        for (scores, products) in blocks.zip(products.as_chunks::<LANES>().0) {
            for (score, product) in scores.iter_mut().zip(products) {
                *score = mul_add::<I>((*product).max(0) as f32, *factor, *score);
            }
        }
    }
    scores.truncate(nodes.len());
    for (score, scale) in scores.iter_mut().zip(&scratch.scales) {
        *score *= scale;
    }
}
