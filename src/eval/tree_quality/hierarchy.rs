//! Nested groups of documents, whoever made them, and how they are cut into a given number.

use std::ops::Range;

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::{ops::similarity::product, tree::Tree};

/// What a node is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Node(usize),
    Document(usize),
}

/// Nested groups. Documents stand in the order of the leaves, so that each node is a range of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Hierarchy {
    order: Vec<usize>,
    /// The first holds all documents; parents stand before their children.
    pub nodes: Vec<Group>,
}

/// A node of a [`Hierarchy`].
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    span: Range<usize>,
    pub parts: Vec<Part>,
}

impl Hierarchy {
    /// Puts nodes in order that are given by their parts, by number; `root` is the one that holds all.
    pub fn new(parts: &[Vec<Part>], root: usize) -> Self {
        let mut order = Vec::new();
        let mut nodes: Vec<Group> = Vec::new();
        let enter = |at: usize, nodes: &mut Vec<Group>| {
            nodes.push(Group {
                span: at..at,
                parts: Vec::new(),
            });
            nodes.len() - 1
        };
        let mut open = vec![(root, enter(0, &mut nodes), 0)];
        while let Some((given, own, next)) = open.last_mut() {
            let part = parts[*given].get(*next).copied();
            *next += 1;
            let own = *own;
            match part {
                Some(Part::Document(document)) => {
                    order.push(document);
                    nodes[own].parts.push(Part::Document(document));
                }
                Some(Part::Node(child)) => {
                    let place = enter(order.len(), &mut nodes);
                    nodes[own].parts.push(Part::Node(place));
                    open.push((child, place, 0));
                }
                None => {
                    nodes[own].span.end = order.len();
                    open.pop();
                }
            }
        }
        Self { order, nodes }
    }

    /// The knowledge tree, whose documents' ids are their numbers.
    pub fn of(tree: &Tree) -> Self {
        let places = tree.places();
        let top = tree.nodes.iter().enumerate();
        let top = top.filter(|(_, node)| node.parent.is_none());
        let mut parts: Vec<Vec<Part>> = tree
            .nodes
            .iter()
            .map(|node| {
                let children = node.children.iter().map(|child| Part::Node(places[child]));
                let documents = node.documents.iter().map(|&id| Part::Document(id as usize));
                children.chain(documents).collect()
            })
            .collect();
        parts.push(top.map(|(place, _)| Part::Node(place)).collect());
        Self::new(&parts, parts.len() - 1)
    }

    /// The same shape with its documents at random places.
    pub fn shuffled(&self, seed: u64) -> Self {
        let mut shuffled = self.order.clone();
        shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
        let mut stands_for = vec![0; shuffled.len()];
        for (&own, &other) in self.order.iter().zip(&shuffled) {
            stands_for[own] = other;
        }
        let mut nodes = self.nodes.clone();
        for part in nodes.iter_mut().flat_map(|node| &mut node.parts) {
            if let Part::Document(document) = part {
                *document = stands_for[*document];
            }
        }
        Self {
            order: shuffled,
            nodes,
        }
    }

    /// All documents below a part.
    pub fn documents<'a>(&'a self, part: &'a Part) -> &'a [usize] {
        match part {
            Part::Node(node) => &self.order[self.nodes[*node].span.clone()],
            Part::Document(document) => std::slice::from_ref(document),
        }
    }

    /// The same with two parts a node at most: of many, those join first whose joining adds the least scatter (Ward).
    pub fn binary(&self, vectors: &[Vec<f32>]) -> Self {
        let mut parts: Vec<Vec<Part>> = vec![Vec::new(); self.nodes.len()];
        for (node, group) in self.nodes.iter().enumerate() {
            let mut open: Vec<(Part, Mass)> = group
                .parts
                .iter()
                .map(|part| (*part, Mass::of(self.documents(part), vectors)))
                .collect();
            while open.len() > 2 {
                let (a, b) = closest(&open);
                let (gone, mass) = open.remove(b);
                let joined = Part::Node(parts.len());
                parts.push(vec![open[a].0, gone]);
                open[a].0 = joined;
                open[a].1.add(&mass);
            }
            parts[node] = open.into_iter().map(|(part, _)| part).collect();
        }
        Self::new(&parts, 0)
    }

    /// The group of each document when there are `count` groups.
    ///
    /// From the top down, the group of the largest scatter (squared distances of its documents' `vectors` from their
    /// mean, summed) is split into its parts until there are as many; of equals, the one that came first. Gold classes
    /// decide nothing. Of a [`Self::binary`] hierarchy the number is met exactly, as long as there are documents.
    pub fn cut(&self, vectors: &[Vec<f32>], count: usize) -> Vec<usize> {
        let scatter = |part: &Part| Mass::of(self.documents(part), vectors).scatter();
        let mut groups = vec![(Part::Node(0), f32::INFINITY)];
        while groups.len() < count {
            let inner = groups.iter().enumerate();
            let inner = inner.filter(|(_, (part, _))| matches!(part, Part::Node(_)));
            let widest = inner.max_by(|a, b| a.1.1.total_cmp(&b.1.1).then(b.0.cmp(&a.0)));
            let Some((at, &(Part::Node(node), _))) = widest else {
                break;
            };
            let parts = self.nodes[node].parts.iter();
            let parts = parts.map(|part| (*part, scatter(part)));
            groups.splice(at..=at, parts);
        }
        let mut assigned = vec![0; self.order.len()];
        for (group, (part, _)) in groups.iter().enumerate() {
            for &document in self.documents(part) {
                assigned[document] = group;
            }
        }
        assigned
    }
}

