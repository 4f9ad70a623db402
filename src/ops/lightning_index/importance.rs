//! Leaves ranked by what attention itself gives them: no index of its own, at the cost of the attention.

use rayon::prelude::*;

use super::{Ranked, ascending, keep_best};
use crate::ops::{
    pointwise::exp2,
    simd::{Instructions, Isa, Kernel},
    sparse_attention::{
        Inputs,
        tile::{Cursor, KeyTile, Lanes},
    },
};

/// The keys of each group's list to which its rows (queries and heads) give most weight together, ascending.
///
/// `inputs` are the compressed branch's, over leaves outside the own passage; `out` is what
/// [`forward`](crate::ops::sparse_attention::forward) returned for them.
pub fn most_important(inputs: &Inputs, out: &[f32], count: usize) -> Vec<Vec<u32>> {
    let select = |scratch: &mut Scratch, group: usize| {
        Instructions::best().run(Rank {
            inputs,
            out,
            group,
            count,
            scratch,
        })
    };
    let groups = (0..inputs.lists.n_groups()).into_par_iter();
    groups.map_init(Scratch::default, select).collect()
}

#[derive(Default)]
struct Scratch {
    lanes: Lanes,
    tile: KeyTile,
    /// `[keys of the tile, stride]`.
    logits: Vec<f32>,
    best: Vec<Ranked>,
}

struct Rank<'a> {
    inputs: &'a Inputs<'a>,
    out: &'a [f32],
    group: usize,
    count: usize,
    scratch: &'a mut Scratch,
}

impl Kernel for Rank<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> Vec<u32> {
        let Scratch {
            lanes,
            tile,
            logits,
            best,
        } = self.scratch;
        let dimensions = self.inputs.dimensions;
        let list = self.inputs.lists.of(self.group);
        let first = self.inputs.lists.queries_of(self.group).start * self.inputs.heads;
        lanes.fill(self.inputs, self.group);
        let mut log_sums = vec![0.0; lanes.n_rows];
        for (row, log_sum) in log_sums.iter_mut().enumerate() {
            let last = (first + row) * (dimensions + 1) + dimensions;
            *log_sum = self.out[last] * std::f32::consts::LOG2_E;
        }
        best.clear();
        let mut cursor = Cursor::default();
        while lanes.n_rows > 0 && tile.fill(self.inputs, list, &mut cursor) {
            lanes.logits::<I>(tile, dimensions, logits);
            for (logits, key) in logits.chunks_exact(lanes.stride).zip(&tile.keys) {
                let mut weight = 0.0;
                for (logit, log_sum) in logits.iter().zip(&log_sums) {
                    weight += exp2::<I>(*logit - *log_sum);
                }
                best.push((weight, *key));
            }
            keep_best(best, self.count);
        }
        ascending(best)
    }
}
