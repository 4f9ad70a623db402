//! Seeded k-means on unit vectors, and average linkage of its clusters on the graph.

use rayon::prelude::*;

use super::graph::{Graph, split_mix};
use crate::ops::similarity::{normalise, product, products};

const ROUNDS: usize = 25;
const RESTARTS: u64 = 4;
/// Gain in similarity, for each member, below which a round is the last.
const TOLERANCE: f32 = 5e-6;
/// Products of a round from which on one start is enough: among many clusters no single one matters.
const MANY_PRODUCTS: usize = 200_000;
/// What chance counts in modularity: above 1, large clusters are held against a partition.
const RESOLUTION: f64 = 2.0;

/// Assigns each of `members` (indices into `vectors`) to one of `count` clusters; none is left empty.
pub fn k_means(vectors: &[Vec<f32>], members: &[usize], count: usize, seed: u64) -> Vec<usize> {
    let count = count.clamp(1, members.len().max(1));
    let restarts = match members.len() * count > MANY_PRODUCTS {
        true => 1,
        false => RESTARTS,
    };
    let runs = (0..restarts).map(|restart| {
        let mut centres = first_centres(vectors, members, count, seed.wrapping_add(restart * 977));
        let mut assigned = Vec::new();
        let mut total = f32::MIN;
        for _ in 0..ROUNDS {
            let nearest = nearest(vectors, members, &centres);
            let sum: f32 = nearest.iter().map(|(_, similarity)| similarity).sum();
            assigned = nearest.iter().map(|(cluster, _)| *cluster).collect();
            refill(&mut assigned, &nearest, count);
            if sum <= total + TOLERANCE * members.len() as f32 {
                break;
            }
            total = sum;
            centres = means(vectors, members, &assigned, count);
        }
        (total, assigned)
    });
    let best = runs.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, assigned)| assigned).unwrap_or_default()
}

/// Merges clusters by the average edge weight between them until `count` are left; returns each one's group.
pub fn link(graph: &Graph, assigned: &[usize], clusters: usize, count: usize) -> Vec<usize> {
    let mut between = vec![vec![0f64; clusters]; clusters];
    let mut sizes = vec![0f64; clusters];
    for (own, edges) in graph.edges.iter().enumerate() {
        sizes[assigned[own]] += 1.0;
        for &(other, weight) in edges {
            between[assigned[own]][assigned[other]] += f64::from(weight);
        }
    }
    let mut group: Vec<usize> = (0..clusters).collect();
    let mut open: Vec<usize> = (0..clusters).collect();
    while open.len() > count.max(1) {
        let mut best = (f64::MIN, 0, 1);
        for (at, &a) in open.iter().enumerate() {
            for (beside, &b) in open.iter().enumerate().skip(at + 1) {
                let average = between[a][b] / (sizes[a] * sizes[b]).max(1.0);
                if average > best.0 {
                    best = (average, at, beside);
                }
            }
        }
        let (kept, gone) = (open[best.1], open.remove(best.2));
        let (to_gone, of_gone): (Vec<f64>, Vec<f64>) = (
            between.iter().map(|row| row[gone]).collect(),
            between[gone].clone(),
        );
        let into_kept = between[kept].iter_mut().zip(of_gone);
        into_kept.for_each(|(kept, gone)| *kept += gone);
        let to_kept = between.iter_mut().zip(to_gone);
        to_kept.for_each(|(row, gone)| row[kept] += gone);
        sizes[kept] += sizes[gone];
        group
            .iter_mut()
            .filter(|group| **group == gone)
            .for_each(|group| *group = kept);
    }
    group
        .iter()
        .map(|kept| {
            open.iter()
                .position(|open| open == kept)
                .unwrap_or_default()
        })
        .collect()
}

/// Share of edge weight inside clusters beyond what chance would put there, at the resolution of categories.
pub fn modularity(graph: &Graph, assigned: &[usize], clusters: usize) -> f64 {
    let mut inside = vec![0f64; clusters];
    let mut degrees = vec![0f64; clusters];
    for (own, edges) in graph.edges.iter().enumerate() {
        for &(other, weight) in edges {
            degrees[assigned[own]] += f64::from(weight);
            if assigned[own] == assigned[other] {
                inside[assigned[own]] += f64::from(weight);
            }
        }
    }
    let total: f64 = degrees.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    inside
        .iter()
        .zip(degrees)
        .map(|(inside, degree)| inside / total - RESOLUTION * (degree / total).powi(2))
        .sum()
}

/// Far-apart starts: each next centre is drawn by its distance from those before (k-means++).
fn first_centres(
    vectors: &[Vec<f32>],
    members: &[usize],
    count: usize,
    seed: u64,
) -> Vec<Vec<f32>> {
    let mut state = seed;
    let mut centres =
        vec![vectors[members[split_mix(&mut state) as usize % members.len()]].clone()];
    let mut distances = vec![f32::MAX; members.len()];
    while centres.len() < count {
        let last = &centres[centres.len() - 1];
        let pairs = distances.par_iter_mut().zip(members).with_min_len(1_024);
        pairs.for_each(|(distance, &member)| {
            *distance = distance.min((1.0 - product(&vectors[member], last)).max(0.0));
        });
        let total: f32 = distances.iter().sum();
        let mut drawn = (split_mix(&mut state) >> 40) as f32 / (1u64 << 24) as f32 * total;
        let at = distances.iter().position(|distance| {
            drawn -= distance;
            drawn <= 0.0 && *distance > 0.0
        });
        centres.push(vectors[members[at.unwrap_or(centres.len() % members.len())]].clone());
    }
    centres
}

fn nearest(vectors: &[Vec<f32>], members: &[usize], centres: &[Vec<f32>]) -> Vec<(usize, f32)> {
    members
        .par_iter()
        .map(|&member| {
            let similar = products(&vectors[member], centres).into_iter().enumerate();
            similar.fold(
                (0, f32::MIN),
                |best, next| if next.1 > best.1 { next } else { best },
            )
        })
        .collect()
}

/// Gives every empty cluster the member that fits its own cluster least.
fn refill(assigned: &mut [usize], nearest: &[(usize, f32)], count: usize) {
    let mut sizes = vec![0usize; count];
    assigned.iter().for_each(|&cluster| sizes[cluster] += 1);
    for empty in 0..count {
        if sizes[empty] > 0 {
            continue;
        }
        let loneliest = (0..assigned.len())
            .filter(|&member| sizes[assigned[member]] > 1)
            .min_by(|&a, &b| nearest[a].1.total_cmp(&nearest[b].1));
        if let Some(member) = loneliest {
            sizes[assigned[member]] -= 1;
            sizes[empty] = 1;
            assigned[member] = empty;
        }
    }
}

/// The unit-length mean of each cluster's members.
pub fn means(
    vectors: &[Vec<f32>],
    members: &[usize],
    assigned: &[usize],
    count: usize,
) -> Vec<Vec<f32>> {
    let mut centres = vec![vec![0f32; vectors[members[0]].len()]; count];
    for (&member, &cluster) in members.iter().zip(assigned) {
        centres[cluster]
            .iter_mut()
            .zip(&vectors[member])
            .for_each(|(sum, value)| *sum += value);
    }
    centres.iter_mut().for_each(|centre| normalise(centre));
    centres
}
