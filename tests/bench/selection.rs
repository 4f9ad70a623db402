//! How much of dense attention a selection keeps, against the best selection of its size.
//!
//! `cargo bench --bench selection [-- FILE…]` takes the trunk's own queries and keys over one document of 32k tokens (the
//! bundled notes, or each of the texts), and chooses blocks of 64 tokens by the attention to the mean keys of their
//! parts of four tokens; down the pyramid, where a node is judged by what lies two levels below, and flat; beside it
//! with the spread of the keys about the mean, to second order. Every figure is a share of the dense attention mass that
//! the best blocks of the same number hold. Then what 32 blocks cost and keep in documents of 8k, 32k and 128k tokens.

#[path = "support.rs"]
mod support;
#[path = "text.rs"]
mod text;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use candle_core::Device;
use rayon::prelude::*;
use shas::{
    model::{
        Encoder,
        config::{CLS_TOKEN, SEP_TOKEN},
        global::{
            GlobalConfig,
            pyramid::{Level, Pyramid},
        },
        packed::PackedBatch,
        weights::WeightFile,
    },
    ops::{
        lightning_index::{Group, IndexKeys, IndexLevel, IndexPyramid, Indexer, Place},
        similarity::product,
    },
};
use support::{Result, median, project, quantile, seconds};
use text::tokens;

const TOKENS: usize = 32 << 10;
const LENGTHS: [usize; 3] = [8 << 10, 32 << 10, 128 << 10];
const BODY: usize = 230;
const HIDDEN: usize = 384;
const HEADS: usize = 12;
const SIZE: usize = HIDDEN / HEADS;
const GRANULE: usize = 16;
/// Granules that are looked at, over all texts.
const GRANULES: usize = 128;
const BUDGETS: [f64; 4] = [0.02, 0.05, 0.1, 0.2];
/// Blocks that are chosen in documents of any length.
const BLOCKS: usize = 32;
/// Levels below a node by which it is judged.
const LOOKAHEAD: usize = 2;
/// Local layers behind which global blocks stand, and before a layer with heads of its own.
const LAYERS: [usize; 2] = [2, 4];

fn main() -> Result<()> {
    let encoder = Encoder::load(&project().join("assets/model"))?;
    let files = std::env::args().skip(1).filter(|own| own != "--bench");
    let files: Vec<PathBuf> = files.map(PathBuf::from).collect();
    let texts = match files.is_empty() {
        true => vec![tokens(&encoder, TOKENS)?],
        false => {
            let texts = files.iter().map(|file| first_tokens(&encoder, file));
            texts.collect::<Result<_>>()?
        }
    };
    for layer in LAYERS {
        let granules = GRANULES / texts.len();
        let scenes = texts
            .iter()
            .map(|text| Scene::new(&encoder, text, layer, granules));
        budgets(layer, &scenes.collect::<Result<Vec<_>>>()?)?;
    }
    let text = tokens(&encoder, LENGTHS[LENGTHS.len() - 1])?;
    for length in LENGTHS {
        let scene = Scene::new(&encoder, &text[..length], LAYERS[0], GRANULES / 4)?;
        print!("{length:>7} tokens, {BLOCKS} blocks:");
        for (name, flat) in [("down the pyramid", false), ("flat", true)] {
            let runs = (0..3).map(|_| scene.choose(BLOCKS, false, flat));
            let runs = runs.collect::<Result<Vec<_>>>()?;
            let kept = mean(&runs[0].kept);
            let time = median(runs.iter().map(|run| run.time).collect());
            print!(" {name} {kept:.3} in {:.2} ms a granule;", 1e3 * time);
        }
        println!();
    }
    Ok(())
}

/// The beginning of a text.
fn first_tokens(encoder: &Encoder, file: &Path) -> Result<Vec<u32>> {
    let pieces = encoder
        .tokenizer()
        .tokenize(&std::fs::read_to_string(file)?)?;
    Ok(pieces.iter().take(TOKENS).map(|own| own.id).collect())
}

