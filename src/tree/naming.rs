//! Names: phrases that a node's documents share and its siblings' do not.

use std::collections::{BTreeSet, HashMap, HashSet};

use rayon::prelude::*;

use super::{
    Edge, TreeDocument,
    index_notes::IndexNotes,
    phrases::{LEAD_WEIGHT, Phrases, Share, Shares, phrases},
    words::is_cjk,
};

/// Phrases in a name, at most, and what one counts beside the first at least.
pub const NAME_PHRASES: usize = 3;
const LEAST_SHARE: f32 = 0.35;
/// What a phrase of one, two and three words counts: it says more than its words, but stands less often.
const LENGTH_WEIGHTS: [f32; 3] = [1.0, 1.4, 1.5];
/// What a phrase counts that already names a node above, and where the group is all that the node above it is.
const INHERITED_WEIGHT: f32 = 0.1;
const ONLY_CHILD_WEIGHT: f32 = 0.3;
/// A share that is too little to tell groups apart.
const LITTLE: f32 = 0.02;
/// What a phrase must be ahead of the whole library to say something, at most and as a part of what is possible: the
/// words of a template that many notes follow name none of their groups. Logarithms.
const MAX_AHEAD: f32 = 1.5;
const PART_AHEAD: f32 = 0.5;

/// A group to be named.
pub struct Group<'a> {
    pub members: &'a [usize],
    pub shares: &'a Shares,
    /// The number of its parent.
    pub parent: usize,
    /// The names of the nodes above it.
    pub path: &'a [String],
}

/// Names groups, never two alike.
pub struct Namer<'a> {
    documents: &'a [TreeDocument<'a>],
    phrases: &'a Phrases,
    /// What the whole library shares.
    background: Shares,
    index_notes: IndexNotes,
}

impl<'a> Namer<'a> {
    pub fn new(
        documents: &'a [TreeDocument<'a>],
        phrases: &'a Phrases,
        top: &[(&Shares, usize)],
        links: &[Edge],
    ) -> Self {
        Self {
            documents,
            phrases,
            background: Shares::joined(top),
            index_notes: IndexNotes::new(documents, links),
        }
    }

    /// One name a group, the title of its first document where they share nothing that the library does not.
    pub fn names_or_titles(&self, groups: &[Group]) -> Vec<String> {
        let names = self.names(groups).into_iter().zip(groups);
        names
            .map(|(name, group)| match name.is_empty() {
                true => self.documents[group.members[0]].title.to_owned(),
                false => name,
            })
            .collect()
    }

    /// One name a group, empty where its documents share nothing that the library does not.
    pub fn names(&self, groups: &[Group]) -> Vec<String> {
        let mut of_parent: HashMap<usize, Vec<usize>> = HashMap::new();
        for (own, group) in groups.iter().enumerate() {
            of_parent.entry(group.parent).or_default().push(own);
        }
        let found = groups.par_iter().enumerate().map(|(own, group)| {
            let others = of_parent[&group.parent].iter();
            let others = others.filter(|&&other| other != own);
            let siblings: Vec<&Shares> = others.map(|&other| groups[other].shares).collect();
            let title = self.index_notes.of(group.members);
            let title = title.map(|note| self.documents[note].title.to_owned());
            let title = title.filter(|own| !group.path.contains(own));
            (title, self.contrastive(group, &siblings))
        });
        let found: Vec<(Option<String>, String)> = found.collect();
        let mut taken: HashSet<String> = HashSet::new();
        let names = groups.iter().zip(found).map(|(group, (title, name))| {
            let first = self.documents[group.members[0]].title;
            let name = match title.filter(|own| !taken.contains(own)) {
                Some(title) => title,
                None if name.is_empty() => return name,
                None if taken.contains(&name) => format!("{name} ({first})"),
                None => name,
            };
            taken.insert(name.clone());
            name
        });
        names.collect()
    }

    /// The phrases that say most of what tells a group from its siblings and from the whole library.
    fn contrastive(&self, group: &Group, siblings: &[&Shares]) -> String {
        let above = group.path.iter().flat_map(|name| phrases(name));
        let inherited: BTreeSet<u32> = above
            .filter_map(|phrase| self.phrases.find(&phrase.key))
            .collect();
        let possible = self.documents.len() as f32 / group.members.len() as f32;
        let ahead = (PART_AHEAD * possible.ln()).min(MAX_AHEAD);
        let weight = |share: &Share| {
            let mean = |shares: &Shares| shares.of(share.phrase).map_or(0.0, |own| own.mean);
            let log = |mean: f32| (mean + LITTLE).ln();
            let beside: f32 = siblings.iter().map(|own| mean(own)).sum();
            let beside = beside / siblings.len().max(1) as f32;
            let apart = log(share.mean) - log(beside);
            let inherited = inherited.contains(&share.phrase);
            // What stands in most titles, tags or folders is meant as a name.
            let given = share.mean > LEAD_WEIGHT && !inherited;
            let ahead = if given { 0.0 } else { ahead };
            let contrast = apart.min(log(share.mean) - log(mean(&self.background)) - ahead);
            let fresh = match inherited {
                false => 1.0,
                true if siblings.is_empty() => ONLY_CHILD_WEIGHT,
                true => INHERITED_WEIGHT,
            };
            share.even * length_weight(self.phrases.written(share.phrase)) * contrast * fresh
        };
        let scored = group.shares.iter();
        let scored = scored.map(|share| (weight(share), self.phrases.written(share.phrase)));
        let mut scored: Vec<(f32, &str)> = scored.filter(|own| own.0 > 0.0).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let mut chosen: Vec<&str> = Vec::new();
        for (score, phrase) in &scored {
            let repeats = chosen.iter().any(|chosen| share_a_word(chosen, phrase));
            let weak = chosen.len() > 1 && *score < scored[0].0 * LEAST_SHARE;
            if !repeats && !weak && chosen.len() < NAME_PHRASES {
                chosen.push(phrase);
            }
        }
        capitalised(&chosen.join(", "))
    }
}

