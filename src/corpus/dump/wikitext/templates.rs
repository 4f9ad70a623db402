//! Templates that stand for words of a sentence, and what is kept of them; all others are dropped.

/// What is kept of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// The argument of this number, from 0, after some words.
    Argument(usize, &'static str),
    /// The first two arguments, with this between them; of a measure with a range, four.
    Joined(&'static str),
    /// What stands behind the colon of its name.
    Name,
    Text(&'static str),
}

const FIRST: Kept = Kept::Argument(0, "");
const SECOND: Kept = Kept::Argument(1, "");

const NAMES: &[(Kept, &[&str])] = &[
    (
        FIRST,
        &[
            "nowrap",
            "nobr",
            "no wrap",
            "small",
            "smaller",
            "big",
            "larger",
            "abbr",
            "tooltip",
            "math",
            "mvar",
            "var",
            "mono",
            "code",
            "em",
            "strong",
            "sup",
            "sub",
            "quote",
            "blockquote",
            "cquote",
            "visible anchor",
            "vanchor",
            "ill",
            "interlanguage link",
            "val",
            "nihongo",
            "flag",
            "flagcountry",
            "iast",
            "polytonic",
            "unicode",
            "ipa-text",
            "linktext",
            "sic",
            "angle bracket",
            "gaps",
            "underline",
            "bold",
            "italic",
            "noitalic",
            "nonitalic",
            "zh",
            "nts",
            "formatnum",
            "hebrew",
            "arabic",
            "he",
            "grc",
            "zitat",
            "le",
        ],
    ),
    (
        SECOND,
        &[
            "lang",
            "langx",
            "script",
            "transl",
            "transliteration",
            "translit",
            "color",
            "colour",
        ],
    ),
    (Kept::Argument(2, ""), &["tsl"]),
    (Kept::Argument(0, "c. "), &["circa", "c.", "ca."]),
    (Kept::Argument(0, "as of "), &["as of"]),
    (Kept::Joined(" "), &["convert", "cvt", "ship"]),
    (Kept::Joined("/"), &["frac", "sfrac", "fraction"]),
    (Kept::Joined("–"), &["reign"]),
    (
        Kept::Text(" – "),
        &["spaced ndash", "snd", "spnd", "dash", "spaced en dash"],
    ),
    (Kept::Text("–"), &["ndash", "en dash"]),
    (Kept::Text("—"), &["mdash", "em dash"]),
    (Kept::Text(" · "), &["·", "•", "bull", "middot", "dot"]),
    (Kept::Text(" "), &["nbsp", "space", "thinsp"]),
    (Kept::Text("'"), &["'", "-'", "apostrophe"]),
    (Kept::Text("|"), &["!", "pipe"]),
    (Kept::Text("="), &["="]),
    (Kept::Text("ʻ"), &["okina"]),
];
/// The longest name in the list.
const MAX_NAME_BYTES: usize = 32;

/// What is kept of the template `name`.
pub(super) fn kept(name: &str) -> Option<Kept> {
    let name = name.trim();
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let name = name.replace('_', " ").to_lowercase();
    if name.starts_with("formatnum:") {
        return Some(Kept::Name);
    }
    if ["lang-", "link-", "ill-"]
        .iter()
        .any(|start| name.starts_with(start))
    {
        return Some(FIRST);
    }
    let own = NAMES
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()));
    own.map(|(kept, _)| *kept)
}

/// True for an argument that has a name, such as `italic=no`.
pub(super) fn is_named(argument: &str) -> bool {
    let start = &argument[..argument.floor_char_boundary(24)];
    start.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim();
        let is_name = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b' ');
        !name.is_empty() && name.bytes().all(is_name)
    })
}

/// Bytes of the number that an argument may begin with, as in `1=a=b`.
pub(super) fn number_length(argument: &str) -> usize {
    let number = argument.split_once('=').map_or("", |(number, _)| number);
    let is_number = number.len() <= 8 && number.trim().parse::<u8>().is_ok();
    if is_number { number.len() + 1 } else { 0 }
}
