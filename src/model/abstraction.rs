//! The abstraction head: what the vector of a node of the tree is, of its members' and of the nodes beside it.
//!
//! Two numbers, learned by `assets/recipes/abstraction.toml`: larger maps of the same states fit what they were trained on and
//! lost on nodes of other libraries. The start is zero for both, and gives the mean.

use std::path::Path;

use super::{ModelError, weights::WeightFile};
use crate::ops::similarity::{mean_direction, normalise, product};

/// The head's file in a model's folder, where it has one.
pub const ABSTRACTION_FILE: &str = "abstraction.safetensors";

/// Attention pooling over members, then a residual of what the nodes beside it share.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AbstractionHead {
    /// How much more a member near to the mean weighs: its weight is e to this times its cosine with the mean.
    pub agreement: f32,
    /// How much of the mean of its siblings is added to a node; below 0 it is taken off.
    pub contrast: f32,
}

impl AbstractionHead {
    /// Reads the head of the model in `folder`; nothing where it has none.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn load(folder: &Path) -> Result<Option<Self>, ModelError> {
        let path = folder.join(ABSTRACTION_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let file = WeightFile::open(&path)?;
        Ok(Some(Self {
            agreement: file.values("agreement", 1)?[0],
            contrast: file.values("contrast", 1)?[0],
        }))
    }

    /// The vector of a node of these members among `siblings`, whose mean is given; of length 1, as all are.
    pub fn node(&self, members: &[&[f32]], siblings: &[f32]) -> Vec<f32> {
        self.apart(self.pooled(members, siblings.len()), siblings)
    }

    /// Attention pooling of members of so many dimensions; the mean where agreement counts nothing.
    pub fn pooled(&self, members: &[&[f32]], dimensions: usize) -> Vec<f32> {
        let mean = mean_direction(members, dimensions);
        if self.agreement == 0.0 {
            return mean;
        }
        let mut sum = vec![0.0; dimensions];
        for member in members {
            let weight = (self.agreement * product(member, &mean)).exp();
            let values = sum.iter_mut().zip(*member);
            values.for_each(|(sum, value)| *sum += weight * value);
        }
        normalise(&mut sum);
        sum
    }

    /// A node's vector beside what its siblings share; as it is where contrast counts nothing.
    pub fn apart(&self, mut own: Vec<f32>, siblings: &[f32]) -> Vec<f32> {
        if self.contrast != 0.0 {
            let values = own.iter_mut().zip(siblings);
            values.for_each(|(value, shared)| *value += self.contrast * shared);
            normalise(&mut own);
        }
        own
    }
}

/// The mean of siblings' vectors, not scaled: it is short where they have little in common.
pub fn shared<'a>(siblings: impl IntoIterator<Item = &'a [f32]>, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0; dimensions];
    let mut count = 0f32;
    for own in siblings {
        count += 1.0;
        let values = sum.iter_mut().zip(own);
        values.for_each(|(sum, value)| *sum += value);
    }
    sum.iter_mut().for_each(|value| *value /= count.max(1.0));
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_the_mean_bit_for_bit() {
        let members: [&[f32]; 3] = [&[0.6, 0.8, 0.0], &[0.0, 0.6, 0.8], &[1.0, 0.0, 0.0]];
        let start = AbstractionHead::default();
        let siblings = [0.3, 0.2, 0.1];
        assert_eq!(start.node(&members, &siblings), mean_direction(members, 3));
    }

    #[test]
    fn agreement_leaves_the_odd_one_out_and_contrast_what_all_share() {
        let members: [&[f32]; 3] = [&[1.0, 0.0], &[0.8, 0.6], &[0.0, 1.0]];
        let near = |agreement| {
            let head = AbstractionHead {
                agreement,
                contrast: 0.0,
            };
            product(&head.pooled(&members, 2), members[1])
        };
        assert!(near(8.0) > near(0.0));
        let shared = shared([[0.8f32, 0.6].as_slice(), &[0.8, -0.6]], 2);
        assert_eq!(shared, [0.8, 0.0]);
        let head = AbstractionHead {
            agreement: 0.0,
            contrast: -1.0,
        };
        assert_eq!(head.apart(vec![0.8, 0.6], &shared), [0.0, 1.0]);
    }

    #[test]
    fn a_folder_without_the_file_has_no_head_and_what_is_saved_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(AbstractionHead::load(folder.path()).expect("reads"), None);
        let head = AbstractionHead {
            agreement: -0.5,
            contrast: 0.25,
        };
        crate::model::save::abstraction(head, folder.path()).expect("writes");
        let read = AbstractionHead::load(folder.path()).expect("reads");
        assert_eq!(read, Some(head));
    }
}
