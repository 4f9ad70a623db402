//! The pyramid over a document: which tokens and which children every node has.
//!
//! Level 1 groups tokens, each further level the nodes of the one below, and the last learned level holds the
//! passages; no node straddles a passage. Above them stand *index-only* levels, until one has at most [`MAX_TOP`]
//! nodes. A level on which every passage is a single node is the last one, so short documents have fewer.

use super::config::GlobalConfig;

/// Nodes of the topmost level, at most.
pub const MAX_TOP: usize = 64;

/// The nodes of one level, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// Borders in tokens, `[n_nodes + 1]`.
    pub tokens: Vec<u32>,
    /// Borders in nodes of the level below (on level 1, in tokens), `[n_nodes + 1]`.
    pub children: Vec<u32>,
}

impl Level {
    fn new() -> Self {
        Self {
            tokens: vec![0],
            children: vec![0],
        }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.tokens.len() - 1
    }

    /// True when there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of a node.
    pub fn tokens_of(&self, node: usize) -> std::ops::Range<usize> {
        self.tokens[node] as usize..self.tokens[node + 1] as usize
    }

    /// Children of a node.
    pub fn children_of(&self, node: usize) -> std::ops::Range<usize> {
        self.children[node] as usize..self.children[node + 1] as usize
    }

    /// Nodes that lie within `tokens`, whose borders are borders of nodes.
    pub fn nodes_in(&self, tokens: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let at = |token| self.tokens.partition_point(|&own| (own as usize) < token);
        at(tokens.start)..at(tokens.end)
    }
}

/// All levels over the tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pyramid {
    /// `levels[l - 1]` is level l.
    pub levels: Vec<Level>,
    /// Levels with latents of their own, the tokens not counted; the last holds the passages.
    pub n_learned: usize,
    ratio: usize,
}

impl Pyramid {
    /// An empty pyramid for passages of at most `longest` tokens.
    pub fn new(config: &GlobalConfig, longest: usize) -> Self {
        let mut n_learned = 1;
        let mut size = config.ratio;
        while size < longest && n_learned + 1 < config.levels {
            n_learned += 1;
            size *= config.ratio;
        }
        Self {
            levels: vec![Level::new(); n_learned],
            n_learned,
            ratio: config.ratio,
        }
    }

    /// The pyramid of passages with these borders, grouped by position.
    pub fn over(config: &GlobalConfig, starts: &[usize]) -> Self {
        let lengths = || starts.windows(2).map(|border| border[1] - border[0]);
        let mut pyramid = Self::new(config, lengths().max().unwrap_or(0));
        let ratio = config.ratio;
        for length in lengths() {
            pyramid.push_passage(length, |_, count| equal_groups(count, ratio));
        }
        pyramid.close();
        pyramid
    }

    /// Appends a passage of `length` tokens; `group` gives the borders of groups of a level's `count` children.
    pub fn push_passage(&mut self, length: usize, mut group: impl FnMut(usize, usize) -> Vec<u32>) {
        let first_token = self.levels[0].tokens.last().copied().unwrap_or_default();
        let mut below: Vec<u32> = (0..=length as u32).map(|at| first_token + at).collect();
        let mut first_child = first_token;
        for level in 1..=self.n_learned {
            let count = below.len() - 1;
            let borders = match level == self.n_learned {
                true => vec![0, count as u32],
                false => group(level, count),
            };
            let own = &mut self.levels[level - 1];
            let first = own.len() as u32;
            let tokens: Vec<u32> = borders.iter().map(|&at| below[at as usize]).collect();
            own.tokens.extend_from_slice(&tokens[1..]);
            own.children
                .extend(borders[1..].iter().map(|at| first_child + at));
            (below, first_child) = (tokens, first);
        }
    }

    /// Adds the index-only levels.
    pub fn close(&mut self) {
        while self.top().len() > MAX_TOP {
            let below = self.top();
            let borders = equal_groups(below.len(), self.ratio);
            let tokens = borders
                .iter()
                .map(|&at| below.tokens[at as usize])
                .collect();
            self.levels.push(Level {
                tokens,
                children: borders,
            });
        }
    }

    /// The passages.
    pub fn passages(&self) -> &Level {
        &self.levels[self.n_learned - 1]
    }

    /// The level whose nodes a selection opens to tokens: below the passages where there is one.
    pub fn leaf_level(&self) -> usize {
        (self.n_learned - 1).max(1)
    }

    fn top(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }
}

/// Borders of groups of `ratio`, the last as large as what is left.
pub fn equal_groups(count: usize, ratio: usize) -> Vec<u32> {
    let starts = (0..count).step_by(ratio);
    starts.chain([count]).map(|at| at as u32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_level_covers_every_token_once_within_passages(
            lengths in proptest::collection::vec(1usize..257, 1..400),
            levels in 2usize..7,
            ratio in 2usize..6,
        ) {
            let config = GlobalConfig { levels, ratio, ..GlobalConfig::default() };
            let mut starts = vec![0];
            for length in &lengths {
                starts.push(starts[starts.len() - 1] + length);
            }
            let pyramid = Pyramid::over(&config, &starts);
            let n_tokens = starts[starts.len() - 1] as u32;
            prop_assert!(pyramid.n_learned < levels);
            prop_assert!(pyramid.top().len() <= MAX_TOP);
            let passages: Vec<u32> = starts.iter().map(|&at| at as u32).collect();
            prop_assert_eq!(&pyramid.passages().tokens, &passages);
            let mut below: Vec<u32> = (0..=n_tokens).collect();
            for (at, level) in pyramid.levels.iter().enumerate() {
                prop_assert_eq!(level.tokens[0], 0);
                prop_assert_eq!(level.tokens[level.len()], n_tokens);
                prop_assert!(level.tokens.windows(2).all(|border| border[0] < border[1]));
                for node in 0..level.len() {
                    let children = level.children_of(node);
                    prop_assert!(at + 1 == pyramid.n_learned || children.len() <= ratio);
                    prop_assert_eq!(level.tokens[node], below[children.start]);
                    prop_assert_eq!(level.tokens[node + 1], below[children.end]);
                }
                if at < pyramid.n_learned {
                    prop_assert!(passages.iter().all(|border| level.tokens.binary_search(border).is_ok()));
                }
                below.clone_from(&level.tokens);
            }
        }
    }

    #[test]
    fn depth_follows_the_content() {
        let config = GlobalConfig::default();
        let depth = |starts: &[usize]| Pyramid::over(&config, starts).levels.len();
        assert_eq!(depth(&[0, 1]), 1);
        assert_eq!(depth(&[0, 30, 45]), 3);
        assert_eq!(depth(&[0, 200, 450]), 4);
        let long: Vec<usize> = (0..=1_000).map(|passage| passage * 250).collect();
        // 1,000 passages, 250 and 63 index-only nodes above them.
        assert_eq!(depth(&long), 6);
    }
}
