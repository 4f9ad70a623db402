//! candle's fused softmax and LayerNorm, with the gradients that they lack, and sums over rows as products.
//!
//! Composed of single operations, both spend most of a training step on strided reads.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp3, D, Layout, Result, Shape, Storage, Tensor,
    backend::BackendStorage, op::BackpropOp,
};
use candle_nn::ops;

/// Softmax over the last dimension.
pub fn softmax(scores: &Tensor) -> Result<Tensor> {
    scores.contiguous()?.apply_op1(Softmax)
}

/// LayerNorm over the last dimension; `weight` and `bias` are `[size]`.
pub fn layer_norm(states: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    let epsilon = epsilon as f32;
    states
        .contiguous()?
        .apply_op3(weight, bias, LayerNorm { epsilon })
}

/// `vector` (`[size]`) `n` times, `[n, size]`: a product, so that its gradient is one as well.
pub fn repeated(vector: &Tensor, n: usize) -> Result<Tensor> {
    let ones = Tensor::ones((n, 1), vector.dtype(), vector.device())?;
    ones.matmul(&vector.reshape((1, ()))?)
}

/// The sum of rows: `[…, size]` → `[size]`.
fn sum_of_rows(values: &Tensor) -> Result<Tensor> {
    let size = values.dim(D::Minus1)?;
    let rows = values.contiguous()?.reshape(((), size))?;
    let ones = Tensor::ones((1, rows.dim(0)?), rows.dtype(), rows.device())?;
    ones.matmul(&rows)?.reshape(size)
}

struct Softmax;

impl Softmax {
    fn forward(scores: Tensor) -> Result<Tensor> {
        ops::softmax_last_dim(&scores)
    }
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        cpu_storage(&Self::forward(of_cpu(storage, layout)?)?)
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda_storage(&Self::forward(of_cuda(storage, layout)?)?)
    }

    fn bwd(&self, _: &Tensor, shares: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let moved = (shares * gradient)?;
        let total = moved.sum_keepdim(D::Minus1)?;
        Ok(Some((moved - shares.broadcast_mul(&total)?)?))
    }
}

struct LayerNorm {
    epsilon: f32,
}

impl LayerNorm {
    fn forward(&self, [states, weight, bias]: [Tensor; 3]) -> Result<Tensor> {
        ops::layer_norm(&states, &weight, &bias, self.epsilon)
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        states: &CpuStorage,
        states_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        cpu_storage(&self.forward([
            of_cpu(states, states_layout)?,
            of_cpu(weight, weight_layout)?,
            of_cpu(bias, bias_layout)?,
        ])?)
    }

    fn cuda_fwd(
        &self,
        states: &CudaStorage,
        states_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        cuda_storage(&self.forward([
            of_cuda(states, states_layout)?,
            of_cuda(weight, weight_layout)?,
            of_cuda(bias, bias_layout)?,
        ])?)
    }

    fn bwd(
        &self,
        states: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let centred = states.broadcast_sub(&states.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let deviation = (variance + f64::from(self.epsilon))?.sqrt()?;
        let normal = centred.broadcast_div(&deviation)?;
        let along = (gradient * &normal)?;
        let inner = gradient.broadcast_mul(weight)?;
        let mean = inner.mean_keepdim(D::Minus1)?;
        let slope = (&inner * &normal)?.mean_keepdim(D::Minus1)?;
        let moved = (inner.broadcast_sub(&mean)? - normal.broadcast_mul(&slope)?)?;
        let of_states = moved.broadcast_div(&deviation)?;
        Ok((
            Some(of_states),
            Some(sum_of_rows(&along)?),
            Some(sum_of_rows(gradient)?),
        ))
    }
}

fn of_cpu(storage: &CpuStorage, layout: &Layout) -> Result<Tensor> {
    let storage = Storage::Cpu(storage.try_clone(layout)?);
    Ok(tensor(storage, layout))
}

fn of_cuda(storage: &CudaStorage, layout: &Layout) -> Result<Tensor> {
    let storage = Storage::Cuda(storage.try_clone(layout)?);
    Ok(tensor(storage, layout))
}

/// A tensor without a past.
fn tensor(storage: Storage, layout: &Layout) -> Tensor {
    Tensor::from_storage(storage, layout.shape(), BackpropOp::none(), false)
}

fn cpu_storage(tensor: &Tensor) -> Result<(CpuStorage, Shape)> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(own) => Ok((own.try_clone(layout)?, tensor.shape().clone())),
        _ => candle_core::bail!("a tensor changed its device"),
    }
}

fn cuda_storage(tensor: &Tensor) -> Result<(CudaStorage, Shape)> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(own) => Ok((own.try_clone(layout)?, tensor.shape().clone())),
        _ => candle_core::bail!("a tensor changed its device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use candle_nn::ops::softmax as composed_softmax;

    fn numbers(shape: (usize, usize), step: f64) -> Var {
        let count = shape.0 * shape.1;
        let values: Vec<f32> = (0..count)
            .map(|at| (at as f64 * step).sin() as f32)
            .collect();
        Var::from_vec(values, shape, &Device::Cpu).expect("makes")
    }

    /// The largest difference of values and of gradients, for a loss that weighs every value differently.
    fn check(own: &Tensor, composed: &Tensor, vars: &[&Var]) {
        let weights = numbers(own.dims2().expect("is a matrix"), 0.37);
        let of = |value: &Tensor| {
            let loss = (value * weights.as_tensor()).expect("multiplies");
            let store = loss.sum_all().expect("sums").backward().expect("passes");
            let gradients = vars
                .iter()
                .map(|var| store.get(var).expect("is there").clone());
            [value.clone()]
                .into_iter()
                .chain(gradients)
                .collect::<Vec<_>>()
        };
        for (own, composed) in of(own).iter().zip(of(composed)) {
            let far = (own - composed).and_then(|far| far.abs()?.max_all()?.to_scalar::<f32>());
            assert!(far.expect("compares") < 1e-5);
        }
    }

    #[test]
    fn the_softmax_has_the_gradient_of_the_composed_one() {
        let scores = numbers((5, 9), 1.3);
        let own = softmax(&scores).expect("runs");
        let composed = composed_softmax(scores.as_tensor(), D::Minus1).expect("runs");
        check(&own, &composed, &[&scores]);
    }

    #[test]
    fn the_layer_norm_has_the_gradients_of_the_composed_one() {
        let states = numbers((5, 8), 2.1);
        let weight = Var::from_tensor(&numbers((1, 8), 0.9).flatten_all().expect("is flat"));
        let bias = Var::from_tensor(&numbers((1, 8), 0.4).flatten_all().expect("is flat"));
        let (weight, bias) = (weight.expect("makes"), bias.expect("makes"));
        let own = layer_norm(&states, &weight, &bias, 1e-5).expect("runs");
        let composed = ops::layer_norm_slow(&states, &weight, &bias, 1e-5).expect("runs");
        check(&own, &composed, &[&states, &weight, &bias]);
    }

    #[test]
    fn a_repeated_vector_gathers_its_gradient() {
        let vector = Var::from_tensor(&numbers((1, 6), 0.8).flatten_all().expect("is flat"));
        let vector = vector.expect("makes");
        let own = repeated(&vector, 7).expect("repeats");
        let composed = vector.broadcast_as((7, 6)).expect("repeats");
        check(&own, &composed, &[&vector]);
    }
}
