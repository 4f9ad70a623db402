//! Sets of questions whose answers are known: SQuAD's layout, and lines of questions with their evidence in a vault.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{CorpusError, Document, Origin, plain::paragraphs};

/// Questions, and what they are asked of.
#[derive(Debug, Clone, Default)]
pub struct QaSet {
    pub corpus: QaCorpus,
    pub questions: Vec<QaQuestion>,
}

/// What questions are asked of.
#[derive(Debug, Clone)]
pub enum QaCorpus {
    /// A document a context.
    Documents(Vec<Document>),
    /// The folder that the evidence stands in.
    Folder(PathBuf),
}

impl Default for QaCorpus {
    fn default() -> Self {
        Self::Documents(Vec::new())
    }
}

/// A question and what answers it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct QaQuestion {
    pub id: String,
    /// Detail, concept or synthesis, where the set says so.
    #[serde(default)]
    pub kind: Option<String>,
    pub question: String,
    /// What answers it, word for word, each good alone; none where the corpus does not answer.
    #[serde(default)]
    pub answers: Vec<String>,
    /// What all has to be quoted.
    #[serde(default)]
    pub evidence: Vec<QaEvidence>,
    /// Which of the set's documents it was asked of, where it brings some.
    #[serde(skip)]
    pub document: Option<usize>,
}

/// A piece of a note.
#[derive(Debug, Clone, Deserialize)]
pub struct QaEvidence {
    /// Relative to the folder.
    pub path: String,
    pub quote: String,
}

#[derive(Deserialize)]
struct Squad {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    id: String,
    question: String,
    #[serde(default)]
    answers: Vec<Answer>,
    #[serde(default)]
    is_impossible: bool,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// Reads a set: `.json` in SQuAD's layout, or `.jsonl` of questions whose evidence stands in the folder `vault` beside it.
///
/// # Errors
/// When a file is missing or is not what it should be; the message names file and line.
pub fn read_qa(path: &Path) -> Result<QaSet, CorpusError> {
    let text = fs::read_to_string(path).map_err(|source| CorpusError::Read {
        path: path.to_owned(),
        source,
    })?;
    let bad = |line: usize, error: serde_json::Error| CorpusError::Record {
        path: path.to_owned(),
        line,
        reason: error.to_string(),
    };
    if path.extension().is_some_and(|ending| ending == "jsonl") {
        let lines = text.lines().enumerate();
        let questions = lines.map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| bad(number + 1, error))
        });
        return Ok(QaSet {
            corpus: QaCorpus::Folder(path.with_file_name("vault")),
            questions: questions.collect::<Result<_, _>>()?,
        });
    }
    let squad: Squad = serde_json::from_str(&text).map_err(|error| bad(error.line(), error))?;
    Ok(of_squad(squad))
}

fn of_squad(squad: Squad) -> QaSet {
    let (mut documents, mut questions) = (Vec::new(), Vec::new());
    for article in squad.data {
        for paragraph in article.paragraphs {
            let blocks = paragraphs(&paragraph.context, 0..paragraph.context.len());
            let document = documents.len();
            documents.push(Document {
                path: format!("{}#{document}", article.title),
                title: article.title.replace('_', " "),
                origin: Origin::Extracted(Vec::new()),
                text: paragraph.context,
                blocks,
                ..Document::default()
            });
            questions.extend(paragraph.qas.into_iter().map(|asked| QaQuestion {
                id: asked.id,
                question: asked.question,
                answers: match asked.is_impossible {
                    true => Vec::new(),
                    false => asked.answers.into_iter().map(|own| own.text).collect(),
                },
                document: Some(document),
                ..QaQuestion::default()
            }));
        }
    }
    QaSet {
        corpus: QaCorpus::Documents(documents),
        questions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let squad = folder.path().join("set.json");
        let text = r#"{"data": [{"title": "A_b", "paragraphs": [{"context": "One. Two.", "qas": [
            {"id": "1", "question": "which?", "answers": [{"text": "Two", "answer_start": 5}], "is_impossible": false},
            {"id": "2", "question": "why?", "answers": [], "is_impossible": true}]}]}]}"#;
        fs::write(&squad, text).unwrap();
        let set = read_qa(&squad).unwrap();
        let QaCorpus::Documents(documents) = &set.corpus else {
            panic!("a set in SQuAD's layout brings its documents");
        };
        assert_eq!((documents.len(), documents[0].title.as_str()), (1, "A b"));
        let answers: Vec<usize> = set.questions.iter().map(|own| own.answers.len()).collect();
        assert_eq!(answers, [1, 0]);

        let lines = folder.path().join("questions.jsonl");
        let text = r#"{"id": "1", "kind": "detail", "question": "q", "evidence": [{"path": "a.md", "quote": "x"}]}"#;
        fs::write(&lines, text).unwrap();
        let set = read_qa(&lines).unwrap();
        assert!(
            matches!(set.corpus, QaCorpus::Folder(vault) if vault == folder.path().join("vault"))
        );
        assert_eq!(set.questions[0].evidence[0].path, "a.md");
        fs::write(&lines, "{\n").unwrap();
        assert!(read_qa(&lines).unwrap_err().to_string().contains("line 1"));
    }
}
