//! Do names say what their nodes hold? Judged by the words of the gold classes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::gold::Depth;
use crate::tree::{Level, Node, Tree, terms};

/// The names of one level of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamesOfLevel {
    pub level: String,
    /// Nodes most of whose documents with a class are of one.
    pub judged: usize,
    /// Those of them whose name has a word of that class's label.
    pub named: usize,
}

/// Judges every node of every level, the broadest level first, by the finest class that most of its documents share.
pub fn judge(tree: &Tree, depths: &[Depth]) -> Vec<NamesOfLevel> {
    let labels: Vec<Vec<BTreeSet<String>>> = depths
        .iter()
        .map(|depth| depth.classes.iter().map(|label| words(label)).collect())
        .collect();
    let mut levels: BTreeMap<Level, (usize, usize)> = BTreeMap::new();
    for node in &tree.nodes {
        let (judged, named) = levels.entry(node.level).or_default();
        if let Some((depth, class)) = majority(tree, node, depths) {
            let name = words(&node.name);
            *judged += 1;
            *named += usize::from(!name.is_disjoint(&labels[depth][class]));
        }
    }
    let levels = levels.into_iter().rev();
    levels
        .map(|(level, (judged, named))| NamesOfLevel {
            level: level.to_string(),
            judged,
            named,
        })
        .collect()
}

/// The words of a label or name, as the tree counts them; of a path of chapters, those of the last.
pub(super) fn words(label: &str) -> BTreeSet<String> {
    let last = label.rsplit(" / ").next().unwrap_or(label);
    terms(&last.replace(['.', '/', '_', '-'], " "))
        .into_iter()
        .collect()
}

/// The finest depth and its class that more than half of a node's documents with a class of that depth have.
///
/// A depth at which most of the node's documents have no class says nothing about it.
fn majority(tree: &Tree, node: &Node, depths: &[Depth]) -> Option<(usize, usize)> {
    let documents = tree.documents_below(node);
    let depths = depths.iter().enumerate().rev();
    depths
        .filter_map(|(at, depth)| {
            let mut counts = vec![0; depth.classes.len()];
            let classes = documents.iter().filter_map(|&own| depth.of[own as usize]);
            classes.for_each(|class| counts[class] += 1);
            let total: usize = counts.iter().sum();
            let class = counts.iter().position(|count| 2 * count > total)?;
            (2 * total > documents.len()).then_some((at, class))
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_right_when_it_has_a_word_of_the_finest_common_class() {
        let depths = [
            Depth {
                classes: vec!["rec".to_owned(), "sci.space".to_owned()],
                of: vec![Some(0), Some(0), Some(0), Some(1)],
            },
            Depth {
                classes: vec!["B / Loaves".to_owned(), "B / Winter sports".to_owned()],
                of: vec![Some(1), Some(1), Some(0), None],
            },
        ];
        let check = |documents: &[u32], name: &str, expected: (usize, usize)| {
            let node = Node {
                id: 1,
                level: Level::Entity,
                name: name.to_owned(),
                summary: String::new(),
                parent: None,
                children: Vec::new(),
                documents: documents.to_vec(),
                n_documents: documents.len() as u32,
                vector: Vec::new(),
            };
            let found = &judge(&Tree::new(vec![node]), &depths)[0];
            assert_eq!((found.judged, found.named), expected, "{name}");
        };
        check(&[0, 1], "Sport, skates", (1, 1));
        check(&[0, 1], "Rec", (1, 0));
        check(&[2], "Loaf", (1, 0));
        check(&[2], "Loaves of rye", (1, 1));
        // No majority at the finer depth, one at the broader.
        check(&[0, 2], "Rec", (1, 1));
        check(&[3], "Space", (1, 1));
        // Half is no majority.
        check(&[0, 3], "Space", (0, 0));
    }
}
