//! Weights at rest: safetensors files whose matrices are int8 with one f32 scale an output channel.
//!
//! A matrix `x.weight` of shape `[out, in]` is stored as I8 beside `x.scale`, F32 `[out]`, and means
//! `weight[o, i] · scale[o]`; vectors (biases, LayerNorm) are F32. Files are memory-mapped: what a question does
//! not touch is never read.

use std::{collections::HashMap, fs::File, ops::Range, path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::ModelError;

/// An open weight file.
pub struct WeightFile {
    path: std::path::PathBuf,
    map: Arc<Mmap>,
}

/// An int8 matrix that stays in its file.
#[derive(Clone)]
pub struct MappedMatrix {
    map: Arc<Mmap>,
    codes: Range<usize>,
    /// One a row, `[rows]`.
    pub scales: Vec<f32>,
    /// Length of a row.
    pub columns: usize,
}

impl MappedMatrix {
    /// All codes, `[rows, columns]`.
    pub fn codes(&self) -> &[i8] {
        bytemuck::cast_slice(&self.map[self.codes.clone()])
    }

    /// The codes of one row.
    pub fn row(&self, row: usize) -> &[i8] {
        &self.codes()[row * self.columns..][..self.columns]
    }
}

impl WeightFile {
    /// Maps the file; its header is checked when a tensor is asked for.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let read = |source| ModelError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        // SAFETY: weights are replaced by renaming a new file over them, never changed in place.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        Ok(Self {
            path: path.to_owned(),
            map: Arc::new(map),
        })
    }

    /// The int8 matrix `name` and its scales, with the length of rows that it must have.
    pub fn matrix(&self, name: &str, columns: usize) -> Result<MappedMatrix, ModelError> {
        let tensors = self.tensors()?;
        let view = self.tensor(&tensors, name, Dtype::I8)?;
        let scales = f32s(self.tensor(&tensors, &scale_name(name), Dtype::F32)?.data());
        if view.shape() != [scales.len(), columns] {
            return Err(self.unexpected(name));
        }
        let start = view.data().as_ptr() as usize - self.map.as_ptr() as usize;
        Ok(MappedMatrix {
            map: Arc::clone(&self.map),
            codes: start..start + view.data().len(),
            scales,
            columns,
        })
    }

    /// The f32 tensor `name`, flat, with the number of values that it must have.
    pub fn values(&self, name: &str, count: usize) -> Result<Vec<f32>, ModelError> {
        let tensors = self.tensors()?;
        let values = f32s(self.tensor(&tensors, name, Dtype::F32)?.data());
        match values.len() == count {
            true => Ok(values),
            false => Err(self.unexpected(name)),
        }
    }

    /// Every tensor in f32 under its name.
    pub fn dequantised(&self, device: &Device) -> Result<HashMap<String, Tensor>, ModelError> {
        let stored = self.tensors()?;
        let mut tensors = HashMap::new();
        for (name, view) in stored.iter() {
            let shape = view.shape();
            let values = match (view.dtype(), shape) {
                (Dtype::F32, _) => f32s(view.data()),
                (Dtype::I8, [_, columns]) => dequantise(&self.matrix(name, *columns)?),
                // Position ids and the like carry no weights.
                _ => continue,
            };
            tensors.insert(name.to_owned(), Tensor::from_vec(values, shape, device)?);
        }
        Ok(tensors)
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, ModelError> {
        SafeTensors::deserialize(&self.map).map_err(|error| ModelError::corrupt(&self.path, error))
    }

    fn tensor<'a>(
        &self,
        tensors: &SafeTensors<'a>,
        name: &str,
        dtype: Dtype,
    ) -> Result<safetensors::tensor::TensorView<'a>, ModelError> {
        let view = tensors
            .tensor(name)
            .map_err(|error| ModelError::corrupt(&self.path, error))?;
        match view.dtype() == dtype {
            true => Ok(view),
            false => Err(self.unexpected(name)),
        }
    }

    fn unexpected(&self, name: &str) -> ModelError {
        ModelError::corrupt(&self.path, format!("{name} has another type or shape"))
    }
}

/// A builder over [`WeightFile::dequantised`]'s tensors.
pub fn var_builder(tensors: HashMap<String, Tensor>, device: &Device) -> VarBuilder<'static> {
    VarBuilder::from_tensors(tensors, DType::F32, device)
}

/// The name under which the scale of the int8 matrix `name` is stored.
pub fn scale_name(name: &str) -> String {
    format!("{}.scale", name.strip_suffix(".weight").unwrap_or(name))
}

/// Rows of `values` (`[rows, columns]`) as int8 with one scale a row: the largest magnitude becomes ±127.
pub fn quantise(values: &[f32], columns: usize) -> (Vec<i8>, Vec<f32>) {
    let mut codes = Vec::with_capacity(values.len());
    let mut scales = Vec::with_capacity(values.len() / columns);
    for row in values.chunks(columns) {
        let largest = row
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        codes.extend(row.iter().map(|value| (value / scale).round() as i8));
        scales.push(scale);
    }
    (codes, scales)
}

fn dequantise(matrix: &MappedMatrix) -> Vec<f32> {
    let rows = matrix.codes().chunks(matrix.columns.max(1));
    rows.zip(&matrix.scales)
        .flat_map(|(row, scale)| row.iter().map(move |&code| f32::from(code) * scale))
        .collect()
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}
