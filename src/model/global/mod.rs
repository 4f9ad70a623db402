//! What does the rest of a document add to a passage? Here are its states, gimme them changed: [`GlobalBlock`].
//!
//! Hierarchical sparse attention. [`Context::read`] turns the states of a document into latents and builds the pyramid
//! over them; then every granule of 16 queries descends it, and attends to a window, to a cover of the whole document
//! and to the tokens of the selected leaves. A passage never sees itself here, and a document of one passage passes
//! through unchanged. [`F32GlobalBlock`] is the same over tensors with gradients; [`Global`] is what both answer to.

mod block;
pub mod config;
mod context;
mod exchange;
mod f32_block;
mod f32_context;
mod f32_weights;
mod form;
mod lists;
mod looked;
mod pool;
pub mod pyramid;
mod seen;
pub mod view;
pub mod weights;

pub use block::{GRANULE, GlobalBlock};
pub use config::GlobalConfig;
pub use context::Context;
pub use f32_block::F32GlobalBlock;
pub use form::{Document, Global, Reading};
pub use view::BlockView;
pub use weights::GlobalWeights;

/// Local layers after which a global block stands, counted from 1.
pub const GLOBAL_AFTER_LAYERS: [usize; 3] = [2, 4, 6];

/// What the names of the tensors of the block behind a layer begin with.
pub fn block_name(layer: usize) -> String {
    format!("global.{layer}")
}

#[cfg(test)]
pub(super) mod tests;
