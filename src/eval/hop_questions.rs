//! Questions on several documents. No training set has any, so they are made of a set whose questions want one.
//!
//! A link from A to B makes "the <what A says about it> of A" out of B's name; B answers, but only A tells that it is B.
//! Names stand in them as in real ones, and so do words that are no part of the answer.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::Judged;
use crate::{
    corpus::Document, query::mention, store::Snapshot, text::sentences, tree::is_stop_word,
};

/// How what is asked may begin.
const OPENINGS: [&str; 5] = ["what", "who", "which", "when", "where"];
/// Words that open a document and say what kind of thing it is on.
const OPENING_WORDS: usize = 12;
/// A word that so many documents open with tells nothing of their kind.
const COMMON: usize = 300;

/// What a question was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Made {
    /// A question of the set: one document answers it.
    Asked,
    /// The same, with what A says instead of B's name.
    Renamed,
    /// A's name and a few words of B.
    Chain,
    /// Words around the link in A and a few of B, no name.
    Unnamed,
    /// Two names of a kind, no link.
    Pair,
    /// Two names of a kind, and a link of each.
    Chains,
}

/// A question and the records that answer it together.
pub struct HopQuestion {
    pub made: Made,
    pub text: String,
    pub gains: BTreeMap<String, u32>,
}

/// A link: who links to whom, and where in the text of the former.
#[derive(Clone)]
struct Place {
    from: usize,
    to: usize,
    at: std::ops::Range<usize>,
}

/// The documents of a set in the order of its snapshot, with their links.
pub struct Library<'a> {
    documents: Vec<&'a Document>,
    /// Links of each document.
    links: Vec<Vec<Place>>,
    /// The words that each document opens with, and the documents that open with a word.
    openings: Vec<Vec<String>>,
    opened_with: HashMap<String, Vec<usize>>,
    random: StdRng,
}

