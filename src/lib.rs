//! SHAS: a library of documents is one long context, and this is its sparse, hierarchical attention.
//!
//! # Bird's-eye view
//!
//! Writing reads what has changed, cuts it into passages that can be found by their text from then on, encodes those
//! into vectors and granule keys, lets the knowledge tree over the documents grow, and publishes it all as a snapshot.
//! Reading ranks the passages of a snapshot for a question, sums its attention up at every level of the tree, and
//! answers with verbatim quotes.
//!
//! ```text
//! domain ─ category ─ entity ─ document ─ section ─ passage ─ granule (4 tokens) ─ token
//! ```
//!
//! # Code map, in the order of the data
//!
//! | module | gives |
//! |---|---|
//! | [`corpus`] | documents: text, blocks, links, tags |
//! | [`text`] | sections, passages, sentences, word pieces |
//! | [`ops`] | the numeric operations of attention, each with its definition; one kernel for each set of instructions |
//! | [`model`] | vectors and granule keys of passages, keys of questions; [`model::global`]: attention over whole documents |
//! | [`tree`] | entities, categories, domains with names; [`tree::edit`]: what users change in them; pure |
//! | [`store`] | the index folder: sled, tantivy, segments, snapshots |
//! | [`ingest`] | the write path on one page |
//! | [`query`] | the read path on one page |
//! | [`answer`] | quotes with citations, or a node of the tree; whether the corpus answers, and why the ranking is as it is |
//! | [`tui`] | the browser: tree, preview, answers |
//! | [`cli`] | the commands |
//! | [`eval`] | a side road: figures on sets in the BEIR layout, on questions with answers and on gold taxonomies |
//! | [`train`] | another: weights by recipes |
//!
//! # Invariants
//!
//! Imports point upwards in this table only. candle appears in `ops`, `model` and `train`, sled and tantivy in `store`,
//! ratatui in `tui`, plotters and ureq in `cli`. The library touches the terminal in [`tui`] and [`cli`] only, the
//! environment in [`cli`] only. Nothing in a corpus is ever written to. A quote is compared with the file before it is
//! shown. There is no server, and no network but for the request of `ask --llm` (`cli/llm.rs`).

pub mod corpus;
pub mod text;
pub mod ops;
pub mod model;
pub mod tree;
pub mod store;
pub mod ingest;
pub mod query;
pub mod answer;
pub mod tui;
pub mod eval;
pub mod train;
pub mod cli;
