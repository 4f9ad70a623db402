//! What the queries of one granule look at: the window, the cover of the document, and the selected leaves.

use std::ops::Range;

use super::{
    block::{Columns, GRANULE},
    config::{self, GlobalConfig, Indexer, Relevance},
    context::Context,
    weights::N_RELEVANCES,
};
use crate::ops::{
    lightning_index::{self, Group, IndexQueries, Node, Selection, most_important, select_flat},
    sparse_attention::{self, ChunkRange, KeyLists, KeyRange, log_bucket},
};

/// What lists are chosen by, in either form of the block.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    pub config: &'a GlobalConfig,
    /// Bias by head and bucket, `[heads, N_BUCKETS]`.
    pub distance: &'a [f32],
}

impl Rules<'_> {
    /// What each granule of a passage looks at, by the projections of its tokens.
    pub fn lists(&self, context: &Context, passage: usize, projected: &[f32]) -> Vec<Lists> {
        let looking = Looking {
            projected,
            columns: Columns::of(self.config),
            own: context.pyramid.passages().tokens_of(passage),
            granule: match self.config.selection {
                config::Selection::Granule => GRANULE,
                config::Selection::Token => 1,
            },
        };
        looking.lists(self, context)
    }
}

/// A passage whose queries look around.
#[derive(Debug, Clone)]
pub struct Looking<'a> {
    /// Its queries, `[n_tokens, columns.total]`.
    pub projected: &'a [f32],
    pub columns: Columns,
    /// Its tokens in the document.
    pub own: Range<usize>,
    /// Queries that share a selection.
    pub granule: usize,
}

/// The lists of one granule.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// Tokens of the document.
    pub tokens: Range<usize>,
    pub window: Vec<ChunkRange>,
    pub selected: Vec<ChunkRange>,
    /// Levels counted from the leaves.
    pub cover: Vec<Node>,
    /// What is added to the score of each node of the cover: the logarithms of its tokens and its level's relevance.
    pub cover_log_sizes: Vec<f32>,
    pub cover_buckets: Vec<u8>,
    /// The leaves behind `selected`.
    pub leaves: Vec<u32>,
}

impl Looking<'_> {
    fn n_tokens(&self) -> usize {
        self.own.len()
    }

    /// Borders of the granules in the passage's own tokens.
    fn granules(&self) -> impl Iterator<Item = Range<usize>> {
        let (granule, n_tokens) = (self.granule, self.n_tokens());
        (0..n_tokens)
            .step_by(granule)
            .map(move |first| first..(first + granule).min(n_tokens))
    }

    /// One part of the projections of every query, side by side.
    fn part(&self, columns: Range<usize>) -> Vec<f32> {
        let rows = self.projected.chunks_exact(self.columns.total);
        rows.flat_map(|row| &row[columns.clone()])
            .copied()
            .collect()
    }

    /// The lists of all granules.
    pub fn lists(&self, rules: &Rules, context: &Context) -> Vec<Lists> {
        let selections = self.select(rules, context);
        let granules = self.granules().zip(selections);
        granules
            .map(|(tokens, selection)| self.list(rules, context, tokens, selection))
            .collect()
    }

    fn select(&self, rules: &Rules, context: &Context) -> Vec<Selection> {
        let (config, columns) = (rules.config, self.columns);
        let leaves = context.leaves();
        let own = leaves.nodes_in(self.own.clone());
        let own = own.start as u32..own.end as u32;
        let groups: Vec<Group> = self
            .granules()
            .map(|queries| Group {
                queries: queries.start as u32..queries.end as u32,
                own: own.clone(),
            })
            .collect();
        let queries = self.part(columns.index_query..columns.index_weight);
        let weights = self.part(columns.index_weight..columns.gates);
        let queries = IndexQueries {
            queries: &queries,
            weights: &weights,
        };
        let indexer = lightning_index::Indexer {
            heads: config.index_heads,
            dimensions: config.index_size,
            kept: config.opened,
            leaves: self.n_selected(config, leaves.len()),
            lookahead: config.lookahead,
        };
        let nothing = lightning_index::Indexer {
            kept: 0,
            leaves: 0,
            ..indexer
        };
        let flat = |chosen: Vec<Vec<u32>>| {
            let all = (0..own.start).chain(own.end..leaves.len() as u32);
            let cover: Vec<Node> = all.map(|index| Node { level: 0, index }).collect();
            let selection = |leaves| Selection {
                leaves,
                cover: cover.clone(),
            };
            chosen.into_iter().map(selection).collect()
        };
        match (config.indexer, context.index.leaves()) {
            (Indexer::Hierarchical, _) => context.index.descend(&indexer, &queries, &groups),
            (Indexer::Flat, Some(keys)) => flat(select_flat(&indexer, keys, &queries, &groups)),
            (Indexer::BlockImportance, _) => flat(self.important(rules, context, &groups)),
            (Indexer::None | Indexer::Flat, _) => {
                context.index.descend(&nothing, &queries, &groups)
            }
        }
    }

    /// Leaves to select among `n_leaves`.
    fn n_selected(&self, config: &GlobalConfig, n_leaves: usize) -> usize {
        config
            .leaves
            .min(n_leaves.div_ceil(config.leaves_per_selected))
    }

    /// The leaves that get most of the attention to all compressed leaves.
    fn important(&self, rules: &Rules, context: &Context, groups: &[Group]) -> Vec<Vec<u32>> {
        let config = rules.config;
        let leaves = context.leaves();
        let mut lists = KeyLists::default();
        for group in groups {
            let sides = [0..group.own.start, group.own.end..leaves.len() as u32];
            let ranges = sides.map(|side| KeyRange {
                start: side.start,
                end: side.end,
                bucket: 0,
            });
            lists.push(group.queries.len(), ranges);
        }
        let queries = self.part(0..self.columns.index_query);
        let inputs = sparse_attention::Inputs {
            queries: &queries,
            latents: &context.latents[context.pyramid.leaf_level() - 1],
            log_sizes: &context.nodes[0].log_sizes,
            bias: rules.distance,
            lists: &lists,
            heads: config.heads,
            dimensions: config.head_size,
        };
        let count = self.n_selected(config, leaves.len());
        most_important(&inputs, &sparse_attention::forward(&inputs), count)
    }

    fn list(
        &self,
        rules: &Rules,
        context: &Context,
        granule: Range<usize>,
        selection: Selection,
    ) -> Lists {
        let config = rules.config;
        let own = &self.own;
        let tokens = own.start + granule.start..own.start + granule.end;
        let mut lists = Lists {
            leaves: selection.leaves,
            ..Lists::default()
        };
        let window = match config.branches.window {
            true => {
                let start = tokens.start.saturating_sub(config.window);
                start..(tokens.end + config.window).min(context.n_tokens())
            }
            false => tokens.clone(),
        };
        for side in [window.start..own.start, own.end..window.end] {
            if side.start < side.end {
                let chunks = context.chunks_of(&side);
                lists
                    .window
                    .extend(ranges(context, chunks, side, tokens.start));
            }
        }
        if config.branches.selected {
            for &leaf in &lists.leaves {
                let chunks = context.chunks_of_leaf(leaf as usize);
                let leaf = context.leaves().tokens_of(leaf as usize);
                // What the window has read whole is not read again.
                if leaf.start < window.start || window.end < leaf.end {
                    lists
                        .selected
                        .extend(ranges(context, chunks, leaf, tokens.start));
                }
            }
        }
        if config.branches.compressed {
            let relevances = self.relevances(granule);
            for node in selection.cover {
                lists.cover(rules, context, node, &relevances, tokens.start);
            }
        }
        lists.tokens = tokens;
        lists
    }

    /// The relevance of each level to a granule, 1 at the start: twice the sigmoid of the mean of its queries' scores.
    fn relevances(&self, granule: Range<usize>) -> [f32; N_RELEVANCES] {
        let mut scores = [0.0; N_RELEVANCES];
        let share = 1.0 / granule.len() as f32;
        let (first, total) = (self.columns.relevance, self.columns.total);
        for query in granule {
            for (score, own) in scores
                .iter_mut()
                .zip(&self.projected[query * total + first..])
            {
                *score += share * own;
            }
        }
        scores.map(|score| 2.0 / (1.0 + (-score).exp()))
    }
}

