//! What stands just before and behind a passage? Lists of the tokens near a group, for
//! [`sparse_attention`](super::sparse_attention).
//!
//! The window of a group of consecutive queries reaches from `window` tokens before its first token to `window` tokens
//! behind its last, without the tokens of its own passage, which the local attention has.

use super::sparse_attention::{KeyLists, KeyRange, log_bucket};

/// Keys of a range at most; ranges end at its multiples, so that lists of neighbours are cut alike.
pub const RANGE_KEYS: usize = 16;

/// The lists of all groups: up to `group` queries each, never of two passages.
///
/// Passage `i` is the tokens `starts[i]..starts[i + 1]`.
pub fn window_lists(starts: &[usize], window: usize, group: usize) -> KeyLists {
    let n_tokens = starts.last().copied().unwrap_or(0);
    let mut lists = KeyLists::default();
    for passage in starts.windows(2) {
        for first in (passage[0]..passage[1]).step_by(group.max(1)) {
            let end = passage[1].min(first + group.max(1));
            let before = first.saturating_sub(window)..passage[0];
            let behind = passage[1]..n_tokens.min(end + window);
            let ranges = [before, behind].into_iter().flat_map(cut);
            let list = ranges.map(|(start, end)| KeyRange {
                start: start as u32,
                end: end as u32,
                bucket: log_bucket(start.abs_diff(first)),
            });
            lists.push(end - first, list);
        }
    }
    lists
}

/// `tokens` in ranges that end at multiples of [`RANGE_KEYS`].
fn cut(tokens: std::ops::Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let mut start = tokens.start;
    std::iter::from_fn(move || {
        let range = (start, tokens.end.min((start / RANGE_KEYS + 1) * RANGE_KEYS));
        start = range.1;
        (range.0 < range.1).then_some(range)
    })
}

/// The definition of attention over [`window_lists`], by a mask over all tokens; shapes are those of
/// [`sparse_attention_slow`](super::sparse_attention::sparse_attention_slow), sizes are 1.
pub fn window_attention_slow(tokens: &WindowTokens) -> Vec<f64> {
    let (heads, dimensions) = (tokens.heads, tokens.dimensions);
    let mut out = Vec::new();
    for (row, query) in tokens.queries.chunks_exact(dimensions).enumerate() {
        let (token, head) = (row / heads, row % heads);
        let mut mixed = vec![0.0; dimensions];
        let mut total = 1.0;
        for (key, latent) in tokens.latents.chunks_exact(dimensions).enumerate() {
            let Some(bucket) = tokens.bucket(token, key) else {
                continue;
            };
            let product: f64 = query.iter().zip(latent).map(|(q, c)| q * c).sum();
            let bias = tokens.bias[head * super::sparse_attention::N_BUCKETS + usize::from(bucket)];
            let weight = (product / (dimensions as f64).sqrt() + bias).exp();
            total += weight;
            for (mixed, value) in mixed.iter_mut().zip(latent) {
                *mixed += weight * value;
            }
        }
        out.extend(mixed.iter().map(|value| value / total));
        out.push(total.ln());
    }
    out
}

/// What [`window_attention_slow`] reads.
#[derive(Debug, Clone, Copy)]
pub struct WindowTokens<'a> {
    /// `[n_tokens, heads, dimensions]`.
    pub queries: &'a [f64],
    /// `[n_tokens, dimensions]`.
    pub latents: &'a [f64],
    /// `[heads, N_BUCKETS]`.
    pub bias: &'a [f64],
    pub starts: &'a [usize],
    pub window: usize,
    pub group: usize,
    pub heads: usize,
    pub dimensions: usize,
}

impl WindowTokens<'_> {
    /// The bucket of `key` for `token`, or none where the mask hides it.
    fn bucket(&self, token: usize, key: usize) -> Option<u8> {
        let passage = self
            .starts
            .windows(2)
            .find(|own| (own[0]..own[1]).contains(&token))?;
        if (passage[0]..passage[1]).contains(&key) {
            return None;
        }
        let first = token - (token - passage[0]) % self.group;
        let last = passage[1].min(first + self.group) - 1;
        let side = if key < first {
            first.saturating_sub(self.window)
        } else {
            passage[1]
        };
        let inside = key >= side && key <= last + self.window;
        let range = side.max(key - key % RANGE_KEYS);
        inside.then(|| log_bucket(range.abs_diff(first)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::{
        samples::{Numbers, assert_near, widen},
        sparse_attention::{Inputs, N_BUCKETS, forward},
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn lists_equal_the_mask(
            lengths in prop::collection::vec(1usize..50, 0..6),
            window in 0usize..80,
            group in 1usize..20,
            seed in any::<u64>(),
        ) {
            const HEADS: usize = 2;
            const DIMENSIONS: usize = 16;
            let mut starts = vec![0];
            for length in lengths {
                starts.push(starts[starts.len() - 1] + length);
            }
            let n_tokens = starts[starts.len() - 1];
            let mut numbers = Numbers::new(seed);
            let queries = numbers.take(n_tokens * HEADS * DIMENSIONS, 2.0);
            let latents = numbers.take(n_tokens * DIMENSIONS, 1.0);
            let bias = numbers.take(HEADS * N_BUCKETS, 1.0);
            let lists = window_lists(&starts, window, group);
            prop_assert!(lists.ranges.iter().all(|range| range.len() <= RANGE_KEYS));
            let own = forward(&Inputs {
                queries: &queries,
                latents: &latents,
                log_sizes: &vec![0.0; n_tokens],
                bias: &bias,
                lists: &lists,
                heads: HEADS,
                dimensions: DIMENSIONS,
            });
            let expected = window_attention_slow(&WindowTokens {
                queries: &widen(&queries),
                latents: &widen(&latents),
                bias: &widen(&bias),
                starts: &starts,
                window,
                group,
                heads: HEADS,
                dimensions: DIMENSIONS,
            });
            // Rounding in f32, as in the tests of sparse attention.
            assert_near(&own, &expected, 5e-5);
        }
    }

    #[test]
    fn a_document_of_one_passage_sees_nothing() {
        let lists = window_lists(&[0, 100], 256, 16);
        assert_eq!((lists.n_groups(), lists.n_queries()), (7, 100));
        assert!(lists.ranges.is_empty());
    }
}
