//! The lightning indexer: few low-dimensional heads that say where attention is worth its cost.

mod int8;

pub use int8::{IndexKeys, IndexQueries, IndexScratch, score};
