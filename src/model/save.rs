//! Writes the files of a model's folder.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use candle_core::Tensor;
use safetensors::{Dtype, tensor::TensorView};

use super::{
    ModelError,
    abstraction::{ABSTRACTION_FILE, AbstractionHead},
    config::ModelConfig,
    encoder::{fingerprint, load_config},
    granule::{GranuleTables, N_LEVELS},
    reader::ReaderHead,
    router::{ROUTER_FILE, Router},
    weights::{quantise, scale_name},
};
use crate::ops::granule_keys::KEY_DIMENSIONS;

/// The global blocks' file, where the model has any.
pub const GLOBAL_FILE: &str = "global.safetensors";

type Stored = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Writes f32 tensors as a weight file: matrices in int8 with a scale a row, the rest as they are.
pub fn trunk(tensors: &HashMap<String, Tensor>, path: &Path) -> Result<(), ModelError> {
    write_safetensors(path, &stored(tensors)?)
}

/// Writes the layers of a joint reader and its head as `reader.safetensors` into a folder.
pub fn reader(
    layers: &HashMap<String, Tensor>,
    head: &ReaderHead,
    folder: &Path,
) -> Result<(), ModelError> {
    let mut stored = stored(layers)?;
    for (name, values) in [("relevance", &head.relevance), ("span", &head.span)] {
        stored.insert(
            name.to_owned(),
            (Dtype::F32, vec![values.len()], bytes(values)),
        );
    }
    write_safetensors(&folder.join("reader.safetensors"), &stored)
}

fn stored(tensors: &HashMap<String, Tensor>) -> Result<Stored, ModelError> {
    let mut stored = Stored::new();
    for (name, tensor) in tensors {
        let shape = tensor.dims().to_vec();
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        if let [rows, columns] = shape[..] {
            let (codes, scales) = quantise(&values, columns);
            let codes = codes.iter().map(|&code| code as u8).collect();
            stored.insert(scale_name(name), (Dtype::F32, vec![rows], bytes(&scales)));
            stored.insert(name.clone(), (Dtype::I8, shape, codes));
        } else {
            stored.insert(name.clone(), (Dtype::F32, shape, bytes(&values)));
        }
    }
    Ok(stored)
}

/// Writes `router.safetensors` into a folder.
pub fn router(router: &Router, folder: &Path) -> Result<(), ModelError> {
    let mut stored = Stored::new();
    for (name, head) in [("kind", &router.kind), ("size", &router.size)] {
        let n_features = head.weight.len() / head.bias.len();
        let weight = (Dtype::F32, vec![3, n_features], bytes(&head.weight));
        stored.insert(format!("{name}.weight"), weight);
        let bias = (Dtype::F32, vec![3], bytes(&head.bias));
        stored.insert(format!("{name}.bias"), bias);
    }
    write_safetensors(&folder.join(ROUTER_FILE), &stored)
}

/// Writes `abstraction.safetensors` into a folder.
pub fn abstraction(head: AbstractionHead, folder: &Path) -> Result<(), ModelError> {
    let values = [("agreement", head.agreement), ("contrast", head.contrast)];
    let stored = values.into_iter().map(|(name, value)| {
        let stored = (Dtype::F32, vec![1], bytes(&[value]));
        (name.to_owned(), stored)
    });
    write_safetensors(&folder.join(ABSTRACTION_FILE), &stored.collect())
}

/// Writes `granules.safetensors` into a folder.
pub fn granules(tables: &GranuleTables, folder: &Path) -> Result<(), ModelError> {
    let hidden = tables.token_weight.len();
    let tables: [(&str, &[usize], &[f32]); 5] = [
        ("projection", &[KEY_DIMENSIONS, hidden], &tables.projection),
        ("idf", &[tables.idf.len()], &tables.idf),
        ("token_weight", &[hidden], &tables.token_weight),
        ("level_weight", &[N_LEVELS, hidden], &tables.level_weight),
        ("level_bias", &[N_LEVELS], &tables.level_bias),
    ];
    let stored = tables
        .into_iter()
        .map(|(name, shape, values)| {
            let stored = (Dtype::F32, shape.to_vec(), bytes(values));
            (name.to_owned(), stored)
        })
        .collect();
    write_safetensors(&folder.join("granules.safetensors"), &stored)
}

/// Writes `config.json` into a folder.
pub fn config(config: &ModelConfig, folder: &Path) -> Result<(), ModelError> {
    let path = folder.join("config.json");
    let text =
        serde_json::to_string_pretty(config).map_err(|error| ModelError::corrupt(&path, error))?;
    write(&path, text.as_bytes())
}

/// Writes the fingerprint of a finished folder into its `config.json`.
pub fn seal(folder: &Path) -> Result<(), ModelError> {
    let sealed = ModelConfig {
        fingerprint: Some(fingerprint(folder)?),
        ..load_config(folder)?
    };
    config(&sealed, folder)
}

/// Copies a model's files into another folder, unless it is the same.
pub fn copy_model(from: &Path, to: &Path) -> Result<(), ModelError> {
    let failed = |source| ModelError::Write {
        path: to.to_owned(),
        source,
    };
    std::fs::create_dir_all(to).map_err(failed)?;
    if from.canonicalize().ok() == to.canonicalize().ok() {
        return Ok(());
    }
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_file() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Copies a file as it is.
pub fn copy(from: &Path, to: &Path) -> Result<(), ModelError> {
    let bytes = std::fs::read(from).map_err(|source| ModelError::Read {
        path: from.to_owned(),
        source,
    })?;
    write(to, &bytes)
}

fn write_safetensors(path: &Path, stored: &Stored) -> Result<(), ModelError> {
    let views = stored
        .iter()
        .map(|(name, (dtype, shape, data))| {
            TensorView::new(*dtype, shape.clone(), data).map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ModelError::corrupt(path, error))?;
    let buffer =
        safetensors::serialize(views, None).map_err(|error| ModelError::corrupt(path, error))?;
    write(path, &buffer)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    std::fs::write(path, bytes).map_err(|source| ModelError::Write {
        path: path.to_owned(),
        source,
    })
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
