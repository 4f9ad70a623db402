//! How a global block sees a document: its pyramid, what its queries look at, and which passages they give weight to.
//!
//! For people to look at. Everything is summed up passage by passage while the queries go by, so that nothing larger
//! than passages × passages is kept.

use std::ops::Range;

use rayon::prelude::*;
use serde::Serialize;

use super::{
    super::{ModelError, layers::Layers, packed::PackedBatch},
    GLOBAL_AFTER_LAYERS,
    block::{Columns, GlobalBlock},
    context::Context,
    looked::Looked,
    seen::Scene,
};
use crate::ops::similarity::product;

/// What one block sees of a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockView {
    /// Local layers before the block.
    pub layer: usize,
    /// From the tokens up.
    pub levels: Vec<LevelView>,
    /// Those that are switched on.
    pub branches: Vec<BranchView>,
    /// Shares of the compressed branch's attention by level, as `levels`; what is missing to 1 goes to the null key.
    pub cover: Vec<f32>,
    pub selection: SelectionView,
    /// Weight that the row's passage gives to the column's, `[n_passages, n_passages]`: the mean over queries, heads
    /// and the branches that look far (the window shows what is near, whatever that is). With the share of these
    /// branches' null keys a row sums to 1; the own passage has 0.
    #[serde(skip)]
    pub attention: Vec<f32>,
    /// The same times the gates.
    #[serde(skip)]
    pub gated: Vec<f32>,
    /// First token of the leaf that gets most of each of these weights.
    #[serde(skip)]
    pub strongest: Vec<u32>,
}

/// What the nodes of a level stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LevelKind {
    Tokens,
    Nodes,
    Passages,
    IndexOnly,
}

/// The nodes of one level of the pyramid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelView {
    pub kind: LevelKind,
    pub n_nodes: usize,
    /// Tokens a node, on average.
    pub mean_tokens: f32,
    /// Borders in tokens, `[n_nodes + 1]`.
    #[serde(skip)]
    pub borders: Vec<u32>,
    /// Lengths of the latents, `[n_nodes]`.
    #[serde(skip)]
    pub norms: Vec<f32>,
    /// Cosine of each latent with the next, `[n_nodes - 1]`.
    #[serde(skip)]
    pub likeness: Vec<f32>,
}

/// One branch, on average over all queries and heads.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BranchView {
    pub name: &'static str,
    pub gate: f32,
    /// Keys that a query sees, the null key not counted.
    pub n_keys: f32,
    /// Share of the attention that goes to the null key.
    pub null: f32,
    /// Entropy over the seen tokens relative to that of equal weights: 1 is even, 0 all on one token.
    pub evenness: f32,
}

/// What the indexer chose.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SelectionView {
    pub n_leaves: usize,
    /// Leaves that any granule selected, and more than one.
    pub n_selected: usize,
    pub n_shared: usize,
    /// Granules that selected a leaf, on average over the selected.
    pub granules_a_leaf: f32,
    /// Tokens between a granule and a leaf that it selected, on average.
    pub mean_distance: f32,
}

/// Runs the layers over one document, given in batches of its passages, and looks at every block that is in int8.
pub fn view(layers: &Layers, batches: &[PackedBatch]) -> Result<Vec<BlockView>, ModelError> {
    let mut starts = vec![0];
    for batch in batches {
        let before = starts[starts.len() - 1];
        starts.extend(batch.starts[1..].iter().map(|start| before + start));
    }
    let n_tokens = starts[starts.len() - 1];
    if n_tokens == 0 {
        return Ok(Vec::new());
    }
    let mut states = vec![0.0; n_tokens * layers.hidden];
    let mut done = 0;
    let mut views = Vec::new();
    let blocks = layers.global.iter().filter_map(|block| block.int8());
    for (block, layer) in blocks.zip(GLOBAL_AFTER_LAYERS) {
        let mut rest = states.as_mut_slice();
        for batch in batches {
            let (own, after) = rest.split_at_mut(batch.token_ids.len() * layers.hidden);
            layers.trunk.run(batch, done..layer, own)?;
            rest = after;
        }
        done = layer;
        let lengths = starts.windows(2).map(|border| border[1] - border[0]);
        let mut context = Context::new(block, lengths.max().unwrap_or(0));
        context.read(block, &states, &starts);
        context.close(block);
        views.push(block_view(block, &context, &states, layer));
        block.attend(&context, 0, &mut states, &starts);
    }
    Ok(views)
}

