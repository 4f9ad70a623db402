//! What the benchmarks share.

use std::{error::Error, path::PathBuf, time::Instant};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The folder of the project.
pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// How long `work` takes.
pub fn seconds<T, E: Error + 'static>(
    work: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The middle value.
pub fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value that `share` of the values do not exceed.
pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}
