//! What is learned from? Here is a recipe's source, gimme its [`Example`]s.
//!
//! Documents are cut as the index cuts them, so that what is learned is what is met.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    path::Path,
};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde::Deserialize;

use super::{
    recipe::SourceKind,
    recurring::{Word, words},
};
use crate::{
    corpus::{self, BeirOptions, Document, Query, Split},
    model::config::LAYOUT,
    text::{Layout, Tokenizer, layout, sentences},
};

/// Word pieces of a sentence that can be asked for.
const CLOZE_TOKENS: Range<usize> = 8..41;
/// Word pieces of a question, and of the title before it.
const MAX_QUESTION_TOKENS: usize = 64;
const MAX_TITLE_TOKENS: usize = 16;

/// One document and what is asked of it.
#[derive(Debug, Clone, Default)]
pub struct Example {
    /// Word pieces of the title and a colon.
    pub title: Vec<u32>,
    /// In order; at least one.
    pub passages: Vec<ExamplePassage>,
    /// By the first passage that answers.
    pub questions: Vec<Question>,
}

/// A passage as the model reads it.
#[derive(Debug, Clone, Default)]
pub struct ExamplePassage {
    pub prefix: Vec<u32>,
    pub body: Vec<u32>,
    /// The passages of its section and of those below.
    pub section: Range<usize>,
    /// Sentences of the body that can be asked for, in word pieces.
    pub sentences: Vec<Range<usize>>,
    /// Words of the body.
    pub words: Vec<Word>,
}

/// A question and the passages that answer it.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub tokens: Vec<u32>,
    /// Ascending; at least one.
    pub passages: Vec<usize>,
    /// Word pieces of the answer, where the source has one.
    pub answer: Vec<u32>,
}

/// Reads a source; documents without a passage are left out, and without questions unless it is one of texts.
pub fn read(path: &Path, kind: SourceKind, tokenizer: &Tokenizer) -> Result<Vec<Example>> {
    let mut examples = match kind {
        SourceKind::Questions => questions(path, false, tokenizer)?,
        SourceKind::Meetings => questions(path, true, tokenizer)?,
        SourceKind::Pairs => pairs(path, tokenizer)?,
        SourceKind::Texts => texts(path, tokenizer)?,
    };
    examples.retain(|example| match kind {
        SourceKind::Texts => example.passages.iter().any(|own| !own.sentences.is_empty()),
        _ => !example.questions.is_empty(),
    });
    if examples.is_empty() {
        bail!("{} holds nothing to learn from", path.display());
    }
    Ok(examples)
}

fn questions(path: &Path, merge_turns: bool, tokenizer: &Tokenizer) -> Result<Vec<Example>> {
    let options = BeirOptions {
        merge_turns,
        split: Split::Train,
        ..BeirOptions::default()
    };
    let beir = corpus::read_beir(path, &options)?;
    let mut asked: HashMap<&str, Vec<&Query>> = HashMap::new();
    for query in &beir.queries {
        for record in beir.relevance[&query.id].keys() {
            asked.entry(record).or_default().push(query);
        }
    }
    let documents = beir.documents.par_iter();
    documents
        .map(|document| {
            let (mut example, layout) = example(document, tokenizer)?;
            let mut passages: BTreeMap<&str, (&Query, Vec<usize>)> = BTreeMap::new();
            for (at, passage) in layout.passages.iter().enumerate() {
                let record = passage.record.map(|record| &document.records[record].id);
                let queries = record.and_then(|record| asked.get(record.as_str()));
                for query in queries.into_iter().flatten() {
                    let found = passages.entry(&query.id).or_insert((query, Vec::new()));
                    found.1.push(at);
                }
            }
            for (query, passages) in passages.into_values() {
                let answer = query.answers.first().map_or("", String::as_str);
                example.questions.push(Question {
                    tokens: ids(&query.text, MAX_QUESTION_TOKENS, tokenizer)?,
                    passages,
                    answer: ids(answer, MAX_QUESTION_TOKENS, tokenizer)?,
                });
            }
            example
                .questions
                .sort_by_key(|question| question.passages[0]);
            Ok(example)
        })
        .collect()
}

