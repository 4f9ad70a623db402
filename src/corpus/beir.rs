//! Evaluation sets in the BEIR layout: `corpus.jsonl`, `queries.jsonl`, `qrels/test.tsv`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use serde::Deserialize;

use super::{Block, BlockKind, CorpusError, Document, Origin, Record, plain::paragraphs};

/// Words that a turn keeps, and from which on a merged passage is full.
const TURN_WORDS: usize = 200;
const MERGED_WORDS: usize = 170;
/// Questions that are put behind their document's title.
const TITLE_QUESTIONS: usize = 400;

/// An evaluation set.
#[derive(Debug, Clone, Default)]
pub struct Beir {
    /// Lines of one document stand together in one; each line is a record.
    pub documents: Vec<Document>,
    pub queries: Vec<Query>,
    /// Gain of each relevant record, by query.
    pub relevance: BTreeMap<String, BTreeMap<String, u32>>,
}

/// One question of a set.
#[derive(Debug, Clone, Deserialize)]
pub struct Query {
    #[serde(rename = "_id")]
    pub id: String,
    pub text: String,
    /// What answers it, word for word, where the set says so.
    #[serde(default)]
    pub answers: Vec<String>,
}

/// Which relevance judgements of a set are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Split {
    #[default]
    Test,
    Train,
}

impl Split {
    fn file(self) -> &'static str {
        match self {
            Self::Test => "qrels/test.tsv",
            Self::Train => "qrels/train.tsv",
        }
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
    doc: Option<String>,
}

/// How an evaluation set is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BeirOptions {
    pub split: Split,
    /// Joins consecutive turns into passages of about 170 words.
    pub merge_turns: bool,
    /// Keeps the first 400 questions, each behind its document's title.
    pub title_questions: bool,
}

/// Reads an evaluation set; records of a document come in the order of the file.
///
/// # Errors
/// When a file is missing or a line is not what it should be; the message names file and line.
pub fn read_beir(folder: &Path, options: &BeirOptions) -> Result<Beir, CorpusError> {
    let mut documents = read_lines(folder)?;
    let mut relevance = read_relevance(&folder.join(options.split.file()))?;
    if options.merge_turns {
        merge_turns(&mut documents, &mut relevance);
    }
    let mut beir = Beir {
        documents: documents
            .into_iter()
            .map(|(key, lines)| document(key, lines))
            .collect(),
        queries: json_lines(&folder.join("queries.jsonl"))?,
        relevance,
    };
    beir.queries
        .retain(|query| beir.relevance.contains_key(&query.id));
    if options.title_questions {
        title_questions(&mut beir);
    }
    Ok(beir)
}

/// Reads only the documents of a set.
///
/// # Errors
/// As [`read_beir`].
pub fn read_beir_documents(folder: &Path) -> Result<Vec<Document>, CorpusError> {
    let documents = read_lines(folder)?.into_iter();
    Ok(documents.map(|(key, lines)| document(key, lines)).collect())
}

/// The lines of each document, by its key, in the order of the file.
fn read_lines(folder: &Path) -> Result<Vec<(String, Vec<Line>)>, CorpusError> {
    let mut documents: Vec<(String, Vec<Line>)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for line in json_lines::<Line>(&folder.join("corpus.jsonl"))? {
        let key = document_key(&line);
        let at = *index.entry(key.clone()).or_insert(documents.len());
        if at == documents.len() {
            documents.push((key, Vec::new()));
        }
        documents[at].1.push(line);
    }
    Ok(documents)
}

fn document_key(line: &Line) -> String {
    match (&line.doc, line.id.split_once('#')) {
        (Some(document), _) => document.clone(),
        (None, Some((document, _))) => document.to_owned(),
        (None, None) => line.id.clone(),
    }
}

