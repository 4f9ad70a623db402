//! A build without the feature `cuda`: passages are encoded on the CPU.

use candle_core::Device;

use super::{Encoder, PassageEncoder};

/// The encoder that runs on `device`, and why it is not the one asked for.
pub fn encoder_on(_: &Device, encoder: Encoder) -> (Box<dyn PassageEncoder>, Option<String>) {
    (Box::new(encoder), None)
}
