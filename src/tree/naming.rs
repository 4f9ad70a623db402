//! Names and summaries: phrases that a node's documents share and its siblings' do not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use unicode_segmentation::UnicodeSegmentation;

use super::{
    Edge, TreeDocument,
    words::{is_cjk, is_number, is_stop_word, plain, singular},
};
use crate::{ops::similarity::product, text::sentences};

/// What a phrase in a title, in a tag and in the text counts.
const TITLE_WEIGHT: f32 = 3.0;
const TAG_WEIGHT: f32 = 2.0;
const TEXT_WEIGHT: f32 = 0.5;
/// Phrases in a name, at most.
const NAME_PHRASES: usize = 3;
/// Text of a document that is searched for phrases, in bytes.
const TEXT_BYTES: usize = 4_000;

/// Documents that a summary is looked for in, and how many sentences of each.
const SUMMARY_DOCUMENTS: usize = 8;
const LEADING_SENTENCES: usize = 6;
/// First words of a sentence that needs what stands before it.
const LEANING_WORDS: [&str; 18] = [
    "it", "its", "this", "that", "these", "those", "they", "their", "he", "his", "she", "her",
    "we", "here", "so", "but", "and", "also",
];
/// What a phrase counts that already names a node above.
const INHERITED_WEIGHT: f32 = 0.1;

/// A group to be named.
pub struct Group<'a> {
    pub members: &'a [usize],
    /// The number of its parent.
    pub parent: usize,
    /// The names of the nodes above it.
    pub path: &'a [String],
}

/// Titles of start pages, which list everything and name nothing.
const START_PAGES: [&str; 12] = [
    "home",
    "index",
    "start",
    "start here",
    "readme",
    "welcome",
    "contents",
    "table of contents",
    "moc",
    "map of content",
    "dashboard",
    "main page",
];

/// The phrases of every document.
pub struct Names<'a> {
    documents: &'a [TreeDocument<'a>],
    /// Phrase in lower case → weight.
    phrases: Vec<HashMap<String, f32>>,
    /// How a phrase is most often written.
    written: HashMap<String, String>,
    /// The first sentences of every document that could sum something up.
    leads: Vec<Vec<String>>,
    index_notes: IndexNotes,
}

/// The index notes of a document, those that link to it and itself, and of how many documents each of them is one.
#[derive(Default)]
struct IndexNotes {
    notes: HashMap<usize, Vec<usize>>,
    sizes: HashMap<usize, usize>,
}

impl IndexNotes {
    fn new(documents: &[TreeDocument], links: &[Edge]) -> Self {
        let mut notes = Self::default();
        let own = (0..documents.len()).map(|own| (own, own));
        let links = links.iter().map(|link| (link.from, link.to));
        for (note, document) in own.chain(links) {
            let title = documents[note].title.to_lowercase();
            if documents[note].is_index && !START_PAGES.contains(&title.as_str()) {
                notes.notes.entry(document).or_default().push(note);
                *notes.sizes.entry(note).or_default() += 1;
            }
        }
        notes
    }

    /// The note whose documents are most nearly these; none where it has few of them, or many others.
    fn of(&self, members: &[usize]) -> Option<usize> {
        let mut shared: HashMap<usize, usize> = HashMap::new();
        let notes = members.iter().filter_map(|own| self.notes.get(own));
        for &note in notes.flatten() {
            *shared.entry(note).or_default() += 1;
        }
        let fits = shared.into_iter().filter_map(|(note, shared)| {
            let size = self.sizes[&note];
            let is_map = 2 * shared > members.len() && 2 * shared > size;
            is_map.then(|| (shared as f32 / (members.len() + size) as f32, note))
        });
        let best = fits.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        best.map(|(_, note)| note)
    }
}

