//! Numbers of candle's tensors as slices, for the operations that candle does not have.

use candle_core::{CpuStorage, Error, Layout, Result, Shape, Tensor};

/// The numbers of a contiguous f32 tensor.
///
/// # Errors
///
/// Fails for other types and layouts.
pub fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => Err(Error::Msg(
            "the tensor is not contiguous: call `contiguous` first".into(),
        )),
    }
}

/// What an operation returns to candle.
pub fn output(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(values), shape.into()))
}

/// The numbers of a tensor, copied.
pub fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// A gradient in the shape of what it is the gradient of.
pub fn gradient(values: Vec<f32>, like: &Tensor) -> Result<Option<Tensor>> {
    Ok(Some(Tensor::from_vec(values, like.shape(), like.device())?))
}
