//! Rows in another order: each row of the result is one of the input, and none of the input is taken twice.
//!
//! Candle's own `index_select` adds gradients up row after row on a GPU; where no row is taken twice they only move.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, Error, Layout, Result, Shape, Storage, Tensor, backend::BackendStorage,
};

/// Which row goes where, and back.
#[derive(Debug, Clone)]
pub struct Permutation {
    /// `[n_out]`: the row of the input that each row of the result is.
    pub rows: Tensor,
    /// `[n_in]`: the row of the result that each row of the input became; `n_out` where it became none.
    pub places: Tensor,
}

/// `rows` `[n_in, columns]` in the order of `permutation`, `[n_out, columns]`.
///
/// A row of the result that stands for nothing may be any row; it must have no gradient.
pub fn permute(rows: &Tensor, permutation: Arc<Permutation>) -> Result<Tensor> {
    rows.contiguous()?.apply_op1(Permute(permutation))
}

struct Permute(Arc<Permutation>);

impl Permute {
    fn shape(&self, layout: &Layout) -> Result<Shape> {
        let (_, columns) = layout.shape().dims2()?;
        Ok((self.0.rows.dim(0)?, columns).into())
    }
}

impl CustomOp1 for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn cpu_fwd(&self, rows: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (order, order_layout) = self.0.rows.storage_and_layout();
        let Storage::Cpu(order) = &*order else {
            return Err(Error::Msg("rows and their order lie on two devices".into()));
        };
        let out = rows.index_select(order, layout, order_layout, 0)?;
        Ok((out, self.shape(layout)?))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        rows: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let (order, order_layout) = self.0.rows.storage_and_layout();
        let Storage::Cuda(order) = &*order else {
            return Err(Error::Msg("rows and their order lie on two devices".into()));
        };
        let out = rows.index_select(order, layout, order_layout, 0)?;
        Ok((out, self.shape(layout)?))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let d_out = d_out.pad_with_zeros(0, 0, 1)?;
        Ok(Some(d_out.index_select(&self.0.places, 0)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn rows_and_gradients_move() {
        let tensor = |values: &[u32]| Tensor::new(values, &Device::Cpu).expect("is a tensor");
        let permutation = Arc::new(Permutation {
            rows: tensor(&[3, 0, 2]),
            places: tensor(&[1, 3, 2, 0]),
        });
        let rows = Tensor::arange(0f32, 8.0, &Device::Cpu).and_then(|own| own.reshape((4, 2)));
        let rows = Var::from_tensor(&rows.expect("has rows")).expect("is a variable");
        let out = permute(&rows, permutation).expect("moves");
        let values: Vec<Vec<f32>> = out.to_vec2().expect("is a matrix");
        assert_eq!(values, [[6.0, 7.0], [0.0, 1.0], [4.0, 5.0]]);
        let marks = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu);
        let loss = (out * marks.expect("is one")).and_then(|own| own.sum_all());
        let gradients = loss.and_then(|own| own.backward()).expect("has some");
        let gradient = gradients.get(&rows).expect("has one").to_vec2::<f32>();
        let expected = [[3.0, 4.0], [0.0, 0.0], [5.0, 6.0], [1.0, 2.0]];
        assert_eq!(gradient.expect("is a matrix"), expected);
    }
}