#[derive(Deserialize)]
struct Pair {
    query: String,
    positive: String,
    #[serde(default)]
    title: String,
}

fn pairs(path: &Path, tokenizer: &Tokenizer) -> Result<Vec<Example>> {
    let pairs: Vec<Pair> = lines(&path.join("pairs.jsonl"))?;
    pairs
        .into_par_iter()
        .map(|pair| {
            let document = Document {
                title: pair.title,
                ..corpus::parse("pair.txt", pair.positive)
            };
            let (mut example, _) = example(&document, tokenizer)?;
            if !example.passages.is_empty() {
                example.questions.push(Question {
                    tokens: ids(&pair.query, MAX_QUESTION_TOKENS, tokenizer)?,
                    passages: (0..example.passages.len()).collect(),
                    answer: Vec::new(),
                });
            }
            Ok(example)
        })
        .collect()
}

/// The lines of a file, each an object in JSON.
///
/// # Errors
/// When the file cannot be read or a line is not of its kind; the message names file and line.
pub fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate();
    let parsed = lines.map(|(at, line)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", path.display(), at + 1))
    });
    parsed.collect()
}

fn texts(path: &Path, tokenizer: &Tokenizer) -> Result<Vec<Example>> {
    let documents: Vec<Document> = corpus::read(path)?.filter_map(Result::ok).collect();
    let documents = documents.par_iter();
    documents
        .map(|document| Ok(example(document, tokenizer)?.0))
        .collect()
}

/// A document without its questions.
fn example(document: &Document, tokenizer: &Tokenizer) -> Result<(Example, Layout)> {
    let layout = layout(document, tokenizer, &LAYOUT)?;
    let passages = layout.passages.iter().enumerate();
    let passages = passages.map(|(at, passage)| {
        let tokens = &passage.tokens;
        let text = &document.text[passage.span.clone()];
        let place = |byte: usize| {
            let byte = passage.span.start + byte;
            tokens.partition_point(|token| (token.start as usize) < byte)
        };
        let words = words(text).into_iter().map(|(span, kind)| Word {
            pieces: place(span.start)..place(span.end),
            kind,
        });
        let spans = sentences(text).into_iter();
        let spans = spans.map(|span| place(span.start)..place(span.end));
        ExamplePassage {
            prefix: passage.prefix.clone(),
            body: tokens.iter().map(|token| token.id).collect(),
            section: section_around(&layout, at),
            // What is the whole passage cannot be taken out of it.
            sentences: spans
                .filter(|span| CLOZE_TOKENS.contains(&span.len()) && span.len() < tokens.len())
                .collect(),
            words: words.filter(|word| !word.pieces.is_empty()).collect(),
        }
    });
    let example = Example {
        passages: passages.collect(),
        title: match document.title.is_empty() {
            true => Vec::new(),
            false => {
                let mut title = ids(&document.title, MAX_TITLE_TOKENS, tokenizer)?;
                title.extend(ids(":", 1, tokenizer)?);
                title
            }
        },
        questions: Vec::new(),
    };
    Ok((example, layout))
}

/// The passages of the section that passage `at` stands in, and of the sections below it.
fn section_around(layout: &Layout, at: usize) -> Range<usize> {
    let section = layout.passages[at].section;
    let below = |mut own: usize| {
        while own > section {
            match layout.sections[own].parent {
                Some(parent) => own = parent,
                None => return section == 0,
            }
        }
        own == section || section == 0
    };
    let inside = |passage: &usize| below(layout.passages[*passage].section);
    let start = (0..at).rev().take_while(inside).last().unwrap_or(at);
    let end = (at..layout.passages.len()).take_while(inside).last();
    start..end.unwrap_or(at) + 1
}

fn ids(text: &str, at_most: usize, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    let mut ids = tokenizer.ids(text)?;
    ids.truncate(at_most);
    Ok(ids)
}
