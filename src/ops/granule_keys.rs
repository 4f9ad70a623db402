//! Granule keys in 4 bits a dimension, and the attention of a question's tokens to them.
//!
//! A key has 128 dimensions. Each is stored as a signed nibble −7…7 (two's complement, low nibble first:
//! byte `j` holds dimension `2j` below and `2j + 1` above); one f16 scale a key maps nibbles to values.

use half::f16;

use super::{
    int8_product::{
        Activations, LINE_DEPTHS, Line, PANEL_COLUMNS, Portable, SIGNED_ZERO_POINT, TILE_PANELS,
        product_of_lines,
    },
    pointwise::{self, LANES, larger, max, multiply, numbers},
    simd::{Instructions, Isa, Kernel},
};

/// Dimensions of a granule key.
pub const KEY_DIMENSIONS: usize = 128;
/// Bytes of the nibbles of one key; its f16 scale is kept apart.
pub const KEY_BYTES: usize = KEY_DIMENSIONS / 2;

/// Keys of consecutive granules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GranuleKeys {
    /// `[n_granules, KEY_BYTES]`.
    pub codes: Vec<u8>,
    /// `[n_granules]`.
    pub scales: Vec<f16>,
}

impl GranuleKeys {
    /// Number of granules.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// True when there is no granule.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Quantises `key` (`[KEY_DIMENSIONS]`) and appends it.
    pub fn push(&mut self, key: &[f32]) {
        let largest = key
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = f16::from_f32(largest / 7.0);
        let inverse = if largest > 0.0 {
            1.0 / scale.to_f32()
        } else {
            0.0
        };
        let nibble = |value: f32| ((value * inverse).round().clamp(-7.0, 7.0) as i8 as u8) & 0x0f;
        self.codes.extend(
            key.chunks_exact(2)
                .map(|pair| nibble(pair[0]) | (nibble(pair[1]) << 4)),
        );
        self.scales.push(scale);
    }
}

/// The tokens of a question as keys, in int8 with one scale each.
#[derive(Debug, Clone, Default)]
pub struct QueryKeys {
    /// With the signed zero point, `[n_tokens, KEY_DIMENSIONS]`.
    codes: Vec<u8>,
    scales: Vec<f32>,
}

impl QueryKeys {
    /// Quantises `keys`, each `[KEY_DIMENSIONS]`.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [f32]>) -> Self {
        let mut quantised = Self::default();
        for key in keys {
            let start = quantised.codes.len();
            quantised.codes.resize(start + KEY_DIMENSIONS, 0);
            let scale = pointwise::quantise::<Portable>(key, &mut quantised.codes[start..]);
            quantised.scales.push(scale);
        }
        quantised
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// True when there is no token.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }
}

/// Raises `best[t]` (`[n_tokens]`) to the largest similarity of question token `t` to any of the granules.
///
/// `codes` is `[n_granules, KEY_BYTES]`, `scales` `[n_granules]`. No granule counts as 0, so `best` never ends
/// below that.
pub fn attend(query: &QueryKeys, codes: &[u8], scales: &[f16], best: &mut [f32]) {
    if query.is_empty() || scales.is_empty() {
        return;
    }
    Instructions::best().run(Attend {
        query,
        codes,
        scales,
        best,
    });
}

/// Granules that are unpacked at once: the panels of a tile.
const TILE_GRANULES: usize = TILE_PANELS * PANEL_COLUMNS;
const KEY_LINES: usize = KEY_DIMENSIONS / LINE_DEPTHS;

struct Attend<'a> {
    query: &'a QueryKeys,
    codes: &'a [u8],
    scales: &'a [f16],
    best: &'a mut [f32],
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let n_tokens = self.query.len();
        let tokens = Activations {
            codes: &self.query.codes,
            stride: KEY_DIMENSIONS,
            n_rows: n_tokens,
            zero_point: SIGNED_ZERO_POINT,
        };
        let mut lines = [Line([0; LINE_DEPTHS * PANEL_COLUMNS]); TILE_PANELS * KEY_LINES];
        let mut products = vec![0; n_tokens * TILE_GRANULES];
        let mut largest = vec![[0f32; LANES]; n_tokens];
        let tiles = self.codes.chunks(TILE_GRANULES * KEY_BYTES);
        for (codes, scales) in tiles.zip(self.scales.chunks(TILE_GRANULES)) {
            // Granules past the end keep the codes of the tile before, under a scale of 0.
            let mut sums = [0; TILE_GRANULES];
            let mut tile_scales = [0f32; TILE_GRANULES];
            for (granule, (codes, scale)) in codes.chunks_exact(KEY_BYTES).zip(scales).enumerate() {
                let panel = &mut lines[granule / PANEL_COLUMNS * KEY_LINES..][..KEY_LINES];
                sums[granule] = fill_column(panel, granule % PANEL_COLUMNS, codes);
                tile_scales[granule] = scale.to_f32();
            }
            let n_columns = scales.len().next_multiple_of(PANEL_COLUMNS);
            let n_lines = n_columns / PANEL_COLUMNS * KEY_LINES;
            product_of_lines(
                isa,
                tokens,
                &lines[..n_lines],
                &sums[..n_columns],
                &mut products,
            );
            for (products, largest) in products.chunks_exact(n_columns).zip(&mut largest) {
                let blocks = products.as_chunks::<LANES>().0.iter();
                for (products, scales) in blocks.zip(tile_scales.as_chunks::<LANES>().0) {
                    *largest = larger(largest, &multiply(&numbers(products), scales));
                }
            }
        }
        let tokens = largest.iter().zip(&self.query.scales);
        for (best, (largest, scale)) in self.best.iter_mut().zip(tokens) {
            *best = max(*best, pointwise::largest(largest) * scale);
        }
    }
}

