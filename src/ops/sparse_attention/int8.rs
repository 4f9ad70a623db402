//! Sparse attention in int8: queries that share a list attend to chunks of 16 latents that were packed once.
//!
//! A latent is key and value alike, so one code and one scale serve both. What a list names is copied together, then
//! multiplied as a whole: a copy of a latent costs a hundredth of its products with the 128 rows of 16 queries.

use super::super::{
    int8_attention::{self, Bias, HIDDEN, PackedKeys, Rows, ScoreScratch},
    int8_product::{LINE_DEPTHS, Line, PANEL_COLUMNS},
    pointwise::quantise,
    simd::{Instructions, Isa, Kernel},
};

/// Latents of a chunk.
pub const CHUNK: usize = PANEL_COLUMNS;

/// Latents in chunks of 16, packed as keys and as values.
#[derive(Debug, Default)]
pub struct PackedLatents {
    size: usize,
    /// A record for each chunk, so that a copy of it is a copy of one place: `size / LINE_DEPTHS` lines as keys, as
    /// many as values, the sums of the codes of each latent (i32, one line) and of each dimension (i16), and the
    /// scales (f32, one line).
    lines: Vec<Line>,
}

/// Some consecutive latents of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRange {
    pub chunk: u32,
    /// Latents within the chunk.
    pub start: u8,
    pub end: u8,
    /// Bucket of their distance.
    pub bucket: u8,
}

impl PackedLatents {
    /// Latents of `size` dimensions, a multiple of 32.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            lines: Vec::new(),
        }
    }

    /// Number of chunks.
    pub fn n_chunks(&self) -> usize {
        self.lines.len() / self.record_lines()
    }

    /// Appends latents, `[n, size]`, as whole chunks; the last is padded.
    pub fn push(&mut self, latents: &[f32]) {
        Instructions::best().run(Push {
            packed: self,
            latents,
        });
    }

    /// Appends all chunks of `other`.
    pub fn append(&mut self, other: &Self) {
        self.lines.extend_from_slice(&other.lines);
    }

    /// Lines of the keys, and of the values.
    fn key_lines(&self) -> usize {
        self.size / LINE_DEPTHS
    }

    /// Lines of the sums of the dimensions.
    fn sum_lines(&self) -> usize {
        self.size * size_of::<i16>() / size_of::<Line>()
    }

    fn record_lines(&self) -> usize {
        2 * self.key_lines() + 1 + self.sum_lines() + 1
    }

    /// Copies the chunks of a list together.
    #[inline(always)]
    fn gather(&self, list: &[ChunkRange], gathered: &mut PackedKeys) {
        let zero = Line([0; PANEL_COLUMNS * LINE_DEPTHS]);
        let (key_lines, record_lines) = (self.key_lines(), self.record_lines());
        let depth = CHUNK / LINE_DEPTHS;
        gathered.keys.clear();
        gathered.key_sums.clear();
        gathered.key_scales.clear();
        gathered.values.resize(list.len() * key_lines, zero);
        gathered.value_sums.clear();
        gathered.value_sums.resize(self.size, 0);
        for (at, range) in list.iter().enumerate() {
            let record = &self.lines[range.chunk as usize * record_lines..][..record_lines];
            let (keys, rest) = record.split_at(key_lines);
            let (values, rest) = rest.split_at(key_lines);
            let (key_sums, rest) = rest.split_at(1);
            let (value_sums, scales) = rest.split_at(self.sum_lines());
            gathered.keys.extend_from_slice(keys);
            for (panel, values) in values.chunks_exact(depth).enumerate() {
                let to = (panel * list.len() + at) * depth;
                gathered.values[to..to + depth].copy_from_slice(values);
            }
            gathered
                .key_sums
                .extend_from_slice(bytemuck::cast_slice(key_sums));
            gathered
                .key_scales
                .extend_from_slice(bytemuck::cast_slice(scales));
            let sums: &[i16] = bytemuck::cast_slice(value_sums);
            for (sum, own) in gathered.value_sums.iter_mut().zip(sums) {
                *sum += i32::from(*own);
            }
        }
        gathered.value_scales.clear();
        gathered
            .value_scales
            .extend_from_slice(&gathered.key_scales);
    }
}

struct Push<'a> {
    packed: &'a mut PackedLatents,
    latents: &'a [f32],
}

