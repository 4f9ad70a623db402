//! The abstraction head: a node is to be nearest to its own name among its siblings', and to other members of its own.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use candle_core::{D, Device, Tensor, Var};
use candle_nn::ops::{log_softmax, softmax};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::index};
use serde::{Deserialize, Serialize};

use super::{
    learner::unit,
    optimiser::{Gradients, Optimiser, Parameter},
    recipe::OptimiserOptions,
};
use crate::{
    model::abstraction::{AbstractionHead, shared},
    ops::similarity::mean_direction,
};

/// Groups of siblings in a step, siblings of a group and members of a node at most.
const GROUPS: usize = 16;
const SIBLINGS: usize = 8;
const MEMBERS: usize = 10;
/// What agreement moves, beside contrast: its effect is smaller by as much.
const AGREEMENT_RATE: f64 = 10.0;
/// Takes padding out of a softmax.
const NEVER: f32 = -1e9;

/// How the head is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbstractionRecipe {
    pub stage: AbstractionStage,
    /// Sections and their heading paths, below the data folder.
    pub headings: PathBuf,
    pub seed: u64,
    pub steps: usize,
    /// Learning rate of the contrast, at its highest.
    pub rate: f64,
    /// Cosine that makes a name e times as likely.
    pub temperature: f64,
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AbstractionStage {
    Abstraction,
}

/// A node beside others of its parent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sibling {
    /// The vector of its name.
    pub name: Vec<f32>,
    /// Its members, by number.
    pub members: Vec<usize>,
}

/// The head, and how far it came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedAbstraction {
    pub head: AbstractionHead,
    /// The mean loss of the first and of the last tenth of the steps.
    pub first_loss: f64,
    pub last_loss: f64,
}

/// Learns the head from groups of siblings of two kinds, drawn in turn, whose members are among `vectors`.
///
/// # Errors
/// When there is no group, or the recipe has no steps.
pub fn learn_abstraction(
    recipe: &AbstractionRecipe,
    vectors: &[Vec<f32>],
    groups: &[Vec<Vec<Sibling>>; 2],
) -> Result<LearnedAbstraction> {
    ensure!(recipe.steps > 0, "`steps` must be at least 1");
    let dimensions = vectors.first().map_or(0, Vec::len);
    let kinds = groups.iter().filter(|kind| !kind.is_empty());
    let kinds = kinds.map(|kind| {
        let groups = kind.iter();
        let beside = groups.map(|group| (group.as_slice(), siblings_mean(group, vectors)));
        beside.collect::<Vec<Beside>>()
    });
    let kinds: Vec<Vec<Beside>> = kinds.collect();
    ensure!(!kinds.is_empty(), "no heading or folder has siblings");
    let mut optimiser = optimiser(recipe)?;
    let mut random = StdRng::seed_from_u64(recipe.seed);
    let mut losses = Vec::with_capacity(recipe.steps);
    for _ in 0..recipe.steps {
        let mut batch = Batch::new(dimensions);
        for number in 0..GROUPS {
            let kind = &kinds[number % kinds.len()];
            batch.draw(
                &kind[random.random_range(0..kind.len())],
                vectors,
                &mut random,
            );
        }
        let [agreement, contrast] = values(&optimiser);
        let loss = batch.loss(agreement, contrast, recipe.temperature)?;
        losses.push(f64::from(loss.to_scalar::<f32>()?));
        let mut gradients = Gradients::default();
        gradients.add(optimiser.parameters(), &loss.backward()?)?;
        optimiser.step(&gradients)?;
    }
    let tenth = recipe.steps.div_ceil(10);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let [agreement, contrast] = values(&optimiser);
    Ok(LearnedAbstraction {
        head: AbstractionHead {
            agreement: agreement.to_vec1()?[0],
            contrast: contrast.to_vec1()?[0],
        },
        first_loss: mean(&losses[..tenth]),
        last_loss: mean(&losses[losses.len() - tenth..]),
    })
}

/// Siblings, and the mean of their vectors.
type Beside<'a> = (&'a [Sibling], Vec<f32>);

fn siblings_mean(group: &[Sibling], vectors: &[Vec<f32>]) -> Vec<f32> {
    let dimensions = vectors.first().map_or(0, Vec::len);
    let means = group.iter().map(|own| {
        let members = own.members.iter().map(|&member| &vectors[member]);
        mean_direction(members, dimensions)
    });
    let means: Vec<Vec<f32>> = means.collect();
    shared(means.iter().map(Vec::as_slice), dimensions)
}

