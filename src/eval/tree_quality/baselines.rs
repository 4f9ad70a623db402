//! What others would make of the same vectors.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::hierarchy::{Hierarchy, Part};
use crate::{ops::similarity::product, tree::k_means};

/// Joins, again and again, the two clusters whose documents are the most similar on average, down to one.
///
/// The similarity of documents is their vectors' product, so that of clusters is the product of their means, and no
/// table of all pairs is needed. Clusters that are each other's nearest may be joined at once (the nearest-neighbour
/// chain): for average linkage that gives the same joins, in n² products.
pub fn average_link(vectors: &[Vec<f32>]) -> Hierarchy {
    let mut means = vectors.to_vec();
    let mut sizes = vec![1.0; vectors.len()];
    let mut held: Vec<Part> = (0..vectors.len()).map(Part::Document).collect();
    let mut open: Vec<usize> = (0..vectors.len()).collect();
    let mut parts: Vec<Vec<Part>> = Vec::new();
    let mut chain: Vec<usize> = Vec::new();
    while open.len() > 1 {
        if chain.is_empty() {
            chain.push(open[0]);
        }
        let own = chain[chain.len() - 1];
        let (similarity, next) = nearest(own, &open, &means);
        // Of equals it is the one before in the chain, else the chain would go round in circles.
        let before = chain.len().checked_sub(2).map(|at| chain[at]);
        let is_nearest = |before: &usize| product(&means[own], &means[*before]) >= similarity;
        let Some(other) = before.filter(is_nearest) else {
            chain.push(next);
            continue;
        };
        let (kept, gone) = (own.min(other), own.max(other));
        chain.truncate(chain.len() - 2);
        // Rounding may have brought a cluster into the chain twice.
        let again = chain.iter().position(|own| [kept, gone].contains(own));
        chain.truncate(again.unwrap_or(chain.len()));
        parts.push(vec![held[kept], held[gone]]);
        held[kept] = Part::Node(parts.len() - 1);
        let share = sizes[gone] / (sizes[kept] + sizes[gone]);
        let of_gone = std::mem::take(&mut means[gone]);
        let pairs = means[kept].iter_mut().zip(&of_gone);
        pairs.for_each(|(mean, other)| *mean += share * (other - *mean));
        sizes[kept] += sizes[gone];
        open.retain(|&own| own != gone);
    }
    if parts.is_empty() {
        parts.push(held);
    }
    Hierarchy::new(&parts, parts.len() - 1)
}

/// The cluster most similar to `own`; of equals, the first.
fn nearest(own: usize, open: &[usize], means: &[Vec<f32>]) -> (f32, usize) {
    let others = open.par_iter().with_min_len(512);
    let similar = others.filter(|&&other| other != own);
    let similar = similar.map(|&other| (product(&means[own], &means[other]), other));
    let order = |a: &(f32, usize), b: &(f32, usize)| -> Ordering {
        a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))
    };
    similar.max_by(order).unwrap_or((f32::MIN, own))
}

/// Parts all documents in two by k-means, and both parts again, down to single documents.
pub fn bisecting(vectors: &[Vec<f32>], seed: u64) -> Hierarchy {
    let all: Vec<usize> = (0..vectors.len()).collect();
    let mut parts = vec![Vec::new()];
    let mut open = vec![(0, all)];
    while let Some((node, members)) = open.pop() {
        let assigned = k_means(vectors, &members, 2, seed);
        for half in 0..2 {
            let pairs = members.iter().zip(&assigned);
            let pairs = pairs.filter(|(_, cluster)| **cluster == half);
            let own: Vec<usize> = pairs.map(|(member, _)| *member).collect();
            match own.as_slice() {
                [] => {}
                [single] => parts[node].push(Part::Document(*single)),
                _ => {
                    parts.push(Vec::new());
                    let child = parts.len() - 1;
                    parts[node].push(Part::Node(child));
                    open.push((child, own));
                }
            }
        }
    }
    Hierarchy::new(&parts, 0)
}

/// `count` clusters, which know nothing of those of another number.
pub fn flat(vectors: &[Vec<f32>], count: usize, seed: u64) -> Vec<usize> {
    let all: Vec<usize> = (0..vectors.len()).collect();
    k_means(vectors, &all, count, seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents on the unit circle, by their angle in degrees.
    fn circle(angles: &[f32]) -> Vec<Vec<f32>> {
        let vector = |angle: &f32| vec![angle.to_radians().cos(), angle.to_radians().sin()];
        angles.iter().map(vector).collect()
    }

    /// The sets of documents of all nodes, in order.
    fn sets(hierarchy: &Hierarchy) -> Vec<Vec<usize>> {
        let nodes = 0..hierarchy.nodes.len();
        let mut sets: Vec<Vec<usize>> = nodes
            .map(|node| {
                let mut documents = hierarchy.documents(&Part::Node(node)).to_vec();
                documents.sort_unstable();
                documents
            })
            .collect();
        sets.sort();
        sets
    }

    /// Average linkage as it is defined: all pairs of documents, the best pair of clusters each time.
    fn average_link_slow(vectors: &[Vec<f32>]) -> Vec<Vec<usize>> {
        let mut open: Vec<Vec<usize>> = (0..vectors.len()).map(|own| vec![own]).collect();
        let mut joined = Vec::new();
        while open.len() > 1 {
            let mut best = (f32::MIN, 0, 0);
            for a in 0..open.len() {
                for b in a + 1..open.len() {
                    let pairs = open[a]
                        .iter()
                        .flat_map(|own| open[b].iter().map(move |other| (own, other)));
                    let sum: f32 = pairs
                        .map(|(&own, &other)| product(&vectors[own], &vectors[other]))
                        .sum();
                    let average = sum / (open[a].len() * open[b].len()) as f32;
                    if average > best.0 {
                        best = (average, a, b);
                    }
                }
            }
            let gone = open.remove(best.2);
            open[best.1].extend(gone);
            open[best.1].sort_unstable();
            joined.push(open[best.1].clone());
        }
        joined.sort();
        joined
    }

    #[test]
    fn the_chain_joins_as_the_definition_does() {
        for angles in [
            vec![0.0, 3.0, 10.0, 60.0, 64.5, 75.0, 171.0],
            vec![5.0, 100.0, 7.5, 98.0, 40.0, 42.25, 300.0, 305.5, 200.0],
        ] {
            let vectors = circle(&angles);
            assert_eq!(sets(&average_link(&vectors)), average_link_slow(&vectors));
        }
        // Equals end as well.
        assert_eq!(average_link(&circle(&[9.0; 8])).nodes.len(), 7);
        assert_eq!(average_link(&circle(&[9.0])).nodes.len(), 1);
    }

    #[test]
    fn bisecting_ends_at_single_documents() {
        let vectors = circle(&[0.0, 2.0, 50.0, 53.0, 180.0, 185.0]);
        let found = sets(&bisecting(&vectors, 7));
        for expected in [vec![0, 1], vec![2, 3], vec![4, 5], vec![0, 1, 2, 3]] {
            assert!(found.contains(&expected), "{found:?}");
        }
        assert_eq!(found.len(), 5);
    }
}
