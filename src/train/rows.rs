//! Rows of unequal length as tensors: padded groups of like length, and maxima over ranges of columns.

use std::ops::Range;

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::model::padded::PaddedRows;

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
