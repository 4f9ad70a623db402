//! The abstraction heads: children become their parent, level by level within one passage.

use super::{
    block::GlobalBlock,
    config::Abstraction,
    context::{PassageLatents, pack_leaves},
    pyramid::equal_groups,
    weights::{AFFINITY_SIZE, LevelWeights},
};
use crate::ops::similarity::{normalise, product};

/// The levels of a passage over the latents of its tokens, `[n_tokens, size]`.
pub fn passage(block: &GlobalBlock, latents: &[f32], n_learned: usize) -> PassageLatents {
    let config = block.config();
    let size = config.head_size;
    let length = latents.len() / size;
    // Borders of the nodes below in tokens, and their latents.
    let mut tokens: Vec<u32> = (0..=length as u32).collect();
    let (mut all_borders, mut all_latents) = (Vec::new(), Vec::new());
    let mut leaves = Vec::new();
    for level in 1..=n_learned {
        let children: &[f32] = all_latents.last().map_or(latents, Vec::as_slice);
        let count = children.len() / size;
        let borders = match config.abstraction {
            _ if level == n_learned => vec![0, count as u32],
            Abstraction::Affinity => {
                group_by_affinity(children, &block.weights.affinity, config.ratio)
            }
            _ => equal_groups(count, config.ratio),
        };
        let sizes: Vec<f32> = tokens
            .windows(2)
            .map(|border| (border[1] - border[0]) as f32)
            .collect();
        let parents = pool(
            children,
            &sizes,
            &borders,
            config.abstraction,
            block.weights.level(level),
        );
        tokens = borders.iter().map(|&at| tokens[at as usize]).collect();
        if level == (n_learned - 1).max(1) {
            leaves.clone_from(&tokens);
        }
        all_borders.push(borders);
        all_latents.push(parents);
    }
    let (packed, chunk_lengths, leaf_lengths) = pack_leaves(latents, size, &leaves);
    PassageLatents {
        length,
        borders: all_borders,
        latents: all_latents,
        tokens: packed,
        chunk_lengths,
        leaf_lengths,
    }
}

/// Parents of groups of children, `[borders.len() - 1, size]`; `sizes` are the children's tokens.
fn pool(
    children: &[f32],
    sizes: &[f32],
    borders: &[u32],
    abstraction: Abstraction,
    weights: &LevelWeights,
) -> Vec<f32> {
    let size = weights.pool_query.len();
    let learned =
        abstraction != Abstraction::Mean && weights.pool_query.iter().any(|&own| own != 0.0);
    let mut parents = vec![0.0; (borders.len() - 1) * size];
    for (parent, border) in parents.chunks_exact_mut(size).zip(borders.windows(2)) {
        let group = border[0] as usize..border[1] as usize;
        let of = |child: usize| &children[child * size..][..size];
        if abstraction == Abstraction::Max {
            parent.fill(f32::NEG_INFINITY);
            for child in group {
                parent
                    .iter_mut()
                    .zip(of(child))
                    .for_each(|(own, value)| *own = own.max(*value));
            }
            continue;
        }
        let logit = |child: usize| match learned {
            true => product(&weights.pool_query, of(child)) / (size as f32).sqrt(),
            false => 0.0,
        };
        let largest = group.clone().map(logit).fold(f32::NEG_INFINITY, f32::max);
        let share = |child: usize| sizes[child] * (logit(child) - largest).exp();
        let total: f32 = group.clone().map(share).sum();
        for child in group {
            let share = share(child) / total;
            parent
                .iter_mut()
                .zip(of(child))
                .for_each(|(own, value)| *own += share * value);
        }
    }
    if abstraction != Abstraction::Mean && abstraction != Abstraction::Max {
        let means = parents.clone();
        add_projected(&means, &weights.pool_residual, size, &mut parents);
    }
    parents
}

/// Borders of groups of neighbours that are alike: each group ends at the least affinity within its bounds.
fn group_by_affinity(children: &[f32], projection: &[f32], ratio: usize) -> Vec<u32> {
    let size = projection.len() / AFFINITY_SIZE;
    let mut alike = project(children, projection, size);
    alike.chunks_exact_mut(AFFINITY_SIZE).for_each(normalise);
    let count = children.len() / size;
    let of = |child: usize| &alike[child * AFFINITY_SIZE..][..AFFINITY_SIZE];
    let mut borders = vec![0];
    let mut start = 0;
    while start < count {
        let (least, most) = (start + ratio.div_ceil(2), start + ratio + ratio / 2);
        let end = match most < count {
            true => (least..=most)
                .min_by(|&a, &b| product(of(a - 1), of(a)).total_cmp(&product(of(b - 1), of(b))))
                .unwrap_or(most),
            false => count,
        };
        borders.push(end as u32);
        start = end;
    }
    borders
}

/// Rows through a matrix `[out, size]` without bias.
pub fn project(rows: &[f32], matrix: &[f32], size: usize) -> Vec<f32> {
    rows.chunks_exact(size)
        .flat_map(|row| {
            matrix
                .chunks_exact(size)
                .map(move |weights| product(row, weights))
        })
        .collect()
}

/// Adds rows through a square matrix to `out`, unless the matrix is zero.
pub fn add_projected(rows: &[f32], matrix: &[f32], size: usize, out: &mut [f32]) {
    if matrix.iter().any(|&own| own != 0.0) {
        let projected = project(rows, matrix, size);
        out.iter_mut()
            .zip(projected)
            .for_each(|(out, value)| *out += value);
    }
}
