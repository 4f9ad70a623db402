//! Which groups see a key? The lists turned round, for blocks of keys: counted, summed up, filled.

use super::{KeyLists, KeyRange};

/// Keys of a block.
pub const BLOCK_KEYS: usize = 16;
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
    /// Turns `lists` over `n_keys` keys round.
    pub fn new(lists: &KeyLists, n_keys: usize) -> Self {
        let mut offsets = vec![0; n_keys.div_ceil(BLOCK_KEYS) + 1];
        for group in 0..lists.n_groups() {
            for_each_entry(lists, group, |block, _| offsets[block + 1] += 1);
        }
        for block in 1..offsets.len() {
            offsets[block] += offsets[block - 1];
        }
        let mut entries = vec![Entry::new(0, 0); offsets.last().copied().unwrap_or(0)];
        let mut ends = offsets.clone();
        for group in 0..lists.n_groups() {
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
