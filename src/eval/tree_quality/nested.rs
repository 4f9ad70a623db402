//! Figures of nested groups as a whole, without a cut: dendrogram purity, hierarchical F1.

use super::{
    agreement::pairs,
    gold::Depth,
    hierarchy::{Hierarchy, Part},
};

/// Draws two documents of one class; how pure, on average, is the smallest node that holds both?
///
/// That is the share of the class among the node's documents that have one (Heller and Ghahramani, 2005). It is summed
/// over all pairs of the set, by counting for each node those that meet there.
pub fn dendrogram_purity(hierarchy: &Hierarchy, depth: &Depth) -> f64 {
    let counts = counts(hierarchy, depth);
    let (mut sum, mut total) = (0.0, 0.0);
    for (node, own) in hierarchy.nodes.iter().zip(&counts) {
        let size: f64 = own.iter().sum();
        for (class, &count) in own.iter().enumerate().filter(|(_, count)| **count > 1.0) {
            let below = node.parts.iter().map(|part| match part {
                Part::Node(child) => pairs(counts[*child][class]),
                Part::Document(_) => 0.0,
            });
            let meeting = pairs(count) - below.sum::<f64>();
            sum += meeting * count / size;
            total += meeting;
        }
    }
    sum / f64::max(total, 1.0)
}

/// For each class of any depth, the best F1 that a node reaches, weighted by the class's size (Larsen and Aone, 1999).
pub fn hierarchical_f1(hierarchy: &Hierarchy, depths: &[Depth]) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for depth in depths {
        let counts = counts(hierarchy, depth);
        for (class, of_class) in counts[0].iter().enumerate() {
            let fits = counts.iter().map(|own| {
                let size: f64 = own.iter().sum();
                2.0 * own[class] / (size + of_class)
            });
            sum += of_class * fits.fold(0.0, f64::max);
            total += of_class;
        }
    }
    sum / f64::max(total, 1.0)
}

/// How many documents of each class every node holds.
fn counts(hierarchy: &Hierarchy, depth: &Depth) -> Vec<Vec<f64>> {
    let mut counts = vec![vec![0.0; depth.classes.len()]; hierarchy.nodes.len()];
    // Children stand behind their parents.
    for (node, group) in hierarchy.nodes.iter().enumerate().rev() {
        let mut own = vec![0.0; depth.classes.len()];
        for part in &group.parts {
            match part {
                Part::Node(child) => {
                    let pairs = own.iter_mut().zip(&counts[*child]);
                    pairs.for_each(|(own, below)| *own += below);
                }
                Part::Document(document) => {
                    if let Some(class) = depth.of[*document] {
                        own[class] += 1.0;
                    }
                }
            }
        }
        counts[node] = own;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(of: &[Option<usize>]) -> Depth {
        Depth {
            classes: vec!["a".to_owned(), "b".to_owned()],
            of: of.to_vec(),
        }
    }

    /// `((0 1 2) (3 4))`, and a fifth document at the top.
    fn hierarchy() -> Hierarchy {
        let document = Part::Document;
        let parts = [
            vec![Part::Node(1), Part::Node(2), document(5)],
            vec![document(0), document(1), document(2)],
            vec![document(3), document(4)],
        ];
        Hierarchy::new(&parts, 0)
    }

    #[test]
    fn figures_match_a_hand_count() {
        let check = |of: &[Option<usize>], purity: f64, f1: f64| {
            let depths = [depth(of)];
            let found = dendrogram_purity(&hierarchy(), &depths[0]);
            assert!((found - purity).abs() < 1e-12, "{of:?}: {found} {purity}");
            let found = hierarchical_f1(&hierarchy(), &depths);
            assert!((found - f1).abs() < 1e-12, "{of:?}: {found} {f1}");
        };
        let (a, b) = (Some(0), Some(1));
        check(&[a, a, a, b, b, None], 1.0, 1.0);
        // a = {0, 1, 3}: 0 and 1 meet in a node that is ⅔ a, the other two pairs at the top, 3 of 6.
        // b = {2, 4, 5}: all three pairs meet at the top. F1: a in (0 1 2) is ⅔; b at the top 6 / 9.
        let purity = (2.0 / 3.0 + 2.0 * 0.5 + 3.0 * 0.5) / 6.0;
        check(&[a, a, b, a, b, b], purity, 2.0 / 3.0);
        // Two depths count by the documents that have a class there.
        let depths = [
            depth(&[a, a, a, b, b, None]),
            depth(&[a, None, None, a, None, None]),
        ];
        // The pair at the second depth meets at the top alone, where all that has a class is of it.
        let found = hierarchical_f1(&hierarchy(), &depths);
        assert!((found - 1.0).abs() < 1e-12, "{found}");
    }
}
