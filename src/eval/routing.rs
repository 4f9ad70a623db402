//! Of what kind and size is the answer that a question wants? Here are questions of known kinds, and vaults, gimme the [`Router`].
//!
//! The kinds are learned from questions that say theirs. The sizes of concepts are learned from questions made of a
//! vault's own names: a heading with its title wants a section, a title its document, a folder or tag the node of the
//! tree that holds such documents.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    EvalError,
    logistic::{Examples, fit},
};
use crate::{
    ingest::{IndexOptions, Progress, index},
    model::{
        Encoder, ModelError,
        router::{Kind, N_SIZE_FEATURES, N_SIZES, Router, favoured},
    },
    query::{QueryError, Question, groups, rank},
    store::Snapshot,
};

/// Parts of the subjects that judge what the others teach, in turn.
const FOLDS: usize = 5;
/// Documents of a folder or a tag, at least, so that it is worth a node.
const LEAST_DOCUMENTS: usize = 4;
/// How a heading `{h}` of a document `{t}` is asked for, a title, a folder or tag `{c}`.
const SECTION_FORMS: [&str; 4] = [
    "{t}: {h}",
    "What does {t} say about {h}?",
    "{h} in {t}",
    "{t} {h}",
];
const DOCUMENT_FORMS: [&str; 4] = [
    "{t}",
    "What is {t}?",
    "Tell me about {t}",
    "What is {t} about?",
];
const NODE_FORMS: [&str; 4] = [
    "{c}",
    "What is there about {c}?",
    "Which notes deal with {c}?",
    "Give me an overview of {c}",
];

/// A recipe for the router: one TOML file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterRecipe {
    pub stage: RouterStage,
    /// Lines of questions with their kind and subject, beside the recipe.
    pub questions: PathBuf,
    /// Vaults that teach sizes, below the data folder; each is judged by what the others teach.
    pub vaults: Vec<PathBuf>,
    /// Questions of each size from a vault, at most, drawn by `seed`.
    pub of_each_size: usize,
    pub seed: u64,
    /// Of the vaults' questions one in so many teaches kinds as well, and of those that want several documents.
    pub names_step: usize,
    pub several_step: usize,
    /// What squared weights cost in the two heads.
    pub kind_penalty: f64,
    pub size_penalty: f64,
}

/// What tells this recipe from those of the trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterStage {
    Router,
}

/// A question that says its kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct KindQuestion {
    pub topic: String,
    pub kind: Kind,
    pub question: String,
}

/// A vault and where its index is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedVault {
    pub folder: PathBuf,
    pub index: PathBuf,
}

/// What was learned, and how often it is right on what it was not learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedRouter {
    pub router: Router,
    /// On subjects that were left out in turn.
    pub kinds: f64,
    /// On each vault, by what the others teach.
    pub vaults: Vec<VaultFigures>,
}

/// How often one vault's questions get the right level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VaultFigures {
    pub name: String,
    pub n_questions: usize,
    /// Those that want sections, documents and nodes.
    pub levels: [f64; N_SIZES],
    pub all: f64,
}

/// Learns both heads.
///
/// # Errors
/// When a vault cannot be read or asked.
pub fn learn_router(
    recipe: &RouterRecipe,
    questions: &[KindQuestion],
    vaults: &[RoutedVault],
    encoder: &Encoder,
    progress: Progress,
) -> Result<LearnedRouter, EvalError> {
    let written = kind_examples(questions, encoder)?;
    let asked = vaults
        .iter()
        .map(|vault| Asked::of(vault, recipe, encoder, progress));
    let asked: Vec<Asked> = asked.collect::<Result<_, _>>()?;
    let without = |left_out: Option<usize>| {
        let others = asked.iter().enumerate();
        let others = others.filter(|(at, _)| Some(*at) != left_out);
        router(recipe, &written, others.map(|(_, own)| own))
    };
    let judged: Vec<VaultFigures> = (0..asked.len())
        .into_par_iter()
        .map(|own| asked[own].figures(&vaults[own], &without(Some(own))))
        .collect();
    Ok(LearnedRouter {
        kinds: on_other_subjects(questions, &written, recipe.kind_penalty),
        router: without(None),
        vaults: judged,
    })
}

