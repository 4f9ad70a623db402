//! What does a text mean? Here are its passages, gimme their vectors and granule keys: [`PassageEncoding`].

mod attention;
pub mod config;
pub mod convert;
mod embeddings;
mod encoder;
mod feed_forward;
pub mod global_block;
pub mod granule;
mod int8_block;
mod int8_linear;
mod int8_trunk;
mod f32_trunk;
mod local_block;
pub mod packed;
pub mod trunk;
pub mod weights;

use std::path::{Path, PathBuf};

pub use encoder::{Encoder, PassageEncoding, PassageInput, Precision, QueryEncoding, fingerprint};

/// Why the model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read {path}: {source}; give --model the folder that holds the weights")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot write {path}: {source}")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is damaged or of another model ({reason}); restore it from the release")]
    Corrupt { path: PathBuf, reason: String },
    #[error(
        "the int8 form needs widths that 64 divides and heads of 16, 32 or 64 dimensions; use --precision f32"
    )]
    Shape,
    #[error("the model failed on this input: {0}")]
    Tensor(#[from] candle_core::Error),
    #[error(transparent)]
    Text(#[from] crate::text::TextError),
}

impl ModelError {
    fn corrupt(path: &Path, reason: impl ToString) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}
