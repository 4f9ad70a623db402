//! Cuts a document into sections and passages that the model can read, without losing a byte.
//!
//! A passage is one contiguous span: whole blocks where they fit, else whole sentences (lines in code and
//! tables), else whole word pieces. It never crosses a heading, unless what stands before is a crumb, nor a
//! record of the source.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    TextError, Token, Tokenizer,
    sentence::{sentences, trimmed},
};
use crate::corpus::{Block, BlockKind, Document};

/// A part of a document with fewer word pieces does not end at the next heading.
const CRUMB_TOKENS: usize = 40;
/// Word pieces of the context prefix that the title may take when the heading path needs room.
const TITLE_TOKENS: usize = 12;
/// Blocks that one thread cuts at least.
const TASK_BLOCKS: usize = 32;

/// How documents are cut.
#[derive(Debug, Clone, Copy)]
pub struct LayoutOptions {
    /// The most word pieces of a passage, its prefix and the two special tokens included.
    pub max_tokens: usize,
    /// The most of them that the context prefix takes; 0 switches it off.
    pub max_prefix: usize,
}

/// The sections and passages of one document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// The first is the document itself, above its first heading.
    pub sections: Vec<Section>,
    pub passages: Vec<Passage>,
}

/// A heading and what stands under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Without markup; the document's title for the first section.
    pub heading: String,
    /// 0 for the document itself, else the heading's 1–6.
    pub level: u8,
    /// From the heading to the next of the same level or above.
    pub span: Range<usize>,
    pub parent: Option<usize>,
}

/// What the model reads at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Bytes of the document's text.
    pub span: Range<usize>,
    /// Index into the sections.
    pub section: usize,
    /// Index into the document's records, where it has any.
    pub record: Option<usize>,
    /// `title > heading path. ` in word pieces.
    pub prefix: Vec<u32>,
    /// Word pieces of the span; offsets count from the document's start.
    pub tokens: Vec<Token>,
}

/// Cuts `document` into sections and passages.
pub fn layout(
    document: &Document,
    tokenizer: &Tokenizer,
    options: &LayoutOptions,
) -> Result<Layout, TextError> {
    let sections = sections(document);
    let mut passages = Vec::new();
    for part in parts(document, tokenizer)? {
        let prefix = context_prefix(&sections, part.section, tokenizer, options.max_prefix)?;
        let budget = options.max_tokens.saturating_sub(2 + prefix.len()).max(1);
        for (span, tokens) in cut(&document.text, part.atoms, budget) {
            passages.push(Passage {
                span,
                section: part.section,
                record: part.record,
                prefix: prefix.clone(),
                tokens,
            });
        }
    }
    Ok(Layout { sections, passages })
}

/// Consecutive blocks that may share passages.
struct Part {
    section: usize,
    record: Option<usize>,
    atoms: Vec<Atom>,
}

/// A block with its word pieces.
struct Atom {
    span: Range<usize>,
    tokens: Vec<Token>,
    /// Code and tables are cut at lines, prose at sentences.
    by_lines: bool,
}

fn sections(document: &Document) -> Vec<Section> {
    let end = document.text.len();
    let mut sections = vec![Section {
        heading: document.title.clone(),
        level: 0,
        span: 0..end,
        parent: None,
    }];
    let mut open = vec![0];
    for block in &document.blocks {
        let BlockKind::Heading { level, text } = &block.kind else {
            continue;
        };
        while let Some(&last) = open.last().filter(|&&last| sections[last].level >= *level) {
            sections[last].span.end = block.span.start;
            open.pop();
        }
        sections.push(Section {
            heading: text.clone(),
            level: *level,
            span: block.span.start..end,
            parent: open.last().copied(),
        });
        open.push(sections.len() - 1);
    }
    sections
}

fn parts(document: &Document, tokenizer: &Tokenizer) -> Result<Vec<Part>, TextError> {
    // A book alone keeps all threads busy.
    let blocks = document.blocks.par_iter().with_min_len(TASK_BLOCKS);
    let atoms = blocks.map(|block| atom(&document.text, block, tokenizer));
    let atoms = atoms.collect::<Result<Vec<Atom>, TextError>>()?;
    let mut parts: Vec<Part> = Vec::new();
    let (mut section, mut record, mut n_tokens) = (0, 0, usize::MAX);
    for (block, atom) in document.blocks.iter().zip(atoms) {
        let opens_section = matches!(block.kind, BlockKind::Heading { .. });
        section += usize::from(opens_section);
        while document.records.get(record).is_some_and(|open| {
            open.span.end <= block.span.start && open.span.start < block.span.start
        }) {
            record += 1;
        }
        let own_record = document.records.get(record).map(|_| record);
        let fresh = parts.last().is_none_or(|part| part.record != own_record)
            || (opens_section && n_tokens >= CRUMB_TOKENS);
        if fresh {
            parts.push(Part {
                section,
                record: own_record,
                atoms: Vec::new(),
            });
            n_tokens = 0;
        }
        n_tokens += atom.tokens.len();
        if let Some(part) = parts.last_mut() {
            part.atoms.push(atom);
        }
    }
    Ok(parts)
}

