//! The seam of the global block: what may look at a whole document between two local layers.

use super::{ModelError, packed::PackedBatch};

/// Local layers after which a global block stands, counted from 1.
pub const GLOBAL_AFTER_LAYERS: [usize; 3] = [2, 4, 6];

/// Attention over the rest of the document, added to the states of its passages.
///
/// The identity start adds nothing, so the trunk runs without one until weights for it exist.
pub trait GlobalBlock: Send + Sync {
    /// Changes the `states` (`[n_tokens, hidden]`) of one whole document after local layer `layer`.
    fn forward(
        &self,
        layer: usize,
        states: &mut [f32],
        passages: &PackedBatch,
    ) -> Result<(), ModelError>;
}
