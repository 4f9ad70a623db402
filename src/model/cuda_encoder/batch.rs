//! Passages as the GPU reads them: one run of 32-bit words, copied at once.

use std::ops::Range;

use crate::model::{PassageInput, encoder::framed, granule::GRANULE_TOKENS};

/// Tokens that go through the trunk at once, at most.
pub const MAX_BATCH_TOKENS: usize = 1 << 17;
/// Passages that do, at most.
pub const MAX_BATCH_PASSAGES: usize = 2_048;
/// Words that a batch takes, at most: token ids, and three numbers a passage.
pub const MAX_BATCH_WORDS: usize = MAX_BATCH_TOKENS + 3 * MAX_BATCH_PASSAGES + 2;
/// Granules of a batch, at most: prefix and body of a passage end in a short one each.
pub const MAX_BATCH_GRANULES: usize = MAX_BATCH_TOKENS / GRANULE_TOKENS + 2 * MAX_BATCH_PASSAGES;

/// A batch in its layout: token ids `[n_tokens]`, starts `[n_passages + 1]`, tokens before each body, with `[CLS]`,
/// `[n_passages]`, and borders of the passages in granules `[n_passages + 1]`.
#[derive(Default)]
pub struct Batch {
    pub n_tokens: usize,
    pub n_passages: usize,
    /// Tokens of the longest passage.
    pub longest: usize,
    /// Of each passage.
    pub n_prefix_granules: Vec<usize>,
    /// Borders of the passages in granules.
    borders: Vec<u32>,
}

impl Batch {
    /// Writes passages into `words`, which hold [`MAX_BATCH_WORDS`].
    pub fn pack(passages: &[PassageInput], words: &mut [u32]) -> Self {
        let mut batch = Self {
            n_passages: passages.len(),
            borders: vec![0],
            ..Self::default()
        };
        let mut starts = vec![0];
        for passage in passages {
            let first = batch.n_tokens;
            for token in framed(passage.prefix, passage.body) {
                words[batch.n_tokens] = token;
                batch.n_tokens += 1;
            }
            starts.push(batch.n_tokens as u32);
            batch.longest = batch.longest.max(batch.n_tokens - first);
            let n_prefix = match passage.prefix.len() {
                0 => 0,
                length => (1 + length).div_ceil(GRANULE_TOKENS),
            };
            let n_granules = n_prefix + passage.body.len().div_ceil(GRANULE_TOKENS);
            batch.n_prefix_granules.push(n_prefix);
            let border = batch.n_granules() + n_granules;
            batch.borders.push(border as u32);
        }
        let prefixes = passages.iter().map(|own| 1 + own.prefix.len() as u32);
        let rest = words[batch.n_tokens..].iter_mut();
        let numbers = starts.into_iter().chain(prefixes);
        let numbers = numbers.chain(batch.borders.iter().copied());
        rest.zip(numbers).for_each(|(word, number)| *word = number);
        batch
    }

    /// Words that the batch takes.
    pub fn n_words(&self) -> usize {
        self.n_tokens + 3 * self.n_passages + 2
    }

    /// Granules of all passages.
    pub fn n_granules(&self) -> usize {
        self.borders.last().map_or(0, |&border| border as usize)
    }

    /// The granules of one passage.
    pub fn granules(&self, passage: usize) -> Range<usize> {
        self.borders[passage] as usize..self.borders[passage + 1] as usize
    }
}