/// What each share of the blocks keeps, on average over the granules of all scenes.
fn budgets(layer: usize, scenes: &[Scene]) -> Result<()> {
    for budget in BUDGETS {
        let mut line = format!("layer {}, {:>3.0}% of the blocks:", layer + 1, budget * 1e2);
        for (name, spread) in [("means", false), ("means and spreads", true)] {
            let (mut down, mut flat) = (Vec::new(), Vec::new());
            for scene in scenes {
                let count = (scene.leaves().len() as f64 * budget).round() as usize;
                down.extend(scene.choose(count, spread, false)?.kept);
                flat.extend(scene.choose(count, spread, true)?.kept);
            }
            line += &format!(
                " by {name} {:.3} (flat {:.3}, worst tenth {:.3} and {:.3});",
                mean(&down),
                mean(&flat),
                quantile(down, 0.1),
                quantile(flat, 0.1),
            );
        }
        println!("{line}");
    }
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A document in one layer's queries and keys.
struct Scene {
    queries: Vec<f32>,
    pyramid: Pyramid,
    /// `means[l - 1]` is level l.
    means: Vec<Means>,
    /// Some granules and the passages that they lie in.
    granules: Vec<(Range<usize>, Range<usize>)>,
    /// The dense attention of each granule to each leaf.
    masses: Vec<Vec<f32>>,
}

/// What the granules of a scene choose.
struct Choice {
    /// The mass of each granule's leaves as a share of that of the best.
    kept: Vec<f64>,
    /// Seconds a granule.
    time: f64,
}

impl Scene {
    fn new(encoder: &Encoder, text: &[u32], layer: usize, n_granules: usize) -> Result<Self> {
        let mut batch = PackedBatch::default();
        for body in text.chunks(BODY) {
            let body = body.iter().copied();
            batch.push([CLS_TOKEN].into_iter().chain(body).chain([SEP_TOKEN]));
        }
        let states = encoder.local_states(&batch, layer)?;
        let queries = project_states(&states, layer, "query")?;
        let keys = project_states(&states, layer, "key")?;
        let pyramid = Pyramid::over(&GlobalConfig::default(), &batch.starts);
        let granules = granules(&batch, n_granules);
        let leaves = &pyramid.levels[pyramid.leaf_level() - 1];
        let masses = granules.par_iter().map(|(tokens, own)| {
            let mass = dense_mass(&queries, &keys, tokens, own);
            let leaves = (0..leaves.len()).map(|leaf| mass[leaves.tokens_of(leaf)].iter().sum());
            leaves.collect()
        });
        let masses = masses.collect();
        let levels = pyramid.levels.iter();
        Ok(Self {
            means: levels
                .map(|level| Means::of(&keys, level, &batch.token_ids))
                .collect(),
            queries,
            pyramid,
            granules,
            masses,
        })
    }

    fn leaves(&self) -> &Level {
        &self.pyramid.levels[self.pyramid.leaf_level() - 1]
    }

    /// What each granule chooses among all blocks, or down the pyramid.
    fn choose(&self, count: usize, spread: bool, flat: bool) -> Result<Choice> {
        let indexer = Indexer {
            kept: (2 * count).max(32),
            leaves: count,
            ..Indexer::default()
        };
        let index = index(&self.pyramid, if flat { 1 } else { usize::MAX });
        let groups: Vec<Group> = self.granules.iter().map(|own| self.group(own)).collect();
        let mut chosen = Vec::new();
        let time = seconds(|| {
            chosen = index.descend_by(
                &indexer,
                &groups,
                Gaze::default,
                |gaze, place, nodes, scores| *scores = gaze.scores(self, spread, place, nodes),
            );
            Ok::<_, std::convert::Infallible>(())
        })?;
        let kept = chosen.iter().zip(&self.masses).map(|(chosen, masses)| {
            let mut best = masses.clone();
            best.sort_by(|a, b| b.total_cmp(a));
            let best: f32 = best[..count].iter().sum();
            let leaves = chosen.leaves.iter();
            let own: f32 = leaves.map(|&leaf| masses[leaf as usize]).sum();
            f64::from(own / best)
        });
        Ok(Choice {
            kept: kept.collect(),
            time: time / groups.len() as f64,
        })
    }

    fn group(&self, (tokens, own): &(Range<usize>, Range<usize>)) -> Group {
        let own = self.leaves().nodes_in(own.clone());
        Group {
            queries: tokens.start as u32..tokens.end as u32,
            own: own.start as u32..own.end as u32,
        }
    }

    /// What lies `depth` levels below a node.
    fn below(&self, level: usize, node: u32, depth: usize) -> Range<usize> {
        let tokens = self.pyramid.levels[level].tokens_of(node as usize);
        self.pyramid.levels[level - depth].nodes_in(tokens)
    }
}

/// One granule's attention to the means, while it descends.
#[derive(Default)]
struct Gaze {
    group: usize,
    /// What was scored last.
    level: usize,
    nodes: Vec<u32>,
    /// Attention to these by each query and head, `[n_nodes, n_rows]`.
    attention: Vec<f32>,
    /// Attention to all nodes that were scored and not opened, `[n_rows]`.
    closed: Vec<f32>,
}

impl Gaze {
    /// The attention to each node as a share of that to all nodes where the descent has come to, summed over queries
    /// and heads.
    fn scores(&mut self, scene: &Scene, spread: bool, place: Place, nodes: &[u32]) -> Vec<f32> {
        let tokens = scene.granules[place.group].0.clone();
        let queries = &scene.queries[tokens.start * HIDDEN..tokens.end * HIDDEN];
        let level = scene.pyramid.leaf_level() - 1 + place.level;
        let n_rows = queries.len() / SIZE;
        match self.group == place.group && level < self.level {
            true => self.close(scene, level, nodes),
            false => self.closed = vec![0.0; n_rows],
        }
        let depth = LOOKAHEAD.min(level);
        self.attention.clear();
        for &node in nodes {
            let below = scene.below(level, node, depth);
            let means = &scene.means[level - depth];
            let rows = heads(queries);
            self.attention.extend(
                rows.map(|(query, head)| means.attention(query, head, below.clone(), spread)),
            );
        }
        let mut totals = self.closed.clone();
        for attention in self.attention.chunks_exact(n_rows) {
            add(&mut totals, attention);
        }
        (self.group, self.level, self.nodes) = (place.group, level, nodes.to_vec());
        let nodes = self.attention.chunks_exact(n_rows);
        nodes
            .map(|own| own.iter().zip(&totals).map(|(own, all)| own / all).sum())
            .collect()
    }

    /// Adds what was scored last and has nothing among `nodes` of a level below.
    fn close(&mut self, scene: &Scene, level: usize, nodes: &[u32]) {
        let n_rows = self.closed.len();
        for (&node, attention) in self.nodes.iter().zip(self.attention.chunks_exact(n_rows)) {
            let first = scene.below(self.level, node, self.level - level).start;
            if nodes.binary_search(&(first as u32)).is_err() {
                add(&mut self.closed, attention);
            }
        }
    }
}

fn add(sums: &mut [f32], values: &[f32]) {
    let pairs = sums.iter_mut().zip(values);
    pairs.for_each(|(sum, value)| *sum += value);
}

/// Mean keys of the nodes of a level. A passage's first and last token, to which much attention goes whatever is asked,
/// are means of their own, apart from the words of their nodes.
#[derive(Default)]
struct Means {
    /// Node `j` has the means `borders[j]..borders[j + 1]`.
    borders: Vec<usize>,
    /// `[n_means, HIDDEN]`, and the variance of each dimension.
    means: Vec<f32>,
    variances: Vec<f32>,
    /// Tokens that each stands for.
    sizes: Vec<f32>,
}

impl Means {
    fn of(keys: &[f32], nodes: &Level, token_ids: &[u32]) -> Self {
        let mut all = Self::default();
        for node in 0..nodes.len() {
            all.borders.push(all.sizes.len());
            let kinds: [fn(u32) -> bool; 3] = [
                |id| ![CLS_TOKEN, SEP_TOKEN].contains(&id),
                |id| id == CLS_TOKEN,
                |id| id == SEP_TOKEN,
            ];
            for is_kind in kinds {
                let own = nodes.tokens_of(node).filter(|&at| is_kind(token_ids[at]));
                let keys: Vec<&[f32]> = own.map(|at| &keys[at * HIDDEN..][..HIDDEN]).collect();
                if !keys.is_empty() {
                    all.push(&keys);
                }
            }
        }
        all.borders.push(all.sizes.len());
        all
    }

    fn push(&mut self, keys: &[&[f32]]) {
        let share = 1.0 / keys.len() as f32;
        for at in 0..HIDDEN {
            let mean = share * keys.iter().map(|key| key[at]).sum::<f32>();
            let squares = keys.iter().map(|key| (key[at] - mean).powi(2));
            self.variances.push(share * squares.sum::<f32>());
            self.means.push(mean);
        }
        self.sizes.push(keys.len() as f32);
    }

    /// The attention of one head of a query to some nodes.
    fn attention(&self, query: &[f32], head: usize, nodes: Range<usize>, spread: bool) -> f32 {
        let means = self.borders[nodes.start]..self.borders[nodes.end];
        let attention = means.map(|at| {
            let own = at * HIDDEN + head * SIZE..at * HIDDEN + (head + 1) * SIZE;
            let mut logit = product(query, &self.means[own.clone()]) / (SIZE as f32).sqrt();
            if spread {
                let pairs = query.iter().zip(&self.variances[own]);
                let spread: f32 = pairs.map(|(query, own)| query * query * own).sum();
                logit += spread / (2.0 * SIZE as f32);
            }
            self.sizes[at] * logit.exp()
        });
        attention.sum()
    }
}

/// Some granules and the passages that they lie in.
fn granules(batch: &PackedBatch, count: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let passages = batch.starts.windows(2).map(|border| border[0]..border[1]);
    let granules = passages.flat_map(|own| {
        let starts = own.clone().step_by(GRANULE);
        starts.map(move |start| (start..(start + GRANULE).min(own.end), own.clone()))
    });
    let all: Vec<_> = granules.collect();
    let step = all.len().div_ceil(count);
    all.into_iter().step_by(step).collect()
}

/// The leaves and what stands above them, `count` levels; nodes are scored by [`Means`], so their own keys mean nothing.
fn index(pyramid: &Pyramid, count: usize) -> IndexPyramid {
    let levels = pyramid.levels[pyramid.leaf_level() - 1..]
        .iter()
        .take(count)
        .enumerate();
    let level = |(at, level): (usize, &Level)| IndexLevel {
        keys: IndexKeys::new(&vec![0.0; level.len()], 1),
        children: if at == 0 {
            Vec::new()
        } else {
            level.children.clone()
        },
    };
    IndexPyramid::new(levels.map(level).collect(), 0)
}

/// Every query's heads.
fn heads(queries: &[f32]) -> impl Iterator<Item = (&[f32], usize)> {
    queries
        .chunks_exact(SIZE)
        .enumerate()
        .map(|(at, query)| (query, at % HEADS))
}

/// States through the query or key projection of the next layer, `[n_tokens, HIDDEN]`.
fn project_states(states: &[f32], layer: usize, part: &str) -> Result<Vec<f32>> {
    let file = WeightFile::open(&project().join("assets/model/model.safetensors"))?;
    let tensors = file.dequantised(&Device::Cpu)?;
    let name = format!("encoder.layer.{layer}.attention.self.{part}");
    let tensor = |kind: &str| -> Result<Vec<f32>> {
        let tensor = tensors
            .get(&format!("{name}.{kind}"))
            .ok_or("the weights lack a projection")?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    };
    let (weight, bias) = (tensor("weight")?, tensor("bias")?);
    let rows = states.par_chunks_exact(HIDDEN);
    let project = |row: &[f32]| -> Vec<f32> {
        let outputs = weight.chunks_exact(HIDDEN).zip(&bias);
        outputs
            .map(|(weights, bias)| product(row, weights) + bias)
            .collect()
    };
    Ok(rows.flat_map_iter(project).collect())
}

/// The attention of a granule's queries to every token outside its passage, summed over queries and heads.
fn dense_mass(
    queries: &[f32],
    keys: &[f32],
    tokens: &Range<usize>,
    own: &Range<usize>,
) -> Vec<f32> {
    let n_tokens = keys.len() / HIDDEN;
    let mut mass = vec![0.0; n_tokens];
    let mut weights = vec![0.0; n_tokens];
    for query in tokens.clone() {
        for head in 0..HEADS {
            let at =
                |token: usize| token * HIDDEN + head * SIZE..token * HIDDEN + (head + 1) * SIZE;
            let query = &queries[at(query)];
            let mut total = 0.0;
            for (token, weight) in weights.iter_mut().enumerate() {
                *weight = match own.contains(&token) {
                    true => 0.0,
                    false => (product(query, &keys[at(token)]) / (SIZE as f32).sqrt()).exp(),
                };
                total += *weight;
            }
            mass.iter_mut()
                .zip(&weights)
                .for_each(|(mass, weight)| *mass += weight / total);
        }
    }
    mass
}
