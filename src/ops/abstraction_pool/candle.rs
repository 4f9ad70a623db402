//! The operation for candle; query and residual travel as one tensor, since it takes three at most.
//!
//! Training on another device pools on the processor: there is a node for every four tokens, of 64 numbers.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor};

use super::{Inputs, Pooling, backward, forward};
use crate::ops::tensors::{gradient, numbers, output, values};

/// Which children belong to which parent, and how they are pooled.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Nodes {
    pub pooling: Pooling,
    /// See [`Inputs::sizes`].
    pub sizes: Vec<f32>,
    /// See [`Inputs::borders`].
    pub borders: Vec<u32>,
}

/// What is learned, directly or not.
#[derive(Debug, Clone, Copy)]
pub struct PoolTensors<'a> {
    /// `[n, dimensions]`.
    pub children: &'a Tensor,
    /// `[n]`.
    pub affinities: &'a Tensor,
    /// `[dimensions]`.
    pub query: &'a Tensor,
    /// `[dimensions, dimensions]`.
    pub residual: &'a Tensor,
}

/// The parents: `[n_parents, dimensions]`.
///
/// # Errors
///
/// Fails for types other than f32.
pub fn abstraction_pool(tensors: &PoolTensors, nodes: Arc<Nodes>) -> Result<Tensor> {
    let head = Tensor::cat(&[&tensors.query.unsqueeze(0)?, tensors.residual], 0)?;
    let here = |tensor: &Tensor| tensor.to_device(&Device::Cpu)?.contiguous();
    let children = here(tensors.children)?;
    let parents = children.apply_op3(&here(tensors.affinities)?, &here(&head)?, Pool(nodes))?;
    parents.to_device(tensors.children.device())
}

/// The affinities of children (`[n, dimensions]`) to their left neighbours in the same group, with a gradient: what
/// [`group_by_affinity`](super::group_by_affinity) cuts by, and 0 where a group begins.
///
/// # Errors
///
/// Fails where shapes do not agree; `projection` is `[AFFINITY_DIMENSIONS, dimensions]`.
pub fn group_affinities(children: &Tensor, projection: &Tensor, borders: &[u32]) -> Result<Tensor> {
    let n = children.dim(0)?;
    if n < 2 {
        return Tensor::zeros(n, children.dtype(), children.device());
    }
    let projected = children.matmul(&projection.t()?)?;
    // The zero vector has affinity 0, not NaN.
    let lengths = (projected.sqr()?.sum_keepdim(1)? + 1e-20)?.sqrt()?;
    let unit = projected.broadcast_div(&lengths)?;
    let cosines = (unit.narrow(0, 0, n - 1)? * unit.narrow(0, 1, n - 1)?)?.sum(1)?;
    let mut inside = vec![1f32; n];
    for border in borders.iter().filter(|border| (**border as usize) < n) {
        inside[*border as usize] = 0.0;
    }
    let inside = Tensor::from_vec(inside, n, children.device())?;
    cosines.pad_with_zeros(0, 1, 0)? * inside
}

struct Pool(Arc<Nodes>);

impl Pool {
    fn inputs<'a>(&'a self, numbers: [&'a [f32]; 3], dimensions: usize) -> Inputs<'a> {
        let (query, residual) = numbers[2].split_at(dimensions);
        Inputs {
            pooling: self.0.pooling,
            children: numbers[0],
            sizes: &self.0.sizes,
            borders: &self.0.borders,
            query,
            residual,
            affinities: numbers[1],
        }
    }
}

impl CustomOp3 for Pool {
    fn name(&self) -> &'static str {
        "abstraction-pool"
    }

    fn cpu_fwd(
        &self,
        children: &CpuStorage,
        children_layout: &Layout,
        affinities: &CpuStorage,
        affinities_layout: &Layout,
        head: &CpuStorage,
        head_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, dimensions) = children_layout.shape().dims2()?;
        let numbers = [
            values(children, children_layout)?,
            values(affinities, affinities_layout)?,
            values(head, head_layout)?,
        ];
        let inputs = self.inputs(numbers, dimensions);
        output(forward(&inputs), (inputs.n_parents(), dimensions))
    }

    fn bwd(
        &self,
        children: &Tensor,
        affinities: &Tensor,
        head: &Tensor,
        _: &Tensor,
        d_parents: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, dimensions) = children.dims2()?;
        let owned = [numbers(children)?, numbers(affinities)?, numbers(head)?];
        let inputs = self.inputs(owned.each_ref().map(Vec::as_slice), dimensions);
        let gradients = backward(&inputs, &numbers(d_parents)?);
        let d_head = [gradients.query, gradients.residual].concat();
        Ok((
            gradient(gradients.children, children)?,
            gradient(gradients.affinities, affinities)?,
            gradient(d_head, head)?,
        ))
    }
}
