//! What the global block consists of: every mechanism has a switch, so that its worth can be measured.

use serde::{Deserialize, Serialize};

use super::super::ModelError;

/// Longer documents are streamed, and those are always seen whole.
const MAX_LEAST_PASSAGES: usize = 256;

/// The shape of the global blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalConfig {
    /// Levels of the pyramid, the tokens included: 2 to 6. The last is the passage.
    pub levels: usize,
    /// Children of a node: 2 to 5.
    pub ratio: usize,
    /// A document of fewer passages passes unchanged: what is far lies within the window of most passages of a short
    /// one, and their ranking lost by more (see the model card), while notes are most of what a vault has to encode.
    pub least_passages: usize,
    /// Query heads, and dimensions of each and of the latents that they share.
    pub heads: usize,
    pub head_size: usize,
    pub branches: Branches,
    /// Tokens before and behind a granule that the window shows.
    pub window: usize,
    pub abstraction: Abstraction,
    /// One abstraction head for all levels, or one a level.
    pub shared_abstraction: bool,
    /// Whether nodes attend to others of their level.
    pub within_levels: bool,
    /// Whether parents and children exchange once.
    pub parents_and_children: bool,
    pub indexer: Indexer,
    /// Heads of the indexer and dimensions of its keys.
    pub index_heads: usize,
    pub index_size: usize,
    pub selection: Selection,
    /// Nodes that are opened a level.
    pub opened: usize,
    /// How many levels below a node the hierarchical indexer looks to score it; 0 is the node itself.
    pub lookahead: usize,
    /// Leaves whose tokens are attended to, at most.
    pub leaves: usize,
    /// Of so many leaves of a document one is, at most, so that short documents are read sparsely as well.
    pub leaves_per_selected: usize,
    pub relevance: Relevance,
}

/// Which branches the gates fuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branches {
    pub window: bool,
    pub compressed: bool,
    pub selected: bool,
}

/// How children become their parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Abstraction {
    /// The mean over tokens.
    Mean,
    /// The largest of each dimension.
    Max,
    /// Learned attention pooling that starts as the mean.
    Attention,
    /// Attention pooling over neighbours that a learned affinity groups, instead of over equal numbers.
    Affinity,
}

/// Who chooses what a granule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Indexer {
    /// The lightning indexer, from the top of the pyramid down: O(log n) a granule.
    Hierarchical,
    /// The lightning indexer over all leaves, as in DSA: O(n).
    Flat,
    /// The scores of the attention to all compressed leaves, as in NSA: O(n).
    BlockImportance,
    /// Nobody: nothing is selected, and the cover is the top of the pyramid.
    None,
}

/// How many queries share a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The 16 of a granule.
    Granule,
    /// Every token has its own, as in DSA.
    Token,
}

/// What the relevance of a level does to the attention to its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relevance {
    /// It weighs them.
    Weights,
    /// Levels below it are left out.
    Threshold(f32),
}

impl Default for GlobalConfig {
    fn default() -> Self {
        Self {
            levels: 5,
            ratio: 4,
            least_passages: 8,
            heads: 8,
            head_size: 64,
            branches: Branches {
                window: true,
                compressed: true,
                selected: true,
            },
            window: 256,
            abstraction: Abstraction::Attention,
            shared_abstraction: false,
            within_levels: true,
            parents_and_children: true,
            indexer: Indexer::Hierarchical,
            index_heads: 4,
            index_size: 32,
            selection: Selection::Granule,
            opened: 16,
            lookahead: 1,
            leaves: 32,
            leaves_per_selected: 4,
            relevance: Relevance::Weights,
        }
    }
}

impl GlobalConfig {
    /// Names that [`GlobalConfig::preset`] knows.
    pub const PRESETS: [&'static str; 4] = ["nsa", "dsa", "nsa-3-levels", "shas"];

    /// The published mechanisms, and ours.
    ///
    /// `nsa`: window, compressed and selected blocks of 25 tokens, chosen among all by block importance. `dsa`: the
    /// flat indexer's choice of four neighbours for every token, and no other branch. `nsa-3-levels`: NSA over three
    /// levels: tokens, blocks of 64 tokens that are pooled by attention, and passages. `shas`: the default.
    pub fn preset(name: &str) -> Option<Self> {
        let shas = Self::default();
        let flat = Self {
            within_levels: false,
            parents_and_children: false,
            ..shas.clone()
        };
        Some(match name {
            "shas" => shas,
            "dsa" => Self {
                levels: 3,
                leaves: 512,
                indexer: Indexer::Flat,
                selection: Selection::Token,
                branches: Branches {
                    window: false,
                    compressed: false,
                    selected: true,
                },
                ..flat
            },
            "nsa" => Self {
                levels: 4,
                ratio: 5,
                abstraction: Abstraction::Mean,
                indexer: Indexer::BlockImportance,
                leaves: 80,
                ..flat
            },
            "nsa-3-levels" => Self {
                indexer: Indexer::BlockImportance,
                ..flat
            },
            _ => return None,
        })
    }

    /// Level of the nodes whose tokens a selection opens: the one below the passage.
    pub fn leaf_level(&self) -> usize {
        (self.levels - 2).max(1)
    }

    /// The lowest level that the indexer has keys of, where the leaves are on `leaf_level`: parts of leaves are looked at
    /// by the descent only.
    pub fn lowest_index_level(&self, leaf_level: usize) -> usize {
        match self.indexer {
            Indexer::Hierarchical => leaf_level.saturating_sub(self.lookahead).max(1),
            Indexer::Flat | Indexer::BlockImportance | Indexer::None => leaf_level,
        }
    }

    /// # Errors
    /// When a number is out of its bounds.
    pub fn check(&self) -> Result<(), ModelError> {
        let fits = (2..=6).contains(&self.levels)
            && (2..=5).contains(&self.ratio)
            && self.head_size.is_multiple_of(64)
            && self.index_size <= self.head_size
            && (2..=MAX_LEAST_PASSAGES).contains(&self.least_passages)
            && self.opened > 0
            && self.leaves > 0
            && self.leaves_per_selected > 0;
        match fits {
            true => Ok(()),
            false => Err(ModelError::GlobalShape),
        }
    }
}
