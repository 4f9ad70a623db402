//! Linking: what documents refer to, by links and by naming each other, becomes ids.
//!
//! Texts are searched for titles once. When titles come or go, only texts that may hold them are searched again, so the
//! result is always that of searching all.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
};

use super::{
    IngestError,
    mentions::{Mentions, spoken},
    texts::Texts,
};
use crate::{
    corpus::{Document, Link, LinkResolver},
    store::{Commit, DocumentRecord, Due, LinkRecord, StoreWriter},
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
    let records = store.documents()?;
    let mut links: HashMap<u32, LinkRecord> = HashMap::new();
    for record in &records {
        links.insert(record.id, store.link(record.id)?);
    }
    let mut commit = Commit::default();
    for (id, mentions) in new_mentions(corpus, &due, store, (&records, &links))? {
        if let Some(link) = links.get_mut(&id)
            && link.mentions != mentions
        {
            link.mentions = mentions;
            commit.links.push((id, link.clone()));
        }
    }
    for (record, targets) in records.iter().zip(resolve(&records, &links)) {
        if record.links != targets {
            commit.documents.push(DocumentRecord {
                links: targets,
                ..record.clone()
            });
        }
    }
    let titles: Vec<String> = titles(&records).into_iter().collect();
    commit.titles = (titles != store.titles()?).then_some(titles);
    commit.done = due.into_iter().map(|id| (Due::Link, id)).collect();
    Ok(store.commit(commit)?)
}

/// The mentions of every text that may hold other titles than before.
fn new_mentions(
    corpus: &Path,
    due: &[u32],
    store: &StoreWriter,
    (records, links): (&[DocumentRecord], &HashMap<u32, LinkRecord>),
) -> Result<Vec<(u32, Vec<String>)>, IngestError> {
    let titles = titles(records);
    let before: BTreeSet<String> = store.titles()?.into_iter().collect();
    let (new, lost): (Vec<&String>, Vec<&String>) = (
        titles.difference(&before).collect(),
        before.difference(&titles).collect(),
    );
    let mut affected: HashSet<u32> = due.iter().copied().collect();
    if new.len() + lost.len() > MAX_NEW_TITLES {
        affected.extend(records.iter().map(|record| record.id));
    } else {
        let reader = store.text_reader()?;
        for title in new {
            match reader.holding(title)? {
                Some(found) => affected.extend(found),
                None => affected.extend(records.iter().map(|record| record.id)),
            }
        }
        let holds = |link: &LinkRecord| lost.iter().any(|title| link.mentions.contains(title));
        let holding = links.iter().filter(|(_, link)| holds(link));
        affected.extend(holding.map(|(id, _)| *id));
    }
    let mentions = Mentions::new(titles)?;
    let mut texts = Texts::new(corpus, store);
    let mut found = Vec::new();
    // Articles of a dump have links of their own.
    let searched = records.iter().filter(|record| record.file.is_none());
    for record in searched.filter(|record| affected.contains(&record.id)) {
        if let Some(text) = texts.read(record)? {
            found.push((record.id, mentions.in_text(&text)));
        }
    }
    Ok(found)
}

/// All names of documents as texts say them.
fn titles(records: &[DocumentRecord]) -> BTreeSet<String> {
    let named = records.iter().filter(|record| record.file.is_none());
    named.flat_map(names).collect()
}

fn names(record: &DocumentRecord) -> BTreeSet<String> {
    let names = std::iter::once(&record.title).chain(&record.aliases);
    names.filter_map(|name| spoken(name)).collect()
}

/// The documents that each one links to or names, by id.
fn resolve(records: &[DocumentRecord], links: &HashMap<u32, LinkRecord>) -> Vec<Vec<u32>> {
    let documents: Vec<Document> = records
        .iter()
        .map(|record| Document {
            path: record.path.clone(),
            title: record.title.clone(),
            aliases: record.aliases.clone(),
            ..Document::default()
        })
        .collect();
    let resolver = LinkResolver::new(&documents);
    let named = named(records, links);
    let targets = |record: &DocumentRecord| -> Vec<u32> {
        let Some(own) = links.get(&record.id) else {
            return Vec::new();
        };
        let written = own.targets.iter().filter_map(|target| {
            let link = Link {
                target: target.clone(),
                ..Link::default()
            };
            let document = resolver.resolve(&record.path, &link)?;
            Some(records[document].id)
        });
        let mentioned = own.mentions.iter().filter_map(|name| named.get(name));
        let all: BTreeSet<u32> = written.chain(mentioned.flatten().copied()).collect();
        all.into_iter().filter(|&id| id != record.id).collect()
    };
    records.iter().map(targets).collect()
}

/// The documents that a name means, without names that are common words or that too many share.
fn named(
    records: &[DocumentRecord],
    links: &HashMap<u32, LinkRecord>,
) -> BTreeMap<String, Vec<u32>> {
    let mut named: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.file.is_none()) {
        for name in names(record) {
            named.entry(name).or_default().push(record.id);
        }
    }
    let mut counts: HashMap<&String, usize> = HashMap::new();
    for name in links.values().flat_map(|link| &link.mentions) {
        *counts.entry(name).or_default() += 1;
    }
    let limit = ((records.len() as f64 * MAX_SHARE) as usize).max(MIN_COMMON_DOCUMENTS);
    named.retain(|name, ids| {
        ids.len() <= MAX_NAMESAKES && counts.get(name).copied().unwrap_or(0) <= limit
    });
    named
}
