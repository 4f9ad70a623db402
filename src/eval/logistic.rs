//! Multinomial logistic regression: here are features and classes, gimme a [`LinearHead`].

use crate::model::router::LinearHead;

const N_CLASSES: usize = 3;
/// Steps of Adam over all examples; the loss is convex, and no longer falls behind half of them.
const STEPS: usize = 400;
const RATE: f64 = 0.02;
const DECAYS: [f64; 2] = [0.9, 0.99];

/// Examples of the three classes.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// `[n, n_features]`.
    pub features: Vec<Vec<f32>>,
    pub classes: Vec<usize>,
}

impl Examples {
    /// Those of the numbers that `holds` is true of, and the others.
    pub fn split(&self, holds: impl Fn(usize) -> bool) -> (Self, Self) {
        let (mut own, mut others) = (Self::default(), Self::default());
        for (at, (features, class)) in self.features.iter().zip(&self.classes).enumerate() {
            let part = if holds(at) { &mut own } else { &mut others };
            part.features.push(features.clone());
            part.classes.push(*class);
        }
        (own, others)
    }

    /// How often the likeliest class is the right one.
    pub fn accuracy(&self, head: &LinearHead) -> f64 {
        let pairs = self.features.iter().zip(&self.classes);
        let right = pairs.filter(|(features, class)| likeliest(head, features) == **class);
        right.count() as f64 / self.classes.len().max(1) as f64
    }
}

/// The likeliest class.
fn likeliest(head: &LinearHead, features: &[f32]) -> usize {
    let probabilities = head.probabilities(features);
    (0..N_CLASSES)
        .max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]))
        .unwrap_or_default()
}

/// Fits a head; every class counts the same. `penalty` is that of a squared weight of a feature in its deviations.
pub fn fit(examples: &Examples, penalty: f64) -> LinearHead {
    let n_features = examples.features.first().map_or(0, Vec::len);
    let scaling = Scaling::of(&examples.features, n_features);
    let rows: Vec<Vec<f64>> = examples
        .features
        .iter()
        .map(|row| scaling.apply(row))
        .collect();
    let shares = shares(&examples.classes);
    // A row a class: its weights, then its bias.
    let mut weights = vec![0.0; N_CLASSES * (n_features + 1)];
    let mut moments = vec![[0.0; 2]; weights.len()];
    for step in 1..=STEPS {
        let mut gradient = vec![0.0; weights.len()];
        for (row, &class) in rows.iter().zip(&examples.classes) {
            let probabilities = probabilities(&weights, row);
            for (own, gradient) in gradient.chunks_exact_mut(n_features + 1).enumerate() {
                let wrong = probabilities[own] - f64::from(u8::from(own == class));
                let wrong = wrong * shares[class];
                for (gradient, value) in gradient.iter_mut().zip(row.iter().chain([&1.0])) {
                    *gradient += wrong * value;
                }
            }
        }
        for (at, (weight, gradient)) in weights.iter_mut().zip(&gradient).enumerate() {
            let is_bias = at % (n_features + 1) == n_features;
            let gradient = gradient + if is_bias { 0.0 } else { penalty * *weight };
            let corrected = |moment: &mut f64, value: f64, decay: f64| {
                *moment = decay * *moment + (1.0 - decay) * value;
                *moment / (1.0 - decay.powi(step as i32))
            };
            let first = corrected(&mut moments[at][0], gradient, DECAYS[0]);
            let second = corrected(&mut moments[at][1], gradient * gradient, DECAYS[1]);
            *weight -= RATE * first / (second.sqrt() + 1e-12);
        }
    }
    scaling.fold(&weights)
}

/// What an example of each class counts, so that all of a class count a third.
fn shares(classes: &[usize]) -> [f64; N_CLASSES] {
    let mut counts = [0.0; N_CLASSES];
    for class in classes {
        counts[*class] += 1.0;
    }
    counts.map(|count: f64| 1.0 / (N_CLASSES as f64 * count.max(1.0)))
}

fn probabilities(weights: &[f64], row: &[f64]) -> [f64; N_CLASSES] {
    let mut logits = [0.0; N_CLASSES];
    for (logit, weights) in logits.iter_mut().zip(weights.chunks_exact(row.len() + 1)) {
        let values = row.iter().chain([&1.0]);
        *logit = weights.iter().zip(values).map(|(a, b)| a * b).sum();
    }
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let likelihoods = logits.map(|logit: f64| (logit - largest).exp());
    let total: f64 = likelihoods.iter().sum();
    likelihoods.map(|own| own / total)
}

/// Mean and deviation of each feature.
pub(super) struct Scaling(pub Vec<[f64; 2]>);

impl Scaling {
    pub fn of(rows: &[Vec<f32>], n_features: usize) -> Self {
        let count = rows.len().max(1) as f64;
        let of = |feature: usize| {
            let values = || rows.iter().map(|row| f64::from(row[feature]));
            let mean = values().sum::<f64>() / count;
            let variance = values().map(|own| (own - mean).powi(2)).sum::<f64>() / count;
            [mean, variance.sqrt().max(1e-6)]
        };
        Self((0..n_features).map(of).collect())
    }

    pub fn apply(&self, row: &[f32]) -> Vec<f64> {
        let pairs = row.iter().zip(&self.0);
        pairs
            .map(|(own, [mean, deviation])| (f64::from(*own) - mean) / deviation)
            .collect()
    }

    /// Weights of scaled features as those of the features themselves.
    fn fold(&self, weights: &[f64]) -> LinearHead {
        let mut head = LinearHead {
            weight: Vec::with_capacity(N_CLASSES * self.0.len()),
            bias: [0.0; N_CLASSES],
        };
        for (bias, own) in head
            .bias
            .iter_mut()
            .zip(weights.chunks_exact(self.0.len() + 1))
        {
            let mut sum = own[self.0.len()];
            for (weight, [mean, deviation]) in own.iter().zip(&self.0) {
                head.weight.push((weight / deviation) as f32);
                sum -= weight / deviation * mean;
            }
            *bias = sum as f32;
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    /// Points about the corners of a triangle, far from the origin, the second feature in another unit.
    #[test]
    fn classes_that_lie_apart_are_told() {
        let mut random = StdRng::seed_from_u64(1);
        let mut examples = Examples::default();
        for at in 0..300 {
            let class = [0, 0, 0, 0, 1, 2][at % 6];
            let corner = [[50.0, 0.0], [51.0, 0.0], [50.0, 1000.0]][class];
            let [x, y]: [f32; 2] = corner;
            let noise = |random: &mut StdRng| random.random_range(-0.4..0.4f32);
            let point = [x + noise(&mut random), y + 1000.0 * noise(&mut random)];
            examples.features.push(point.to_vec());
            examples.classes.push(class);
        }
        let (own, others) = examples.split(|at| at % 5 != 0);
        let head = fit(&own, 1e-4);
        assert!(others.accuracy(&head) > 0.98, "{}", others.accuracy(&head));
        let flat = fit(&own, 1e3);
        assert!(flat.weight.iter().all(|own| own.abs() < 1e-2), "{flat:?}");
    }
}
