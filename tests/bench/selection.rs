//! How much of dense attention a selection keeps, against the best selection of its size.
//!
//! `cargo bench --bench selection` takes the trunk's own queries and keys over one document of 32k tokens of the bundled
//! notes, and chooses blocks of 64 tokens by the attention to their mean keys, down the pyramid and flat; beside it with
//! the spread of the keys about the mean, to second order. Every figure is a share of the dense attention mass that the
//! best blocks of the same number hold.

#[path = "support.rs"]
mod support;
#[path = "text.rs"]
mod text;

use std::ops::Range;

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
const BODY: usize = 230;
const HIDDEN: usize = 384;
const HEADS: usize = 12;
const SIZE: usize = HIDDEN / HEADS;
const GRANULE: usize = 16;
/// Every so many granules one is looked at.
const STRIDE: usize = 31;
const BUDGETS: [f64; 4] = [0.02, 0.05, 0.1, 0.2];

fn main() -> Result<()> {
    let encoder = Encoder::load(&project().join("assets/model"))?;
    let mut batch = PackedBatch::default();
    for body in tokens(&encoder, TOKENS)?.chunks(BODY) {
        batch.push(
            [CLS_TOKEN]
                .into_iter()
                .chain(body.iter().copied())
                .chain([SEP_TOKEN]),
        );
    }
    let pyramid = Pyramid::over(&GlobalConfig::default(), &batch.starts);
    for layer in [2, 4] {
        let states = encoder.local_states(&batch, layer)?;
        measure(layer, &states, &batch, &pyramid)?;
    }
    Ok(())
}

fn measure(layer: usize, states: &[f32], batch: &PackedBatch, pyramid: &Pyramid) -> Result<()> {
    let queries = project_states(states, layer, "query")?;
    let keys = project_states(states, layer, "key")?;
    let granules = granules(batch);
    let leaves = &pyramid.levels[pyramid.leaf_level() - 1];
    let masses: Vec<Vec<f32>> = granules
        .par_iter()
        .map(|(tokens, own)| {
            let mass = dense_mass(&queries, &keys, tokens, own);
            (0..leaves.len())
                .map(|leaf| mass[leaves.tokens_of(leaf)].iter().sum())
                .collect()
        })
        .collect();
    let levels = [false, true].map(|spread| Levels::of(&keys, pyramid, spread));
    let (index, flat_index) = (index(pyramid, usize::MAX), index(pyramid, 1));
    let mut first = 0;
    let groups: Vec<Group> = granules
        .iter()
        .map(|(tokens, own)| {
            let own = leaves.nodes_in(own.clone());
            let queries = first..first + tokens.len() as u32;
            first = queries.end;
            Group {
                queries,
                own: own.start as u32..own.end as u32,
            }
        })
        .collect();
    for budget in BUDGETS {
        let count = (leaves.len() as f64 * budget).round() as usize;
        let indexer = Indexer {
            kept: (2 * count).max(32),
            leaves: count,
            ..Indexer::default()
        };
        let mut line = format!("layer {}, {:>3.0}% of the blocks:", layer + 1, budget * 1e2);
        for (name, levels) in [("means", &levels[0]), ("means and spreads", &levels[1])] {
            let (down, down_time) =
                choose(levels, &index, &queries, &granules, (&indexer, &groups))?;
            let (flat, flat_time) = choose(
                levels,
                &flat_index,
                &queries,
                &granules,
                (&indexer, &groups),
            )?;
            let (down, flat) = (kept(&down, &masses, count), kept(&flat, &masses, count));
            let [down_mean, flat_mean] =
                [&down, &flat].map(|own| own.iter().sum::<f64>() / own.len() as f64);
            line += &format!(
                " by {name} {down_mean:.3} (flat {flat_mean:.3}, worst tenth {:.3} and {:.3}), {:.2}× the flat time;",
                quantile(down, 0.1),
                quantile(flat, 0.1),
                down_time / flat_time
            );
        }
        println!("{line}");
    }
    Ok(())
}

/// What each granule chooses, and the time that it takes.
fn choose(
    levels: &Levels,
    index: &IndexPyramid,
    queries: &[f32],
    granules: &[(Range<usize>, Range<usize>)],
    (indexer, groups): (&Indexer, &[Group]),
) -> Result<(Vec<Vec<u32>>, f64)> {
    let mut chosen = Vec::new();
    let score = |held: &mut Option<(usize, Vec<f32>)>,
                 place: Place,
                 nodes: &[u32],
                 scores: &mut Vec<f32>| {
        let tokens = &granules[place.group].0;
        let queries = &queries[tokens.start * HIDDEN..tokens.end * HIDDEN];
        let log_sums = match held {
            Some((group, log_sums)) if *group == place.group => log_sums,
            // The first level that is scored is the broadest: its sums stand for the whole document.
            _ => {
                &mut held
                    .insert((place.group, levels.log_sums(queries, place.level)))
                    .1
            }
        };
        *scores = levels.importance(queries, log_sums, place.level, nodes);
    };
    let times: Vec<f64> = (0..3)
        .map(|_| {
            seconds(|| {
                let selections = index.descend_by(indexer, groups, || None, score);
                chosen = selections.into_iter().map(|own| own.leaves).collect();
                Ok::<_, std::convert::Infallible>(())
            })
        })
        .collect::<Result<_>>()?;
    Ok((chosen, median(times)))
}

