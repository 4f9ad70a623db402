//! The levels that a question attends to, and what its attention falls on at each.

use serde::Serialize;

use crate::model::router::Kind;

/// A level of the pyramid, broadest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Domain,
    Category,
    Entity,
    Document,
    Section,
    Passage,
    Granule,
}

impl Level {
    /// The levels that a question can be answered at, broadest first; a granule answers through its passage.
    pub const ALL: [Self; 6] = [
        Self::Domain,
        Self::Category,
        Self::Entity,
        Self::Document,
        Self::Section,
        Self::Passage,
    ];

    /// The kind of answer that stands at it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Passage | Self::Granule => Kind::Detail,
            Self::Section | Self::Document => Kind::Concept,
            Self::Entity | Self::Category | Self::Domain => Kind::Synthesis,
        }
    }

    /// The level's name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Category => "category",
            Self::Entity => "entity",
            Self::Document => "document",
            Self::Section => "section",
            Self::Passage => "passage",
            Self::Granule => "granule",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|level| level.name() == name);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no level is called `{name}`; the levels are {names}")
        })
    }
}

/// The question's attention at every level.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attention {
    /// Broadest level first; without those at which nothing matches. The weights add up to 1.
    pub levels: Vec<LevelAttention>,
}

impl Attention {
    /// The levels that the question can be answered at.
    pub fn answerable(&self) -> impl Iterator<Item = &LevelAttention> {
        let levels = self.levels.iter();
        levels.filter(|own| Level::ALL.contains(&own.level))
    }
}

/// The attention of one level.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelAttention {
    pub level: Level,
    /// Share of the levels' attention; 0 for granules.
    pub weight: f32,
    /// The best nodes, best first; at least one.
    pub nodes: Vec<NodeAttention>,
}

impl LevelAttention {
    /// What most of the level's attention falls on.
    pub fn target(&self) -> Option<Target> {
        self.nodes.first().map(|node| node.target)
    }
}

/// The attention of one node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeAttention {
    pub target: Target,
    /// Share of its level's attention; those of a level add up to 1.
    pub share: f32,
}

/// What the attention of a level falls on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The id of a domain, category or entity.
    Node(u64),
    /// Index of a document in the snapshot.
    Document(usize),
    /// Index of a document, and of a section in its record.
    Section(usize, usize),
    /// Number of a passage in the snapshot.
    Passage(usize),
    /// Number of a passage, and of a granule in it; those of its context prefix come first.
    Granule(usize, usize),
}