impl Lists {
    fn cover(
        &mut self,
        rules: &Rules,
        context: &Context,
        node: Node,
        relevances: &[f32; N_RELEVANCES],
        from: usize,
    ) {
        let level = context.pyramid.leaf_level() + usize::from(node.level);
        let relevance = relevances[relevance_of(context, usize::from(node.level))];
        let weight = match rules.config.relevance {
            Relevance::Weights => relevance.ln(),
            Relevance::Threshold(least) if relevance < least => return,
            Relevance::Threshold(_) => 0.0,
        };
        let index = node.index as usize;
        let tokens = context.pyramid.levels[level - 1].tokens_of(index);
        let log_size = context.nodes[usize::from(node.level)].log_sizes[index];
        self.cover_log_sizes.push(log_size + weight);
        self.cover_buckets
            .push(log_bucket(from.abs_diff(tokens.start)));
        self.cover.push(node);
    }

    /// Copies the codes and scales of the cover's nodes together.
    pub fn gather_cover(
        &self,
        context: &Context,
        size: usize,
        codes: &mut Vec<u8>,
        scales: &mut Vec<f32>,
    ) {
        codes.clear();
        scales.clear();
        for node in &self.cover {
            let nodes = &context.nodes[usize::from(node.level)];
            let index = node.index as usize;
            codes.extend_from_slice(&nodes.codes[index * size..(index + 1) * size]);
            scales.push(nodes.scales[index]);
        }
    }
}

/// Which relevance the nodes of a level have; levels are counted from the leaves.
pub fn relevance_of(context: &Context, level: usize) -> usize {
    let level = context.pyramid.leaf_level() + level;
    level.min(context.pyramid.n_learned + 1).min(N_RELEVANCES) - 1
}

/// The chunks that hold some tokens, cut to them, with their distance from a token.
fn ranges(
    context: &Context,
    chunks: Range<usize>,
    tokens: Range<usize>,
    from: usize,
) -> impl Iterator<Item = ChunkRange> {
    chunks.map(move |chunk| {
        let first = context.chunk_tokens[chunk] as usize;
        let end = context.chunk_tokens[chunk + 1] as usize;
        let start = first.max(tokens.start);
        ChunkRange {
            chunk: chunk as u32,
            start: (start - first) as u8,
            end: (end.min(tokens.end) - first) as u8,
            bucket: log_bucket(from.abs_diff(start)),
        }
    })
}
