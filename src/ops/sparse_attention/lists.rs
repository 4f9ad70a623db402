//! Which keys does each group of queries see? Ranges of keys, group by group.

/// Buckets of distance that the learned bias knows.
pub const N_BUCKETS: usize = 16;

/// Consecutive keys that share a bucket of distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyRange {
    pub start: u32,
    pub end: u32,
    /// Below [`N_BUCKETS`].
    pub bucket: u8,
}

impl KeyRange {
    /// Number of keys.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// True when there is no key.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// A list of keys for each group of consecutive queries. A list of blocks is ranges of several keys, a list of tokens
/// ranges of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLists {
    /// Group `g` has `ranges[offsets[g]..offsets[g + 1]]`.
    pub offsets: Vec<u32>,
    pub ranges: Vec<KeyRange>,
    /// Group `g` is the queries `queries[g]..queries[g + 1]`.
    pub queries: Vec<u32>,
}

impl Default for KeyLists {
    fn default() -> Self {
        Self {
            offsets: vec![0],
            ranges: Vec::new(),
            queries: vec![0],
        }
    }
}

impl KeyLists {
    /// Adds a group: the next `n_queries` queries and what they see.
    pub fn push(&mut self, n_queries: usize, list: impl IntoIterator<Item = KeyRange>) {
        let seen = list.into_iter().filter(|range| !range.is_empty());
        self.ranges.extend(seen);
        self.offsets.push(self.ranges.len() as u32);
        self.queries
            .push(self.n_queries() as u32 + n_queries as u32);
    }

    /// Number of groups.
    pub fn n_groups(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of queries of all groups.
    pub fn n_queries(&self) -> usize {
        self.queries.last().map_or(0, |last| *last as usize)
    }

    /// What the queries of `group` see.
    pub fn of(&self, group: usize) -> &[KeyRange] {
        &self.ranges[self.offsets[group] as usize..self.offsets[group + 1] as usize]
    }

    /// The queries of `group`.
    pub fn queries_of(&self, group: usize) -> std::ops::Range<usize> {
        self.queries[group] as usize..self.queries[group + 1] as usize
    }

    /// Number of keys that `group` sees.
    pub fn n_keys_of(&self, group: usize) -> usize {
        self.of(group).iter().map(KeyRange::len).sum()
    }
}

/// The bucket of a distance: 0 for none, then one for each power of two, the last for all that is farther.
pub fn log_bucket(distance: usize) -> u8 {
    match distance.checked_ilog2() {
        None => 0,
        Some(power) => (power + 1).min(N_BUCKETS as u32 - 1) as u8,
    }
}
