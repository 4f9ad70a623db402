//! Rows of unequal length as tensors: padded groups of like length, and maxima over ranges of columns.

use std::{ops::Range, sync::Arc};

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::{
    model::padded::PaddedRows,
    ops::permute::{Permutation, permute},
};

/// Rows that share a padded tensor, at most.
const GROUP_ROWS: usize = 48;

/// Rows of like length, padded to the longest.
pub struct Group {
    /// Which rows, in the order of the tensor.
    pub rows: Vec<usize>,
    pub padded: PaddedRows,
    /// `[batch, length]`: one over the row's own length, 0 where padded.
    pub shares: Tensor,
}

/// Rows of tokens, the longest first, in groups.
pub fn groups(rows: &[&[u32]], device: &Device) -> Result<Vec<Group>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(rows[row].len()));
    let chunks = order.chunks(GROUP_ROWS);
    chunks
        .map(|chunk| group(chunk.to_vec(), rows, device))
        .collect()
}

/// Some rows as one group.
pub fn group(chosen: Vec<usize>, rows: &[&[u32]], device: &Device) -> Result<Group> {
    let own: Vec<&[u32]> = chosen.iter().map(|&row| rows[row]).collect();
    let padded = PaddedRows::new(&own, device)?;
    let shape = (own.len(), padded.length);
    let mut shares = vec![0f32; shape.0 * shape.1];
    for (shares, row) in shares.chunks_exact_mut(padded.length).zip(own) {
        shares[..row.len()].fill(1.0 / row.len() as f32);
    }
    Ok(Group {
        rows: chosen,
        padded,
        shares: Tensor::from_vec(shares, shape, device)?,
    })
}

/// Puts what came out of groups, each `[batch, …]`, back into the order of the rows.
pub fn in_order(of_groups: &[Tensor], groups: &[Group]) -> Result<Tensor> {
    let order = groups.iter().flat_map(|group| &group.rows);
    let mut places: Vec<u32> = vec![0; order.clone().count()];
    for (place, &row) in order.enumerate() {
        places[row] = place as u32;
    }
    let all = Tensor::cat(of_groups, 0)?;
    let places = Tensor::new(places, all.device())?;
    Ok(all.index_select(&places, 0)?)
}

/// For each column the largest of its range, row by row: `[rows, columns]` → the same shape.
///
/// Consecutive columns of one range are taken together.
pub fn max_over(values: &Tensor, ranges: &[Range<usize>]) -> Result<Tensor> {
    let n_rows = values.dim(0)?;
    let mut parts = Vec::new();
    for same in ranges.chunk_by(|a, b| a == b) {
        let range = &same[0];
        let largest = values.narrow(1, range.start, range.len())?.max_keepdim(1)?;
        parts.push(largest.broadcast_as((n_rows, same.len()))?);
    }
    Ok(Tensor::cat(&parts, 1)?)
}

/// For each column the largest of itself and the two beside it, as far as they are in its range.
pub fn max_beside(values: &Tensor, ranges: &[Range<usize>]) -> Result<Tensor> {
    let columns = ranges.iter().enumerate();
    let before = columns
        .clone()
        .map(|(at, own)| at.max(own.start + 1) as u32 - 1);
    let after = columns.map(|(at, own)| (at + 1).min(own.end - 1) as u32);
    let shifted = |places: Vec<u32>| values.index_select(&Tensor::new(places, values.device())?, 1);
    let before = shifted(before.collect())?;
    let after = shifted(after.collect())?;
    Ok(values.maximum(&before)?.maximum(&after)?)
}

/// Moves tokens between padded groups and the order of the rows.
pub struct Packing {
    packs: Arc<Permutation>,
    unpacks: Arc<Permutation>,
    /// `[batch, length]` of each group.
    shapes: Vec<(usize, usize)>,
}

impl Packing {
    /// The packing of rows that lie in `groups`.
    pub fn new(rows: &[&[u32]], groups: &[Group], device: &Device) -> Result<Self> {
        let mut starts = vec![0];
        for row in rows {
            starts.push(starts[starts.len() - 1] + row.len() as u32);
        }
        let n_tokens = starts[rows.len()];
        let mut places = Vec::new();
        let mut tokens = vec![0; n_tokens as usize];
        for group in groups {
            for &row in &group.rows {
                let own = starts[row]..starts[row + 1];
                let first = places.len() as u32;
                own.clone()
                    .zip(first..)
                    .for_each(|(token, place)| tokens[token as usize] = place);
                places.extend(own);
                places.resize(first as usize + group.padded.length, n_tokens);
            }
        }
        let filled = places.iter().map(|&token| token % n_tokens).collect();
        let tensor = |values: Vec<u32>| Tensor::new(values, device);
        let (tokens, places) = (tensor(tokens)?, tensor(places)?);
        Ok(Self {
            packs: Arc::new(Permutation {
                rows: tokens.clone(),
                places,
            }),
            unpacks: Arc::new(Permutation {
                rows: tensor(filled)?,
                places: tokens,
            }),
            shapes: groups
                .iter()
                .map(|group| (group.rows.len(), group.padded.length))
                .collect(),
        })
    }

    /// States of groups, `[batch, length, columns]` each → `[n_tokens, columns]`.
    pub fn pack(&self, of_groups: &[Tensor]) -> Result<Tensor> {
        let flat = of_groups.iter().map(|own| own.flatten_to(1));
        let flat = flat.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(permute(&Tensor::cat(&flat, 0)?, self.packs.clone())?)
    }

    /// And back; padding holds any row.
    pub fn unpack(&self, packed: &Tensor) -> Result<Vec<Tensor>> {
        let columns = packed.dim(1)?;
        let flat = permute(packed, self.unpacks.clone())?;
        let mut first = 0;
        let of_group = |&(batch, length): &(usize, usize)| {
            let own = flat.narrow(0, first, batch * length)?;
            first += batch * length;
            Ok(own.reshape((batch, length, columns))?)
        };
        self.shapes.iter().map(of_group).collect()
    }
}
