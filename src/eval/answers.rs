//! How good are the answers? Here is a set of questions whose answers are known, gimme an [`AnswersReport`].
//!
//! A quote *holds* the answer where the answer stands in it word for word, and *overlaps* it where half of the answer's
//! words do; evidence has to be quoted of its own note. Questions at odd places, counted from 0, judge the support:
//! those at even places were there to fit it on.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use rayon::prelude::*;
use serde::Serialize;

use super::{
    EvalError,
    metrics::auc,
    spans::{SpanFigures, spans},
};
use crate::{
    answer::{Answer, AnswerOptions, CITATIONS, Citation, Kind, SentenceWeights, answer},
    corpus::{QaCorpus, QaQuestion, read_qa},
    ingest::{IndexOptions, Progress, index, index_documents},
    model::Encoder,
    query::{Question, rank},
    store::Snapshot,
};

/// The figures of one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswersReport {
    pub set: String,
    pub n_questions: usize,
    /// By system: granules (single sentences by their granules, as a baseline), fast (without the joint reader), shas.
    pub systems: BTreeMap<&'static str, AnswerFigures>,
    /// Of the joint reader on the questions' own paragraphs, where it is asked and the set has some.
    pub spans: Option<SpanFigures>,
}

/// The figures of one system, as means over the questions that the corpus answers; no number where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct AnswerFigures {
    pub n_answerable: usize,
    /// The first quote holds the answer, and one of the first three does.
    pub holds_first: f64,
    pub holds_three: f64,
    /// The first quote overlaps the answer, and one of the first three does.
    pub overlaps_first: f64,
    pub overlaps_three: f64,
    /// Over the questions whose evidence stands in several notes: the share of these that is cited, ...
    pub n_several: usize,
    pub notes: f64,
    /// ... how often all are, ...
    pub all_notes: f64,
    /// ... and the share of their evidence that quotes overlap.
    pub evidence: f64,
    /// Over the questions that say their kind: how often the answer is of it, ...
    pub kinds: f64,
    /// ... and stands at its level: a detail in a passage, a concept in a section or document, a synthesis in the tree.
    pub levels: f64,
    /// Over the questions at odd places: how often one that is answered has more support than one that is not.
    pub support_auc: f64,
    /// How many of those that are answered are said to be, ...
    pub kept: f64,
    /// ... and how many of the others are said not to be.
    pub caught: f64,
}

/// What became of one question.
struct Judged {
    is_answerable: bool,
    is_odd: bool,
    holds: Vec<bool>,
    overlaps: Vec<bool>,
    /// Of evidence in several notes: notes and cited ones, evidence and overlapped pieces.
    several: Option<[usize; 4]>,
    /// Where the question says its kind: whether the answer is of it, and at its level.
    routed: Option<[bool; 2]>,
    support: f32,
    supported: bool,
}

/// Asks the questions of the set at `path`, keeping its index in `folder`.
pub fn evaluate_answers(
    path: &Path,
    folder: &Path,
    encoder: &Encoder,
    fast: bool,
    progress: Progress,
) -> Result<AnswersReport, EvalError> {
    let set = read_qa(path)?;
    let mut found = None;
    match set.corpus {
        QaCorpus::Documents(documents) => {
            if !fast {
                found = spans(&set.questions, &documents, encoder)?;
            }
            index_documents(path, documents, folder, encoder, progress)?;
        }
        QaCorpus::Folder(vault) => {
            index(&vault, folder, encoder, &IndexOptions::default(), progress)?;
        }
    }
    let snapshot = Snapshot::open(folder)?;
    let baseline = AnswerOptions {
        weights: Some(SentenceWeights::GRANULES),
        ..AnswerOptions::default()
    };
    let mut systems = vec![
        ("granules", fast, baseline),
        ("fast", true, AnswerOptions::default()),
    ];
    if !fast {
        systems.push(("shas", false, AnswerOptions::default()));
    }
    let judged = systems.into_iter().map(|(name, fast, options)| {
        let questions = set.questions.par_iter().enumerate();
        let judged = questions.map(|(place, question)| {
            let asked = Question::plain(&question.question);
            let ranking = rank(&snapshot, encoder, &asked, &encoder.fusion(fast))?;
            let mut own = answer(&snapshot, encoder, &question.question, &ranking, &options)?;
            if name == "granules" {
                own.citations.truncate(CITATIONS);
            }
            Ok(judge(question, &own, place % 2 == 1))
        });
        let judged: Vec<Judged> = judged.collect::<Result<_, EvalError>>()?;
        Ok((name, figures(&judged)))
    });
    let name = path.file_stem();
    Ok(AnswersReport {
        set: name
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        n_questions: set.questions.len(),
        systems: judged.collect::<Result<_, EvalError>>()?,
        spans: found,
    })
}

fn judge(question: &QaQuestion, answer: &Answer, is_odd: bool) -> Judged {
    let evidence = &question.evidence;
    let per_quote = |matches: fn(&str, &str) -> bool| -> Vec<bool> {
        let answers = |own: &Citation| {
            question
                .answers
                .iter()
                .any(|text| matches(&own.quote, text))
        };
        let proves = |own: &Citation| {
            let mut own_note = evidence.iter().filter(|other| other.path == own.path);
            own_note.any(|other| matches(&own.quote, &other.quote))
        };
        answer
            .citations
            .iter()
            .map(|own| answers(own) || proves(own))
            .collect()
    };
    let notes: BTreeSet<&str> = evidence.iter().map(|own| own.path.as_str()).collect();
    let cites = |note: &&&str| answer.citations.iter().any(|own| own.path == **note);
    let quoted = evidence.iter().filter(|piece| {
        let mut own_note = answer.citations.iter().filter(|own| own.path == piece.path);
        own_note.any(|own| overlaps(&own.quote, &piece.quote))
    });
    let several = [
        notes.len(),
        notes.iter().filter(cites).count(),
        evidence.len(),
        quoted.count(),
    ];
    Judged {
        is_answerable: !question.answers.is_empty() || !evidence.is_empty(),
        is_odd,
        holds: per_quote(holds),
        overlaps: per_quote(overlaps),
        several: (notes.len() > 1).then_some(several),
        routed: question.kind.as_deref().and_then(kind_called).map(|kind| {
            let own = &answer.answer;
            [own.kind == kind, own.level.kind() == kind]
        }),
        support: answer.judgement.support,
        supported: answer.judgement.supported,
    }
}

