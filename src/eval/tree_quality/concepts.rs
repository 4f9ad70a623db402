//! Do vectors of nodes tell what their members have in common? Nodes are drawn from the gold classes.
//!
//! A node is ten documents of a class. Its vector is to be nearest to the vector of the class's name, among twenty names of its
//! depth, or among its siblings' (the classes of the same parent); or, of four documents of a class and one of a
//! sibling, the one is to be found that is least like the others. Each question is asked of the plain mean, of the mean
//! without that of all documents, without that of the siblings, and of the abstraction head.

use std::collections::BTreeSet;

use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, index},
};
use serde::Serialize;

use super::{gold::Gold, names::words, vectors};
use crate::{
    eval::EvalError,
    model::{
        PassageEncoder,
        abstraction::{AbstractionHead, shared},
    },
    ops::similarity::{mean_direction, product},
};

const SEED: u64 = 7;
/// Nodes drawn of a class, for each question.
const DRAWS: usize = 25;
const MEMBERS: usize = 10;
const LEAST_MEMBERS: usize = 3;
/// Names to choose from, of a depth.
const NAMES: usize = 20;
/// Documents of a class that the odd one stands among.
const ALIKE: usize = 4;
/// Samples of the classes that the interval is made of.
const SAMPLES: usize = 2_000;
const N_SYSTEMS: usize = 4;

/// Shares of right answers, the mean over classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConceptReport {
    pub task: &'static str,
    pub n_classes: usize,
    /// The plain mean.
    pub mean: f64,
    /// The mean without that of all documents.
    pub centred: f64,
    /// The mean without that of the siblings.
    pub without_siblings: f64,
    pub head: f64,
    /// Of the head's lead over the plain mean: 95 of 100 samples of the classes.
    pub gain_interval: [f64; 2],
}

/// A gold class.
struct Class {
    depth: usize,
    name: String,
    words: BTreeSet<String>,
    members: Vec<usize>,
    parent: Option<usize>,
}

/// Asks all questions of all classes.
///
/// # Errors
/// When the model fails on the names.
pub fn judge(
    gold: &Gold,
    documents: &[Vec<f32>],
    encoder: &dyn PassageEncoder,
    head: AbstractionHead,
) -> Result<Vec<ConceptReport>, EvalError> {
    let classes = classes(gold);
    let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    let dimensions = documents.first().map_or(0, Vec::len);
    let judge = Judge {
        names: vectors::of_names(&names, encoder)?,
        means: classes
            .iter()
            .map(|class| {
                mean_direction(class.members.iter().map(|&own| &documents[own]), dimensions)
            })
            .collect(),
        whole: shared(documents.iter().map(Vec::as_slice), dimensions),
        documents,
        classes: &classes,
        head,
    };
    let titles = gold.documents.iter().map(|own| bag(&[&own.title]));
    let texts = gold
        .documents
        .iter()
        .map(|own| bag(&[&own.title, &own.text]));
    let (titles, texts): (Vec<_>, Vec<_>) = (titles.collect(), texts.collect());
    let apart = |bags: &[BTreeSet<String>], class: &Class| -> Vec<usize> {
        let members = class.members.iter().copied();
        let members = members.filter(|&own| class.words.is_disjoint(&bags[own]));
        members.collect()
    };
    let all = |class: &Class| class.members.clone();
    let untitled = |class: &Class| apart(&titles, class);
    let unsaid = |class: &Class| apart(&texts, class);
    type Pool<'a> = &'a dyn Fn(&Class) -> Vec<usize>;
    let tasks: [(&str, bool, Pool); 5] = [
        ("name of 20 of its depth", true, &all),
        ("the same, no word of it in a member", true, &unsaid),
        ("name among its siblings'", false, &all),
        (
            "the same, no word of it in a member's title",
            false,
            &untitled,
        ),
        (
            "the same, no word of it in a member's title or text",
            false,
            &unsaid,
        ),
    ];
    let mut reports = Vec::new();
    for (task, of_depth, pool) in tasks {
        let rows = (0..classes.len()).map(|own| judge.naming(own, &pool(&classes[own]), of_depth));
        reports.extend(report(task, rows.flatten().collect()));
    }
    let rows = (0..classes.len()).filter_map(|own| judge.odd_one_out(own));
    reports.extend(report("odd one out of 5", rows.collect()));
    Ok(reports)
}

fn bag(parts: &[&String]) -> BTreeSet<String> {
    parts.iter().flat_map(|part| words(part)).collect()
}

