//! Weights at rest: one `model.safetensors` whose matrices are int8 with one f32 scale an output channel.
//!
//! A matrix `x.weight` of shape `[out, in]` is stored as I8 beside `x.scale`, F32 `[out]`, and means
//! `weight[o, i] · scale[o]`; vectors (biases, LayerNorm) are F32. [`quantise`] and [`load_f32`] are inverse
//! up to half a step of the scale.

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::ModelError;

/// Reads a safetensors file and returns every tensor in f32 under its trunk name.
pub fn load_f32(path: &Path, device: &Device) -> Result<HashMap<String, Tensor>, ModelError> {
    let buffer = std::fs::read(path).map_err(|source| ModelError::Read {
        path: path.to_owned(),
        source,
    })?;
    let stored = safetensors::SafeTensors::deserialize(&buffer)
        .map_err(|error| ModelError::corrupt(path, error))?;
    let mut tensors = HashMap::new();
    for (name, view) in stored.iter() {
        let shape = view.shape();
        let tensor = match view.dtype() {
            safetensors::Dtype::F32 => Tensor::from_vec(f32s(view.data()), shape, device)?,
            safetensors::Dtype::I8 => {
                let scale_name = scale_name(name);
                let scale = stored
                    .tensor(&scale_name)
                    .map_err(|error| ModelError::corrupt(path, error))?;
                let values = dequantise(view.data(), &f32s(scale.data()));
                Tensor::from_vec(values, shape, device)?
            }
            // Position ids and the like carry no weights.
            _ => continue,
        };
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// A builder over [`load_f32`]'s tensors.
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

fn dequantise(codes: &[u8], scales: &[f32]) -> Vec<f32> {
    let columns = codes.len() / scales.len().max(1);
    codes
        .chunks(columns.max(1))
        .zip(scales)
        .flat_map(|(row, scale)| row.iter().map(move |&code| f32::from(code as i8) * scale))
        .collect()
}

pub(super) fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}
