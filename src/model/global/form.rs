//! The seam of a global block: what it is asked, whichever way it is computed.
//!
//! A document is read whole before any of its tokens attends to it, batch by batch of its passages both times, so that
//! its states need not be held at once.

use super::{super::ModelError, block::GlobalBlock, context::Context};

/// A global block in one of its forms.
pub trait Global: Send + Sync {
    /// Nothing yet of a document whose passages have at most `longest` tokens.
    fn open(&self, longest: usize) -> Box<dyn Reading<'_> + '_>;

    /// The block itself where it is in int8.
    fn int8(&self) -> Option<&GlobalBlock> {
        None
    }
}

/// A document that is being read.
pub trait Reading<'a> {
    /// Appends passages, whose `states` are `[n_tokens, hidden]`, with borders `starts` in them.
    fn read(&mut self, states: &[f32], starts: &[usize]) -> Result<(), ModelError>;

    /// The document, once all of it was read.
    fn close(self: Box<Self>) -> Result<Box<dyn Document + 'a>, ModelError>;
}

/// A document that tokens can attend to.
pub trait Document {
    /// Adds to `states` (`[n_tokens, hidden]`) of consecutive passages what they find in the rest of it.
    ///
    /// `first_passage` is the number of the first of them in the document, `starts` their borders in `states`.
    fn attend(
        &self,
        first_passage: usize,
        states: &mut [f32],
        starts: &[usize],
    ) -> Result<(), ModelError>;
}

/// A document as the int8 form reads it, and then sees it.
struct Int8Document<'a> {
    block: &'a GlobalBlock,
    context: Context,
}

impl Global for GlobalBlock {
    fn open(&self, longest: usize) -> Box<dyn Reading<'_> + '_> {
        Box::new(Int8Document {
            block: self,
            context: Context::new(self, longest),
        })
    }

    fn int8(&self) -> Option<&GlobalBlock> {
        Some(self)
    }
}

impl<'a> Reading<'a> for Int8Document<'a> {
    fn read(&mut self, states: &[f32], starts: &[usize]) -> Result<(), ModelError> {
        self.context.read(self.block, states, starts);
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<Box<dyn Document + 'a>, ModelError> {
        self.context.close(self.block);
        Ok(self)
    }
}

impl Document for Int8Document<'_> {
    fn attend(
        &self,
        first_passage: usize,
        states: &mut [f32],
        starts: &[usize],
    ) -> Result<(), ModelError> {
        self.block
            .attend(&self.context, first_passage, states, starts);
        Ok(())
    }
}
