//! `shas ask` and `shas search`, over one index or over several collections at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::{
    Common, answer_text, collections, commands,
    llm::{self, Endpoint},
    output, paths,
};
use crate::{
    answer::{self, Answer, AnswerOptions, Citation, Depth, Evidence, Written, n_quotes},
    model::Encoder,
    query::{self, FusionWeights, Level, Question, RankedPassage, Ranking},
    store::Snapshot,
};

/// What `ask` takes.
#[derive(Args)]
pub struct AskArgs {
    /// The question; tag:name, path:part and "exact words" say where the answer may lie, and with `-` before them, or
    /// before a single word, where not
    #[arg(allow_hyphen_values = true)]
    question: String,
    /// Answer at this level instead of the one that the attention favours
    #[arg(long)]
    level: Option<Level>,
    /// Show the answer as a ladder from the domain down to here: domain, category, entity, document or sentence
    #[arg(long)]
    depth: Option<Depth>,
    /// Say what each candidate owes its place to, and which links were followed
    #[arg(long)]
    explain: bool,
    /// Let a language model write the answer from the cited passages, which are sent to this endpoint (OpenAI's or any
    /// like it, its key in SHAS_LLM_KEY); sentences that their citations do not bear out are marked
    #[arg(
        long,
        value_name = "URL",
        requires = "llm_model",
        conflicts_with = "depth"
    )]
    llm: Option<String>,
    /// What the model is called there
    #[arg(long, value_name = "NAME", requires = "llm")]
    llm_model: Option<String>,
}

impl AskArgs {
    fn options(&self) -> AnswerOptions {
        AnswerOptions {
            level: self.level,
            depth: self.depth,
            explain: self.explain,
            weights: None,
        }
    }

    fn endpoint(&self) -> Option<Endpoint<'_>> {
        let key = std::env::var(llm::KEY).ok();
        Some(Endpoint {
            url: self.llm.as_deref()?,
            model: self.llm_model.as_deref()?,
            key: key.filter(|key| !key.is_empty()),
            patience: llm::PATIENCE,
        })
    }
}

/// An index to be asked, with its collection's name where it was asked for by that.
struct Asked {
    collection: Option<String>,
    snapshot: Snapshot,
}

pub fn ask(common: &Common, args: &AskArgs) -> Result<()> {
    let started = Instant::now();
    let (asked, encoder) = (open(common)?, commands::encoder(common)?);
    let loaded = started.elapsed();
    let question = &Question::parse(&args.question);
    let rankings = rank(&asked, &encoder, question, &encoder.fusion(common.fast))?;
    let ranked = started.elapsed();
    let mut answers = Vec::new();
    for (asked, ranking) in asked.iter().zip(&rankings) {
        let mut own = answer::answer(
            &asked.snapshot,
            &encoder,
            &question.text,
            ranking,
            &args.options(),
        )?;
        for citation in &mut own.citations {
            citation.collection.clone_from(&asked.collection);
        }
        answers.push((best_score(ranking), own));
    }
    let Some(mut answer) = merged(answers) else {
        bail!("there is nothing to ask; name a collection or index a folder first");
    };
    let answered = started.elapsed();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    answer.timings_ms = BTreeMap::from([
        ("load", milliseconds(loaded)),
        ("rank", milliseconds(ranked - loaded)),
        ("answer", milliseconds(answered - ranked)),
    ]);
    hint(question, &rankings);
    if let Some(endpoint) = args.endpoint() {
        answer.written = written(&endpoint, &asked, &encoder, &answer);
        let took = milliseconds(started.elapsed() - answered);
        answer.timings_ms.insert("write", took);
    }
    if common.json {
        return output::json(&answer);
    }
    answer_text::print(&answer);
    Ok(())
}

