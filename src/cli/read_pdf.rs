//! `shas read-pdf`: one PDF in a process of its own, which a bad file may end without harm to others.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result};

use crate::corpus;

/// Memory that a file may take.
#[cfg(unix)]
const MAX_BYTES: u64 = 2 << 30;
/// Processor time that a file may take, should nobody wait for it any more.
#[cfg(unix)]
const MAX_SECONDS: u64 = 60;

/// Prints the text of `file`, or why it has none, as JSON.
pub fn run(file: &Path) -> Result<()> {
    #[cfg(unix)]
    limit();
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = corpus::read_pdf(bytes);
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &text)?;
    output.flush()?;
    Ok(())
}

/// Where the system sets no limits, the process that waits for this one still ends it in time.
#[cfg(unix)]
fn limit() {
    use rustix::process::{Resource, Rlimit, setrlimit};

    for (resource, most) in [(Resource::As, MAX_BYTES), (Resource::Cpu, MAX_SECONDS)] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        // A stricter limit of the user stays in force.
        let _ = setrlimit(resource, limit);
    }
}
