//! What does an article say? Here is its wikitext, gimme a [`Stripped`].
//!
//! Two passes, both linear: [`regions`] pairs what opens with what closes, the emitter then writes the text that is
//! left. No expression backtracks and nothing recurses, so no page can be slow or exhaust the stack.

mod elements;
mod emitter;
mod entities;
mod lines;
mod link;
mod regions;
mod templates;
mod writer;

use super::namespaces::Namespaces;
use crate::corpus::{Block, Link};

/// The plain text of a page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stripped {
    pub text: String,
    /// In order, parted by white space only.
    pub blocks: Vec<Block>,
    /// In order; each span lies in the text.
    pub links: Vec<Link>,
    /// Categories, in order, each once.
    pub tags: Vec<String>,
    /// Bytes that were looked at, some more than once.
    pub steps: usize,
}

/// Reads wikitext.
pub(super) fn strip(source: &str, namespaces: &Namespaces) -> Stripped {
    emitter::Emitter::new(source, namespaces).run()
}

pub(super) use link::first_target;

#[cfg(test)]
mod tests;
