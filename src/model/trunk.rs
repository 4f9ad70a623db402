//! The seam of the trunk: the pretrained layers, whichever way they are computed.

use super::{ModelError, global_block::GlobalBlock, packed::PackedBatch};

/// Dense attention inside passages, with a global block between some layers where there is one.
pub trait Trunk: Send + Sync {
    /// The states of every token, `[n_tokens, hidden]` row by row, in the order of `batch.token_ids`.
    fn forward(
        &self,
        batch: &PackedBatch,
        global: Option<&dyn GlobalBlock>,
    ) -> Result<Vec<f32>, ModelError>;
}