/// Fits both heads to questions of known kinds and to those made of vaults.
fn router<'a>(
    recipe: &RouterRecipe,
    written: &Examples,
    vaults: impl Iterator<Item = &'a Asked>,
) -> Router {
    let (mut kinds, mut sizes) = (written.clone(), Examples::default());
    for asked in vaults {
        // Some of a vault's names say what they want, too few to drown what was written for it; those that want several
        // documents are rarer and need more.
        let steps = [recipe.names_step, recipe.several_step].map(|own| own.max(1));
        let several = |at: usize| usize::from(asked.kinds.classes[at] == Kind::Synthesis as usize);
        let (some, _) = asked
            .kinds
            .split(|at| at.is_multiple_of(steps[several(at)]));
        kinds.features.extend(some.features);
        kinds.classes.extend(some.classes);
        let named = named(&asked.examples);
        let paraphrased = paraphrased(&named, recipe.seed);
        for own in [named, paraphrased] {
            sizes.features.extend(own.features);
            sizes.classes.extend(own.classes);
        }
    }
    Router {
        kind: fit(&kinds, recipe.kind_penalty),
        size: fit(&sizes, recipe.size_penalty),
    }
}

/// The examples without those of nodes whose name the attention has not met: nothing tells what these ask for.
fn named(examples: &Examples) -> Examples {
    const NODE: usize = N_SIZES - 1;
    let per_size = N_SIZE_FEATURES / N_SIZES;
    let is_met = |at: usize| examples.features[at][NODE * per_size + 2..].contains(&1.0);
    let (own, _) = examples.split(|at| examples.classes[at] != NODE || is_met(at));
    own
}

/// Sections and documents asked for in other words than their own: names say less, and none is the question.
fn paraphrased(examples: &Examples, seed: u64) -> Examples {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut own, _) = examples.split(|at| examples.classes[at] < N_SIZES - 1);
    for features in &mut own.features {
        let known = random.random_range(0.0..0.6);
        for size in features.chunks_exact_mut(N_SIZE_FEATURES / N_SIZES) {
            let [_, both, of_name, is_question] = size else {
                continue;
            };
            *both *= known;
            *of_name *= known;
            *is_question = 0.0;
        }
    }
    own
}

fn kind_examples(questions: &[KindQuestion], encoder: &Encoder) -> Result<Examples, QueryError> {
    let features = questions
        .par_iter()
        .map(|own| encoder.kind_features(&own.question));
    Ok(Examples {
        features: features.collect::<Result<_, ModelError>>()?,
        classes: questions.iter().map(|own| own.kind as usize).collect(),
    })
}

/// How often the kind is right on subjects that were left out.
fn on_other_subjects(questions: &[KindQuestion], examples: &Examples, penalty: f64) -> f64 {
    let topics: BTreeSet<&str> = questions.iter().map(|own| own.topic.as_str()).collect();
    let fold: BTreeMap<&str, usize> = topics
        .into_iter()
        .enumerate()
        .map(|(at, topic)| (topic, at % FOLDS))
        .collect();
    let of = |out: usize| {
        let (left_out, others) = examples.split(|at| fold[questions[at].topic.as_str()] == out);
        left_out.accuracy(&fit(&others, penalty)) * left_out.classes.len() as f64
    };
    let right: f64 = (0..FOLDS).into_par_iter().map(of).sum();
    right / questions.len().max(1) as f64
}

/// The questions made of a vault, and what the router sees of them.
struct Asked {
    /// What tells the sizes.
    examples: Examples,
    /// What tells the kinds.
    kinds: Examples,
}

impl Asked {
    fn of(
        vault: &RoutedVault,
        recipe: &RouterRecipe,
        encoder: &Encoder,
        progress: Progress,
    ) -> Result<Self, EvalError> {
        let options = IndexOptions::default();
        index(&vault.folder, &vault.index, encoder, &options, progress)?;
        let snapshot = Snapshot::open(&vault.index)?;
        let questions = questions(&snapshot, recipe);
        let weights = encoder.fusion(true);
        let seen = questions.par_iter().map(|own| {
            let question = &own.text;
            let asked = Question::plain(question);
            let ranking = rank(&snapshot, encoder, &asked, &weights)?;
            let sizes = ranking.size_features.to_vec();
            Ok((sizes, encoder.kind_features(question)?))
        });
        let seen: Vec<_> = seen.collect::<Result<_, QueryError>>()?;
        let (sizes, kinds) = seen.into_iter().unzip();
        let kind = |own: &Made| match own.wants_several {
            true => Kind::Synthesis as usize,
            false => Kind::Concept as usize,
        };
        Ok(Self {
            examples: Examples {
                features: sizes,
                classes: questions.iter().map(|own| own.size).collect(),
            },
            kinds: Examples {
                features: kinds,
                classes: questions.iter().map(kind).collect(),
            },
        })
    }

