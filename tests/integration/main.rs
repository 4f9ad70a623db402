//! The tests that run the whole of it: the shipped model, the bundled vault, the command line, the source tree.

#[cfg(test)]
mod attention;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod keeping_up;
#[cfg(test)]
mod lasting;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod links;
#[cfg(test)]
mod model;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod ranking;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tree_quality;
#[cfg(test)]
mod vault;
#[cfg(test)]
mod written;
