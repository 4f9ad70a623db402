//! The vectors of a gold set's documents, made as indexing makes them and kept in a file.
//!
//! The file is a safetensors one, so that scripts can read it: `model` and `joint`, f32 `[documents, dimensions]`, and
//! `lines`, u32 `[documents]`, the lines of `docs.jsonl` that they stand for, counted from 0. Its name has the model's
//! fingerprint and the hash of the documents; only `model` is read back.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{
    corpus::Document,
    eval::EvalError,
    ingest::{Event, IngestError, Progress},
    model::{PassageEncoder, PassageInput, config::LAYOUT},
    ops::similarity::mean_direction,
    text::layout,
};

/// Documents that are cut and encoded at once.
const BATCH_DOCUMENTS: usize = 256;

/// Where the vectors of these documents by this model are kept.
pub fn file(folder: &Path, set: &str, documents: &[Document], fingerprint: &str) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for document in documents {
        for part in [&document.path, &document.title, &document.text] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
    }
    let hash = hasher.finalize().to_hex();
    folder.join(format!("{set}-{fingerprint}-{}.safetensors", &hash[..16]))
}

/// Reads the model's vectors; none where there is no such file, or no whole one.
pub fn load(path: &Path) -> Option<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path).ok()?;
    let file = SafeTensors::deserialize(&bytes).ok()?;
    let tensor = file.tensor("model").ok()?;
    let dimensions = *tensor.shape().get(1)?;
    let rows = tensor.data().chunks_exact(4 * dimensions);
    let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Some(
        rows.map(|row| row.chunks_exact(4).map(value).collect())
            .collect(),
    )
}

/// Writes both kinds of vectors for a later run and for scripts.
///
/// # Errors
/// When the file cannot be written.
pub fn save(
    path: &Path,
    documents: &[Document],
    model: &[Vec<f32>],
    joint: &[Vec<f32>],
) -> Result<(), EvalError> {
    let unwritten = |source: std::io::Error| EvalError::Cache {
        path: path.to_owned(),
        source,
    };
    let lines = documents.iter().map(|document| {
        let number = document.path.trim_end_matches(".txt");
        number.parse::<u32>().unwrap_or(u32::MAX).to_le_bytes()
    });
    let lines: Vec<u8> = lines.flatten().collect();
    let bytes = |rows: &[Vec<f32>]| -> Vec<u8> {
        let values = rows.iter().flatten();
        values.flat_map(|value| value.to_le_bytes()).collect()
    };
    let (model_bytes, joint_bytes) = (bytes(model), bytes(joint));
    let shape = |rows: &[Vec<f32>]| vec![rows.len(), rows.first().map_or(0, Vec::len)];
    let parts = [
        ("model", Dtype::F32, shape(model), &model_bytes),
        ("joint", Dtype::F32, shape(joint), &joint_bytes),
        ("lines", Dtype::U32, vec![documents.len()], &lines),
    ];
    let views: Vec<(&str, TensorView)> = parts
        .into_iter()
        .map(|(name, kind, shape, bytes)| Ok((name, TensorView::new(kind, shape, bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()
        .map_err(|error| unwritten(std::io::Error::other(error)))?;
    let whole = safetensors::serialize(views, None)
        .map_err(|error| unwritten(std::io::Error::other(error)))?;
    let partial = path.with_extension("partial");
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(unwritten)?;
    std::fs::write(&partial, whole).map_err(unwritten)?;
    std::fs::rename(&partial, path).map_err(unwritten)
}

/// The unit-length mean of each document's passage vectors, as the tree is told it; zero for one without text.
///
/// # Errors
/// When the model fails, or `progress` says to stop.
pub fn encode(
    documents: &[Document],
    encoder: &dyn PassageEncoder,
    progress: Progress,
) -> Result<Vec<Vec<f32>>, IngestError> {
    let mut goes_on = progress(Event::Waiting {
        documents: documents.len(),
    });
    let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(documents.len());
    let tokenizer = encoder.tokenizer();
    for batch in documents.chunks(BATCH_DOCUMENTS) {
        if !goes_on {
            return Err(IngestError::Stopped);
        }
        let cut = |document: &Document| layout(document, tokenizer, &LAYOUT);
        let layouts = batch.par_iter().map(cut).collect::<Result<Vec<_>, _>>()?;
        let mut tokens = 0;
        let mut pieces: Vec<Vec<(&[u32], Vec<u32>)>> = Vec::with_capacity(batch.len());
        for layout in &layouts {
            let passages = layout.passages.iter().map(|passage| {
                let body: Vec<u32> = passage.tokens.iter().map(|token| token.id).collect();
                tokens += body.len();
                (passage.prefix.as_slice(), body)
            });
            pieces.push(passages.collect());
        }
        let inputs = pieces.iter().map(|passages| {
            let inputs = passages.iter();
            let inputs = inputs.map(|(prefix, body)| PassageInput { prefix, body });
            inputs.collect::<Vec<_>>()
        });
        let inputs: Vec<Vec<PassageInput>> = inputs.collect();
        let inputs: Vec<&[PassageInput]> = inputs.iter().map(Vec::as_slice).collect();
        for encodings in encoder.encode_documents(&inputs)? {
            let dimensions = encodings.first().map_or(0, |own| own.vector.len());
            let passages = encodings.iter().map(|own| own.vector.as_slice());
            vectors.push(mean_direction(passages, dimensions));
        }
        goes_on = progress(Event::Done {
            documents: vectors.len(),
            tokens,
        });
    }
    let dimensions = vectors.iter().map(Vec::len).max().unwrap_or(0);
    vectors
        .iter_mut()
        .for_each(|vector| vector.resize(dimensions, 0.0));
    Ok(vectors)
}

/// The vectors of names, as questions have them: without anything before them.
///
/// # Errors
/// When the model fails.
pub fn of_names(
    names: &[&str],
    encoder: &dyn PassageEncoder,
) -> Result<Vec<Vec<f32>>, IngestError> {
    let pieces = names.iter().map(|name| encoder.tokenizer().ids(name));
    let pieces: Vec<Vec<u32>> = pieces.collect::<Result<_, _>>()?;
    let inputs = pieces
        .iter()
        .map(|body| [PassageInput { prefix: &[], body }]);
    let inputs: Vec<[PassageInput; 1]> = inputs.collect();
    let inputs: Vec<&[PassageInput]> = inputs.iter().map(<[_; 1]>::as_slice).collect();
    let encodings = encoder.encode_documents(&inputs)?.into_iter().flatten();
    Ok(encodings.map(|own| own.vector).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let document = |number: usize, text: &str| Document {
            path: format!("{number}.txt"),
            text: text.to_owned(),
            ..Document::default()
        };
        let documents = [document(3, "one"), document(8, "two")];
        let path = file(folder.path(), "set", &documents, "abc");
        let other = [document(3, "one"), document(8, "three")];
        assert_ne!(path, file(folder.path(), "set", &other, "abc"));
        assert_ne!(path, file(folder.path(), "set", &documents, "abd"));
        assert_eq!(load(&path), None);
        let model = vec![vec![0.5, -1.0], vec![2.0, 0.25]];
        let joint = vec![vec![1.0], vec![0.0]];
        save(&path, &documents, &model, &joint).expect("writes");
        assert_eq!(load(&path), Some(model));
        std::fs::write(&path, b"damaged").expect("writes");
        assert_eq!(load(&path), None);
    }
}