/// Mean keys of the leaves and of all nodes above, and how many tokens each stands for.
struct Levels {
    means: Vec<Vec<f32>>,
    /// Variances of each dimension within a node.
    variances: Vec<Vec<f32>>,
    sizes: Vec<Vec<f32>>,
}

impl Levels {
    fn of(keys: &[f32], pyramid: &Pyramid, spread: bool) -> Self {
        let (mut means, mut variances, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for nodes in &pyramid.levels[pyramid.leaf_level() - 1..] {
            let mut level = vec![0.0; nodes.len() * HIDDEN];
            for (node, mean) in level.chunks_exact_mut(HIDDEN).enumerate() {
                let tokens = nodes.tokens_of(node);
                let share = 1.0 / tokens.len() as f32;
                for key in keys[tokens.start * HIDDEN..tokens.end * HIDDEN].chunks_exact(HIDDEN) {
                    mean.iter_mut()
                        .zip(key)
                        .for_each(|(mean, value)| *mean += share * value);
                }
            }
            variances.push(match spread {
                true => variances_of(keys, &level, nodes),
                false => vec![0.0; level.len()],
            });
            means.push(level);
            sizes.push(
                (0..nodes.len())
                    .map(|node| nodes.tokens_of(node).len() as f32)
                    .collect(),
            );
        }
        Self {
            means,
            variances,
            sizes,
        }
    }

    /// Log of the attention to a whole level by each query and head.
    fn log_sums(&self, queries: &[f32], level: usize) -> Vec<f32> {
        let all = 0..self.sizes[level].len() as u32;
        heads(queries)
            .map(|(query, head)| {
                all.clone()
                    .map(|node| self.logit(query, head, level, node).exp())
                    .sum::<f32>()
                    .ln()
            })
            .collect()
    }

    /// The attention that each node gets, summed over queries and heads.
    fn importance(
        &self,
        queries: &[f32],
        log_sums: &[f32],
        level: usize,
        nodes: &[u32],
    ) -> Vec<f32> {
        let mut scores = vec![0.0; nodes.len()];
        for ((query, head), log_sum) in heads(queries).zip(log_sums) {
            for (score, &node) in scores.iter_mut().zip(nodes) {
                *score += (self.logit(query, head, level, node) - log_sum).exp();
            }
        }
        scores
    }

    fn logit(&self, query: &[f32], head: usize, level: usize, node: u32) -> f32 {
        let own = node as usize * HIDDEN + head * SIZE..node as usize * HIDDEN + (head + 1) * SIZE;
        let key = &self.means[level][own.clone()];
        let variance = &self.variances[level][own];
        let mut spread = 0.0;
        for (query, variance) in query.iter().zip(variance) {
            spread += query * query * variance;
        }
        product(query, key) / (SIZE as f32).sqrt()
            + spread / (2.0 * SIZE as f32)
            + self.sizes[level][node as usize].ln()
    }
}

fn variances_of(keys: &[f32], means: &[f32], nodes: &Level) -> Vec<f32> {
    let mut all = vec![0.0; means.len()];
    for (node, (own, mean)) in all
        .chunks_exact_mut(HIDDEN)
        .zip(means.chunks_exact(HIDDEN))
        .enumerate()
    {
        let tokens = nodes.tokens_of(node);
        let share = 1.0 / tokens.len() as f32;
        for key in keys[tokens.start * HIDDEN..tokens.end * HIDDEN].chunks_exact(HIDDEN) {
            for ((own, mean), key) in own.iter_mut().zip(mean).zip(key) {
                *own += share * (key - mean) * (key - mean);
            }
        }
    }
    all
}

/// The lowest `count` levels; what they are scored by lies in [`Levels`], so their own keys mean nothing.
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
    IndexPyramid::new(levels.map(level).collect())
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

/// Some granules and the passages that they lie in.
fn granules(batch: &PackedBatch) -> Vec<(Range<usize>, Range<usize>)> {
    let passages = batch.starts.windows(2).map(|border| border[0]..border[1]);
    let granules = passages.flat_map(|own| {
        let starts = own.clone().step_by(GRANULE);
        starts.map(move |start| (start..(start + GRANULE).min(own.end), own.clone()))
    });
    granules.step_by(STRIDE).collect()
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

/// The mass of each granule's leaves as a share of that of the best `count`.
fn kept(chosen: &[Vec<u32>], masses: &[Vec<f32>], count: usize) -> Vec<f64> {
    let shares = chosen.iter().zip(masses).map(|(chosen, masses)| {
        let mut best = masses.clone();
        best.sort_by(|a, b| b.total_cmp(a));
        let best: f32 = best[..count].iter().sum();
        let own: f32 = chosen.iter().map(|&leaf| masses[leaf as usize]).sum();
        f64::from(own / best)
    });
    shares.collect()
}
