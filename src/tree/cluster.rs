//! Seeded k-means on unit vectors, and the linkage of its clusters.

use rayon::prelude::*;

use super::{
    graph::{Graph, split_mix},
    rows::Rows,
};
use crate::ops::similarity::{normalise, product, products};

const ROUNDS: usize = 25;
const RESTARTS: u64 = 4;
/// Gain in similarity, for each member, below which a round is the last.
const TOLERANCE: f32 = 5e-6;
/// Products of a round from which on one start is enough: among many clusters no single one matters.
const MANY_PRODUCTS: usize = 200_000;
/// More than what rounding adds to a similarity and to the way of a centre.
const ROUNDING: f32 = 1e-4;
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
        let mut fits = Fits::new(vectors, members, &centres);
        let mut assigned = Vec::new();
        let mut total = f32::MIN;
        for round in 0..ROUNDS {
            let sum: f32 = fits.nearest.iter().map(|(_, similarity)| similarity).sum();
            assigned = fits.nearest.iter().map(|(cluster, _)| *cluster).collect();
            refill(&mut assigned, &fits.nearest, count);
            if sum <= total + TOLERANCE * members.len() as f32 {
                break;
            }
            total = sum;
            if round + 1 < ROUNDS {
                let next = means(vectors, members, &assigned, count);
                fits.follow(vectors, members, &centres, &next);
                centres = next;
            }
        }
        (total, assigned)
    });
    let best = runs.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, assigned)| assigned).unwrap_or_default()
}

/// How many clusters a group may have; a smaller one is merged with what it is nearest to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub least: usize,
    pub most: usize,
}

