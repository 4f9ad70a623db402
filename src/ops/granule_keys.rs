//! Granule keys in 4 bits a dimension, and the attention of a question's tokens to them.
//!
//! A key has 128 dimensions. Each is stored as a signed nibble −7…7 (two's complement, low nibble first:
//! byte `j` holds dimension `2j` below and `2j + 1` above); one f16 scale a key maps nibbles to values.

use half::f16;

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
    /// `[n_tokens, KEY_DIMENSIONS]`, held as i16 because products are taken in i16.
    codes: Vec<i16>,
    scales: Vec<f32>,
}

impl QueryKeys {
    /// Quantises `keys`, each `[KEY_DIMENSIONS]`.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [f32]>) -> Self {
        let mut quantised = Self::default();
        for key in keys {
            let largest = key
                .iter()
                .fold(0f32, |largest, value| largest.max(value.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            quantised
                .codes
                .extend(key.iter().map(|value| (value * inverse).round() as i16));
            quantised.scales.push(largest / 127.0);
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
/// `codes` is `[n_granules, KEY_BYTES]`, `scales` `[n_granules]`. Start `best` at the value that an absent
/// granule should have (0: no attention).
pub fn attend(query: &QueryKeys, codes: &[u8], scales: &[f16], best: &mut [f32]) {
    let mut key = [0i16; KEY_DIMENSIONS];
    for (granule, scale) in codes.chunks_exact(KEY_BYTES).zip(scales) {
        unpack(granule, &mut key);
        let scale = scale.to_f32();
        let tokens = query.codes.chunks_exact(KEY_DIMENSIONS).zip(&query.scales);
        for ((token, token_scale), best) in tokens.zip(best.iter_mut()) {
            let dot: i32 = token
                .iter()
                .zip(&key)
                .map(|(a, b)| i32::from(*a) * i32::from(*b))
                .sum();
            *best = best.max(dot as f32 * scale * token_scale);
        }
    }
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
                let weight = f32::from(query.codes[token * KEY_DIMENSIONS + dimension]);
                similarity += value * scale.to_f32() * weight * query.scales[token];
            }
            *best = best.max(similarity);
        }
    }
}

/// Writes the values of one key back into f32, scale included.
pub fn dequantise(granule: &[u8], scale: f16, key: &mut [f32; KEY_DIMENSIONS]) {
    let mut codes = [0i16; KEY_DIMENSIONS];
    unpack(granule, &mut codes);
    for (value, code) in key.iter_mut().zip(codes) {
        *value = f32::from(code) * scale.to_f32();
    }
}

fn unpack(granule: &[u8], key: &mut [i16; KEY_DIMENSIONS]) {
    for (pair, &byte) in key.chunks_exact_mut(2).zip(granule) {
        // Shifting left and back keeps the sign of a nibble.
        pair[0] = i16::from((byte << 4) as i8 >> 4);
        pair[1] = i16::from(byte as i8 >> 4);
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
            keys in proptest::collection::vec(key(), 0..9),
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
