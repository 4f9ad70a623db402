//! What is asked, and where the answer may lie: `tag:name`, `path:part`, `"exact words"`, each with `-` before it for
//! what must not be there; a single word as well.

use std::collections::{BTreeSet, HashSet};

use super::{QueryError, passages_of_unit};
use crate::store::{DocumentRecord, Snapshot};

/// A question and its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// What is asked in words: no fields, no quotation marks, nothing that is excluded.
    pub text: String,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    kind: Kind,
    /// Whether it must not hold.
    excluded: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The document has this tag or one below it.
    Tag(String),
    /// The document's path holds this, in any case.
    Path(String),
    /// The passage holds these words in this order.
    Words(String),
}

impl Question {
    /// A question in words alone, as it stands.
    pub fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            conditions: Vec::new(),
        }
    }

    /// Reads what a user has typed.
    pub fn parse(typed: &str) -> Self {
        let mut words = Vec::new();
        let mut conditions = Vec::new();
        for token in tokens(typed) {
            let (excluded, token) = match token.strip_prefix('-') {
                Some(rest) if !rest.is_empty() && !rest.starts_with('-') => (true, rest),
                _ => (false, token),
            };
            let (field, value) = match token.split_once(':') {
                Some((field @ ("tag" | "path"), value)) => (Some(field), value),
                _ => (None, token),
            };
            let bare = unquoted(value);
            let kind = match field {
                Some(_) if bare.is_empty() => None,
                Some("tag") => Some(Kind::Tag(bare.trim_start_matches('#').to_lowercase())),
                Some(_) => Some(Kind::Path(bare.to_lowercase())),
                None if excluded || bare.len() < token.len() => Some(Kind::Words(bare.to_owned())),
                None => None,
            };
            if field.is_none() && !excluded {
                words.push(bare);
            }
            conditions.extend(kind.map(|kind| Condition { kind, excluded }));
        }
        Self {
            text: words.join(" "),
            conditions,
        }
    }

    /// Whether anything is asked beside words.
    pub fn has_conditions(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The passages that meet all conditions; nothing where there are none.
    pub(super) fn allowed(
        &self,
        snapshot: &Snapshot,
    ) -> Result<Option<BTreeSet<usize>>, QueryError> {
        if self.conditions.is_empty() {
            return Ok(None);
        }
        let documents = &snapshot.body.documents;
        let of_documents = |own: &&Condition| !matches!(own.kind, Kind::Words(_));
        let meets = |record: &DocumentRecord| {
            let mut own = self.conditions.iter().filter(of_documents);
            own.all(|own| own.kind.meets(record) != own.excluded)
        };
        let mut allowed: BTreeSet<usize> = (0..documents.len())
            .filter(|&document| meets(&documents[document]))
            .flat_map(|document| snapshot.passages_of(document))
            .collect();
        for condition in &self.conditions {
            if let Kind::Words(words) = &condition.kind {
                let holding = holding(snapshot, words)?;
                allowed.retain(|passage| holding.contains(passage) != condition.excluded);
            }
        }
        Ok(Some(allowed))
    }
}

impl Kind {
    fn meets(&self, record: &DocumentRecord) -> bool {
        match self {
            Self::Tag(wanted) => record.tags.iter().any(|tag| {
                let tag = tag.to_lowercase();
                let rest = tag.strip_prefix(wanted.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }),
            Self::Path(part) => record.path.to_lowercase().contains(part.as_str()),
            Self::Words(_) => true,
        }
    }
}

/// The passages whose text unit holds the words in their order.
fn holding(snapshot: &Snapshot, words: &str) -> Result<HashSet<usize>, QueryError> {
    let mut passages = HashSet::new();
    for (id, ordinal) in snapshot.text.with_phrase(words)? {
        if let Some(document) = snapshot.document_with_id(id) {
            passages.extend(passages_of_unit(snapshot, document, ordinal));
        }
    }
    Ok(passages)
}

/// What stands between spaces, where those within quotation marks do not count.
fn tokens(typed: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, character) in typed.char_indices() {
        // A mark that is never closed is a mark, not a quotation.
        if character == '"' && (quoted || typed[at + 1..].contains('"')) {
            quoted = !quoted;
        } else if character.is_whitespace() && !quoted {
            tokens.push(&typed[start..at]);
            start = at + character.len_utf8();
        }
    }
    tokens.push(&typed[start..]);
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// Without the quotation marks around it; the same where it has none.
fn unquoted(token: &str) -> &str {
    let inner = token.strip_prefix('"').and_then(|rest| {
        // A question mark or a full stop may follow.
        let rest = rest.trim_end_matches(['?', '.', '!', ',', ';']);
        rest.strip_suffix('"')
    });
    inner.unwrap_or(token).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_from_words() {
        let check = |typed: &str, text: &str, conditions: &[(&str, &str, bool)]| {
            let question = Question::parse(typed);
            let found: Vec<(&str, &str, bool)> = question
                .conditions
                .iter()
                .map(|own| match &own.kind {
                    Kind::Tag(value) => ("tag", value.as_str(), own.excluded),
                    Kind::Path(value) => ("path", value.as_str(), own.excluded),
                    Kind::Words(value) => ("words", value.as_str(), own.excluded),
                })
                .collect();
            assert_eq!(
                (question.text.as_str(), found.as_slice()),
                (text, conditions),
                "{typed}"
            );
        };
        check("how does NSA work?", "how does NSA work?", &[]);
        check(
            "tag:#Project/AI how fast -draft",
            "how fast",
            &[("tag", "project/ai", false), ("words", "draft", true)],
        );
        check(
            "path:Papers/ what is \"sparse attention\"?",
            "what is sparse attention",
            &[
                ("path", "papers/", false),
                ("words", "sparse attention", false),
            ],
        );
        check(
            "-tag:old -path:\"my archive\" -\"to do\" notes",
            "notes",
            &[
                ("tag", "old", true),
                ("path", "my archive", true),
                ("words", "to do", true),
            ],
        );
        // What merely looks like it.
        check(
            "state-of-the-art at 10:30",
            "state-of-the-art at 10:30",
            &[],
        );
        check("5\" screens - or 6", "5\" screens - or 6", &[]);
        check("what is -- an option", "what is -- an option", &[]);
        check("tag: path:", "", &[]);
        check("", "", &[]);
    }
}