/// The kind of answers that a set calls so.
fn kind_called(name: &str) -> Option<Kind> {
    match name {
        "detail" => Some(Kind::Detail),
        "concept" => Some(Kind::Concept),
        "synthesis" => Some(Kind::Synthesis),
        _ => None,
    }
}

fn holds(quote: &str, answer: &str) -> bool {
    let plain = |text: &str| {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        words.join(" ")
    };
    plain(quote).contains(&plain(answer))
}

/// Whether half of the answer's words stand in the quote; of Chinese, characters.
fn overlaps(quote: &str, answer: &str) -> bool {
    let (quote, answer) = (words(quote), words(answer));
    !answer.is_empty() && 2 * answer.intersection(&quote).count() >= answer.len()
}

fn words(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    for word in text.split(|own: char| !own.is_alphanumeric()) {
        let is_wide = |own: &char| ('\u{4e00}'..='\u{9fff}').contains(own);
        match word.chars().any(|own| is_wide(&own)) {
            true => found.extend(word.chars().map(String::from)),
            false if !word.is_empty() => found.extend([word.to_lowercase()]),
            false => {}
        }
    }
    found
}

fn figures(judged: &[Judged]) -> AnswerFigures {
    let answerable: Vec<&Judged> = judged.iter().filter(|own| own.is_answerable).collect();
    let share = |matches: &dyn Fn(&Judged) -> bool| {
        let count = answerable.iter().filter(|own| matches(own)).count();
        count as f64 / answerable.len() as f64
    };
    let within = |found: &[bool], count: usize| found.iter().take(count).any(|own| *own);
    let several: Vec<[usize; 4]> = judged.iter().filter_map(|own| own.several).collect();
    let mean = |of: &dyn Fn(&[usize; 4]) -> f64| {
        several.iter().map(of).sum::<f64>() / several.len() as f64
    };
    let routed: Vec<[bool; 2]> = judged.iter().filter_map(|own| own.routed).collect();
    let right = |which: usize| {
        let count = routed.iter().filter(|own| own[which]).count();
        count as f64 / routed.len() as f64
    };
    let odd = |answerable: bool| -> Vec<&Judged> {
        let odd = judged.iter().filter(|own| own.is_odd);
        odd.filter(|own| own.is_answerable == answerable).collect()
    };
    let (with, without) = (odd(true), odd(false));
    let supports = |own: &[&Judged]| -> Vec<f32> { own.iter().map(|own| own.support).collect() };
    let said = |own: &[&Judged], what: bool| {
        let count = own.iter().filter(|own| own.supported == what).count();
        count as f64 / own.len() as f64
    };
    AnswerFigures {
        n_answerable: answerable.len(),
        holds_first: share(&|own| within(&own.holds, 1)),
        holds_three: share(&|own| within(&own.holds, 3)),
        overlaps_first: share(&|own| within(&own.overlaps, 1)),
        overlaps_three: share(&|own| within(&own.overlaps, 3)),
        n_several: several.len(),
        notes: mean(&|own| own[1] as f64 / own[0].max(1) as f64),
        all_notes: mean(&|own| f64::from(u8::from(own[0] == own[1]))),
        evidence: mean(&|own| own[3] as f64 / own[2].max(1) as f64),
        kinds: right(0),
        levels: right(1),
        support_auc: auc(&supports(&with), &supports(&without)),
        kept: said(&with, true),
        caught: said(&without, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_and_overlap() {
        let quote = "Andrea Amati fixed\nthe pattern about 1560.";
        assert!(holds(quote, "fixed the Pattern") && !holds(quote, "Stradivari"));
        assert!(
            overlaps(quote, "The pattern, about 1560, of Cremona")
                && !overlaps(quote, "a plan of Cremona")
        );
        assert!(overlaps("面包需要时间", "需要时间和酵母") && !overlaps("面包", "酵母需要糖"));
    }

    #[test]
    fn figures_match_a_hand_count() {
        let judged = |is_answerable, holds: &[bool], support: f32| Judged {
            is_answerable,
            is_odd: true,
            holds: holds.to_vec(),
            overlaps: holds.to_vec(),
            several: is_answerable.then_some([2, 1, 4, 1]),
            routed: is_answerable.then_some([holds[0], true]),
            support,
            supported: support > 0.5,
        };
        let all = [
            judged(true, &[false, true], 0.9),
            judged(true, &[true], 0.3),
            judged(false, &[false], 0.6),
            judged(false, &[false], 0.3),
        ];
        let figures = figures(&all);
        assert_eq!(
            (
                figures.n_answerable,
                figures.holds_first,
                figures.holds_three
            ),
            (2, 0.5, 1.0)
        );
        assert_eq!(
            (figures.notes, figures.all_notes, figures.evidence),
            (0.5, 0.0, 0.25)
        );
        assert_eq!((figures.kinds, figures.levels), (0.5, 1.0));
        assert_eq!(
            (figures.support_auc, figures.kept, figures.caught),
            (0.625, 0.5, 0.5)
        );
    }
}
