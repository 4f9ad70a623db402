//! Sums over what queries look at: of one passage while its granules go by, then of all.

use super::{
    config::GlobalConfig,
    lists::Lists,
    seen::{BRANCH_NAMES, Key, Scene, Weights},
    view::{BranchView, SelectionView},
    weights::N_BRANCHES,
};

/// Sums over some queries.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    n_queries: f32,
    /// Weight that each leaf of the document gets, and the same times the gates.
    leaves: Vec<f32>,
    gated: Vec<f32>,
    branches: [BranchView; N_BRANCHES],
    /// Weight of each level of the cover, from the tokens up.
    cover: Vec<f32>,
    /// Granules that selected each leaf.
    selected: Vec<u32>,
    distance: f64,
}

impl Looked {
    /// Nothing yet.
    pub fn new(scene: &Scene) -> Self {
        let n_leaves = scene.context.leaves().len();
        Self {
            leaves: vec![0.0; n_leaves],
            gated: vec![0.0; n_leaves],
            cover: vec![0.0; scene.context.pyramid.levels.len() + 1],
            selected: vec![0; n_leaves],
            ..Self::default()
        }
    }

    /// Adds a granule, whose queries are `projected`.
    pub fn look(&mut self, scene: &Scene, projected: &[f32], lists: &Lists) {
        let config = scene.block.config();
        let n_queries = lists.tokens.len() as f32;
        self.n_queries += n_queries;
        let branches = is_on(config);
        let far = is_far(config);
        let n_far = far.iter().filter(|&&on| on).count().max(1);
        for branch in (0..N_BRANCHES).filter(|&branch| branches[branch]) {
            let keys = scene.keys(lists, branch);
            let weights = scene.weights(projected, &keys, branch);
            if far[branch] {
                self.spread(scene, &keys, &weights, n_queries / n_far as f32);
            }
            let sums = &mut self.branches[branch];
            sums.gate += n_queries * weights.gate;
            sums.n_keys += n_queries * keys.len() as f32;
            sums.null += n_queries * weights.null;
            sums.evenness += n_queries * weights.evenness;
            if BRANCH_NAMES[branch] == "compressed" {
                for (key, weight) in keys.iter().zip(&weights.keys) {
                    self.cover[key.level] += n_queries * weight;
                }
            }
        }
        for &leaf in &lists.leaves {
            self.selected[leaf as usize] += 1;
            let tokens = scene.context.leaves().tokens_of(leaf as usize);
            self.distance += lists.tokens.start.abs_diff(tokens.start) as f64;
        }
    }

    /// Gives the weights of keys to the leaves that they lie in or that lie in them, by their tokens.
    fn spread(&mut self, scene: &Scene, keys: &[Key], weights: &Weights, times: f32) {
        let leaves = scene.context.leaves();
        let mut leaf = 0;
        for (at, key) in keys.iter().enumerate() {
            // Consecutive keys mostly lie in the same leaf.
            if !leaves.tokens_of(leaf).contains(&key.tokens.start) {
                let first = |&border: &u32| border as usize <= key.tokens.start;
                leaf = leaves.tokens.partition_point(first) - 1;
            }
            let mut within = leaf;
            while within < leaves.len() && leaves.tokens_of(within).start < key.tokens.end {
                let own = leaves.tokens_of(within);
                let common = own.end.min(key.tokens.end) - own.start.max(key.tokens.start);
                let share = times * common as f32 / key.tokens.len() as f32;
                self.leaves[within] += share * weights.keys[at];
                self.gated[within] += share * weights.gated[at];
                within += 1;
            }
        }
    }

    /// Adds the statistics of `other`, but not which leaves its weight went to.
    pub fn add(&mut self, other: &Self) {
        self.n_queries += other.n_queries;
        for (own, other) in self.branches.iter_mut().zip(&other.branches) {
            own.gate += other.gate;
            own.n_keys += other.n_keys;
            own.null += other.null;
            own.evenness += other.evenness;
        }
        for (own, other) in self.cover.iter_mut().zip(&other.cover) {
            *own += other;
        }
        for (own, other) in self.selected.iter_mut().zip(&other.selected) {
            *own += other;
        }
        self.distance += other.distance;
    }

    /// For each passage of the document: its weight, the same times the gates, and where its strongest leaf starts.
    pub fn row(&self, scene: &Scene) -> (Vec<f32>, Vec<f32>, Vec<u32>) {
        let (passages, leaves) = (scene.context.pyramid.passages(), scene.context.leaves());
        let share = 1.0 / self.n_queries.max(1.0);
        let (mut weights, mut gated, mut strongest) = (Vec::new(), Vec::new(), Vec::new());
        for passage in 0..passages.len() {
            let own = leaves.nodes_in(passages.tokens_of(passage));
            weights.push(share * self.leaves[own.clone()].iter().sum::<f32>());
            gated.push(share * self.gated[own.clone()].iter().sum::<f32>());
            let best =
                own.max_by(|&a, &b| self.leaves[a].total_cmp(&self.leaves[b]).then(b.cmp(&a)));
            strongest.push(best.map_or(0, |leaf| leaves.tokens[leaf]));
        }
        (weights, gated, strongest)
    }

    /// The branches that are on, on average.
    pub fn branches(&self, config: &GlobalConfig) -> Vec<BranchView> {
        let share = 1.0 / self.n_queries.max(1.0);
        let on = is_on(config);
        (0..N_BRANCHES)
            .filter(|&branch| on[branch])
            .map(|branch| {
                let sums = &self.branches[branch];
                BranchView {
                    name: BRANCH_NAMES[branch],
                    gate: share * sums.gate,
                    n_keys: share * sums.n_keys,
                    null: share * sums.null,
                    evenness: share * sums.evenness,
                }
            })
            .collect()
    }

    /// Shares of the compressed branch's attention by level.
    pub fn cover_shares(&self) -> Vec<f32> {
        let share = 1.0 / self.n_queries.max(1.0);
        self.cover.iter().map(|weight| share * weight).collect()
    }

    /// What was selected.
    pub fn selection(&self) -> SelectionView {
        let count = |least: u32| self.selected.iter().filter(|&&own| own >= least).count();
        let total: u64 = self.selected.iter().map(|&own| u64::from(own)).sum();
        let n_selected = count(1);
        SelectionView {
            n_leaves: self.selected.len(),
            n_selected,
            n_shared: count(2),
            granules_a_leaf: total as f32 / n_selected.max(1) as f32,
            mean_distance: (self.distance / total.max(1) as f64) as f32,
        }
    }
}

/// Which branches are switched on, in the order of their gates.
fn is_on(config: &GlobalConfig) -> [bool; N_BRANCHES] {
    let branches = config.branches;
    [branches.window, branches.compressed, branches.selected]
}

/// Which of them look far: all but the window, unless there is nothing else.
fn is_far(config: &GlobalConfig) -> [bool; N_BRANCHES] {
    match is_on(config) {
        [window, false, false] => [window, false, false],
        [_, compressed, selected] => [false, compressed, selected],
    }
}