/// Both numbers at zero, where the head gives the mean.
fn optimiser(recipe: &AbstractionRecipe) -> Result<Optimiser> {
    let parameter = |name: &str, rate| {
        let var = Var::from_tensor(&Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu)?)?;
        let name = name.to_owned();
        Ok::<_, anyhow::Error>(Parameter { name, var, rate })
    };
    let parameters = vec![
        parameter("agreement", AGREEMENT_RATE * recipe.rate)?,
        parameter("contrast", recipe.rate)?,
    ];
    let options = OptimiserOptions {
        learning_rate: recipe.rate,
        head_learning_rate: recipe.rate,
        global_learning_rate: 0.0,
        warmup: 1,
        weight_decay: 0.0,
        clip: f64::MAX,
        accumulate: 1,
    };
    Optimiser::new(parameters, options, recipe.steps)
}

fn values(optimiser: &Optimiser) -> [&Tensor; 2] {
    let own = optimiser.parameters();
    [own[0].var.as_tensor(), own[1].var.as_tensor()]
}

/// Members of nodes, padded.
#[derive(Default)]
struct Members {
    /// `[n_nodes, MEMBERS, dimensions]`.
    values: Vec<f32>,
    /// 0 or [`NEVER`], `[n_nodes, MEMBERS]`.
    padding: Vec<f32>,
    /// `[n_nodes, dimensions]`.
    means: Vec<f32>,
}

impl Members {
    fn push(&mut self, members: &[usize], vectors: &[Vec<f32>], dimensions: usize) {
        let own = || members.iter().map(|&member| &vectors[member]);
        self.means.extend(mean_direction(own(), dimensions));
        own().for_each(|vector| self.values.extend(vector));
        let missing = MEMBERS - members.len();
        self.values
            .extend(std::iter::repeat_n(0.0, missing * dimensions));
        self.padding.extend(std::iter::repeat_n(0.0, members.len()));
        self.padding.extend(std::iter::repeat_n(NEVER, missing));
    }

    /// Vectors of the nodes, `[GROUPS, SIBLINGS, dimensions]`.
    fn nodes(&self, agreement: &Tensor, contrast: &Tensor, siblings: &Tensor) -> Result<Tensor> {
        let device = siblings.device();
        let (_, _, dimensions) = siblings.dims3()?;
        let n_nodes = GROUPS * SIBLINGS;
        let shape = (n_nodes, MEMBERS, dimensions);
        let values = Tensor::from_slice(&self.values, shape, device)?;
        let padding = Tensor::from_slice(&self.padding, (n_nodes, MEMBERS), device)?;
        let means = Tensor::from_slice(&self.means, (n_nodes, 1, dimensions), device)?;
        let cosines = values.broadcast_mul(&means)?.sum(D::Minus1)?;
        let scores = (cosines.broadcast_mul(agreement)? + padding)?;
        let weights = softmax(&scores, D::Minus1)?.unsqueeze(2)?;
        let pooled = unit(&values.broadcast_mul(&weights)?.sum(1)?)?;
        let pooled = pooled.reshape((GROUPS, SIBLINGS, dimensions))?;
        unit(&(pooled + siblings.broadcast_mul(contrast)?)?)
    }
}

/// Groups of siblings, each node drawn twice without a member in common; padded to so many siblings.
struct Batch {
    dimensions: usize,
    first: Members,
    second: Members,
    /// Of names and of the siblings' means, `[n_nodes, dimensions]`.
    names: Vec<f32>,
    siblings: Vec<f32>,
    /// 1 for a node, 0 for padding, `[n_nodes]`.
    is_node: Vec<f32>,
}

