//! Weights at rest: safetensors files whose matrices are int8 with one f32 scale an output channel.
//!
//! A matrix `x.weight` of shape `[out, in]` is stored as I8 beside `x.scale`, F32 `[out]`, and means
//! `weight[o, i] · scale[o]`; vectors (biases, LayerNorm) are F32. Files are memory-mapped: what a question does
//! not touch is never read.

use std::{
    collections::HashMap,
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::Metadata};

use super::ModelError;

/// What the names of scales end with.
const SCALE: &str = ".scale";

/// An open weight file.
pub struct WeightFile {
    path: PathBuf,
    map: Arc<Mmap>,
    header: Metadata,
    /// First byte of the tensors.
    data_start: usize,
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

    /// The values that the codes stand for, `[rows, columns]`.
    pub fn dequantised(&self) -> Vec<f32> {
        let rows = self.codes().chunks_exact(self.columns).zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |&code| f32::from(code) * scale))
            .collect()
    }
}

impl WeightFile {
    /// Maps the file and reads its header.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let read = |source| ModelError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        // SAFETY: weights are replaced by renaming a new file over them, never changed in place.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        let (header_bytes, header) =
            SafeTensors::read_metadata(&map).map_err(|error| ModelError::corrupt(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            map: Arc::new(map),
            header,
            data_start: size_of::<u64>() + header_bytes,
        })
    }

    /// True where there is a tensor of that name.
    pub fn holds(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// The int8 matrix `name` and its scales, with the length of rows that it must have.
    pub fn matrix(&self, name: &str, columns: usize) -> Result<MappedMatrix, ModelError> {
        let (shape, codes) = self.tensor(name, Dtype::I8)?;
        let (_, scales) = self.tensor(&scale_name(name), Dtype::F32)?;
        let scales = f32s(&self.map[scales]);
        if shape != [scales.len(), columns] {
            return Err(self.unexpected(name));
        }
        Ok(MappedMatrix {
            map: Arc::clone(&self.map),
            codes,
            scales,
            columns,
        })
    }

    /// The f32 tensor `name`, flat, with the number of values that it must have.
    pub fn values(&self, name: &str, count: usize) -> Result<Vec<f32>, ModelError> {
        let (_, bytes) = self.tensor(name, Dtype::F32)?;
        let values = f32s(&self.map[bytes]);
        match values.len() == count {
            true => Ok(values),
            false => Err(self.unexpected(name)),
        }
    }

    /// The tensor `name` in f32, flat, be it stored so or an int8 matrix.
    pub fn numbers(&self, name: &str, count: usize) -> Result<Vec<f32>, ModelError> {
        match self
            .header
            .info(name)
            .map(|info| (info.dtype, &info.shape[..]))
        {
            Some((Dtype::I8, &[rows, columns])) if rows * columns == count => {
                Ok(self.matrix(name, columns)?.dequantised())
            }
            _ => self.values(name, count),
        }
    }

    /// Every tensor in f32 under its name; the scales of matrices are in these already.
    pub fn dequantised(&self, device: &Device) -> Result<HashMap<String, Tensor>, ModelError> {
        let mut tensors = HashMap::new();
        for (name, info) in self.header.tensors() {
            if name.ends_with(SCALE) {
                continue;
            }
            let values = match (info.dtype, info.shape.as_slice()) {
                (Dtype::F32, shape) => self.values(&name, shape.iter().product())?,
                (Dtype::I8, [_, columns]) => self.matrix(&name, *columns)?.dequantised(),
                // Position ids and the like carry no weights.
                _ => continue,
            };
            let tensor = Tensor::from_vec(values, info.shape.as_slice(), device)?;
            tensors.insert(name, tensor);
        }
        Ok(tensors)
    }

    /// Shape of a tensor and its bytes in the file.
    fn tensor(&self, name: &str, dtype: Dtype) -> Result<(&[usize], Range<usize>), ModelError> {
        let info = self
            .header
            .info(name)
            .ok_or_else(|| ModelError::corrupt(&self.path, format!("it has no {name}")))?;
        let (start, end) = info.data_offsets;
        match info.dtype == dtype {
            true => Ok((&info.shape, self.data_start + start..self.data_start + end)),
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
    format!("{}{SCALE}", name.strip_suffix(".weight").unwrap_or(name))
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

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect()
}
