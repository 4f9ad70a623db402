//! PDF.
use super::Document;
pub fn parse(_: &str, _: Vec<u8>) -> Result<Document, String> {
    Err("later".to_owned())
}
