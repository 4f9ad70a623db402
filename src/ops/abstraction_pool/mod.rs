//! What stands for several neighbours? Children pooled into their parent.
//!
//! Attention pooling gives child i the weight size·exp(query·c/√dimensions + affinity), normalised over the parent's
//! children; the parent is their mean under these weights plus residual · mean. With a query, affinities and residual
//! of zero it is the mean weighted by size, so a mean of means is the mean of the tokens. The other poolings read
//! neither query nor residual nor affinities. A parent without children is zero.

mod affinity;
mod backward;
mod candle;
mod definition;
mod forward;

pub use affinity::{AFFINITY_DIMENSIONS, group_by_affinity, neighbour_affinities};
pub use backward::{Gradients, backward};
pub use candle::{Nodes, PoolTensors, abstraction_pool, group_affinities};
pub use definition::abstraction_pool_slow;
pub use forward::forward;

/// How children become their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// The mean weighted by size.
    Mean,
    /// The largest of each dimension.
    Max,
    /// The mean weighted by learned attention as well, and a learned residual.
    #[default]
    Attention,
}

/// What the operation reads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T = f32> {
    pub pooling: Pooling,
    /// `[n, dimensions]`.
    pub children: &'a [T],
    /// How many tokens each child stands for, at least 1: `[n]`.
    pub sizes: &'a [T],
    /// Parent `j` has the children `borders[j]..borders[j + 1]`; from 0 to n.
    pub borders: &'a [u32],
    /// `[dimensions]`, a multiple of 16.
    pub query: &'a [T],
    /// `[dimensions, dimensions]`: a row gives a dimension of the parent.
    pub residual: &'a [T],
    /// How near each child is to its left neighbour in the same group, 0 for a first one: `[n]`.
    pub affinities: &'a [T],
}

impl<T> Inputs<'_, T> {
    /// Dimensions of a child.
    pub fn dimensions(&self) -> usize {
        self.query.len()
    }

    /// Number of parents.
    pub fn n_parents(&self) -> usize {
        self.borders.len().saturating_sub(1)
    }

    /// The children of a parent.
    fn children_of(&self, parent: usize) -> std::ops::Range<usize> {
        self.borders[parent] as usize..self.borders[parent + 1] as usize
    }

    /// Panics unless the sizes agree, so that the loops need not check.
    fn check(&self) {
        let (n, dimensions) = (self.sizes.len(), self.dimensions());
        assert_eq!(dimensions % crate::ops::pointwise::LANES, 0);
        assert_eq!(self.children.len(), n * dimensions);
        assert_eq!(self.affinities.len(), n);
        assert_eq!(self.residual.len(), dimensions * dimensions);
        assert!(self.borders.is_sorted());
        assert_eq!(self.borders.last().map_or(0, |last| *last as usize), n);
    }
}

#[cfg(test)]
mod tests;
