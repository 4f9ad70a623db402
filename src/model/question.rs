//! A question, encoded: its vector, a key for each word piece that weighs anything, and what kind of answer it wants.

use super::{
    Encoder, ModelError,
    config::MAX_PASSAGE_TOKENS,
    encoder::{framed, mean},
    granule::N_LEVELS,
    packed::PackedBatch,
    router::{LARGEST_BEHIND, MEAN_BEHIND, largest},
};
use crate::ops::granule_keys::{KEY_DIMENSIONS, QueryKeys};

/// What the model makes of a question.
#[derive(Debug, Clone)]
pub struct QueryEncoding {
    /// Unit length, `[hidden]`.
    pub vector: Vec<f32>,
    /// The word pieces that weigh anything.
    pub token_ids: Vec<u32>,
    /// One key a weighted word piece.
    pub keys: QueryKeys,
    /// What those word pieces weigh, summing to 1 unless there is none.
    pub weights: Vec<f32>,
    /// What passage, neighbours, section and document count for each.
    pub levels: Vec<[f32; N_LEVELS]>,
    /// How likely each [`Kind`](super::router::Kind) of answer is wanted; all the same where the model has no router.
    pub kinds: [f32; 3],
}

/// What a question's way through the layers leaves.
struct QuestionStates {
    batch: PackedBatch,
    /// `[n_tokens, hidden]`.
    states: Vec<f32>,
    /// What the router sees, `[2 * hidden]`.
    sums: Vec<f32>,
}

impl Encoder {
    /// Encodes a question.
    pub fn encode_query(&self, question: &str) -> Result<QueryEncoding, ModelError> {
        let QuestionStates {
            batch,
            states,
            sums,
        } = self.question_states(question)?;
        let all_keys = self.granules.keys(&states);
        let (mut weighted, mut keys) = (Vec::new(), Vec::new());
        let (mut weights, mut levels) = (Vec::new(), Vec::new());
        for ((token, key), state) in batch
            .token_ids
            .iter()
            .zip(all_keys.chunks_exact(KEY_DIMENSIONS))
            .zip(states.chunks_exact(self.hidden))
        {
            let weight = self.granules.weight(*token, state);
            if weight > 0.0 {
                weighted.push(*token);
                keys.push(key);
                weights.push(weight);
                levels.push(self.granules.levels(state));
            }
        }
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        Ok(QueryEncoding {
            vector: mean(&states, self.hidden),
            token_ids: weighted,
            keys: QueryKeys::new(keys),
            weights,
            levels,
            kinds: match self.router() {
                Some(router) => router.kind.probabilities(&sums),
                None => [1.0 / 3.0; 3],
            },
        })
    }

    /// What the router's first head sees of a question, `[2 * hidden]`.
    pub fn kind_features(&self, question: &str) -> Result<Vec<f32>, ModelError> {
        Ok(self.question_states(question)?.sums)
    }

    /// As the one passage of its document a question sees no other, so no global block has a part in it.
    fn question_states(&self, question: &str) -> Result<QuestionStates, ModelError> {
        let mut token_ids = self.tokenizer().ids(question)?;
        token_ids.truncate(MAX_PASSAGE_TOKENS - 2);
        let mut batch = PackedBatch::default();
        batch.push(framed(&[], &token_ids));
        let trunk = &self.layers.trunk;
        let mut states = self.local_states(&batch, LARGEST_BEHIND)?;
        let mut sums = largest(&states, self.hidden);
        trunk.run(&batch, LARGEST_BEHIND..MEAN_BEHIND, &mut states)?;
        sums.extend(mean(&states, self.hidden));
        trunk.run(&batch, MEAN_BEHIND..trunk.n_layers(), &mut states)?;
        Ok(QuestionStates {
            batch,
            states,
            sums,
        })
    }
}
