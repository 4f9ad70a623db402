//! Which tags wikitext may hold, and what becomes of them.

/// What becomes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// It goes with all that it holds.
    Dropped,
    /// As dropped; another one may not open within.
    Reference,
    /// A formula: kept where it is plain text.
    Formula,
    /// Its content is text as it stands.
    Literal,
    /// Its content is code.
    Code,
    /// A table of HTML.
    Table,
    /// Its lines stay lines.
    Poem,
    LineBreak,
    ListItem,
    /// The tag goes, and text before and after it stands apart.
    Block,
    /// The tag goes.
    Inline,
}

/// A tag in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    pub element: Element,
    pub name: &'static str,
    pub closes: bool,
    /// `<name … />`
    pub empty: bool,
    /// One past `>`.
    pub end: usize,
}

const NAMES: &[(Element, &[&str])] = &[
    (Element::Reference, &["ref"]),
    (
        Element::Dropped,
        &[
            "references",
            "gallery",
            "timeline",
            "imagemap",
            "score",
            "hiero",
            "graph",
            "chart",
            "templatedata",
            "templatestyles",
            "mapframe",
            "maplink",
            "inputbox",
            "categorytree",
            "includeonly",
            "indicator",
            "section",
            "languages",
            "dynamicpagelist",
            "style",
            "script",
        ],
    ),
    (Element::Formula, &["math", "chem", "ce"]),
    (Element::Literal, &["nowiki"]),
    (Element::Code, &["pre", "syntaxhighlight", "source"]),
    (Element::Table, &["table"]),
    (Element::Poem, &["poem"]),
    (Element::LineBreak, &["br"]),
    (Element::ListItem, &["li"]),
    (
        Element::Block,
        &[
            "p",
            "div",
            "blockquote",
            "center",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "hr",
            "ul",
            "ol",
            "dl",
            "dt",
            "dd",
            "tr",
            "td",
            "th",
            "caption",
            "tbody",
            "thead",
        ],
    ),
    (
        Element::Inline,
        &[
            "b",
            "i",
            "u",
            "s",
            "em",
            "strong",
            "small",
            "big",
            "sub",
            "sup",
            "span",
            "font",
            "tt",
            "code",
            "var",
            "kbd",
            "samp",
            "cite",
            "abbr",
            "del",
            "ins",
            "strike",
            "ruby",
            "rb",
            "rt",
            "rp",
            "rtc",
            "bdi",
            "bdo",
            "dfn",
            "mark",
            "q",
            "time",
            "data",
            "wbr",
            "a",
            "img",
            "onlyinclude",
            "noinclude",
            "translate",
            "tvar",
            "nobr",
        ],
    ),
];

/// The tag that begins at `at`, a `<`; none where it is only a character.
pub(super) fn tag(source: &str, at: usize) -> Option<Tag> {
    let bytes = source.as_bytes();
    let closes = bytes.get(at + 1) == Some(&b'/');
    let start = at + 1 + usize::from(closes);
    let is_letter = |byte: &&u8| byte.is_ascii_alphanumeric();
    let length = bytes.get(start..)?.iter().take(16).take_while(is_letter);
    let (element, name) = element(source.get(start..start + length.count())?)?;
    // A tag that does not close before the next one opens is none, so no byte is looked at for two tags.
    let rest = &bytes[start + name.len()..];
    let end = memchr::memchr2(b'>', b'<', rest).filter(|&end| rest[end] == b'>')?;
    let attributes = &rest[..end];
    if !attributes
        .first()
        .is_none_or(|byte| matches!(byte, b'/' | b' ' | b'\n' | b'\t'))
    {
        return None;
    }
    Some(Tag {
        element,
        name,
        closes,
        empty: attributes.last() == Some(&b'/'),
        end: start + name.len() + end + 1,
    })
}

fn element(name: &str) -> Option<(Element, &'static str)> {
    NAMES.iter().find_map(|(element, names)| {
        let own = names.iter().find(|own| own.eq_ignore_ascii_case(name))?;
        Some((*element, *own))
    })
}

/// Where `</name` begins after `from`, and how many bytes were looked at; a reference ends where another opens.
pub(super) fn closing(source: &str, tag: &Tag) -> (Option<usize>, usize) {
    let (bytes, name) = (source.as_bytes(), tag.name.as_bytes());
    for found in memchr::memchr_iter(b'<', &bytes[tag.end..]) {
        let at = tag.end + found;
        let closes = bytes.get(at + 1) == Some(&b'/');
        let start = at + 1 + usize::from(closes);
        let own = bytes.get(start..start + name.len()).unwrap_or_default();
        let after = bytes.get(start + name.len());
        if own.eq_ignore_ascii_case(name) && after.is_none_or(|byte| !byte.is_ascii_alphanumeric())
        {
            if closes {
                return (Some(at), found);
            }
            if tag.element == Element::Reference {
                return (None, found);
            }
        }
    }
    (None, bytes.len() - tag.end)
}
