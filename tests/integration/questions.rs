//! The bundled questions: the evidence is found, and what is quoted stands in the files.

use serde::Deserialize;
use shas::{
    answer::{AnswerOptions, Depth, answer},
    query::{FusionWeights, Level, Question as Asked, rank},
};

use crate::vault::{ENCODER, corpus, project, ranking_of, snapshot};

#[derive(Deserialize)]
struct Question {
    id: String,
    kind: String,
    question: String,
    evidence: Vec<Evidence>,
}

#[derive(Deserialize)]
struct Evidence {
    path: String,
    quote: String,
}

fn questions() -> Vec<Question> {
    let path = project().join("corpora/questions.jsonl");
    let lines = std::fs::read_to_string(path).expect("reads");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("parses"))
        .collect()
}

#[test]
fn the_questions_are_what_they_say() {
    let questions = questions();
    for kind in ["detail", "concept", "synthesis"] {
        let count = questions
            .iter()
            .filter(|question| question.kind == kind)
            .count();
        assert_eq!(count, 40, "{kind}");
    }
    for evidence in questions.iter().flat_map(|question| &question.evidence) {
        let note = std::fs::read_to_string(corpus().join(&evidence.path)).expect("reads");
        assert!(
            note.contains(&evidence.quote),
            "{}: {}",
            evidence.path,
            evidence.quote
        );
    }
}

#[test]
fn evidence_is_among_the_first_five_notes_for_nine_in_ten() {
    let snapshot = snapshot();
    let (mut found, mut missed, mut asked) = (0, Vec::new(), 0);
    for question in questions()
        .iter()
        .filter(|question| question.kind != "synthesis")
    {
        let ranking = ranking_of(&snapshot, &question.question);
        let paths: Vec<&str> = ranking
            .documents()
            .take(5)
            .map(|ranked| snapshot.body.documents[ranked.document].path.as_str())
            .collect();
        asked += 1;
        match question
            .evidence
            .iter()
            .any(|evidence| paths.contains(&evidence.path.as_str()))
        {
            true => found += 1,
            false => missed.push((question.id.clone(), paths.join(", "))),
        }
    }
    assert_eq!(asked, 80);
    assert!(found >= 72, "{found} of {asked}; missed: {missed:#?}");
}

/// The joint reader moves the best passages, eight where the ranking is clear and else twenty, and no others; what a
/// link led to is not lowered.
#[test]
fn the_reader_reads_the_best_passages() {
    let snapshot = snapshot();
    let mut moved = 0;
    for question in questions().iter().step_by(30) {
        let rank = |weights: FusionWeights| {
            rank(
                &snapshot,
                &ENCODER,
                &Asked::plain(&question.question),
                &weights,
            )
            .expect("ranks")
        };
        let first = rank(FusionWeights::default().without_reader());
        assert!(first.passages.iter().all(|own| own.parts.reader == 0.0));
        let best: Vec<usize> = first.passages.iter().map(|own| own.passage).collect();
        for own in rank(FusionWeights::default()).passages {
            let place = best.iter().position(|passage| *passage == own.passage);
            let is_read = place.is_some_and(|place| place < 20);
            assert!(is_read || own.parts.reader == 0.0, "{}", question.id);
            assert!(own.parts.links <= 0.0 || own.parts.reader >= 0.0);
            moved += usize::from(own.parts.reader != 0.0);
        }
    }
    assert!(moved >= 4, "{moved}");
}

#[test]
fn every_citation_is_verbatim() {
    let snapshot = snapshot();
    for question in questions() {
        let ranking = ranking_of(&snapshot, &question.question);
        for level in [None, Some(Level::Domain), Some(Level::Document)] {
            let options = AnswerOptions {
                level,
                depth: Some(Depth::Sentence),
                ..AnswerOptions::default()
            };
            let answer = answer(&snapshot, &ENCODER, &question.question, &ranking, &options);
            let answer = answer.expect("answers");
            assert!(!answer.citations.is_empty(), "{}", question.id);
            assert_eq!(answer.levels.len(), 6);
            assert!((answer.levels.values().sum::<f32>() - 1.0).abs() < 1e-4);
            for citation in answer.citations {
                let file = std::fs::read(corpus().join(&citation.path)).expect("reads");
                let quoted = &file[citation.byte_start..citation.byte_end];
                assert_eq!(quoted, citation.quote.as_bytes(), "{}", question.id);
                let line =
                    |end: usize| file[..end].iter().filter(|&&byte| byte == b'\n').count() + 1;
                assert_eq!(citation.line_start, line(citation.byte_start));
                assert_eq!(citation.line_end, line(citation.byte_end));
            }
        }
    }
}
