//! Org.
use super::{Document, plain};
pub fn parse(path: &str, text: String) -> Document {
    plain::parse(path, text)
}
