//! Which groups see a key? The lists turned round, for blocks of keys: counted, summed up, filled.

use std::ops::Range;

use super::{KeyLists, KeyRange};

/// Keys of a block.
pub const BLOCK_KEYS: usize = 16;
/// Keys of a batch's lists, about: an entry of 24 bytes for each of them at most. Tests take several batches.
const BATCH_KEYS: usize = if cfg!(test) { 64 } else { 1 << 22 };
/// The bucket of a key that an entry does not hold.
pub const UNSEEN: u8 = u8::MAX;

/// Keys of one block that a group sees.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub group: u32,
    /// Where the first of them stands in the group's list; the others follow it.
    pub position: u32,
    /// The bucket of each key of the block, or [`UNSEEN`].
    pub buckets: [u8; BLOCK_KEYS],
}

/// The entries of every block of keys.
#[derive(Debug)]
pub struct Inverted {
    /// Block `b` has `entries[offsets[b]..offsets[b + 1]]`, in the order of the groups.
    offsets: Vec<usize>,
    entries: Vec<Entry>,
}

impl Inverted {
    /// Groups of `lists` that are turned round together, so that room for the entries stays bounded.
    pub fn batches(lists: &KeyLists) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let (mut start, mut n_keys) = (0, 0);
        for group in 0..lists.n_groups() {
            n_keys += lists.n_keys_of(group);
            if n_keys >= BATCH_KEYS {
                batches.push(start..group + 1);
                (start, n_keys) = (group + 1, 0);
            }
        }
        batches.push(start..lists.n_groups());
        batches
    }

    /// Turns the lists of `groups` over `n_keys` keys round.
    pub fn new(lists: &KeyLists, groups: Range<usize>, n_keys: usize) -> Self {
        let mut offsets = vec![0; n_keys.div_ceil(BLOCK_KEYS) + 1];
        for group in groups.clone() {
            for_each_entry(lists, group, |block, _| offsets[block + 1] += 1);
        }
        for block in 1..offsets.len() {
            offsets[block] += offsets[block - 1];
        }
        let mut entries = vec![Entry::new(0, 0); offsets.last().copied().unwrap_or(0)];
        let mut ends = offsets.clone();
        for group in groups {
            for_each_entry(lists, group, |block, entry| {
                entries[ends[block]] = entry;
                ends[block] += 1;
            });
        }
        Self { offsets, entries }
    }

    /// Who sees `block`.
    pub fn of(&self, block: usize) -> &[Entry] {
        &self.entries[self.offsets[block]..self.offsets[block + 1]]
    }
}

impl Entry {
    fn new(group: usize, position: usize) -> Self {
        Self {
            group: group as u32,
            position: position as u32,
            buckets: [UNSEEN; BLOCK_KEYS],
        }
    }
}

/// Calls `visit` with each block and entry of a group. Ranges one behind the other share an entry where their block is
/// the same and their keys ascend.
fn for_each_entry(lists: &KeyLists, group: usize, mut visit: impl FnMut(usize, Entry)) {
    let mut open: Option<(usize, Entry)> = None;
    let (mut position, mut last) = (0, 0);
    for KeyRange { start, end, bucket } in lists.of(group) {
        for key in *start as usize..*end as usize {
            let block = key / BLOCK_KEYS;
            if let Some((own, entry)) = &open
                && (*own != block || key <= last)
            {
                visit(*own, *entry);
                open = None;
            }
            let (_, entry) = open.get_or_insert((block, Entry::new(group, position)));
            entry.buckets[key % BLOCK_KEYS] = *bucket;
            (position, last) = (position + 1, key);
        }
    }
    if let Some((block, entry)) = open {
        visit(block, entry);
    }
}