/// Merges clusters until `count` are left, always those whose union spreads the documents of the library least more
/// (Ward, 1963); returns each one's group.
pub fn link(
    rows: &Rows,
    assigned: &[usize],
    clusters: usize,
    count: usize,
    bounds: Bounds,
) -> Vec<usize> {
    let mut costs = Costs::new(rows, assigned, clusters);
    let mut children = vec![1; clusters];
    let mut group: Vec<usize> = (0..clusters).collect();
    let mut open: Vec<usize> = (0..clusters).collect();
    loop {
        let are_few = open.len() <= count.max(1);
        let may_merge = |a: usize, b: usize| {
            let is_small = children[a].min(children[b]) < bounds.least;
            children[a] + children[b] <= bounds.most && (is_small || !are_few)
        };
        let mut best = None;
        for (at, &a) in open.iter().enumerate() {
            for (beside, &b) in open.iter().enumerate().skip(at + 1) {
                let cost = costs.between[a][b];
                let is_better = best.is_none_or(|(least, _, _)| cost < least);
                if is_better && may_merge(a, b) {
                    best = Some((cost, at, beside));
                }
            }
        }
        let Some((_, at, beside)) = best else {
            break;
        };
        let (kept, gone) = (open[at], open.remove(beside));
        costs.merge(kept, gone, &open);
        children[kept] += children[gone];
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

/// By how much the squared distances of documents to their cluster's centre grow where two are merged.
struct Costs {
    between: Vec<Vec<f64>>,
    sizes: Vec<f64>,
}

impl Costs {
    fn new(rows: &Rows, assigned: &[usize], clusters: usize) -> Self {
        let mut centres = vec![vec![0f32; rows.dimensions()]; clusters];
        let mut sizes = vec![0f64; clusters];
        let mut own = vec![0f32; rows.dimensions()];
        for (row, &cluster) in assigned.iter().enumerate() {
            rows.read(row, 0, &mut own);
            let pairs = centres[cluster].iter_mut().zip(&own);
            pairs.for_each(|(sum, value)| *sum += value);
            sizes[cluster] += 1.0;
        }
        for (centre, size) in centres.iter_mut().zip(&sizes) {
            centre
                .iter_mut()
                .for_each(|sum| *sum /= size.max(1.0) as f32);
        }
        let cost = |a: usize, b: usize| {
            let square = f64::from(distance(&centres[a], &centres[b])).powi(2);
            square * sizes[a] * sizes[b] / (sizes[a] + sizes[b]).max(1.0)
        };
        let between = (0..clusters).into_par_iter();
        let between = between.map(|a| (0..clusters).map(|b| cost(a, b)).collect());
        Self {
            between: between.collect(),
            sizes,
        }
    }

    /// Puts `gone` into `kept` (the formula of Lance and Williams, 1967).
    fn merge(&mut self, kept: usize, gone: usize, open: &[usize]) {
        let (a, b) = (self.sizes[kept], self.sizes[gone]);
        let merged = self.between[kept][gone];
        for &other in open.iter().filter(|&&other| other != kept) {
            let size = self.sizes[other];
            let (to_kept, to_gone) = (self.between[other][kept], self.between[other][gone]);
            let sum = (size + a) * to_kept + (size + b) * to_gone - size * merged;
            let cost = sum / (size + a + b).max(1.0);
            self.between[other][kept] = cost;
            self.between[kept][other] = cost;
        }
        self.sizes[kept] += b;
    }
}

/// Share of edge weight inside clusters beyond what chance would put there, at the resolution of categories.
pub fn modularity(graph: &Graph, assigned: &[usize], clusters: usize) -> f64 {
    let mut inside = vec![0f64; clusters];
    let mut degrees = vec![0f64; clusters];
    for own in 0..graph.len() {
        for &(other, weight) in graph.edges(own) {
            degrees[assigned[own]] += f64::from(weight);
            if assigned[own] == assigned[other as usize] {
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
pub fn first_centres(
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

/// The nearest centre of every member.
///
/// A centre that has moved by d is nearer to a member by d at most, so few others are looked at again.
struct Fits {
    /// The centre and its similarity.
    nearest: Vec<(usize, f32)>,
    /// What the similarity to each centre is at most, `[members, centres]`.
    ceilings: Vec<f32>,
}

impl Fits {
    fn new(vectors: &[Vec<f32>], members: &[usize], centres: &[Vec<f32>]) -> Self {
        let mut nearest = vec![(0, f32::MIN); members.len()];
        let mut ceilings = vec![0f32; members.len() * centres.len()];
        let rows = ceilings.par_chunks_exact_mut(centres.len());
        let own = rows.zip(members).zip(&mut nearest);
        own.for_each(|((ceilings, &member), nearest)| {
            ceilings.copy_from_slice(&products(&vectors[member], centres));
            for (centre, &similarity) in ceilings.iter().enumerate() {
                if similarity > nearest.1 {
                    *nearest = (centre, similarity);
                }
            }
        });
        Self { nearest, ceilings }
    }

    /// Finds the nearest centres when all have moved from `before` to `centres`; of equally near ones it is the first.
    fn follow(
        &mut self,
        vectors: &[Vec<f32>],
        members: &[usize],
        before: &[Vec<f32>],
        centres: &[Vec<f32>],
    ) {
        let moved: Vec<f32> = before
            .iter()
            .zip(centres)
            .map(|(a, b)| distance(a, b))
            .collect();
        let rows = self.ceilings.par_chunks_exact_mut(centres.len());
        let own = rows.zip(members).zip(&mut self.nearest);
        own.for_each(|((ceilings, &member), nearest)| {
            let pairs = ceilings.iter_mut().zip(&moved);
            pairs.for_each(|(ceiling, moved)| *ceiling += moved);
            let mut best = (nearest.0, product(&vectors[member], &centres[nearest.0]));
            ceilings[best.0] = best.1;
            for (centre, ceiling) in ceilings.iter_mut().enumerate() {
                if centre == nearest.0 || *ceiling + ROUNDING < best.1 {
                    continue;
                }
                *ceiling = product(&vectors[member], &centres[centre]);
                if *ceiling > best.1 || *ceiling == best.1 && centre < best.0 {
                    best = (centre, *ceiling);
                }
            }
            *nearest = best;
        });
    }
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f32>().sqrt()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::rows::Precision;

    #[test]
    fn what_spreads_least_is_merged_first() {
        // Pairs at 0 and 1, at 5, and a larger cluster at 7 that takes more to move.
        let places: [f32; 8] = [0.0, 1.0, 5.0, 7.0, 7.0, 7.0, 7.0, 7.0];
        let assigned = [0, 1, 2, 3, 3, 3, 3, 3];
        let mut rows = Rows::new(places.len(), 1, Precision::Full);
        rows.update(0, 1, |row, values| values[0] = places[row]);
        let check = |count: usize, least: usize, most: usize, expected: &[usize]| {
            let found = link(&rows, &assigned, 4, count, Bounds { least, most });
            assert_eq!(found, expected, "{count} {least} {most}");
        };
        check(4, 1, 4, &[0, 1, 2, 3]);
        check(3, 1, 4, &[0, 0, 1, 2]);
        // 4 · 5/6 for 5 and 7, 20.25 · 2/3 for 5 and the first two.
        check(2, 1, 4, &[0, 0, 1, 1]);
        check(3, 2, 4, &[0, 0, 1, 1]);
        check(1, 1, 2, &[0, 0, 1, 1]);
        check(1, 1, 4, &[0, 0, 0, 0]);
    }
}
