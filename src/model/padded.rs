//! Rows of unequal length in one tensor, padded to the longest.

use candle_core::{Device, Result, Tensor};

/// Rows of like length as a tensor, and which of its places are theirs.
pub struct PaddedRows {
    pub length: usize,
    /// `[n_rows, length]`.
    pub token_ids: Tensor,
    /// `[n_rows, 1, 1, length]`: 0, or −∞ where padded.
    pub mask: Tensor,
}

impl PaddedRows {
    pub fn new(rows: &[&[u32]], device: &Device) -> Result<Self> {
        let count = rows.len();
        let length = rows.iter().map(|row| row.len()).max().unwrap_or(1);
        let mut token_ids = vec![0u32; count * length];
        let mut mask = vec![f32::NEG_INFINITY; count * length];
        for (at, row) in rows.iter().enumerate() {
            let own = at * length..at * length + row.len();
            token_ids[own.clone()].copy_from_slice(row);
            mask[own].fill(0.0);
        }
        Ok(Self {
            length,
            token_ids: Tensor::from_vec(token_ids, (count, length), device)?,
            mask: Tensor::from_vec(mask, (count, 1, 1, length), device)?,
        })
    }
}
