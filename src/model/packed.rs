//! The packed layout: passages of a document one behind the other, without padding.

/// Token ids of several passages; passage `i` is `token_ids[starts[i]..starts[i + 1]]`.
///
/// Positions restart at 0 in every passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedBatch {
    pub token_ids: Vec<u32>,
    /// Ascending, the first 0 and the last `token_ids.len()`.
    pub starts: Vec<usize>,
}

impl Default for PackedBatch {
    fn default() -> Self {
        Self {
            token_ids: Vec::new(),
            starts: vec![0],
        }
    }
}

impl PackedBatch {
    /// Adds one passage.
    pub fn push(&mut self, token_ids: impl IntoIterator<Item = u32>) {
        self.token_ids.extend(token_ids);
        self.starts.push(self.token_ids.len());
    }

    /// Number of passages.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// True when there is no passage.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Token ids of passage `index`.
    pub fn passage(&self, index: usize) -> &[u32] {
        &self.token_ids[self.starts[index]..self.starts[index + 1]]
    }
}
