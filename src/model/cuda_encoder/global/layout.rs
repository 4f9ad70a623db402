//! The pyramid of a document as the kernels number it: see `kernels/pyramid.cuh`.

use crate::model::global::{
    GRANULE, GlobalConfig,
    pyramid::{MAX_TOP, Pyramid},
};

/// Levels that the kernels know, the tokens not counted.
pub const MAX_LEVELS: usize = 16;

/// `Levels` of the kernels.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// First node of each level, and one more at the end.
    pub starts: [u32; MAX_LEVELS + 1],
    pub n_levels: u32,
    pub n_learned: u32,
}

/// Tokens of a granule, and of its passage.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Granule {
    pub start: u32,
    pub end: u32,
    pub own_start: u32,
    pub own_end: u32,
}

/// What the host knows of a document before anything is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub levels: Levels,
    /// Borders of passages in tokens, `[n_passages + 1]`.
    pub passages: Vec<u32>,
    /// First node of each passage on each learned level, counted in its level, `[n_learned, n_passages]`.
    pub first_nodes: Vec<u32>,
    pub granules: Vec<Granule>,
    /// Levels are counted from the parents of tokens, which are 0.
    pub leaf_level: u32,
    /// The lowest level with keys of the indexer.
    pub lowest: u32,
    /// Leaves that a granule selects, at most.
    pub selected: u32,
    /// What no level's candidates of a granule outnumber.
    pub capacity: u32,
}

impl Layout {
    /// The layout of a document whose passages have these borders in tokens.
    pub fn new(config: &GlobalConfig, passages: &[u32]) -> Self {
        let lengths = || passages.windows(2).map(|own| (own[1] - own[0]) as usize);
        let n_learned = Pyramid::new(config, lengths().max().unwrap_or(0)).n_learned;
        let mut first_nodes = Vec::with_capacity(n_learned * lengths().len());
        let mut counts: Vec<usize> = lengths().collect();
        let mut most_children = 0;
        let mut totals = Vec::new();
        let leaf_level = (n_learned - 1).max(1) - 1;
        for level in 0..n_learned {
            let mut first = 0;
            for count in &mut counts {
                first_nodes.push(first as u32);
                if level > leaf_level {
                    most_children = most_children.max(*count);
                }
                *count = match level + 1 == n_learned {
                    true => 1,
                    false => count.div_ceil(config.ratio),
                };
                first += *count;
            }
            totals.push(first);
        }
        let mut top = counts.len();
        while top > MAX_TOP {
            most_children = most_children.max(config.ratio);
            top = top.div_ceil(config.ratio);
            totals.push(top);
        }
        let n_leaves = totals[leaf_level];
        Self {
            levels: levels(&totals, n_learned),
            passages: passages.to_vec(),
            first_nodes,
            granules: granules(passages),
            leaf_level: leaf_level as u32,
            lowest: config.lowest_index_level(leaf_level + 1) as u32 - 1,
            selected: config
                .leaves
                .min(n_leaves.div_ceil(config.leaves_per_selected)) as u32,
            capacity: top
                .max((config.opened + 1) * most_children)
                .next_multiple_of(4) as u32,
        }
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.passages.last().map_or(0, |&end| end as usize)
    }

    /// Number of passages.
    pub fn n_passages(&self) -> usize {
        self.passages.len() - 1
    }

    /// Nodes of all levels.
    pub fn n_nodes(&self) -> usize {
        self.start(self.levels.n_levels)
    }

    /// First node of a level.
    pub fn start(&self, level: u32) -> usize {
        self.levels.starts[level as usize] as usize
    }
}

fn levels(totals: &[usize], n_learned: usize) -> Levels {
    let mut starts = [0; MAX_LEVELS + 1];
    for (level, total) in totals.iter().enumerate() {
        starts[level + 1] = starts[level] + *total as u32;
    }
    Levels {
        starts,
        n_levels: totals.len() as u32,
        n_learned: n_learned as u32,
    }
}

fn granules(passages: &[u32]) -> Vec<Granule> {
    let of_passage = |own: &[u32]| {
        let (own_start, own_end) = (own[0], own[1]);
        let starts = (own_start..own_end).step_by(GRANULE);
        starts.map(move |start| Granule {
            start,
            end: own_end.min(start + GRANULE as u32),
            own_start,
            own_end,
        })
    };
    passages.windows(2).flat_map(of_passage).collect()
}
