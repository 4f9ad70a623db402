//! The text that benchmarks read.

use std::path::Path;

use shas::model::Encoder;

use super::support::{Result, project};

/// Word pieces of the bundled notes, over and over in another order each time.
pub fn tokens(encoder: &Encoder, count: usize) -> Result<Vec<u32>> {
    let mut notes = Vec::new();
    read(&project().join("corpora/vault"), &mut notes)?;
    notes.sort();
    let mut all = Vec::new();
    let notes: Vec<Vec<u32>> = notes
        .iter()
        .map(|note| {
            Ok(encoder
                .tokenizer()
                .tokenize(note)?
                .iter()
                .map(|own| own.id)
                .collect())
        })
        .collect::<Result<_>>()?;
    let mut step = 1;
    while all.len() < count {
        for at in 0..notes.len() {
            all.extend_from_slice(&notes[(at * step) % notes.len()]);
        }
        step += 2;
    }
    all.truncate(count);
    Ok(all)
}

fn read(folder: &Path, notes: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => read(&path, notes)?,
            false if path.extension().is_some_and(|own| own == "md") => {
                notes.push(std::fs::read_to_string(path)?)
            }
            false => {}
        }
    }
    Ok(())
}
