//! Linking: what documents refer to, by links and by naming each other, becomes ids.
//!
//! Texts are searched for titles once. When titles come or go, only texts that may hold them are searched again, so the
//! result is always that of searching all.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
};

use super::{
    IngestError,
    mentions::{Mentions, spoken},
    texts::Texts,
};
use crate::{
    corpus::{Link, LinkResolver},
    store::{BATCH, Commit, DocumentRecord, Due, LinkRecord, StoreError, StoreWriter},
};

/// A title that more documents share names none of them.
const MAX_NAMESAKES: usize = 8;
/// A title that stands in more documents than this share of all (and than a few) is a common word.
const MAX_SHARE: f64 = 0.01;
const MIN_COMMON_DOCUMENTS: usize = 20;
/// With more new or lost titles than this, all texts are searched.
const MAX_NEW_TITLES: usize = 200;

/// Brings the links of all documents up to date with what has changed.
pub(super) fn link(corpus: &Path, store: &mut StoreWriter) -> Result<(), IngestError> {
    let due = store.due(Due::Link)?;
    let titles = titles(store)?;
    let before: BTreeSet<String> = store.titles()?.into_iter().collect();
    let affected = affected(&due, (&titles, &before), store)?;
    let searched = Mentions::new(titles.clone())?;
    let found = new_mentions(corpus, &affected, &searched, store)?;
    store.commit(Commit {
        links: found,
        ..Commit::default()
    })?;
    let names = Names::new(store)?;
    let mut commit = Commit::default();
    for record in store.documents() {
        let mut record = record?;
        let targets = names.targets(&record, &store.link(record.id)?);
        if record.links != targets {
            record.links = targets;
            commit.documents.push(record);
        }
        if commit.documents.len() >= BATCH {
            store.commit(std::mem::take(&mut commit))?;
        }
    }
    commit.titles = (titles != before).then(|| titles.into_iter().collect());
    store.commit(commit)?;
    // What is due until the end is searched again after an interruption, which finds the same.
    Ok(store.done(Due::Link, &due)?)
}

/// Documents whose texts may hold other titles than before; none stands for all.
fn affected(
    due: &[u32],
    (titles, before): (&BTreeSet<String>, &BTreeSet<String>),
    store: &StoreWriter,
) -> Result<Option<HashSet<u32>>, StoreError> {
    let new: Vec<&String> = titles.difference(before).collect();
    let lost: Vec<&String> = before.difference(titles).collect();
    if new.len() + lost.len() > MAX_NEW_TITLES {
        return Ok(None);
    }
    let mut affected: HashSet<u32> = due.iter().copied().collect();
    let reader = store.text_reader()?;
    for title in new {
        match reader.holding(title)? {
            Some(found) => affected.extend(found),
            None => return Ok(None),
        }
    }
    for link in store.links().filter(|_| !lost.is_empty()) {
        let (id, link) = link?;
        if lost.iter().any(|title| link.mentions.contains(title)) {
            affected.insert(id);
        }
    }
    Ok(Some(affected))
}

/// The links of documents of which other titles are mentioned than before.
fn new_mentions(
    corpus: &Path,
    affected: &Option<HashSet<u32>>,
    titles: &Mentions,
    store: &StoreWriter,
) -> Result<Vec<(u32, LinkRecord)>, StoreError> {
    let mut texts = Texts::new(corpus, store);
    let mut found = Vec::new();
    for record in store.documents() {
        let record = record?;
        let is_affected = affected.as_ref().is_none_or(|own| own.contains(&record.id));
        if !is_affected || !is_searched(&record) {
            continue;
        }
        if let Some(text) = texts.read(&record)? {
            let mentions = titles.in_text(&text);
            let link = store.link(record.id)?;
            if link.mentions != mentions {
                found.push((record.id, LinkRecord { mentions, ..link }));
            }
        }
    }
    Ok(found)
}

/// Articles of a dump have links of their own: their texts are not searched, nor others for their titles.
fn is_searched(record: &DocumentRecord) -> bool {
    record.file.is_none()
}

/// All names of documents as texts say them.
fn titles(store: &StoreWriter) -> Result<BTreeSet<String>, StoreError> {
    let mut titles = BTreeSet::new();
    for record in store.documents() {
        titles.extend(spoken_names(&record?));
    }
    Ok(titles)
}

/// The names of a document that texts are searched for.
fn spoken_names(record: &DocumentRecord) -> BTreeSet<String> {
    let searched = std::iter::once(record).filter(|record| is_searched(record));
    let names = searched.flat_map(names);
    names.filter_map(|name| spoken(name)).collect()
}

fn names(record: &DocumentRecord) -> impl Iterator<Item = &String> {
    std::iter::once(&record.title).chain(&record.aliases)
}

/// What documents are called, in links and in texts.
struct Names {
    in_links: LinkResolver,
    in_texts: HashMap<String, Vec<u32>>,
}

impl Names {
    /// Leaves out of texts what is a common word, or the name of too many.
    fn new(store: &StoreWriter) -> Result<Self, StoreError> {
        let mut in_links = LinkResolver::default();
        let mut in_texts: HashMap<String, Vec<u32>> = HashMap::new();
        let mut n_documents = 0;
        for record in store.documents() {
            let record = record?;
            n_documents += 1;
            in_links.insert(record.id, &record.path, names(&record));
            for name in spoken_names(&record) {
                in_texts.entry(name).or_default().push(record.id);
            }
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        for link in store.links() {
            for name in link?.1.mentions {
                *counts.entry(name).or_default() += 1;
            }
        }
        let limit = ((f64::from(n_documents) * MAX_SHARE) as usize).max(MIN_COMMON_DOCUMENTS);
        in_texts.retain(|name, ids| {
            ids.len() <= MAX_NAMESAKES && counts.get(name).copied().unwrap_or(0) <= limit
        });
        Ok(Self { in_links, in_texts })
    }

    /// The documents that one links to or names, by id.
    fn targets(&self, record: &DocumentRecord, link: &LinkRecord) -> Vec<u32> {
        let written = link.targets.iter().filter_map(|target| {
            let link = Link {
                target: target.clone(),
                ..Link::default()
            };
            self.in_links.resolve(&record.path, &link)
        });
        let mentions = link.mentions.iter();
        let mentioned = mentions.filter_map(|name| self.in_texts.get(name));
        let all: BTreeSet<u32> = written.chain(mentioned.flatten().copied()).collect();
        all.into_iter().filter(|&id| id != record.id).collect()
    }
}