fn atom(text: &str, block: &Block, tokenizer: &Tokenizer) -> Result<Atom, TextError> {
    let offset = block.span.start as u32;
    let mut tokens = tokenizer.tokenize(&text[block.span.clone()])?;
    for token in &mut tokens {
        token.start += offset;
        token.end += offset;
    }
    Ok(Atom {
        span: block.span.clone(),
        tokens,
        by_lines: matches!(
            block.kind,
            BlockKind::Code | BlockKind::Table | BlockKind::Html
        ),
    })
}

/// Packs atoms into passages of at most `budget` word pieces and of like length.
fn cut(text: &str, atoms: Vec<Atom>, budget: usize) -> Vec<(Range<usize>, Vec<Token>)> {
    let atoms: Vec<Atom> = atoms
        .into_iter()
        .flat_map(|atom| match atom.tokens.len() <= budget {
            true => vec![atom],
            false => split(text, atom, budget),
        })
        .collect();
    let total: usize = atoms.iter().map(|atom| atom.tokens.len()).sum();
    let target = total.div_ceil(total.div_ceil(budget).max(1));
    let mut passages: Vec<(Range<usize>, Vec<Token>)> = Vec::new();
    for atom in atoms {
        let length = atom.tokens.len();
        let joins =
            |open: &Vec<Token>| open.len() + length <= budget && open.len() + length / 2 <= target;
        match passages.last_mut().filter(|(_, open)| joins(open)) {
            Some((span, tokens)) => {
                span.end = atom.span.end;
                tokens.extend(atom.tokens);
            }
            None => passages.push((atom.span, atom.tokens)),
        }
    }
    passages
}

/// Cuts one block at sentences or lines, and those that are still too long at word pieces.
fn split(text: &str, atom: Atom, budget: usize) -> Vec<Atom> {
    let part = &text[atom.span.clone()];
    let spans: Vec<Range<usize>> = if atom.by_lines {
        lines(part)
    } else {
        sentences(part)
    };
    let mut tokens = atom.tokens.as_slice();
    let mut pieces = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let end = atom.span.start + spans.get(index + 1).map_or(part.len(), |next| next.start);
        let count = tokens.partition_point(|token| (token.start as usize) < end);
        let (own, rest) = tokens.split_at(count);
        tokens = rest;
        let span = atom.span.start + span.start..atom.span.start + span.end;
        if own.len() <= budget {
            pieces.push(Atom {
                span,
                tokens: own.to_vec(),
                by_lines: atom.by_lines,
            });
        } else {
            pieces.extend(split_at_tokens(text, span, own, budget, atom.by_lines));
        }
    }
    pieces
}

fn split_at_tokens(
    text: &str,
    span: Range<usize>,
    tokens: &[Token],
    budget: usize,
    by_lines: bool,
) -> Vec<Atom> {
    let chunks: Vec<&[Token]> = tokens.chunks(budget).collect();
    let mut start = span.start;
    let mut pieces = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        // Every byte between two chunks goes to the one before.
        let end = chunks
            .get(index + 1)
            .and_then(|next| next.first())
            .map_or(span.end, |token| token.start as usize)
            .max(start);
        if let Some(span) = trimmed(text, start..end) {
            pieces.push(Atom {
                span,
                tokens: chunk.to_vec(),
                by_lines,
            });
        }
        start = end;
    }
    pieces
}

fn lines(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    text.split_inclusive('\n')
        .filter_map(|line| {
            let range = at..at + line.len();
            at = range.end;
            trimmed(text, range)
        })
        .collect()
}