fn block_view(block: &GlobalBlock, context: &Context, states: &[f32], layer: usize) -> BlockView {
    let latents = block.token_latents(states);
    let scene = Scene {
        block,
        context,
        latents: &latents,
    };
    let passages = context.pyramid.passages();
    let n_passages = passages.len();
    let levels = levels(&scene);
    let mut all = Looked::new(&scene);
    let (mut attention, mut gated, mut strongest) = (Vec::new(), Vec::new(), Vec::new());
    // A few passages at a time, whose sums wait for their turn, so that the order of adding is always the same.
    let every: Vec<usize> = (0..n_passages).collect();
    for some in every.chunks(rayon::current_num_threads() * 2) {
        let looked: Vec<Looked> = some
            .par_iter()
            .map(|&passage| look(&scene, states, passage))
            .collect();
        for looked in &looked {
            let (own, own_gated, leaves) = looked.row(&scene);
            attention.extend(own);
            gated.extend(own_gated);
            strongest.extend(leaves);
            all.add(looked);
        }
    }
    BlockView {
        layer,
        branches: all.branches(block.config()),
        cover: all.cover_shares(),
        selection: all.selection(),
        levels,
        attention,
        gated,
        strongest,
    }
}

/// What one passage looks at.
fn look(scene: &Scene, states: &[f32], passage: usize) -> Looked {
    let own = scene.context.pyramid.passages().tokens_of(passage);
    let mut looked = Looked::new(scene);
    // In a document of few passages they see nothing.
    if scene.context.pyramid.passages().len() < scene.block.config().least_passages {
        return looked;
    }
    let hidden = scene.block.hidden();
    let projected = scene
        .block
        .projections(&states[own.start * hidden..own.end * hidden]);
    let total = Columns::of(scene.block.config()).total;
    for lists in scene.block.lists(scene.context, passage, &projected) {
        let queries: Range<usize> = lists.tokens.start - own.start..lists.tokens.end - own.start;
        looked.look(
            scene,
            &projected[queries.start * total..queries.end * total],
            &lists,
        );
    }
    looked
}

fn levels(scene: &Scene) -> Vec<LevelView> {
    let pyramid = &scene.context.pyramid;
    let size = scene.block.config().head_size;
    let n_tokens = scene.context.n_tokens() as u32;
    let tokens = level_view(
        LevelKind::Tokens,
        (0..=n_tokens).collect(),
        scene.latents,
        size,
    );
    let above = pyramid.levels.iter().enumerate().map(|(at, level)| {
        let kind = match (at + 1).cmp(&pyramid.n_learned) {
            std::cmp::Ordering::Less => LevelKind::Nodes,
            std::cmp::Ordering::Equal => LevelKind::Passages,
            std::cmp::Ordering::Greater => LevelKind::IndexOnly,
        };
        level_view(kind, level.tokens.clone(), &scene.context.latents[at], size)
    });
    std::iter::once(tokens).chain(above).collect()
}