/// What is known of the vectors of some documents.
struct Mass {
    count: f32,
    sum: Vec<f32>,
    /// Squared lengths, summed.
    squares: f32,
}

impl Mass {
    fn of(documents: &[usize], vectors: &[Vec<f32>]) -> Self {
        let mut mass = Self {
            count: documents.len() as f32,
            sum: vec![0.0; vectors[documents[0]].len()],
            squares: 0.0,
        };
        for &document in documents {
            let vector = &vectors[document];
            let pairs = mass.sum.iter_mut().zip(vector);
            pairs.for_each(|(sum, value)| *sum += value);
            mass.squares += product(vector, vector);
        }
        mass
    }

    fn add(&mut self, other: &Self) {
        let pairs = self.sum.iter_mut().zip(&other.sum);
        pairs.for_each(|(sum, value)| *sum += value);
        self.count += other.count;
        self.squares += other.squares;
    }

    /// Squared distances from the mean, summed.
    fn scatter(&self) -> f32 {
        self.squares - product(&self.sum, &self.sum) / self.count
    }
}

/// The pair, by place, whose joining adds the least scatter; the first of equals.
fn closest(open: &[(Part, Mass)]) -> (usize, usize) {
    let mean_square = |mass: &Mass| product(&mass.sum, &mass.sum) / mass.count.powi(2);
    let squares: Vec<f32> = open.iter().map(|(_, mass)| mean_square(mass)).collect();
    let mut best = (f32::INFINITY, (0, 1));
    for (at, (_, a)) in open.iter().enumerate() {
        for (beside, (_, b)) in open.iter().enumerate().skip(at + 1) {
            let between = product(&a.sum, &b.sum) / (a.count * b.count);
            let distance = squares[at] + squares[beside] - 2.0 * between;
            let added = a.count * b.count / (a.count + b.count) * distance;
            if added < best.0 {
                best = (added, (at, beside));
            }
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn document(number: usize) -> Part {
        Part::Document(number)
    }

    /// Six documents on a line: 0 and 1, 2 and 3 near each other, 4 and 5 far off.
    fn line() -> Vec<Vec<f32>> {
        [0.0, 1.0, 4.0, 5.0, 20.0, 28.0].map(|at| vec![at]).to_vec()
    }

    fn flat() -> Hierarchy {
        Hierarchy::new(&[(0..6).map(document).collect()], 0)
    }

    #[test]
    fn nodes_are_ranges_of_the_leaves() {
        let given = [
            vec![document(2), document(0)],
            vec![Part::Node(0), document(1)],
        ];
        let hierarchy = Hierarchy::new(&given, 1);
        assert_eq!(hierarchy.documents(&Part::Node(0)), [2, 0, 1]);
        assert_eq!(hierarchy.documents(&Part::Node(1)), [2, 0]);
        let shuffled = hierarchy.shuffled(3);
        let mut all = shuffled.documents(&Part::Node(0)).to_vec();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        assert_eq!(shuffled.nodes.len(), 2);
        let Part::Node(inner) = shuffled.nodes[0].parts[0] else {
            panic!("the shape is the same");
        };
        let parts = &shuffled.nodes[inner].parts;
        let documents: Vec<usize> = parts
            .iter()
            .flat_map(|part| shuffled.documents(part).to_vec())
            .collect();
        assert_eq!(shuffled.documents(&Part::Node(inner)), documents);
    }

    #[test]
    fn the_widest_group_is_split_until_there_are_enough() {
        let check = |hierarchy: &Hierarchy, count: usize, expected: [usize; 6]| {
            assert_eq!(hierarchy.cut(&line(), count), expected, "{count}");
        };
        let binary = flat().binary(&line());
        assert!(binary.nodes.iter().all(|node| node.parts.len() == 2));
        check(&binary, 1, [0, 0, 0, 0, 0, 0]);
        check(&binary, 2, [0, 0, 0, 0, 1, 1]);
        // The pair 20, 28 has a scatter of 32, the four near 0 one of 17.
        check(&binary, 3, [0, 0, 0, 0, 1, 2]);
        check(&binary, 4, [0, 0, 1, 1, 2, 3]);
        check(&binary, 6, [0, 1, 2, 3, 4, 5]);
        check(&binary, 9, [0, 1, 2, 3, 4, 5]);
        // A node of many parts is all of them or none.
        check(&flat(), 2, [0, 1, 2, 3, 4, 5]);
    }
}