impl<'a> Library<'a> {
    /// Finds the links of `snapshot` in the texts of `documents`.
    pub fn new(snapshot: &Snapshot, documents: &'a [Document], seed: u64) -> Self {
        let by_path: HashMap<&str, &Document> = documents
            .iter()
            .map(|own| (own.path.as_str(), own))
            .collect();
        let records = &snapshot.body.documents;
        let known = records.iter().filter_map(|record| {
            let document = by_path.get(record.path.as_str())?;
            Some((record, *document))
        });
        let (known, documents): (Vec<_>, Vec<&Document>) = known.unzip();
        let numbers: HashMap<&str, usize> = documents
            .iter()
            .enumerate()
            .map(|(number, own)| (own.path.as_str(), number))
            .collect();
        let links = known.iter().zip(&documents).enumerate();
        let links = links.map(|(from, (record, document))| {
            let places = record.links.iter().filter_map(|&id| {
                let target = &records[snapshot.document_with_id(id)?];
                let to = *numbers.get(target.path.as_str())?;
                let at = mention(&document.text, target)?;
                // What is called by its own name leads nowhere.
                let is_other = !name(document).contains(name(documents[to]));
                is_other.then_some(Place { from, to, at })
            });
            places.collect()
        });
        let links = links.collect();
        let openings: Vec<Vec<String>> = documents
            .iter()
            .map(|own| lower(content_words(&own.text).take(OPENING_WORDS)))
            .collect();
        let mut opened_with: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, words) in openings.iter().enumerate() {
            for word in words.iter().collect::<HashSet<_>>() {
                opened_with.entry(word.clone()).or_default().push(number);
            }
        }
        Self {
            documents,
            links,
            openings,
            opened_with,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// At most `count` questions of each making, of one answer `asked` among them.
    pub fn questions(&mut self, mut asked: Vec<Judged>, count: usize) -> Vec<HopQuestion> {
        asked.shuffle(&mut self.random);
        let mut found: Vec<HopQuestion> = Vec::new();
        let renamed = asked.iter().filter_map(|own| self.renamed(own));
        found.extend(renamed.take(count));
        let mut order: Vec<usize> = (0..self.documents.len()).collect();
        for made in [Made::Chain, Made::Unnamed, Made::Pair, Made::Chains] {
            order.shuffle(&mut self.random);
            let made = order.iter().filter_map(|&document| match made {
                Made::Chain => self.chain(document),
                Made::Unnamed => self.unnamed(document),
                Made::Pair => self.pair(document),
                _ => self.chains(document),
            });
            found.extend(made.take(count));
        }
        asked.truncate(count);
        found.extend(asked.into_iter().map(|own| HopQuestion {
            made: Made::Asked,
            text: own.text,
            gains: own.gains,
        }));
        found
    }

    /// The name of what answers, replaced by what another document says of it.
    fn renamed(&mut self, asked: &Judged) -> Option<HopQuestion> {
        let record = asked.gains.keys().next()?;
        let holds = |own: &&Document| own.records.iter().any(|own| own.id == *record);
        let to = self.documents.iter().position(holds)?;
        let called = name(self.documents[to]);
        let text = asked.text.to_lowercase();
        let at = text
            .find(&called.to_lowercase())
            .filter(|_| called.len() > 3)?;
        let links: Vec<Place> = self
            .links
            .iter()
            .flatten()
            .filter(|own| own.to == to)
            .cloned()
            .collect();
        let link = links.choose(&mut self.random)?.clone();
        let (relation, source) = (self.relation(&link), name(self.documents[link.from]));
        let instead = match relation.is_empty() {
            true => source.to_owned(),
            false => format!("the {relation} of {source}"),
        };
        let rest = &text[at + called.to_lowercase().len()..];
        let mut gains = asked.gains.clone();
        gains.insert(self.record_at(&link)?, 1);
        Some(HopQuestion {
            made: Made::Renamed,
            text: format!("{}{instead}{rest}", &text[..at]),
            gains,
        })
    }

    fn chain(&mut self, document: usize) -> Option<HopQuestion> {
        let link = self.link_of(document)?;
        let opening = OPENINGS.choose(&mut self.random)?;
        let count = [0, 1, 1, 2, 3].choose(&mut self.random).copied()?;
        let (relation, fact) = (self.relation(&link), self.fact(link.to, count));
        let source = name(self.documents[document]);
        let text = match self.random.random_bool(0.5) {
            true => format!("{opening} {fact} the {relation} of {source}"),
            false => format!("{opening} is {source}'s {relation} {fact}"),
        };
        let answers = [self.record_at(&link)?, self.first_record(link.to)?];
        Some(question(Made::Chain, &text, answers))
    }

    fn unnamed(&mut self, document: usize) -> Option<HopQuestion> {
        let link = self.link_of(document)?;
        let opening = OPENINGS.choose(&mut self.random)?;
        let (before, after) = self.around(&link, false);
        let first = before.len().saturating_sub(4);
        let words: Vec<String> = before[first..]
            .iter()
            .chain(after.iter().take(4))
            .cloned()
            .collect();
        let count = self.random.random_range(1..4);
        let fact = self.fact(link.to, count);
        let text = format!("{opening} {fact} the {}", words.join(" "));
        let answers = [self.record_at(&link)?, self.first_record(link.to)?];
        (words.len() >= 3).then(|| question(Made::Unnamed, &text, answers))
    }

    fn pair(&mut self, document: usize) -> Option<HopQuestion> {
        let (other, shared) = self.of_its_kind(document, false)?;
        let (one, two) = (name(self.documents[document]), name(self.documents[other]));
        let count = self.random.random_range(0..3);
        let shared = shared.into_iter().take(count).collect::<Vec<_>>().join(" ");
        let count = self.random.random_range(0..2);
        let fact = self.fact(document, count);
        let text = match self.random.random_bool(0.5) {
            true => format!("which {shared} {fact}, {one} or {two}"),
            false => format!("are {one} and {two} both {shared}"),
        };
        let answers = [self.first_record(document)?, self.first_record(other)?];
        Some(question(Made::Pair, &text, answers))
    }

    fn chains(&mut self, document: usize) -> Option<HopQuestion> {
        let link = self.link_of(document)?;
        let (other, shared) = self.of_its_kind(document, true)?;
        let second = self.link_of(other)?;
        let (one, two) = (name(self.documents[document]), name(self.documents[other]));
        let (relation, fact) = (self.relation(&link), self.fact(link.to, 1));
        let kind = shared.first()?;
        let text = format!("which {kind} has the {relation} {fact}, {one} or {two}");
        let answers = [
            self.record_at(&link)?,
            self.first_record(link.to)?,
            self.record_at(&second)?,
            self.first_record(second.to)?,
        ];
        Some(question(Made::Chains, &text, answers))
    }

    fn link_of(&mut self, document: usize) -> Option<Place> {
        self.links[document].choose(&mut self.random).cloned()
    }

    /// Another document that opens with two of the same words, and all of those words.
    fn of_its_kind(&mut self, document: usize, linking: bool) -> Option<(usize, Vec<String>)> {
        let own: HashSet<&String> = self.openings[document].iter().collect();
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for word in &own {
            let others = &self.opened_with[*word];
            if others.len() < COMMON {
                others
                    .iter()
                    .for_each(|&other| *shared.entry(other).or_default() += 1);
            }
        }
        let is_like = |(other, count): (&usize, &usize)| {
            let is_other = name(self.documents[*other]) != name(self.documents[document]);
            let links = !linking || !self.links[*other].is_empty();
            (*count >= 2 && is_other && links).then_some(*other)
        };
        let mut like: Vec<usize> = shared.iter().filter_map(is_like).collect();
        like.sort_unstable();
        let other = like.choose(&mut self.random).copied()?;
        let words = self.openings[other].iter();
        Some((
            other,
            words.filter(|word| own.contains(word)).cloned().collect(),
        ))
    }

    /// A few words beside a link, which tell what its target is to its source.
    fn relation(&mut self, link: &Place) -> String {
        if self.random.random_bool(0.1) {
            return String::new();
        }
        let (before, after) = self.around(link, true);
        let first = before.len().saturating_sub(3);
        let words: Vec<&String> = before[first..].iter().chain(after.first()).collect();
        let count = [1, 1, 2].choose(&mut self.random).copied().unwrap_or(1);
        let kept = words[words.len().saturating_sub(count)..].iter();
        let kept = kept.map(|word| match word.strip_suffix("ed") {
            // Who directed it is asked for as its director.
            Some(stem) if self.random.random_bool(0.5) => {
                format!("{stem}{}", ["or", "er"][self.random.random_range(0..2)])
            }
            _ => (*word).clone(),
        });
        kept.collect::<Vec<_>>().join(" ")
    }

    /// The words of a link's sentence before and behind it, without its target's name, and without its source's where
    /// that is named.
    fn around(&self, link: &Place, source_is_named: bool) -> (Vec<String>, Vec<String>) {
        let text = &self.documents[link.from].text;
        let all = sentences(text).into_iter();
        let mut own = all.filter(|own| own.start <= link.at.start && link.at.end <= own.end);
        let sentence = own.next().unwrap_or(link.at.clone());
        let mut named = lower(content_words(name(self.documents[link.to])));
        if source_is_named {
            named.extend(lower(content_words(name(self.documents[link.from]))));
        }
        let words = |part: &str| {
            let mut words = lower(content_words(part));
            words.retain(|word| !named.contains(word));
            words
        };
        let before = words(&text[sentence.start..link.at.start]);
        (before, words(&text[link.at.end..sentence.end]))
    }

    /// Some consecutive words of the record that a document begins with, without its name.
    fn fact(&mut self, document: usize, count: usize) -> String {
        let document = self.documents[document];
        let named = lower(content_words(name(document)));
        let first = document
            .records
            .first()
            .map_or(0..0, |own| own.span.clone());
        let mut words = lower(content_words(&document.text[first]));
        words.retain(|word| !named.contains(word));
        let start = self.random.random_range(0..words.len().max(1));
        let words: Vec<String> = words.into_iter().skip(start).take(count).collect();
        words.join(" ")
    }

    fn record_at(&self, link: &Place) -> Option<String> {
        let mut records = self.documents[link.from].records.iter();
        let holding = records.find(|own| own.span.contains(&link.at.start));
        holding.map(|own| own.id.clone())
    }

    fn first_record(&self, document: usize) -> Option<String> {
        let first = self.documents[document].records.first();
        first.map(|own| own.id.clone())
    }
}

fn question(made: Made, text: &str, answers: impl IntoIterator<Item = String>) -> HopQuestion {
    let words: Vec<&str> = text.split_whitespace().collect();
    HopQuestion {
        made,
        text: words.join(" "),
        gains: answers.into_iter().map(|record| (record, 1)).collect(),
    }
}

/// What a document is called: its title without the bracketed part.
fn name(document: &Document) -> &str {
    let title = &document.title;
    title.split(" (").next().unwrap_or(title).trim()
}

/// The words of a text that say something.
fn content_words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|character: char| !character.is_alphanumeric() && character != '-');
    words.filter(|word| word.chars().count() > 1 && !is_stop_word(&word.to_lowercase()))
}

fn lower<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    words.map(str::to_lowercase).collect()
}