fn level_view(kind: LevelKind, borders: Vec<u32>, latents: &[f32], size: usize) -> LevelView {
    let n_nodes = borders.len() - 1;
    let rows: Vec<&[f32]> = latents.chunks_exact(size).collect();
    let norms: Vec<f32> = rows.iter().map(|row| product(row, row).sqrt()).collect();
    let likeness = (1..n_nodes)
        .map(|node| {
            let lengths = norms[node - 1] * norms[node];
            product(rows[node - 1], rows[node]) / lengths.max(f32::MIN_POSITIVE)
        })
        .collect();
    LevelView {
        kind,
        n_nodes,
        mean_tokens: borders[n_nodes] as f32 / n_nodes.max(1) as f32,
        borders,
        norms,
        likeness,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::global::{GlobalConfig, GlobalWeights, seen::Key, weights::N_BRANCHES},
        ops::{
            samples::{Numbers, widen},
            sparse_attention::{Inputs, KeyLists, KeyRange, N_BUCKETS, sparse_attention_slow},
        },
    };

    const HIDDEN: usize = 64;
    const STARTS: [usize; 7] = [0, 200, 231, 480, 500, 756, 1_000];

    fn block(preset: &str, samples: &mut Numbers) -> GlobalBlock {
        let config = GlobalConfig {
            least_passages: 2,
            ..GlobalConfig::preset(preset).unwrap()
        };
        let projection = samples.take(config.head_size * HIDDEN, 1.0);
        let mut weights = GlobalWeights::start(&config, &projection, HIDDEN);
        for part in [
            &mut weights.gates,
            &mut weights.distance,
            &mut weights.relevance,
        ] {
            *part = samples.take(part.len(), 0.1);
        }
        GlobalBlock::new(config, weights, HIDDEN).unwrap()
    }

    fn close(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
    }

    /// The null key's weight by the definition, on average over queries and heads.
    fn null_slow(scene: &Scene, projected: &[f32], keys: &[Key]) -> f32 {
        let config = scene.block.config();
        let columns = Columns::of(config);
        let mut lists = KeyLists::default();
        let at = |(at, key): (usize, &Key)| KeyRange {
            start: at as u32,
            end: at as u32 + 1,
            bucket: key.bucket,
        };
        lists.push(
            projected.len() / columns.total,
            keys.iter().enumerate().map(at),
        );
        let queries = projected.chunks_exact(columns.total);
        let latents: Vec<f32> = keys
            .iter()
            .flat_map(|key| scene.latent(key))
            .copied()
            .collect();
        let log_sizes: Vec<f32> = keys.iter().map(|key| key.log_size).collect();
        assert_eq!(scene.block.weights.distance.len(), config.heads * N_BUCKETS);
        let out = sparse_attention_slow(&Inputs {
            queries: &queries
                .flat_map(|row| widen(&row[..config.heads * config.head_size]))
                .collect::<Vec<f64>>(),
            latents: &widen(&latents),
            log_sizes: &widen(&log_sizes),
            bias: &widen(&scene.block.weights.distance),
            lists: &lists,
            heads: config.heads,
            dimensions: config.head_size,
        });
        let rows = out.chunks_exact(config.head_size + 1);
        let n_rows = rows.len() as f64;
        (rows.map(|row| (-row[config.head_size]).exp()).sum::<f64>() / n_rows) as f32
    }

    #[test]
    fn weights_and_the_null_key_sum_to_one_and_the_own_passage_gets_nothing() {
        for preset in GlobalConfig::PRESETS {
            let mut samples = Numbers::new(7);
            let block = block(preset, &mut samples);
            let states = samples.take(STARTS[STARTS.len() - 1] * HIDDEN, 1.0);
            let mut context = Context::new(&block, 256);
            context.read(&block, &states, &STARTS);
            context.close(&block);
            let latents = block.token_latents(&states);
            let scene = Scene {
                block: &block,
                context: &context,
                latents: &latents,
            };
            let projected = block.projections(&states[200 * HIDDEN..231 * HIDDEN]);
            let total = Columns::of(block.config()).total;
            for lists in block.lists(&context, 1, &projected) {
                let own = &projected
                    [(lists.tokens.start - 200) * total..(lists.tokens.end - 200) * total];
                for branch in 0..N_BRANCHES {
                    let keys = scene.keys(&lists, branch);
                    let outside = |key: &Key| key.tokens.end <= 200 || 231 <= key.tokens.start;
                    assert!(keys.iter().all(outside));
                    let weights = scene.weights(own, &keys, branch);
                    close(weights.keys.iter().sum::<f32>() + weights.null, 1.0);
                    close(weights.null, null_slow(&scene, own, &keys));
                    assert!((0.0..=1.001).contains(&weights.evenness));
                }
            }
            check(&block_view(&block, &context, &states, 2));
        }
    }

    /// Rows of a view, with what the null keys get, sum to 1.
    fn check(view: &BlockView) {
        let n_passages = STARTS.len() - 1;
        let rows = view.attention.chunks_exact(n_passages);
        assert_eq!(rows.len(), n_passages);
        let mut found = 0.0;
        for (passage, row) in rows.enumerate() {
            assert_eq!(row[passage], 0.0);
            let n_tokens = (STARTS[passage + 1] - STARTS[passage]) as f32;
            found += row.iter().sum::<f32>() * n_tokens / 1_000.0;
        }
        let far = view.branches.iter().filter(|own| own.name != "window");
        let nulls: Vec<f32> = far.map(|branch| branch.null).collect();
        close(found + nulls.iter().sum::<f32>() / nulls.len() as f32, 1.0);
        if let Some(branch) = view.branches.iter().find(|own| own.name == "compressed") {
            close(view.cover.iter().sum::<f32>() + branch.null, 1.0);
        }
        assert!(
            view.gated
                .iter()
                .zip(&view.attention)
                .all(|(gated, own)| gated <= own)
        );
    }

    #[test]
    fn a_passage_alone_sees_nothing() {
        let mut samples = Numbers::new(7);
        let block = block("shas", &mut samples);
        let states = samples.take(90 * HIDDEN, 1.0);
        let mut context = Context::new(&block, 90);
        context.read(&block, &states, &[0, 90]);
        context.close(&block);
        let view = block_view(&block, &context, &states, 2);
        assert_eq!(view.attention, [0.0]);
        assert_eq!(view.levels.last().map(|level| level.n_nodes), Some(1));
    }
}
