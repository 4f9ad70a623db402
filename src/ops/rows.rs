//! Rows that belong to groups of different sizes, cut so that each group can be written by a thread of its own.

/// Cuts `values` (`[n, width]`) at `borders` (ascending, from 0 to n): one slice a group.
pub fn split<'a>(mut values: &'a mut [f32], borders: &[u32], width: usize) -> Vec<&'a mut [f32]> {
    let mut slices = Vec::with_capacity(borders.len().saturating_sub(1));
    for pair in borders.windows(2) {
        let (own, rest) = values.split_at_mut((pair[1] - pair[0]) as usize * width);
        slices.push(own);
        values = rest;
    }
    slices
}

/// Writes `[n_rows, width]` to `turned` as `[width, stride]`, each number times `factor`; what pads a row stays.
#[inline(always)]
pub fn turn(values: &[f32], width: usize, factor: f32, turned: &mut [f32], stride: usize) {
    for (row, values) in values.chunks_exact(width).enumerate() {
        for (value, turned) in values.iter().zip(turned[row..].iter_mut().step_by(stride)) {
            *turned = *value * factor;
        }
    }
}
