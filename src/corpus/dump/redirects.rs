//! Redirects of a dump by the article they lead to, packed, since a large wiki has more of them than articles.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Bytes of names that are kept; ten million redirects fit.
const MAX_NAME_BYTES: usize = 256 << 20;

/// Aliases by the title of their article.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    /// All aliases, one after the other.
    names: String,
    entries: Vec<Entry>,
    /// The entry that was added last, by the hash of the article's title.
    last: HashMap<u64, u32>,
    /// How many were not kept because there were too many.
    pub n_left_out: usize,
}

#[derive(Debug)]
struct Entry {
    start: u32,
    end: u32,
    /// The entry that was added before for the same article.
    previous: Option<u32>,
}

impl Redirects {
    /// Adds `alias` to the article `target`.
    pub fn insert(&mut self, alias: &str, target: &str) {
        if self.names.len() + alias.len() > MAX_NAME_BYTES {
            self.n_left_out += 1;
            return;
        }
        let start = self.names.len() as u32;
        self.names.push_str(alias);
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            start,
            end: self.names.len() as u32,
            previous: self.last.insert(title_hash(target), index),
        });
    }

    /// The aliases of the article `title`, in the order of the dump.
    pub fn aliases(&self, title: &str) -> Vec<String> {
        let mut aliases = Vec::new();
        let mut next = self.last.get(&title_hash(title)).copied();
        while let Some(entry) = next.and_then(|index| self.entries.get(index as usize)) {
            aliases.push(self.names[entry.start as usize..entry.end as usize].to_owned());
            next = entry.previous;
        }
        aliases.reverse();
        aliases
    }
}

/// Equal for titles that name the same page: underscores are spaces there.
pub(super) fn title_hash(title: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in title.split(['_', ' ']).filter(|part| !part.is_empty()) {
        part.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_come_back_in_their_order() {
        let mut redirects = Redirects::default();
        redirects.insert("Computing", "Computer science");
        redirects.insert("Loaf", "Bread");
        redirects.insert("CS", "Computer_science");
        assert_eq!(
            redirects.aliases("Computer science"),
            ["Computing", "CS"].map(str::to_owned)
        );
        assert!(redirects.aliases("Butter").is_empty());
    }
}
