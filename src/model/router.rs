//! What kind of answer does a question want, and of what size? Two linear heads, learned by `assets/recipes/router.toml`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ModelError, weights::WeightFile};

/// The heads' file in a model's folder, where it has any.
pub const ROUTER_FILE: &str = "router.safetensors";

/// Local layers behind which a question's word pieces are summed up: by the largest of each dimension, and by their mean.
/// Of all pairs of layers and sums this one tells the kinds of questions on unseen subjects about as well as any.
pub const LARGEST_BEHIND: usize = 3;
pub const MEAN_BEHIND: usize = 5;

/// A kind of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The sentences that say it.
    Detail,
    /// What something is about, by the most central sentences.
    Concept,
    /// Several points from several documents.
    Synthesis,
}

/// Sizes of what a concept may be: a section, a document, a node of the tree.
pub const N_SIZES: usize = 3;
/// What is known of each size: see `query::routing`.
pub const N_SIZE_FEATURES: usize = 4 * N_SIZES;

/// A linear map before a softmax over three classes.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    /// `[3, n_features]`.
    pub weight: Vec<f32>,
    pub bias: [f32; 3],
}

impl LinearHead {
    /// The classes' probabilities.
    pub fn probabilities(&self, features: &[f32]) -> [f32; 3] {
        let mut logits = self.bias;
        let rows = self.weight.chunks_exact(features.len().max(1));
        for (logit, row) in logits.iter_mut().zip(rows) {
            *logit += row.iter().zip(features).map(|(a, b)| a * b).sum::<f32>();
        }
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let likelihoods = logits.map(|logit| (logit - largest).exp());
        let total: f32 = likelihoods.iter().sum();
        likelihoods.map(|own| own / total)
    }

    fn load(file: &WeightFile, name: &str, n_features: usize) -> Result<Self, ModelError> {
        let bias = file.values(&format!("{name}.bias"), 3)?;
        Ok(Self {
            weight: file.values(&format!("{name}.weight"), 3 * n_features)?,
            bias: [bias[0], bias[1], bias[2]],
        })
    }
}

/// The two heads.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// The kinds, from the two sums of a question's states, `[3, 2 * hidden]`.
    pub kind: LinearHead,
    /// The sizes of a concept, `[3, N_SIZE_FEATURES]`.
    pub size: LinearHead,
}

impl Router {
    /// Reads the heads of the model in `folder`; nothing where it has none.
    pub fn load(folder: &Path, hidden: usize) -> Result<Option<Self>, ModelError> {
        let path = folder.join(ROUTER_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let file = WeightFile::open(&path)?;
        Ok(Some(Self {
            kind: LinearHead::load(&file, "kind", 2 * hidden)?,
            size: LinearHead::load(&file, "size", N_SIZE_FEATURES)?,
        }))
    }
}

/// The sizes of answers: a passage, then those of a concept.
pub const N_ANSWER_SIZES: usize = 1 + N_SIZES;

impl Router {
    /// What a passage, a section, a document and a node of the tree weigh for a question that wants answers of `kinds`.
    pub fn weights(
        &self,
        [detail, concept, synthesis]: [f32; 3],
        size_features: &[f32; N_SIZE_FEATURES],
    ) -> [f32; N_ANSWER_SIZES] {
        let [section, document, node] = self.size.probabilities(size_features);
        // A synthesis is spread over the documents of a node.
        let node = concept * node + synthesis;
        [detail, concept * section, concept * document, node]
    }
}

/// The size that answers: of passage, one document and several first, a section and its document together; then of these.
pub fn favoured([passage, section, document, node]: [f32; N_ANSWER_SIZES]) -> usize {
    let one_document = section + document;
    match () {
        () if passage >= one_document.max(node) => 0,
        () if node > one_document => 3,
        () if section > document => 1,
        () => 2,
    }
}

/// The largest of each dimension of states `[n, hidden]`.
pub(super) fn largest(states: &[f32], hidden: usize) -> Vec<f32> {
    let mut largest = vec![f32::NEG_INFINITY; hidden];
    for state in states.chunks_exact(hidden) {
        for (largest, value) in largest.iter_mut().zip(state) {
            *largest = largest.max(*value);
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two features each: what is asked for by name is of that size.
    fn router() -> Router {
        let mut weight = vec![0.0; 3 * N_SIZE_FEATURES];
        for size in 0..N_SIZES {
            weight[size * N_SIZE_FEATURES + size] = 4.0;
        }
        Router {
            kind: LinearHead {
                weight: Vec::new(),
                bias: [0.0; 3],
            },
            size: LinearHead {
                weight,
                bias: [0.0; 3],
            },
        }
    }

    #[test]
    fn the_likeliest_size_answers() {
        let check = |kinds: [f32; 3], named: usize, expected: usize| {
            let mut features = [0.0; N_SIZE_FEATURES];
            features[named] = 1.0;
            let weights = router().weights(kinds, &features);
            assert!(
                (weights.iter().sum::<f32>() - 1.0).abs() < 1e-5,
                "{weights:?}"
            );
            assert_eq!(favoured(weights), expected, "{kinds:?} {named}");
        };
        check([0.8, 0.1, 0.1], 2, 0);
        check([0.1, 0.8, 0.1], 0, 1);
        check([0.1, 0.8, 0.1], 1, 2);
        check([0.1, 0.8, 0.1], 2, 3);
        check([0.1, 0.1, 0.8], 0, 3);
        // A section and its document count together against a passage.
        assert_eq!(favoured([0.4, 0.35, 0.25, 0.0]), 1);
        assert_eq!(favoured([0.4, 0.2, 0.25, 0.15]), 2);
    }

    #[test]
    fn probabilities_add_up_however_large_the_logits() {
        let head = LinearHead {
            weight: vec![500.0, 0.0, -500.0],
            bias: [0.0, 1.0, 0.0],
        };
        let [first, second, third] = head.probabilities(&[1.0]);
        assert!((first + second + third - 1.0).abs() < 1e-5);
        assert!(first > 0.999 && third >= 0.0, "{first} {second} {third}");
        assert_eq!(largest(&[1.0, -2.0, 0.5, 3.0], 2), [1.0, 3.0]);
    }
}
