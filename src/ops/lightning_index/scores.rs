//! The scores of listed keys for a group of queries, in int8: keys are the columns of small products.

use super::{
    IndexQueries, Indexer,
    keys::{GroupRows, IndexKeys},
};
use crate::ops::{
    int8_product::{
        Activations, LINE_DEPTHS, Line, PANEL_COLUMNS, SIGNED_ZERO_POINT, TILE_PANELS,
        product_of_lines,
    },
    pointwise::max,
    simd::{Instructions, Isa, Kernel},
};

/// Keys that are scored at once.
const TILE_KEYS: usize = TILE_PANELS * PANEL_COLUMNS;

/// Room for a tile, kept between lists.
#[derive(Debug, Default)]
pub struct Scratch {
    lines: Vec<Line>,
    products: Vec<i32>,
    /// One for each key of the list.
    pub scores: Vec<f32>,
}

/// Writes the score of each key of `list` to the scratch's scores.
pub fn score(rows: &GroupRows, keys: &IndexKeys, list: &[u32], scratch: &mut Scratch) {
    scratch.scores.clear();
    scratch.scores.resize(list.len(), 0.0);
    if !list.is_empty() && !rows.factors.is_empty() {
        Instructions::best().run(Score {
            rows,
            keys,
            list,
            scratch,
        });
    }
}

struct Score<'a> {
    rows: &'a GroupRows,
    keys: &'a IndexKeys,
    list: &'a [u32],
    scratch: &'a mut Scratch,
}

impl Kernel for Score<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let n_rows = self.rows.factors.len();
        let dimensions = self.rows.codes.len() / n_rows;
        let key_lines = dimensions / LINE_DEPTHS;
        let Scratch {
            lines,
            products,
            scores,
        } = self.scratch;
        lines.resize(
            TILE_PANELS * key_lines,
            Line([0; PANEL_COLUMNS * LINE_DEPTHS]),
        );
        products.resize(n_rows * TILE_KEYS, 0);
        let rows = Activations {
            codes: &self.rows.codes,
            stride: dimensions,
            n_rows,
            zero_point: SIGNED_ZERO_POINT,
        };
        for (list, scores) in self
            .list
            .chunks(TILE_KEYS)
            .zip(scores.chunks_mut(TILE_KEYS))
        {
            // Columns past the end keep the codes of the tile before; nobody reads their products.
            let mut sums = [0; TILE_KEYS];
            for (column, key) in list.iter().enumerate() {
                let panel = &mut lines[column / PANEL_COLUMNS * key_lines..][..key_lines];
                let at = column % PANEL_COLUMNS * LINE_DEPTHS;
                let codes = &self.keys.codes[*key as usize * dimensions..][..dimensions];
                for (line, codes) in panel.iter_mut().zip(codes.as_chunks::<LINE_DEPTHS>().0) {
                    line.0[at..at + LINE_DEPTHS].copy_from_slice(codes);
                }
                for code in codes {
                    sums[column] += i32::from(*code);
                }
            }
            let n_columns = list.len().next_multiple_of(PANEL_COLUMNS);
            let lines = &lines[..n_columns / PANEL_COLUMNS * key_lines];
            product_of_lines(isa, rows, lines, &sums[..n_columns], products);
            let mut totals = [0.0; TILE_KEYS];
            for (products, factor) in products.chunks_exact(n_columns).zip(&self.rows.factors) {
                for (product, total) in products.iter().zip(&mut totals) {
                    *total += max(*product as f32, 0.0) * *factor;
                }
            }
            for ((score, total), key) in scores.iter_mut().zip(&totals).zip(list) {
                *score = *total * self.keys.scales[*key as usize];
            }
        }
    }
}

/// The definition of a node's score: the sum of its children's with a lookahead less by one, and without any, or on the
/// lowest level, that of its own key.
///
/// `levels` are keys, `[n_nodes, dimensions]`, and the borders of children, from the lowest to the node's.
pub fn node_score_slow(
    indexer: &Indexer,
    queries: &IndexQueries,
    levels: &[(&[f32], &[u32])],
    node: u32,
) -> f32 {
    let (&(keys, children), below) = match levels {
        [] => return 0.0,
        [below @ .., own] => (own, below),
    };
    if indexer.lookahead == 0 || below.is_empty() {
        return scores_slow(indexer, queries, keys, &[node])[0];
    }
    let nearer = Indexer {
        lookahead: indexer.lookahead - 1,
        ..*indexer
    };
    (children[node as usize]..children[node as usize + 1])
        .map(|child| node_score_slow(&nearer, queries, below, child))
        .sum()
}

/// The definition in f32: the score of each key of `list` (rows of `keys`, `[n_keys, dimensions]`) for a group of all
/// `queries`.
pub fn scores_slow(
    indexer: &Indexer,
    queries: &IndexQueries,
    keys: &[f32],
    list: &[u32],
) -> Vec<f32> {
    let n_queries = queries.weights.len() / indexer.heads;
    let mut scores = Vec::new();
    for key in list {
        let key = &keys[*key as usize * indexer.dimensions..][..indexer.dimensions];
        let mut sum = 0.0;
        for query in 0..n_queries {
            for head in 0..indexer.heads {
                let row = query * indexer.heads + head;
                let values = &queries.queries[row * indexer.dimensions..][..indexer.dimensions];
                let product: f32 = values.iter().zip(key).map(|(q, k)| q * k).sum();
                sum += queries.weights[row] * product.max(0.0);
            }
        }
        scores.push(sum / n_queries as f32);
    }
    scores
}