impl Kernel for Push<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let Self { packed, latents } = self;
        let size = packed.size;
        let (mut codes, mut scales) = (vec![0; CHUNK * size], [0.0; CHUNK]);
        let mut chunk = PackedKeys::default();
        for latents in latents.chunks(CHUNK * size) {
            let n = latents.len() / size;
            for at in 0..n {
                let row = &latents[at * size..][..size];
                scales[at] = quantise::<I>(row, &mut codes[at * size..][..size]);
            }
            let rows = Rows {
                codes: &codes[..n * size],
                scales: &scales[..n],
                size,
            };
            chunk.pack(rows, rows);
            packed.lines.extend_from_slice(&chunk.keys);
            packed.lines.extend_from_slice(&chunk.values);
            let sums: Vec<i16> = chunk.value_sums.iter().map(|&sum| sum as i16).collect();
            packed.lines.extend(as_lines(&chunk.key_sums));
            packed.lines.extend(as_lines(&sums));
            packed.lines.extend(as_lines(&chunk.key_scales));
        }
    }
}

/// Numbers that fill whole lines, as those.
fn as_lines<T: bytemuck::Pod>(numbers: &[T]) -> impl Iterator<Item = Line> {
    let bytes: &[i8] = bytemuck::cast_slice(numbers);
    bytes.as_chunks().0.iter().map(|&bytes| Line(bytes))
}

/// Room for what a list names and for scores, kept between calls.
#[derive(Debug, Default)]
pub struct SparseScratch {
    gathered: PackedKeys,
    bias: Vec<f32>,
    scores: ScoreScratch,
}

/// Queries that share a list, and their learned bias.
#[derive(Debug, Clone, Copy)]
pub struct SharedQueries<'a> {
    /// `[n_queries, heads]` rows.
    pub rows: Rows<'a>,
    /// Added by head and bucket of distance, `[heads, n_buckets]`.
    pub bias: &'a [f32],
    pub n_buckets: usize,
}

/// Writes the attention of queries to the latents of a list and to nothing, `[n_queries, heads, size]`.
///
/// Zeros where the list is empty. The definition is [`sparse_attention_slow`](super::sparse_attention_slow).
#[inline(always)]
pub fn attend_chunks<I: Isa>(
    isa: I,
    queries: SharedQueries,
    latents: &PackedLatents,
    list: &[ChunkRange],
    scratch: &mut SparseScratch,
    out: &mut [f32],
) {
    if list.is_empty() {
        out.fill(0.0);
        return;
    }
    latents.gather(list, &mut scratch.gathered);
    let n_keys = list.len() * CHUNK;
    let n_heads = queries.bias.len() / queries.n_buckets;
    scratch.bias.clear();
    scratch.bias.resize(n_heads * n_keys, HIDDEN);
    for (bias, table) in scratch
        .bias
        .chunks_exact_mut(n_keys)
        .zip(queries.bias.chunks_exact(queries.n_buckets))
    {
        for (bias, range) in bias.chunks_exact_mut(CHUNK).zip(list) {
            let value = table[usize::from(range.bucket)] * std::f32::consts::LOG2_E;
            bias[usize::from(range.start)..usize::from(range.end)].fill(value);
        }
    }
    finish(isa, queries.rows, scratch, out);
}

/// Single latents in codes with the signed zero point, with what is added to the score of each.
#[derive(Debug, Clone, Copy)]
pub struct SingleLatents<'a> {
    /// `[n]` rows.
    pub rows: Rows<'a>,
    /// Logarithms of how many tokens each stands for, `[n]`.
    pub log_sizes: &'a [f32],
    /// Buckets of their distances, `[n]`.
    pub buckets: &'a [u8],
}

/// As [`attend_chunks`], to single latents: the nodes of a cover.
#[inline(always)]
pub fn attend_singles<I: Isa>(
    isa: I,
    queries: SharedQueries,
    latents: SingleLatents,
    scratch: &mut SparseScratch,
    out: &mut [f32],
) {
    if latents.log_sizes.is_empty() {
        out.fill(0.0);
        return;
    }
    scratch.gathered.pack(latents.rows, latents.rows);
    let n_keys = scratch.gathered.key_scales.len();
    let n_heads = queries.bias.len() / queries.n_buckets;
    scratch.bias.clear();
    scratch.bias.resize(n_heads * n_keys, HIDDEN);
    for (bias, table) in scratch
        .bias
        .chunks_exact_mut(n_keys)
        .zip(queries.bias.chunks_exact(queries.n_buckets))
    {
        let keys = latents.log_sizes.iter().zip(latents.buckets);
        for (bias, (log_size, bucket)) in bias.iter_mut().zip(keys) {
            *bias = (table[usize::from(*bucket)] + log_size) * std::f32::consts::LOG2_E;
        }
    }
    finish(isa, queries.rows, scratch, out);
}

#[inline(always)]
fn finish<I: Isa>(isa: I, rows: Rows, scratch: &mut SparseScratch, out: &mut [f32]) {
    let SparseScratch {
        gathered,
        bias,
        scores,
    } = scratch;
    let bias = Bias {
        rows: bias,
        null: true,
    };
    int8_attention::attend(isa, rows, gathered, bias, scores, (out, rows.size));
}
