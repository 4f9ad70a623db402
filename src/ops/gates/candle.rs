//! The operation for candle. Other devices take it as the operations of tensors that it consists of.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{Inputs, backward, forward};
use crate::ops::tensors::{gradient, numbers, output, values};

/// `branches` (`[n_branches, n_queries, heads, dimensions]`) under `gates` (`[n_queries, n_branches, heads]`, before
/// the sigmoid): `[n_queries, heads, dimensions]`.
///
/// # Errors
///
/// Fails for types other than f32.
pub fn gate(gates: &Tensor, branches: &Tensor) -> Result<Tensor> {
    if !gates.device().is_cpu() {
        let gates = candle_nn::ops::sigmoid(gates)?.transpose(0, 1)?;
        return branches.broadcast_mul(&gates.unsqueeze(3)?)?.sum(0);
    }
    gates.contiguous()?.apply_op2(&branches.contiguous()?, Gate)
}

struct Gate;

fn inputs<'a>(
    gates: &'a [f32],
    branches: &'a [f32],
    shape: (usize, usize, usize, usize),
) -> Inputs<'a> {
    Inputs {
        gates,
        branches,
        n_branches: shape.0,
        heads: shape.2,
        dimensions: shape.3,
    }
}

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        branches: &CpuStorage,
        branches_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = branches_layout.shape().dims4()?;
        let gates = values(gates, gates_layout)?;
        let out = forward(&inputs(gates, values(branches, branches_layout)?, shape));
        output(out, (shape.1, shape.2, shape.3))
    }

    fn bwd(
        &self,
        gates: &Tensor,
        branches: &Tensor,
        _: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = branches.dims4()?;
        let owned = [numbers(gates)?, numbers(branches)?];
        let own = backward(&inputs(&owned[0], &owned[1], shape), &numbers(d_out)?);
        Ok((
            gradient(own.gates, gates)?,
            gradient(own.branches, branches)?,
        ))
    }
}
