//! What the queries of one granule look at: the window, the cover of the document, and the selected leaves.

use std::ops::Range;

use super::{
    block::{Columns, GlobalBlock},
    config::{Indexer, Relevance},
    context::Context,
    score::{Importance, Lightning},
    select::{Breadth, NodeRef, Selection, choose_flat, descend},
    weights::N_RELEVANCES,
};
use crate::ops::{
    simd::Isa,
    sparse_attention::{ChunkRange, log_bucket},
};

/// What a granule's states say about where to look, `[n_queries, columns.total]`.
#[derive(Debug, Clone, Copy)]
pub struct Looks<'a> {
    pub projected: &'a [f32],
    pub columns: Columns,
}

/// The lists of one granule.
#[derive(Debug, Default)]
pub struct Lists {
    pub window: Vec<ChunkRange>,
    pub selected: Vec<ChunkRange>,
    pub cover: Vec<NodeRef>,
    /// What is added to the score of each node of the cover: the logarithms of its tokens and its level's relevance.
    pub cover_log_sizes: Vec<f32>,
    pub cover_buckets: Vec<u8>,
    /// The leaves behind `selected`.
    pub leaves: Vec<u32>,
}

impl Lists {
    /// The lists of the queries of `tokens` of the document, which lie in the passage `own`.
    #[inline(always)]
    pub fn of<I: Isa>(
        isa: I,
        block: &GlobalBlock,
        context: &Context,
        (tokens, own): (&Range<usize>, &Range<usize>),
        looks: &Looks,
    ) -> Self {
        let config = block.config();
        let selection = select(isa, block, context, own, looks);
        let mut lists = Self {
            leaves: selection.leaves,
            ..Self::default()
        };
        let n_tokens = context
            .pyramid
            .passages()
            .tokens
            .last()
            .map_or(0, |&end| end as usize);
        let window = match config.branches.window {
            true => {
                tokens.start.saturating_sub(config.window)
                    ..(tokens.end + config.window).min(n_tokens)
            }
            false => tokens.clone(),
        };
        for side in [window.start..own.start, own.end..window.end] {
            if side.start < side.end {
                lists.window.extend(ranges(
                    context,
                    context.chunks_of(&side),
                    &side,
                    tokens.start,
                ));
            }
        }
        if config.branches.selected {
            let leaves = &context.pyramid.levels[context.pyramid.leaf_level() - 1];
            for &leaf in &lists.leaves {
                let chunks = context.chunks_of_leaf(leaf as usize);
                let leaf = leaves.tokens_of(leaf as usize);
                // What the window has read whole is not read again.
                if leaf.start < window.start || window.end < leaf.end {
                    lists
                        .selected
                        .extend(ranges(context, chunks, &leaf, tokens.start));
                }
            }
        }
        if config.branches.compressed {
            lists.add_cover(block, context, selection.cover, looks, tokens.start);
        }
        lists
    }

    fn add_cover(
        &mut self,
        block: &GlobalBlock,
        context: &Context,
        cover: Vec<NodeRef>,
        looks: &Looks,
        from: usize,
    ) {
        let relevances = relevances(looks);
        for at in cover {
            let learned = at
                .level
                .min(context.pyramid.n_learned + 1)
                .min(N_RELEVANCES);
            let relevance = relevances[learned - 1];
            let weight = match block.config().relevance {
                Relevance::Weights => relevance.ln(),
                Relevance::Threshold(least) if relevance < least => continue,
                Relevance::Threshold(_) => 0.0,
            };
            let node = at.node as usize;
            let codes = &context.nodes[at.level - context.pyramid.leaf_level()];
            let tokens = context.pyramid.levels[at.level - 1].tokens_of(node);
            self.cover_log_sizes.push(codes.log_sizes[node] + weight);
            self.cover_buckets
                .push(log_bucket(from.abs_diff(tokens.start)));
            self.cover.push(at);
        }
    }

    /// Copies the codes and scales of the cover's nodes together.
    #[inline(always)]
    pub fn gather_cover(
        &self,
        context: &Context,
        size: usize,
        codes: &mut Vec<u8>,
        scales: &mut Vec<f32>,
    ) {
        codes.clear();
        scales.clear();
        for at in &self.cover {
            let nodes = &context.nodes[at.level - context.pyramid.leaf_level()];
            let node = at.node as usize;
            codes.extend_from_slice(&nodes.codes[node * size..(node + 1) * size]);
            scales.push(nodes.scales[node]);
        }
    }
}

#[inline(always)]
fn select<I: Isa>(
    isa: I,
    block: &GlobalBlock,
    context: &Context,
    own: &Range<usize>,
    looks: &Looks,
) -> Selection {
    let config = block.config();
    let pyramid = &context.pyramid;
    let breadth = Breadth {
        opened: config.opened,
        leaves: config.leaves,
    };
    match config.indexer {
        Indexer::Hierarchical => descend(
            pyramid,
            own,
            breadth,
            &mut Lightning::new(isa, block, context, looks),
        ),
        Indexer::Flat => choose_flat(
            pyramid,
            own,
            breadth.leaves,
            &mut Lightning::new(isa, block, context, looks),
        ),
        Indexer::BlockImportance => choose_flat(
            pyramid,
            own,
            breadth.leaves,
            &mut Importance::new(isa, block, context, looks),
        ),
        Indexer::DescendingImportance => descend(
            pyramid,
            own,
            breadth,
            &mut Importance::new(isa, block, context, looks),
        ),
        Indexer::None => {
            let nothing = Breadth {
                opened: 0,
                leaves: 0,
            };
            descend(
                pyramid,
                own,
                nothing,
                &mut Lightning::new(isa, block, context, looks),
            )
        }
    }
}

/// The relevance of each level to a granule, 1 at the start: twice the sigmoid of the mean of its queries' scores.
fn relevances(looks: &Looks) -> [f32; N_RELEVANCES] {
    let columns = looks.columns;
    let mut scores = [0.0; N_RELEVANCES];
    let share = columns.total as f32 / looks.projected.len() as f32;
    for query in looks.projected.chunks_exact(columns.total) {
        for (score, own) in scores.iter_mut().zip(&query[columns.relevance..]) {
            *score += share * own;
        }
    }
    scores.map(|score| 2.0 / (1.0 + (-score).exp()))
}

/// The chunks that hold some tokens, cut to them, with their distance from a token.
fn ranges<'a>(
    context: &'a Context,
    chunks: Range<usize>,
    tokens: &'a Range<usize>,
    from: usize,
) -> impl Iterator<Item = ChunkRange> + 'a {
    chunks.map(move |chunk| {
        let (first, end) = (
            context.chunk_tokens[chunk] as usize,
            context.chunk_tokens[chunk + 1] as usize,
        );
        let start = first.max(tokens.start);
        ChunkRange {
            chunk: chunk as u32,
            start: (start - first) as u8,
            end: (end.min(tokens.end) - first) as u8,
            bucket: log_bucket(from.abs_diff(start)),
        }
    })
}
