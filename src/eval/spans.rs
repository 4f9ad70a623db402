//! Where does the joint reader see the answer? Here is a question with its own paragraph, gimme the span: exact match and
//! F1 as SQuAD counts them (Rajpurkar et al., 2016), and whether it tells a paragraph that answers from one that does not.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;

use super::{EvalError, metrics::auc};
use crate::{
    corpus::{Document, QaQuestion},
    model::{Encoder, ModelError, PassageInput, config::LAYOUT, reader::Reader},
    query::QueryError,
    text::{Tokenizer, layout},
};

/// The figures of a set in SQuAD's layout; no number where nothing can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SpanFigures {
    /// Questions that their paragraph answers.
    pub n_answerable: usize,
    /// Of those: how often the likeliest span is an answer, without case, punctuation and articles, ...
    pub exact: f64,
    /// ... and the harmonic mean of the shares of its words and the answer's that they have in common.
    pub f1: f64,
    /// How often a paragraph that answers is more relevant than one that does not.
    pub relevance_auc: f64,
}

/// What the reader makes of one question's paragraph.
struct Found {
    relevance: f32,
    /// Exact match and F1, where there is an answer.
    agreement: Option<[f64; 2]>,
}

/// Reads every question with its own paragraph; none where the model has no reader or the set no paragraphs.
pub fn spans(
    questions: &[QaQuestion],
    documents: &[Document],
    encoder: &Encoder,
) -> Result<Option<SpanFigures>, EvalError> {
    let Some(reader) = encoder.reader().map_err(QueryError::from)? else {
        return Ok(None);
    };
    let questions = questions.par_iter();
    let asked = questions.filter_map(|own| Some((own, documents.get(own.document?)?)));
    let found = asked.map(|(question, document)| find(question, document, encoder, reader));
    let found: Vec<Found> = found.collect::<Result<_, _>>().map_err(QueryError::from)?;
    let agreements: Vec<[f64; 2]> = found.iter().filter_map(|own| own.agreement).collect();
    let relevance = |answered: bool| -> Vec<f32> {
        let own = found.iter();
        let own = own.filter(|own| own.agreement.is_some() == answered);
        own.map(|own| own.relevance).collect()
    };
    let mean = |which: usize| {
        agreements.iter().map(|own| own[which]).sum::<f64>() / agreements.len() as f64
    };
    Ok((!found.is_empty()).then(|| SpanFigures {
        n_answerable: agreements.len(),
        exact: mean(0),
        f1: mean(1),
        relevance_auc: auc(&relevance(true), &relevance(false)),
    }))
}

fn find(
    question: &QaQuestion,
    document: &Document,
    encoder: &Encoder,
    reader: &Reader,
) -> Result<Found, ModelError> {
    let tokenizer: &Tokenizer = encoder.tokenizer();
    let passages = layout(document, tokenizer, &LAYOUT)?.passages;
    let bodies = passages
        .iter()
        .map(|own| own.tokens.iter().map(|token| token.id));
    let bodies: Vec<Vec<u32>> = bodies.map(Iterator::collect).collect();
    let inputs = passages.iter().zip(&bodies);
    let inputs: Vec<PassageInput> = inputs
        .map(|(own, body)| PassageInput {
            prefix: &own.prefix,
            body,
        })
        .collect();
    let readings = reader.read(&tokenizer.ids(&question.question)?, &inputs)?;
    let best = readings.iter().zip(&passages);
    let best = best.max_by(|a, b| a.0.relevance.total_cmp(&b.0.relevance));
    let span = best.and_then(|(reading, passage)| {
        let (span, _) = reading.span(0..reading.opens.len())?;
        let (first, last) = (
            passage.tokens.get(span.start)?,
            passage.tokens.get(span.end - 1)?,
        );
        document.text.get(first.start as usize..last.end as usize)
    });
    let span = span.unwrap_or("");
    let answers = question.answers.iter();
    Ok(Found {
        relevance: best.map_or(f32::NEG_INFINITY, |(reading, _)| reading.relevance),
        agreement: answers
            .map(|answer| agreement(span, answer))
            .reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]),
    })
}

/// Exact match (0 or 1) and F1 of two texts, by their words.
fn agreement(span: &str, answer: &str) -> [f64; 2] {
    let (span, answer) = (words(span), words(answer));
    if span.is_empty() || answer.is_empty() {
        return [f64::from(u8::from(span == answer)); 2];
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in &answer {
        *left.entry(word).or_default() += 1;
    }
    let shared = span.iter().filter(|word| {
        let left = left.get_mut(word.as_str());
        left.filter(|left| **left > 0)
            .map(|left| *left -= 1)
            .is_some()
    });
    let shared = shared.count() as f64;
    let f1 = 2.0 * shared / (span.len() + answer.len()) as f64;
    [f64::from(u8::from(span == answer)), f1]
}

/// The words of a text in lower case, without punctuation and articles.
fn words(text: &str) -> Vec<String> {
    let plain: String = text
        .to_lowercase()
        .chars()
        .filter(|own| !own.is_ascii_punctuation())
        .collect();
    let words = plain.split_whitespace();
    let words = words.filter(|word| !["a", "an", "the"].contains(word));
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_counted_as_for_squad() {
        assert_eq!(
            agreement("the Hotel Ukraina", "Hotel Ukraina ."),
            [1.0, 1.0]
        );
        assert_eq!(agreement("in 1560", "1560"), [0.0, 2.0 / 3.0]);
        assert_eq!(agreement("b b c", "b d"), [0.0, 0.4]);
        assert_eq!(agreement("", "b"), [0.0, 0.0]);
    }
}