/// The classes with members enough, but for those that are called as their parent.
fn classes(gold: &Gold) -> Vec<Class> {
    let mut classes: Vec<Class> = Vec::new();
    let mut above: Vec<Option<usize>> = Vec::new();
    for (depth, own) in gold.depths.iter().enumerate() {
        let mut places = vec![None; own.classes.len()];
        for (number, label) in own.classes.iter().enumerate() {
            let documents = 0..own.of.len();
            let members = documents.filter(|&document| own.of[document] == Some(number));
            let members: Vec<usize> = members.collect();
            let parent = depth.checked_sub(1).and_then(|depth| {
                let parents = &gold.depths[depth].of;
                let place = members.iter().find_map(|&document| parents[document])?;
                above.get(place).copied().flatten()
            });
            let name = label.rsplit(" / ").next().unwrap_or(label);
            let name = name.replace(['.', '_', '-'], " ");
            let is_parent = parent.is_some_and(|parent| classes[parent].name == name);
            if members.len() >= LEAST_MEMBERS && !is_parent {
                places[number] = Some(classes.len());
                classes.push(Class {
                    depth,
                    words: words(&name),
                    name,
                    members,
                    parent,
                });
            }
        }
        above = places;
    }
    classes
}

struct Judge<'a> {
    documents: &'a [Vec<f32>],
    classes: &'a [Class],
    names: Vec<Vec<f32>>,
    /// Of the classes.
    means: Vec<Vec<f32>>,
    /// The mean of all documents.
    whole: Vec<f32>,
    head: AbstractionHead,
}

/// How many of a class's questions each system answers right, as a share.
type Row = [f64; N_SYSTEMS];

impl Judge<'_> {
    /// Vectors of members by each system; `beside` is the mean of the classes that theirs is compared with.
    fn nodes(&self, members: &[usize], beside: &[f32]) -> [Vec<f32>; N_SYSTEMS] {
        let members: Vec<&[f32]> = members
            .iter()
            .map(|&own| &self.documents[own][..])
            .collect();
        let without = AbstractionHead {
            contrast: -1.0,
            ..AbstractionHead::default()
        };
        [
            AbstractionHead::default().node(&members, beside),
            without.node(&members, &self.whole),
            without.node(&members, beside),
            self.head.node(&members, beside),
        ]
    }

    fn beside(&self, classes: &[usize]) -> Vec<f32> {
        let means = classes.iter().map(|&own| &self.means[own][..]);
        shared(means, self.whole.len())
    }

    /// The classes of the same depth, or of the same parent; one of each name.
    fn others(&self, class: usize, of_depth: bool) -> Vec<usize> {
        let own = &self.classes[class];
        let mut named: BTreeSet<&str> = BTreeSet::from([own.name.as_str()]);
        let classes = self.classes.iter().enumerate();
        let others = classes.filter(|(_, other)| {
            other.depth == own.depth
                && (of_depth || other.parent == own.parent)
                && named.insert(&other.name)
        });
        others.map(|(place, _)| place).collect()
    }

    fn naming(&self, class: usize, pool: &[usize], of_depth: bool) -> Option<Row> {
        let others = self.others(class, of_depth);
        let least = if of_depth { NAMES - 1 } else { 1 };
        if pool.len() < LEAST_MEMBERS || others.len() < least {
            return None;
        }
        let beside = self.beside(&[&others[..], &[class]].concat());
        let mut random = StdRng::seed_from_u64(SEED + class as u64);
        let mut right = Row::default();
        for _ in 0..DRAWS {
            let count = pool.len().min(MEMBERS);
            let drawn = index::sample(&mut random, pool.len(), count).into_iter();
            let members: Vec<usize> = drawn.map(|at| pool[at]).collect();
            let count = if of_depth { NAMES - 1 } else { others.len() };
            let wrong: Vec<usize> = others
                .choose_multiple(&mut random, count)
                .copied()
                .collect();
            let nodes = self.nodes(&members, &beside);
            for (right, node) in right.iter_mut().zip(&nodes) {
                let own = product(node, &self.names[class]);
                let best = wrong
                    .iter()
                    .all(|&other| product(node, &self.names[other]) < own);
                *right += f64::from(u8::from(best));
            }
        }
        Some(right.map(|count| count / DRAWS as f64))
    }

    fn odd_one_out(&self, class: usize) -> Option<Row> {
        let own = &self.classes[class].members;
        let others = self.others(class, false);
        if own.len() < ALIKE || others.is_empty() {
            return None;
        }
        let beside = self.beside(&[&others[..], &[class]].concat());
        let mut random = StdRng::seed_from_u64(SEED + class as u64);
        let mut right = Row::default();
        for _ in 0..DRAWS {
            let drawn = index::sample(&mut random, own.len(), ALIKE).into_iter();
            let mut members: Vec<usize> = drawn.map(|at| own[at]).collect();
            let odd = &self.classes[others[random.random_range(0..others.len())]].members;
            members.push(odd[random.random_range(0..odd.len())]);
            let fits = (0..members.len()).map(|place| {
                let mut rest = members.clone();
                let one = rest.remove(place);
                let (one, rest) = (self.nodes(&[one], &beside), self.nodes(&rest, &beside));
                std::array::from_fn::<f32, N_SYSTEMS, _>(|at| product(&one[at], &rest[at]))
            });
            let fits: Vec<[f32; N_SYSTEMS]> = fits.collect();
            for (at, right) in right.iter_mut().enumerate() {
                let found = fits[..ALIKE].iter().all(|fit| fit[at] > fits[ALIKE][at]);
                *right += f64::from(u8::from(found));
            }
        }
        Some(right.map(|count| count / DRAWS as f64))
    }
}