pub fn search(common: &Common, question: &str, limit: usize) -> Result<()> {
    let (asked, encoder) = (open(common)?, commands::encoder(common)?);
    let question = &Question::parse(question);
    let rankings = rank(&asked, &encoder, question, &encoder.fusion(true))?;
    let hits = asked.iter().zip(&rankings).flat_map(|(asked, ranking)| {
        let best = ranking.documents().take(limit);
        best.map(move |ranked| (asked, ranked))
    });
    let mut hits: Vec<(&Asked, &RankedPassage)> = hits.collect();
    hits.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
    hits.truncate(limit);
    let hits: Vec<output::Hit> = hits
        .into_iter()
        .map(|(asked, own)| hit(asked, own))
        .collect();
    hint(question, &rankings);
    if !common.json {
        output::print_hits(&hits);
        return Ok(());
    }
    let best = (0..rankings.len())
        .max_by(|&a, &b| best_score(&rankings[a]).total_cmp(&best_score(&rankings[b])));
    let attention =
        best.map(|best| answer::attention(&asked[best].snapshot, &rankings[best].attention));
    output::json(&json!({ "hits": hits, "attention": attention }))
}

/// What a language model makes of an answer's citations; where it makes nothing, stderr says why, and the quotes remain.
fn written(
    endpoint: &Endpoint,
    asked: &[Asked],
    encoder: &Encoder,
    answer: &Answer,
) -> Option<Written> {
    let evidence = answer.citations.iter().filter_map(|citation| {
        let own = asked
            .iter()
            .find(|own| own.collection == citation.collection)?;
        Some(answer::evidence(&own.snapshot, encoder, citation))
    });
    let evidence: Vec<Evidence> = evidence.collect();
    if evidence.is_empty() {
        eprintln!(
            "nothing is cited that `{}` could write from",
            endpoint.model
        );
        return None;
    }
    let prompt = answer::prompt(&answer.question, answer.judgement.supported, &evidence);
    match endpoint.ask(&prompt) {
        Ok(reply) => Some(answer::written(endpoint.model, &reply, &evidence)),
        Err(error) => {
            eprintln!("no written answer: {error}");
            None
        }
    }
}

/// Says on stderr why nothing was found, where the question's conditions are the reason.
fn hint(question: &Question, rankings: &[Ranking]) {
    if question.has_conditions() && rankings.iter().all(|own| own.passages.is_empty()) {
        eprintln!(
            "no passage meets the conditions of the question; leave out tag:, path:, quotation marks or words with `-`"
        );
    }
}

fn open(common: &Common) -> Result<Vec<Asked>> {
    if common.collection.is_empty() {
        let snapshot = Snapshot::open(&paths::index_to_read(common)?)?;
        return Ok(vec![Asked {
            collection: None,
            snapshot,
        }]);
    }
    let names = common.collection.iter();
    names
        .map(|name| {
            Ok(Asked {
                snapshot: Snapshot::open(&collections::index_of(name)?)?,
                collection: Some(name.clone()),
            })
        })
        .collect()
}

fn rank(
    asked: &[Asked],
    encoder: &Encoder,
    question: &Question,
    weights: &FusionWeights,
) -> Result<Vec<Ranking>> {
    let snapshots: Vec<&Snapshot> = asked.iter().map(|own| &own.snapshot).collect();
    Ok(query::rank_together(
        &snapshots, encoder, question, weights,
    )?)
}

fn best_score(ranking: &Ranking) -> f32 {
    let best = ranking.passages.first();
    best.map_or(f32::NEG_INFINITY, |ranked| ranked.score)
}

/// The answer of the collection that has the best passage, with the best citations of all.
fn merged(mut answers: Vec<(f32, Answer)>) -> Option<Answer> {
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut answers = answers.into_iter().map(|(_, answer)| answer);
    let mut best = answers.next()?;
    let others: Vec<Citation> = answers.flat_map(|other| other.citations).collect();
    if !others.is_empty() {
        best.citations.extend(others);
        best.citations.sort_by(|a, b| b.score.total_cmp(&a.score));
        best.citations.truncate(n_quotes(best.answer.kind));
    }
    Some(best)
}

fn hit(asked: &Asked, ranked: &RankedPassage) -> output::Hit {
    let place = answer::hit(&asked.snapshot, ranked);
    output::Hit {
        id: ranked.passage as u64,
        level: "passage",
        collection: asked.collection.clone(),
        name: place.name,
        path: place.path,
        place: place.place,
        line: place.line,
        score: ranked.score,
        parts: output::HitParts {
            bm25: ranked.parts.bm25,
            passage: ranked.parts.passage,
            granule: ranked.parts.granule,
            tree: ranked.parts.tree,
            near: ranked.parts.near,
            links: ranked.parts.links,
            reader: ranked.parts.reader,
        },
        snippet: place.snippet,
    }
}
