//! The abstraction heads: children become their parent, level by level within one passage.

use super::{
    block::GlobalBlock,
    config::{Abstraction, GlobalConfig},
    context::{PassageLatents, pack_leaves},
    pyramid::equal_groups,
};
use crate::ops::{
    abstraction_pool::{self, Pooling, group_by_affinity, neighbour_affinities},
    similarity::product,
};

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
        let mut affinities = vec![0.0; count];
        let last = level == n_learned;
        let borders = groups(config, &block.weights.affinity, children, last);
        if by_content(config, last) {
            affinities = neighbour_affinities(children, size, &block.weights.affinity);
            borders[..borders.len() - 1]
                .iter()
                .for_each(|&first| affinities[first as usize] = 0.0);
        }
        let weights = block.weights.level(level);
        let sizes = tokens
            .windows(2)
            .map(|border| (border[1] - border[0]) as f32);
        let parents = abstraction_pool::forward(&abstraction_pool::Inputs {
            pooling: pooling(config),
            children,
            sizes: &sizes.collect::<Vec<f32>>(),
            borders: &borders,
            query: &weights.pool_query,
            residual: &weights.pool_residual,
            affinities: &affinities,
        });
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

/// How the children of a learned level are pooled.
pub fn pooling(config: &GlobalConfig) -> Pooling {
    match config.abstraction {
        Abstraction::Mean => Pooling::Mean,
        Abstraction::Max => Pooling::Max,
        Abstraction::Attention | Abstraction::Affinity => Pooling::Attention,
    }
}

/// Whether a level groups by affinity; the last one holds passages and never does.
pub fn by_content(config: &GlobalConfig, last: bool) -> bool {
    config.abstraction == Abstraction::Affinity && !last
}

/// Borders of the groups that one passage's `children`, `[n, head_size]`, form.
pub fn groups(config: &GlobalConfig, affinity: &[f32], children: &[f32], last: bool) -> Vec<u32> {
    let count = children.len() / config.head_size;
    match by_content(config, last) {
        true => group_by_affinity(children, config.head_size, affinity, config.ratio),
        false if last => vec![0, count as u32],
        false => equal_groups(count, config.ratio),
    }
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
    if !is_zero(matrix) {
        let projected = project(rows, matrix, size);
        out.iter_mut()
            .zip(projected)
            .for_each(|(out, value)| *out += value);
    }
}

/// True where a matrix adds nothing: not trained yet.
pub fn is_zero(matrix: &[f32]) -> bool {
    matrix.iter().all(|&own| own == 0.0)
}
