//! What kind of answer a question wants: a detail, what something is about, or points from several documents.

use serde::Serialize;

use super::wanted::Wanted;

/// Words that open a question, or a second one in it.
const OPENERS: &[&str] = &["what", "how", "who", "why", "which", "where", "when"];
const CHINESE_OPENERS: &[&str] = &["什么", "怎么", "为什么", "哪", "如何"];
/// From so many words on, a question of several clauses asks for several points, ...
const LONG: usize = 14;
/// ... and from so many on even where its first clause wants a number, a time or a name.
const VERY_LONG: usize = 19;

/// A kind of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The sentences that say it.
    Detail,
    /// What something is about, by the most central sentences.
    Concept,
    /// Several points from several documents.
    Synthesis,
}

impl Kind {
    /// The kind that the words of a question ask for.
    pub fn of(question: &str) -> Self {
        let n_words = question.split_whitespace().count();
        let several = n_clauses(question) > 1;
        match Wanted::of(question) {
            Some(_) if several && n_words >= VERY_LONG => Self::Synthesis,
            Some(_) => Self::Detail,
            None if several && n_words >= LONG => Self::Synthesis,
            None => Self::Concept,
        }
    }

    /// Quotes of an answer, at most.
    pub fn n_quotes(self) -> usize {
        match self {
            Self::Detail => super::CITATIONS,
            Self::Concept | Self::Synthesis => 8,
        }
    }
}

/// Clauses that ask something.
fn n_clauses(question: &str) -> usize {
    let lower = question.to_lowercase().replace(" and ", ",");
    let clauses = lower.split([',', ';', '.', '?', '，', '？', '。']);
    let asks = |clause: &&str| {
        let mut words = clause.split(|own: char| !own.is_alphanumeric());
        words.any(|word| OPENERS.contains(&word))
            || CHINESE_OPENERS.iter().any(|opener| clause.contains(opener))
    };
    clauses.filter(asks).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_words() {
        let check = |question, kind| assert_eq!(Kind::of(question), kind, "{question}");
        check("How many genes did the consortium report?", Kind::Detail);
        check("What exactly is a quasar?", Kind::Concept);
        check(
            "What good is damp air at the beginning of baking, and why does a lidded pot supply it so well at home?",
            Kind::Synthesis,
        );
        check("什么是面筋？", Kind::Concept);
    }
}
