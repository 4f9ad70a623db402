//! The tests that run the whole of it: the shipped model, the bundled vault, the command line, the source tree.

mod bad_input;
mod commands;
mod layout;
mod model;
mod questions;
mod tidy;
mod vault;
