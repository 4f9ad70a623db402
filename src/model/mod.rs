//! What does a text mean? Here are its passages, gimme their vectors and granule keys: [`PassageEncoding`].

pub mod abstraction;
mod attention;
pub mod config;
pub mod convert;
#[cfg(feature = "cuda")]
pub mod cuda_encoder;
#[cfg(not(feature = "cuda"))]
#[path = "cuda_encoder/disabled.rs"]
mod cuda_encoder;
pub mod device;
mod embeddings;
mod encoder;
mod feed_forward;
mod fused;
pub mod global;
pub mod granule;
mod int8_block;
mod int8_linear;
mod int8_trunk;
pub mod f32_trunk;
mod layer_norm;
mod linear;
mod layers;
mod local_block;
pub mod packed;
pub mod padded;
mod passage_encoder;
mod question;
pub mod reader;
pub mod router;
pub mod save;
pub mod trunk;
pub mod weights;

use std::path::{Path, PathBuf};

pub use cuda_encoder::encoder_on;
pub use encoder::{Encoder, PassageEncoding, PassageInput, Precision, fingerprint, load_config};
pub use passage_encoder::PassageEncoder;
pub use question::QueryEncoding;

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
    #[error("the GPU knows models of 384 dimensions, 12 heads and 1536 inner dimensions only")]
    GpuShape,
    #[error("{0}")]
    GpuBlocks(&'static str),
    #[error(
        "the global blocks take 2 to 6 levels, a ratio of 2 to 5, documents from 2 to 256 passages on, and heads whose \
         widths 64 divides; see config.json"
    )]
    GlobalShape,
    #[error(
        "cannot keep the states of a long document in the folder for temporary files: {0}; free some space there"
    )]
    Waiting(std::io::Error),
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