/// `title > heading > heading. ` of a section; the deepest heading is the last to give way.
pub fn context_prefix(
    sections: &[Section],
    section: usize,
    tokenizer: &Tokenizer,
    max_prefix: usize,
) -> Result<Vec<u32>, TextError> {
    let title = sections[0].heading.trim();
    let mut path = Vec::new();
    let mut at = Some(section).filter(|&section| section > 0);
    while let Some(index) = at.filter(|&index| index > 0) {
        path.insert(0, sections[index].heading.trim());
        at = sections[index].parent;
    }
    path.retain(|heading| !heading.is_empty() && *heading != title);
    if max_prefix == 0 || (title.is_empty() && path.is_empty()) {
        return Ok(Vec::new());
    }
    let mut head = tokenizer.ids(title)?;
    let mut tail = Vec::new();
    for heading in &path {
        tail.extend(tokenizer.ids(&format!("> {heading}"))?);
    }
    let stop = tokenizer.ids(".")?;
    let room = max_prefix.saturating_sub(stop.len());
    if head.len() + tail.len() > room {
        head.truncate(TITLE_TOKENS.max(room.saturating_sub(tail.len())));
        let excess = (head.len() + tail.len()).saturating_sub(room);
        tail.drain(..excess.min(tail.len()));
        head.truncate(room);
    }
    Ok([head, tail, stop].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus;
    use proptest::prelude::*;
    use std::{path::Path, sync::LazyLock};

    static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/model/tokenizer.json");
        Tokenizer::from_file(&path).expect("the shipped tokenizer loads")
    });

    fn laid_out(text: &str, max_tokens: usize) -> (Document, Layout) {
        let document = corpus::parse("Title.md", text.to_owned());
        let options = LayoutOptions {
            max_tokens,
            max_prefix: max_tokens / 8,
        };
        let layout = layout(&document, &TOKENIZER, &options).expect("lays out");
        (document, layout)
    }

    #[test]
    fn passages_follow_headings_and_balance() {
        let prose = "The quick brown fox jumps over the lazy dog again. ".repeat(12);
        let text = format!("# Title\n\n{prose}\n\n## One\n\n{prose}\n\n## Two\n\nShort.\n");
        let (document, layout) = laid_out(&text, 96);
        let starts: Vec<&str> = layout
            .passages
            .iter()
            .map(|passage| &document.text[passage.span.clone()][..7])
            .collect();
        assert_eq!(
            starts,
            ["# Title", "The qui", "## One\n", "The qui", "## Two\n"]
        );
        let lengths: Vec<usize> = layout
            .passages
            .iter()
            .map(|passage| passage.tokens.len())
            .collect();
        assert!(lengths[0].abs_diff(lengths[1]) < 20, "{lengths:?}");
        assert_eq!(layout.sections.len(), 4);
        assert_eq!(layout.sections[3].parent, Some(1));
    }

    #[test]
    fn the_prefix_names_title_and_headings() {
        let check = |title: &str, headings: &[&str], max: usize, expected: &str| {
            let mut text = format!("---\ntitle: {title}\n---\n");
            for (level, heading) in headings.iter().enumerate() {
                text.push_str(&format!("\n{} {heading}\n", "#".repeat(level + 1)));
            }
            let document = corpus::parse("x.md", text);
            let sections = sections(&document);
            let found =
                context_prefix(&sections, sections.len() - 1, &TOKENIZER, max).expect("tokenises");
            let wanted = TOKENIZER.ids(expected).expect("tokenises");
            assert_eq!(found, wanted, "{expected}");
        };
        check(
            "Bread",
            &["Bread", "Flour", "Rye"],
            24,
            "Bread > Flour > Rye.",
        );
        check("Bread", &[], 24, "Bread.");
        check(
            "one two three four five",
            &["six seven eight"],
            6,
            "one two three four five.",
        );
        check("Bread", &["Flour"], 0, "");
    }

    proptest! {
        #[test]
        fn no_byte_of_a_block_is_lost(
            text in "([#>*`|\\- a-dé中🙂.。\t]|\n|\n\n|word |Sentence one\\. |```\n|# ){0,120}",
            max_tokens in 8usize..40,
        ) {
            let (document, layout) = laid_out(&text, max_tokens);
            let mut covered = vec![false; document.text.len()];
            let mut end = 0;
            for passage in &layout.passages {
                prop_assert!(passage.span.start >= end && passage.span.end > passage.span.start);
                end = passage.span.end;
                prop_assert!(document.text.get(passage.span.clone()).is_some());
                prop_assert!(passage.tokens.len() + passage.prefix.len() + 2 <= max_tokens);
                for token in &passage.tokens {
                    prop_assert!(token.start as usize >= passage.span.start);
                    prop_assert!(token.end as usize <= passage.span.end);
                }
                covered[passage.span.clone()].fill(true);
            }
            for block in &document.blocks {
                for (at, character) in document.text[block.span.clone()].char_indices() {
                    let at = block.span.start + at;
                    prop_assert!(character.is_whitespace() || covered[at], "byte {at} lost");
                }
            }
        }
    }
}
