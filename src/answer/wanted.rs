//! What a question asks for, as far as its own words say: a number, a time, a name.

/// A kind of words that a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Number,
    Time,
    Name,
}

/// What asks for each, in lower case; in Chinese as well.
const TIMES: &[&str] = &[
    "when",
    "what year",
    "which year",
    "what date",
    "哪一年",
    "什么时候",
    "何时",
];
const NUMBERS: &[&str] = &[
    "how many",
    "how much",
    "how long",
    "how far",
    "how old",
    "how tall",
    "how high",
    "how hot",
    "how deep",
    "how big",
    "how often",
    "how fast",
    "how thick",
    "how wide",
    "how heavy",
    "how large",
    "how cold",
    "how bright",
    "how strong",
    "what temperature",
    "which temperature",
    "what age",
    "what percentage",
    "what strength",
    "what size",
    "what number",
    "多少",
    "几",
];
const NAMES: &[&str] = &["who", "whose", "whom", "谁"];
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "century",
    "年",
    "月",
];

impl Wanted {
    /// What `question` asks for; nothing where its words leave it open.
    pub fn of(question: &str) -> Option<Self> {
        let question = format!(" {} ", question.to_lowercase());
        let asks = |words: &[&str]| {
            words.iter().any(|own| match own.is_ascii() {
                true => question.contains(&format!(" {own} ")),
                false => question.contains(own),
            })
        };
        match () {
            () if asks(TIMES) => Some(Self::Time),
            () if asks(NUMBERS) => Some(Self::Number),
            () if asks(NAMES) => Some(Self::Name),
            () => None,
        }
    }

    /// Whether `sentence` holds such words; names that `question` has itself do not count.
    pub fn is_in(self, sentence: &str, question: &str) -> bool {
        let has_digit = || sentence.chars().any(char::is_numeric);
        match self {
            Self::Number => has_digit(),
            Self::Time => {
                let lower = sentence.to_lowercase();
                has_digit() || MONTHS.iter().any(|month| lower.contains(month))
            }
            Self::Name => {
                let asked = question.to_lowercase();
                let words = sentence.split_whitespace().skip(1);
                let mut names = words.filter(|word| word.starts_with(char::is_uppercase));
                names.any(|name| {
                    let bare = name.trim_matches(|own: char| !own.is_alphanumeric());
                    !asked.contains(&bare.to_lowercase())
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_say_what_they_want() {
        let check = |question, wanted| assert_eq!(Wanted::of(question), wanted, "{question}");
        check("When did Krakatoa erupt?", Some(Wanted::Time));
        check("By how much did it alter the orbit?", Some(Wanted::Number));
        check("who wrote it", Some(Wanted::Name));
        check("宜昌那家工厂是哪一年成立的？", Some(Wanted::Time));
        check("What is a quasar?", None);
        check("What shows up whenever it rains?", None);
    }

    #[test]
    fn sentences_hold_what_is_wanted() {
        let check = |wanted: Wanted, sentence: &str, holds| {
            let question = "who fixed the violin of Cremona";
            assert_eq!(wanted.is_in(sentence, question), holds, "{sentence}");
        };
        check(Wanted::Name, "It was Andrea Amati, about 1560.", true);
        check(Wanted::Name, "The violin of Cremona is old.", false);
        check(Wanted::Number, "It has 70 parts.", true);
        check(Wanted::Time, "It came in May.", true);
        check(Wanted::Time, "It came late.", false);
    }
}