/// The means over classes; nothing where no class was asked.
fn report(task: &'static str, rows: Vec<Row>) -> Option<ConceptReport> {
    if rows.is_empty() {
        return None;
    }
    let mean = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut gains: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let drawn = (0..rows.len()).map(|_| rows[random.random_range(0..rows.len())]);
            drawn.map(|row| row[3] - row[0]).sum::<f64>() / rows.len() as f64
        })
        .collect();
    gains.sort_unstable_by(f64::total_cmp);
    Some(ConceptReport {
        task,
        n_classes: rows.len(),
        mean: mean(0),
        centred: mean(1),
        without_siblings: mean(2),
        head: mean(3),
        gain_interval: [gains[SAMPLES / 40], gains[SAMPLES - 1 - SAMPLES / 40]],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::tree_quality::gold::Depth;

    #[test]
    fn siblings_share_a_parent_and_no_class_is_called_as_its_own() {
        let depth = |classes: &[&str], of: &[usize]| Depth {
            classes: classes.iter().map(|&own| own.to_owned()).collect(),
            of: of.iter().map(|&own| Some(own)).collect(),
        };
        let gold = Gold {
            documents: Vec::new(),
            depths: vec![
                depth(&["A", "B"], &[0, 0, 0, 0, 0, 0, 1, 1, 1]),
                depth(&["A / x_y", "A / z", "B"], &[0, 0, 0, 1, 1, 1, 2, 2, 2]),
            ],
        };
        let found = classes(&gold);
        let found: Vec<(&str, usize, Option<usize>)> = found
            .iter()
            .map(|own| (own.name.as_str(), own.depth, own.parent))
            .collect();
        let expected = [
            ("A", 0, None),
            ("B", 0, None),
            ("x y", 1, Some(0)),
            ("z", 1, Some(0)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_siblings_share_hides_the_odd_one_out() {
        // All documents point one way; classes differ in small parts of their own, and one document strays.
        let documents: Vec<Vec<f32>> = (0..12)
            .map(|own| {
                let mut vector = vec![1.0, 0.0, 0.0, 0.1 * (own % 3) as f32];
                vector[1 + own / 6] = 0.3;
                mean_direction([vector], 4)
            })
            .collect();
        let class = |name: &str, members: std::ops::Range<usize>| Class {
            depth: 0,
            name: name.to_owned(),
            words: words(name),
            members: members.collect(),
            parent: None,
        };
        let classes = [class("one", 0..6), class("two", 6..12)];
        let mean = |class: &Class| {
            let members = class.members.iter().map(|&own| &documents[own]);
            mean_direction(members, 4)
        };
        let judge = Judge {
            names: vec![vec![0.5, 0.5, 0.0, 0.0], vec![0.9, 0.0, 0.1, 0.0]],
            means: classes.iter().map(mean).collect(),
            whole: shared(documents.iter().map(Vec::as_slice), 4),
            documents: &documents,
            classes: &classes,
            head: AbstractionHead::default(),
        };
        assert_eq!(judge.odd_one_out(0).map(|row| row[2]), Some(1.0));
        let rows = [0, 1].map(|own| judge.naming(own, &classes[own].members, false));
        let rows: Vec<Row> = rows.into_iter().flatten().collect();
        // The second name lies where all documents do, so the plain mean says nothing else.
        let report = report("names", rows).expect("both were asked");
        assert_eq!((report.mean, report.head), (0.5, 0.5));
        assert_eq!((report.without_siblings, report.n_classes), (1.0, 2));
        assert!(super::report("none", Vec::new()).is_none());
    }
}