impl<'a> Names<'a> {
    pub fn new(documents: &'a [TreeDocument<'a>], links: &[Edge]) -> Self {
        let mut forms: HashMap<String, BTreeMap<String, u32>> = HashMap::new();
        let mut phrases = Vec::with_capacity(documents.len());
        let mut leads = Vec::with_capacity(documents.len());
        for document in documents {
            let mut found: HashMap<String, f32> = HashMap::new();
            let mut take = |text: &str, weight: f32| {
                for written in candidate_phrases(text) {
                    let key = key(&written);
                    let held = found.entry(key.clone()).or_default();
                    *held = (*held + weight).min(3.0 * weight.max(*held));
                    *forms.entry(key).or_default().entry(written).or_default() += 1;
                }
            };
            take(document.title, TITLE_WEIGHT);
            for tag in document.tags {
                for part in tag.split('/') {
                    take(&part.replace(['-', '_'], " "), TAG_WEIGHT);
                }
            }
            let text = plain(document.text);
            take(&text[..text.floor_char_boundary(TEXT_BYTES)], TEXT_WEIGHT);
            phrases.push(found);
            leads.push(leading_sentences(&text));
        }
        let written = forms
            .into_iter()
            .filter_map(|(key, forms)| {
                let most = forms
                    .into_iter()
                    .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))?;
                Some((key, most.0))
            })
            .collect();
        Self {
            documents,
            phrases,
            written,
            leads,
            index_notes: IndexNotes::new(documents, links),
        }
    }

    /// One name a group; siblings never share one.
    pub fn name(&self, groups: &[Group]) -> Vec<String> {
        let totals: Vec<HashMap<&str, f32>> = groups
            .iter()
            .map(|group| self.shares(group.members))
            .collect();
        let mut of_parent: HashMap<usize, Vec<usize>> = HashMap::new();
        for (own, group) in groups.iter().enumerate() {
            of_parent.entry(group.parent).or_default().push(own);
        }
        let mut taken: BTreeSet<String> = BTreeSet::new();
        groups
            .iter()
            .enumerate()
            .map(|(own, group)| {
                let siblings: Vec<&HashMap<&str, f32>> = of_parent[&group.parent]
                    .iter()
                    .filter(|&&other| other != own)
                    .map(|&other| &totals[other])
                    .collect();
                let title = self.index_notes.of(group.members);
                let title = title.map(|note| self.documents[note].title.to_owned());
                let title = title.filter(|own| !taken.contains(own) && !group.path.contains(own));
                let name = title
                    .unwrap_or_else(|| self.contrastive(group, &totals[own], &siblings, &taken));
                taken.insert(name.clone());
                name
            })
            .collect()
    }

    /// Of the first sentences of the documents nearest to `vector`, the one that says most of what all share.
    pub fn summary(&self, members: &[usize], vector: &[f32]) -> String {
        let similarity = |own: usize| product(self.documents[own].vector, vector);
        let similar = members.iter().map(|&own| (similarity(own), own));
        let mut order: Vec<(f32, usize)> = similar.collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        order.truncate(SUMMARY_DOCUMENTS);
        let shares = self.shares(members);
        let weight = |sentence: &str| {
            let phrases: BTreeSet<String> = candidate_phrases(sentence)
                .iter()
                .map(|own| key(own))
                .collect();
            let shared = phrases.iter().filter_map(|own| shares.get(own.as_str()));
            let words = sentence.unicode_words().count().max(1) as f32;
            shared.sum::<f32>() / words.sqrt()
        };
        let sentences = order.iter().flat_map(|&(_, own)| &self.leads[own]);
        let best = sentences.map(|sentence| (weight(sentence), sentence));
        best.fold((f32::MIN, ""), |best, (weight, sentence)| {
            match weight > best.0 {
                true => (weight, sentence),
                false => best,
            }
        })
        .1
        .to_owned()
    }

    /// The weight of each phrase in a group: its documents' mean.
    fn shares(&self, members: &[usize]) -> HashMap<&str, f32> {
        let mut shares: HashMap<&str, f32> = HashMap::new();
        for &member in members {
            for (phrase, weight) in &self.phrases[member] {
                *shares.entry(phrase).or_default() += weight / members.len() as f32;
            }
        }
        shares
    }

    fn contrastive(
        &self,
        group: &Group,
        own: &HashMap<&str, f32>,
        siblings: &[&HashMap<&str, f32>],
        taken: &BTreeSet<String>,
    ) -> String {
        let inherited: BTreeSet<String> = group
            .path
            .iter()
            .flat_map(|name| name.split(", ").map(key))
            .collect();
        let mut scored: Vec<(f32, &str)> = own
            .iter()
            .map(|(phrase, share)| {
                let elsewhere: f32 = siblings
                    .iter()
                    .map(|sibling| sibling.get(phrase).copied().unwrap_or(0.0))
                    .fold(0.0, f32::max);
                let words = phrase.split(' ').count();
                // A phrase says more than its words, but stands less often.
                let length = [0.0, 1.0, 1.5, 1.6][words.min(3)];
                let contrast = share / (share + elsewhere + 0.05);
                let fresh = match inherited.contains(*phrase) {
                    true => INHERITED_WEIGHT,
                    false => 1.0,
                };
                (share * length * contrast * fresh, *phrase)
            })
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let mut chosen: Vec<&str> = Vec::new();
        for (score, phrase) in &scored {
            let repeats = chosen.iter().any(|chosen| share_a_word(chosen, phrase));
            let weak = chosen.len() > 1 && *score < scored[0].0 * 0.35;
            if !repeats && !weak && chosen.len() < NAME_PHRASES {
                chosen.push(phrase);
            }
        }
        let name = |count: usize| -> String {
            let shown: Vec<&str> = chosen[..count]
                .iter()
                .map(|phrase| self.written.get(*phrase).map_or(*phrase, String::as_str))
                .collect();
            capitalised(&shown.join(", "))
        };
        match chosen.len() {
            0 => self.documents[group.members[0]].title.to_owned(),
            count if taken.contains(&name(count)) => {
                format!(
                    "{} ({})",
                    name(count),
                    self.documents[group.members[0]].title
                )
            }
            count => name(count),
        }
    }
}