fn length_weight(phrase: &str) -> f32 {
    let length = match phrase.chars().any(is_cjk) {
        // A Chinese word is of two characters.
        true => phrase.chars().count() - 1,
        false => phrase.split(' ').count(),
    };
    LENGTH_WEIGHTS[length.clamp(1, LENGTH_WEIGHTS.len()) - 1]
}

/// True for phrases with a word in common, or two characters in a row of a Chinese one.
fn share_a_word(a: &str, b: &str) -> bool {
    let of_words = |phrase: &str| -> Vec<String> {
        let words: Vec<String> = phrase.split(' ').map(str::to_lowercase).collect();
        let characters: Vec<char> = phrase.chars().filter(|own| is_cjk(*own)).collect();
        let pairs = characters.windows(2).map(|pair| pair.iter().collect());
        words.into_iter().chain(pairs).collect()
    };
    let others = of_words(b);
    of_words(a).iter().any(|word| others.contains(word))
}

fn capitalised(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::OwnedDocument;

    #[test]
    fn an_index_note_names_what_it_links_to() {
        let titles = [
            "Grains",
            "Rye",
            "Wheat",
            "Spelt",
            "Basalt",
            "Everything",
            "Home",
        ];
        let document = |title: &&str| OwnedDocument {
            title: (*title).to_owned(),
            is_index: ["Grains", "Everything", "Home"].contains(title),
            ..OwnedDocument::default()
        };
        let owned: Vec<OwnedDocument> = titles.iter().map(document).collect();
        let documents: Vec<TreeDocument> = owned.iter().map(OwnedDocument::as_ref).collect();
        let edge = |from: usize, to: usize| Edge { from, to };
        // What is no index note names nothing, nor does a start page; one that links to all names all.
        let grains = (1..4).map(|to| edge(0, to));
        let links: Vec<Edge> = (0..5)
            .map(|to| edge(5, to))
            .chain((0..6).map(|to| edge(6, to)))
            .chain(grains)
            .chain([edge(1, 2)])
            .collect();
        let check = |members: &[usize], path: &[String], expected: &str| {
            let mut phrases = Phrases::default();
            let shares = phrases.shares(&documents, &[members.to_vec()]);
            let group = Group {
                members,
                shares: &shares[0],
                parent: 0,
                path,
            };
            let namer = Namer::new(&documents, &phrases, &[], &links);
            assert_eq!(namer.names_or_titles(&[group])[0], expected, "{members:?}");
        };
        check(&[0, 1, 2, 3], &[], "Grains");
        check(&[0, 1, 2, 3, 4, 5], &[], "Everything");
        check(&[4], &[], "Basalt");
        check(&[1, 2, 3], &["Grains".to_owned()], "Rye, Spelt, Wheat");
        check(&[1, 2], &[], "Rye, Wheat");
    }

    #[test]
    fn words_of_a_template_name_none_of_those_that_follow_it() {
        let subjects = ["tab", "map", "rye", "ash"];
        let owned: Vec<OwnedDocument> = (0..12)
            .map(|at| {
                let template = if at < 6 { "Mobile compatible." } else { "" };
                let lead = "A sentence that is long enough to be the first of its text.";
                OwnedDocument {
                    id: at as u32,
                    text: format!("{lead} All about {}. {template}", subjects[at / 3]),
                    ..OwnedDocument::default()
                }
            })
            .collect();
        let documents: Vec<TreeDocument> = owned.iter().map(OwnedDocument::as_ref).collect();
        let members: Vec<Vec<usize>> = (0..4).map(|own| (own * 3..own * 3 + 3).collect()).collect();
        let mut phrases = Phrases::default();
        let shares = phrases.shares(&documents, &members);
        let top: Vec<(&Shares, usize)> = shares.iter().map(|own| (own, 3)).collect();
        let groups = members.iter().zip(&shares).map(|(members, shares)| Group {
            members,
            shares,
            parent: 0,
            path: &[],
        });
        let groups: Vec<Group> = groups.collect();
        let names = Namer::new(&documents, &phrases, &top, &[]).names(&groups);
        assert_eq!(names, ["Tab", "Map", "Rye", "Ash"]);
    }
}
