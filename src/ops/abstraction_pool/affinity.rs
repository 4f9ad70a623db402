//! Groups by content instead of by position: neighbours stay together where their learned affinity is high.

use crate::ops::similarity::{normalise, product};

/// Dimensions in which neighbours are compared.
pub const AFFINITY_DIMENSIONS: usize = 16;

/// The cosine of each child with its left neighbour, both projected: `[n]`, 0 for the first.
///
/// `children` is `[n, dimensions]`, `projection` `[AFFINITY_DIMENSIONS, dimensions]`.
pub fn neighbour_affinities(children: &[f32], dimensions: usize, projection: &[f32]) -> Vec<f32> {
    let mut left: Option<Vec<f32>> = None;
    let mut affinities = Vec::with_capacity(children.len() / dimensions);
    for child in children.chunks_exact(dimensions) {
        let rows = projection.chunks_exact(dimensions);
        let mut projected: Vec<f32> = rows.map(|row| product(row, child)).collect();
        normalise(&mut projected);
        affinities.push(left.map_or(0.0, |left| product(&left, &projected)));
        left = Some(projected);
    }
    affinities
}

/// Borders of groups of about `ratio` children, from 0 to n, for [`Inputs::borders`](super::Inputs::borders).
///
/// From the left, each group holds between half of `ratio` (rounded up) and one and a half (rounded down); it ends
/// where the affinity across the border is lowest, the first of equals. What is left at the end is one group if it
/// fits.
pub fn group_by_affinity(
    children: &[f32],
    dimensions: usize,
    projection: &[f32],
    ratio: usize,
) -> Vec<u32> {
    let affinities = neighbour_affinities(children, dimensions, projection);
    let (least, most) = (ratio.div_ceil(2).max(1), (ratio + ratio / 2).max(1));
    let mut borders = vec![0];
    let mut start = 0;
    while start < affinities.len() {
        let mut end = affinities.len();
        if end - start > most {
            let mut lowest = start + least;
            for border in start + least..=start + most {
                if affinities[border] < affinities[lowest] {
                    lowest = border;
                }
            }
            end = lowest;
        }
        borders.push(end as u32);
        start = end;
    }
    borders
}