/// One to three words in a row that could name something.
fn candidate_phrases(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.split([
        '\n', '.', ',', ';', ':', '(', ')', '!', '?', '"', '|', '，', '。', '、', '：',
    ]) {
        let words: Vec<&str> = line.unicode_words().collect();
        if line.chars().any(is_cjk) {
            let run: String = line
                .chars()
                .filter(|character| is_cjk(*character))
                .collect();
            if (2..=6).contains(&run.chars().count()) {
                found.push(run);
            }
            continue;
        }
        let names = |word: &str| {
            let lower = word.to_lowercase();
            lower.chars().count() > 2
                && !is_stop_word(&lower)
                && !is_number(&lower)
                && !lower.contains('\'')
        };
        for start in 0..words.len() {
            for length in 1..=3usize.min(words.len() - start) {
                let phrase = &words[start..start + length];
                if phrase.iter().all(|word| names(word)) {
                    found.push(phrase.join(" "));
                }
            }
        }
    }
    found
}

fn key(phrase: &str) -> String {
    let lower = phrase.to_lowercase();
    let words: Vec<String> = lower.split(' ').map(singular).collect();
    words.join(" ")
}

fn share_a_word(a: &str, b: &str) -> bool {
    a.split(' ')
        .any(|word| b.split(' ').any(|other| word == other))
}

fn capitalised(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// The first sentences of 40 to 240 characters that do not lean on one before.
fn leading_sentences(plain: &str) -> Vec<String> {
    let start = &plain[..plain.floor_char_boundary(TEXT_BYTES)];
    let sentences = sentences(start).into_iter().map(|range| {
        let words: Vec<&str> = start[range].split_whitespace().collect();
        words.join(" ")
    });
    let sums_up = |sentence: &String| {
        let length = sentence.chars().count() * if sentence.chars().any(is_cjk) { 3 } else { 1 };
        let ends = sentence.ends_with(['.', '!', '?', '。', '！', '？']);
        let first = sentence.unicode_words().next().unwrap_or("").to_lowercase();
        ends && (40..=240).contains(&length) && !LEANING_WORDS.contains(&first.as_str())
    };
    sentences.filter(sums_up).take(LEADING_SENTENCES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let document = |own: usize| TreeDocument {
            id: own as u32,
            title: titles[own],
            tags: &[],
            is_index: ["Grains", "Everything", "Home"].contains(&titles[own]),
            path: titles[own],
            text: "",
            vector: &[],
        };
        let documents: Vec<TreeDocument> = (0..titles.len()).map(document).collect();
        let edge = |from: usize, to: usize| Edge { from, to };
        // What is no index note names nothing, nor does a start page; one that links to all names all.
        let grains = (1..4).map(|to| edge(0, to));
        let links: Vec<Edge> = (0..5)
            .map(|to| edge(5, to))
            .chain((0..6).map(|to| edge(6, to)))
            .chain(grains)
            .chain([edge(1, 2)])
            .collect();
        let names = Names::new(&documents, &links);
        let check = |members: &[usize], path: &[String], expected: &str| {
            let group = Group {
                members,
                parent: 0,
                path,
            };
            assert_eq!(names.name(&[group])[0], expected, "{members:?}");
        };
        check(&[0, 1, 2, 3], &[], "Grains");
        check(&[0, 1, 2, 3, 4, 5], &[], "Everything");
        check(&[4], &[], "Basalt");
        check(&[1, 2, 3], &["Grains".to_owned()], "Rye, Spelt, Wheat");
        check(&[1, 2], &[], "Rye, Wheat");
    }
}