/// Unpacks a granule into a column of a panel; returns the sum of its codes.
#[inline(always)]
fn fill_column(panel: &mut [Line], column: usize, codes: &[u8]) -> i32 {
    let mut key = [0i8; KEY_DIMENSIONS];
    unpack(codes, &mut key);
    for (line, codes) in panel.iter_mut().zip(key.as_chunks::<LINE_DEPTHS>().0) {
        line.0[column * LINE_DEPTHS..][..LINE_DEPTHS].copy_from_slice(codes);
    }
    key.iter().map(|code| i32::from(*code)).sum()
}

/// The definition of [`attend`]: values restored in f32, one product at a time.
pub fn attend_slow(query: &QueryKeys, codes: &[u8], scales: &[f16], best: &mut [f32]) {
    for (granule, scale) in scales.iter().enumerate() {
        for (token, best) in best.iter_mut().enumerate() {
            let mut similarity = 0.0;
            for dimension in 0..KEY_DIMENSIONS {
                let byte = codes[granule * KEY_BYTES + dimension / 2];
                let nibble = if dimension % 2 == 0 {
                    byte & 0x0f
                } else {
                    byte >> 4
                };
                let value = if nibble > 7 {
                    f32::from(nibble) - 16.0
                } else {
                    f32::from(nibble)
                };
                let code = query.codes[token * KEY_DIMENSIONS + dimension];
                let weight = (i32::from(code) - SIGNED_ZERO_POINT) as f32;
                similarity += value * scale.to_f32() * weight * query.scales[token];
            }
            *best = best.max(similarity);
        }
    }
}

/// Writes the values of one key back into f32, scale included.
pub fn dequantise(granule: &[u8], scale: f16, key: &mut [f32; KEY_DIMENSIONS]) {
    let mut codes = [0; KEY_DIMENSIONS];
    unpack(granule, &mut codes);
    for (value, code) in key.iter_mut().zip(codes) {
        *value = f32::from(code) * scale.to_f32();
    }
}

#[inline(always)]
fn unpack(granule: &[u8], key: &mut [i8; KEY_DIMENSIONS]) {
    for (pair, &byte) in key.as_chunks_mut::<2>().0.iter_mut().zip(granule) {
        // Shifting left and back keeps the sign of a nibble.
        *pair = [(byte << 4) as i8 >> 4, byte as i8 >> 4];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-1.0f32..1.0, KEY_DIMENSIONS)
    }

    proptest! {
        #[test]
        fn attend_equals_its_definition(
            keys in proptest::collection::vec(key(), 0..150),
            tokens in proptest::collection::vec(key(), 1..5),
        ) {
            let mut granules = GranuleKeys::default();
            keys.iter().for_each(|key| granules.push(key));
            let query = QueryKeys::new(tokens.iter().map(Vec::as_slice));
            let (mut fast, mut slow) = (vec![0.0; tokens.len()], vec![0.0; tokens.len()]);
            attend(&query, &granules.codes, &granules.scales, &mut fast);
            attend_slow(&query, &granules.codes, &granules.scales, &mut slow);
            for (fast, slow) in fast.iter().zip(slow) {
                prop_assert!((fast - slow).abs() < 1e-3, "{fast} {slow}");
            }
        }

        #[test]
        fn four_bits_keep_a_key_within_half_a_step(key in key()) {
            let mut granules = GranuleKeys::default();
            granules.push(&key);
            let mut restored = [0.0; KEY_DIMENSIONS];
            dequantise(&granules.codes, granules.scales[0], &mut restored);
            let step = granules.scales[0].to_f32();
            for (value, restored) in key.iter().zip(restored) {
                prop_assert!((value - restored).abs() <= step * 0.51 + 1e-3);
            }
        }
    }
}