fn document(path: String, lines: Vec<Line>) -> Document {
    let mut document = Document {
        path,
        title: lines
            .first()
            .map(|line| line.title.trim().to_owned())
            .unwrap_or_default(),
        origin: Origin::Extracted(Vec::new()),
        ..Document::default()
    };
    for line in lines {
        if !document.text.is_empty() {
            document.text.push_str("\n\n");
        }
        let start = document.text.len();
        document.text.push_str(&line.text);
        let span = start..document.text.len();
        let mut blocks = paragraphs(&document.text, span.clone());
        if blocks.is_empty() {
            // A line without text is still found by its title.
            blocks.push(Block {
                kind: BlockKind::Paragraph,
                span: span.clone(),
            });
        }
        document.blocks.extend(blocks);
        document.records.push(Record { id: line.id, span });
    }
    document
}

/// Joins turns, each cut to 200 words, until 170 words; a joined passage is relevant where one of its turns is.
fn merge_turns(
    documents: &mut [(String, Vec<Line>)],
    relevance: &mut BTreeMap<String, BTreeMap<String, u32>>,
) {
    let mut joined_into: HashMap<String, String> = HashMap::new();
    for (_, lines) in documents {
        let mut merged: Vec<Line> = Vec::new();
        let mut words_open = usize::MAX;
        for line in lines.drain(..) {
            let words: Vec<&str> = line.text.split_whitespace().take(TURN_WORDS).collect();
            let text = words.join(" ");
            match merged.last_mut().filter(|_| words_open < MERGED_WORDS) {
                Some(open) => {
                    open.text.push('\n');
                    open.text.push_str(&text);
                    words_open += words.len();
                    joined_into.insert(line.id.clone(), open.id.clone());
                }
                None => {
                    words_open = words.len();
                    joined_into.insert(line.id.clone(), line.id.clone());
                    merged.push(Line { text, ..line });
                }
            }
        }
        *lines = merged;
    }
    for gains in relevance.values_mut() {
        let mut merged = BTreeMap::new();
        for (record, gain) in std::mem::take(gains) {
            let into = joined_into.get(&record).cloned().unwrap_or(record);
            let best: &mut u32 = merged.entry(into).or_default();
            *best = gain.max(*best);
        }
        *gains = merged;
    }
}

/// A title that is a file's name reads as words; of a long one the first twelve words are said.
fn title_questions(beir: &mut Beir) {
    let titles: HashMap<&str, &str> = beir
        .documents
        .iter()
        .flat_map(|document| {
            let records = document.records.iter();
            records.map(|record| (record.id.as_str(), document.title.as_str()))
        })
        .collect();
    beir.queries.truncate(TITLE_QUESTIONS);
    for query in &mut beir.queries {
        let relevant = beir.relevance[&query.id].keys().next();
        let title = relevant
            .and_then(|record| titles.get(record.as_str()))
            .unwrap_or(&"");
        let spoken = if title.contains(' ') {
            (*title).to_owned()
        } else {
            title.replace('-', " ")
        };
        let words: Vec<&str> = spoken.split_whitespace().take(12).collect();
        query.text = format!("{}: {}", words.join(" "), query.text);
    }
}

fn json_lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>, CorpusError> {
    read_text(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| bad_record(path, number, error))
        })
        .collect()
}

fn read_relevance(path: &Path) -> Result<BTreeMap<String, BTreeMap<String, u32>>, CorpusError> {
    let mut relevance: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for (number, line) in read_text(path)?.lines().enumerate().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[query, record, gain] = fields.as_slice() else {
            return Err(bad_record(
                path,
                number,
                "expected query, record and gain parted by tabs",
            ));
        };
        let gain: i64 = gain
            .trim()
            .parse()
            .map_err(|error| bad_record(path, number, error))?;
        if gain > 0 {
            relevance
                .entry(query.to_owned())
                .or_default()
                .insert(record.to_owned(), gain as u32);
        }
    }
    Ok(relevance)
}

fn read_text(path: &Path) -> Result<String, CorpusError> {
    fs::read_to_string(path).map_err(|source| CorpusError::Read {
        path: path.to_owned(),
        source,
    })
}

fn bad_record(path: &Path, number: usize, reason: impl ToString) -> CorpusError {
    CorpusError::Record {
        path: path.to_owned(),
        line: number + 1,
        reason: reason.to_string(),
    }
}
