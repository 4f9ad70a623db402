//! The seam of the trunk: the pretrained layers, whichever way they are computed.

use std::ops::Range;

use super::{ModelError, packed::PackedBatch};

/// Dense attention inside passages; none sees another.
pub trait Trunk: Send + Sync {
    /// Number of layers.
    fn n_layers(&self) -> usize;

    /// Runs `layers` over the states of every token, `[n_tokens, hidden]` in the order of `batch.token_ids`.
    ///
    /// Where they start at 0, the embeddings come first and what `states` held is lost.
    fn run(
        &self,
        batch: &PackedBatch,
        layers: Range<usize>,
        states: &mut [f32],
    ) -> Result<(), ModelError>;
}