impl Batch {
    fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            first: Members::default(),
            second: Members::default(),
            names: Vec::new(),
            siblings: Vec::new(),
            is_node: Vec::new(),
        }
    }

    fn draw(&mut self, (group, mean): &Beside, vectors: &[Vec<f32>], random: &mut StdRng) {
        let count = group.len().min(SIBLINGS);
        for place in index::sample(random, group.len(), count) {
            let own = &group[place];
            let [first, second] = [(); 2].map(|()| random.random_range(1..=MEMBERS));
            let total = own.members.len().min(first + second);
            let drawn = index::sample(random, own.members.len(), total).into_iter();
            let drawn: Vec<usize> = drawn.map(|at| own.members[at]).collect();
            let (ours, theirs) = drawn.split_at(first.min(total - 1).max(1));
            self.first.push(ours, vectors, self.dimensions);
            self.second.push(
                &theirs[..theirs.len().min(MEMBERS)],
                vectors,
                self.dimensions,
            );
            self.names.extend(&own.name);
            self.is_node.push(1.0);
        }
        for _ in count..SIBLINGS {
            self.first.push(&[], vectors, self.dimensions);
            self.second.push(&[], vectors, self.dimensions);
            self.names.extend(vec![0.0; self.dimensions]);
            self.is_node.push(0.0);
        }
        for _ in 0..SIBLINGS {
            self.siblings.extend(mean);
        }
    }

    /// The cross-entropy of the own name among the siblings', and of the node's other draw among theirs.
    fn loss(&self, agreement: &Tensor, contrast: &Tensor, temperature: f64) -> Result<Tensor> {
        let device = agreement.device();
        let shape = (GROUPS, SIBLINGS, self.dimensions);
        let siblings = Tensor::from_slice(&self.siblings, shape, device)?;
        let names = Tensor::from_slice(&self.names, shape, device)?;
        let first = self.first.nodes(agreement, contrast, &siblings)?;
        let second = self.second.nodes(agreement, contrast, &siblings)?;
        let is_node = Tensor::from_slice(&self.is_node, (GROUPS, 1, SIBLINGS), device)?;
        let padding = ((&is_node - 1.0)? * f64::from(-NEVER))?;
        let own = Tensor::eye(SIBLINGS, candle_core::DType::F32, device)?;
        let own = own.broadcast_mul(&is_node)?;
        let cross_entropy = |others: &Tensor| -> Result<Tensor> {
            let cosines = first.matmul(&others.t()?.contiguous()?)?;
            let logits = (cosines / temperature)?.broadcast_add(&padding)?;
            let found = (log_softmax(&logits, D::Minus1)? * &own)?.sum_all()?;
            Ok(found.broadcast_div(&is_node.sum_all()?)?.neg()?)
        };
        Ok((cross_entropy(&names)? + cross_entropy(&second)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(steps: usize) -> AbstractionRecipe {
        AbstractionRecipe {
            stage: AbstractionStage::Abstraction,
            headings: PathBuf::new(),
            seed: 3,
            steps,
            rate: 0.05,
            temperature: 0.1,
        }
    }

    /// Three siblings whose members share much and differ in one dimension, which their names have alone.
    fn library() -> (Vec<Vec<f32>>, [Vec<Vec<Sibling>>; 2]) {
        let mut vectors = Vec::new();
        let mut group = Vec::new();
        for node in 0..3 {
            let members = (0..8).map(|own| vectors.len() + own).collect();
            for own in 0..8 {
                let mut vector = vec![0.9, 0.0, 0.0, 0.0, 0.0];
                vector[1 + node] = 0.3;
                vector[1 + (node + own) % 3] += 0.25;
                vector[4] = own as f32 * 0.05;
                vectors.push(mean_direction([vector], 5));
            }
            let mut name = vec![0.0; 5];
            name[1 + node] = 1.0;
            group.push(Sibling { name, members });
        }
        (vectors, [vec![group], Vec::new()])
    }

    #[test]
    fn what_siblings_share_is_taken_off_and_the_loss_falls() {
        let (vectors, groups) = library();
        let learned = learn_abstraction(&recipe(60), &vectors, &groups).expect("learns");
        assert!(learned.head.contrast < -0.3, "{learned:?}");
        assert!(learned.last_loss < 0.8 * learned.first_loss, "{learned:?}");
        let again = learn_abstraction(&recipe(60), &vectors, &groups).expect("learns");
        assert_eq!(learned, again);
        assert!(learn_abstraction(&recipe(60), &vectors, &[Vec::new(), Vec::new()]).is_err());
    }

    #[test]
    fn gradients_reach_both_numbers_from_the_start() {
        let (vectors, groups) = library();
        let group = &groups[0][0];
        let beside = (group.as_slice(), siblings_mean(group, &vectors));
        let mut batch = Batch::new(5);
        let mut random = StdRng::seed_from_u64(1);
        (0..GROUPS).for_each(|_| batch.draw(&beside, &vectors, &mut random));
        let optimiser = optimiser(&recipe(1)).expect("starts");
        let [agreement, contrast] = values(&optimiser);
        let loss = batch.loss(agreement, contrast, 0.1).expect("computes");
        let gradients = loss.backward().expect("goes back");
        for own in [agreement, contrast] {
            let gradient: Vec<f32> = gradients
                .get(own)
                .expect("is there")
                .to_vec1()
                .expect("reads");
            assert!(
                gradient[0].abs() > 1e-6 && gradient[0].is_finite(),
                "{gradient:?}"
            );
        }
    }
}