    fn figures(&self, vault: &RoutedVault, router: &Router) -> VaultFigures {
        let mut counts = [[0.0; 2]; N_SIZES];
        let asked = self.examples.features.iter().zip(&self.examples.classes);
        for ((features, &size), kinds) in asked.zip(&self.kinds.features) {
            let mut sizes = [0.0; N_SIZE_FEATURES];
            sizes.copy_from_slice(features);
            let weights = router.weights(router.kind.probabilities(kinds), &sizes);
            counts[size][0] += 1.0;
            // Passages come before the sizes of concepts.
            counts[size][1] += f64::from(u8::from(favoured(weights) == 1 + size));
        }
        let name = vault.folder.file_name();
        let [asked, right] = [0, 1].map(|at| counts.iter().map(|own| own[at]).sum::<f64>());
        VaultFigures {
            name: name.map_or_else(String::new, |own| own.to_string_lossy().into_owned()),
            n_questions: self.kinds.classes.len(),
            levels: counts.map(|[asked, right]| right / f64::max(asked, 1.0)),
            all: right / f64::max(asked, 1.0),
        }
    }
}

/// A question made of a vault's names.
struct Made {
    text: String,
    /// 0 for a section, 1 for a document, 2 for a node.
    size: usize,
    /// Whether its words say that the documents of a node are wanted; a bare name does not.
    wants_several: bool,
}

fn questions(snapshot: &Snapshot, recipe: &RouterRecipe) -> Vec<Made> {
    let names = Names::of(snapshot);
    let mut random = StdRng::seed_from_u64(recipe.seed);
    let mut questions = Vec::new();
    let mut draw = |names: &[Vec<String>], forms: [&str; 4], marks: &[&str], size: usize| {
        let drawn = names.choose_multiple(&mut random, recipe.of_each_size);
        for (name, form) in drawn.zip(forms.into_iter().cycle()) {
            let filled = marks.iter().zip(name);
            let text = filled.fold(form.to_owned(), |form, (mark, own)| form.replace(mark, own));
            questions.push(Made {
                text,
                size,
                wants_several: size == N_SIZES - 1 && form.contains(' '),
            });
        }
    };
    draw(&names.sections, SECTION_FORMS, &["{t}", "{h}"], 0);
    draw(&names.documents, DOCUMENT_FORMS, &["{t}"], 1);
    draw(&names.nodes, NODE_FORMS, &["{c}"], 2);
    questions
}

/// What a vault calls its sections (title and heading), its documents and its groups of documents.
#[derive(Default)]
struct Names {
    sections: Vec<Vec<String>>,
    documents: Vec<Vec<String>>,
    nodes: Vec<Vec<String>>,
}

impl Names {
    fn of(snapshot: &Snapshot) -> Self {
        let mut names = Self::default();
        let records = &snapshot.body.documents;
        let mut titles: BTreeMap<String, usize> = BTreeMap::new();
        for record in records {
            *titles.entry(record.title.to_lowercase()).or_default() += 1;
        }
        for record in records {
            let own = titles[&record.title.to_lowercase()] == 1;
            if !own || !is_name(&record.title) || record.n_passages < 2 {
                continue;
            }
            let headings = record.sections.iter().filter(|own| own.level > 0);
            let headings = headings.filter(|own| is_name(&own.heading));
            let headings: Vec<&str> = headings
                .map(|own| own.heading.as_str())
                .filter(|own| *own != record.title)
                .collect();
            let title = || record.title.clone();
            let sections = headings.iter().map(|own| vec![title(), (*own).to_owned()]);
            names.sections.extend(sections);
            if headings.len() >= 2 {
                names.documents.push(vec![title()]);
            }
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for group in records.iter().flat_map(groups) {
            *counts.entry(group).or_default() += 1;
        }
        let groups = counts.into_iter().filter(|(name, count)| {
            *count >= LEAST_DOCUMENTS && is_name(name) && !titles.contains_key(&name.to_lowercase())
        });
        names.nodes = groups
            .flat_map(|(name, _)| NODE_FORMS.map(|_| vec![name.clone()]))
            .collect();
        names
    }
}

/// True for what one can ask for by name.
fn is_name(name: &str) -> bool {
    let letters = name.chars().filter(|own| own.is_alphabetic()).count();
    letters >= 3 && name.chars().count() < 70 && !name.contains(['{', '[', '`', '|', '/'])
}
