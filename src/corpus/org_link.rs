//! Links of Org: `[[target][text]]`.

use super::{Block, BlockKind, Link};

/// A link is not looked for over more bytes than this.
const MAX_LINK_BYTES: usize = 4 << 10;

/// The links that stand in `blocks`, code left out.
pub(super) fn links(text: &str, blocks: &[Block]) -> Vec<Link> {
    let prose = blocks.iter().filter(|block| block.kind != BlockKind::Code);
    prose
        .flat_map(|block| {
            let (start, part) = (block.span.start, &text[block.span.clone()]);
            found(part).filter_map(move |found| {
                let mut link = meaning(found.target)?;
                link.text = found.text.map(super::extract::one_line);
                link.span = start + found.start..start + found.end;
                Some(link)
            })
        })
        .collect()
}

/// `text` with its links as they are shown.
pub(super) fn shown(text: &str) -> String {
    let (mut shown, mut end) = (String::new(), 0);
    for found in found(text) {
        shown.push_str(&text[end..found.start]);
        shown.push_str(found.text.unwrap_or(found.target));
        end = found.end;
    }
    shown + &text[end..]
}

/// A link as it is written.
struct Found<'a> {
    target: &'a str,
    text: Option<&'a str>,
    start: usize,
    end: usize,
}

fn found(text: &str) -> impl Iterator<Item = Found<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.find("[[")?;
            let inner = start + 2;
            at = inner;
            let mut most = text.len().min(inner + MAX_LINK_BYTES);
            while !text.is_char_boundary(most) {
                most -= 1;
            }
            let Some(length) = text[inner..most].find("]]") else {
                continue;
            };
            let (target, shown) = match text[inner..inner + length].split_once("][") {
                Some((target, shown)) => (target, Some(shown)),
                None => (&text[inner..inner + length], None),
            };
            if target.is_empty() || target.contains(['[', ']', '\n']) {
                continue;
            }
            at = inner + length + 2;
            return Some(Found {
                target,
                text: shown,
                start,
                end: at,
            });
        }
    })
}

/// The place that a target means; none for what leads out of the corpus.
fn meaning(target: &str) -> Option<Link> {
    let here = |heading: &str| Link {
        heading: Some(heading.to_owned()),
        ..Link::default()
    };
    if let Some(heading) = target.strip_prefix(['*', '#']) {
        return Some(here(heading));
    }
    let path = match target.split_once(':') {
        Some(("file" | "id", rest)) => rest,
        // A scheme; a name in a title has a space behind its colon.
        Some((scheme, rest))
            if !rest.starts_with([' ', ':']) && scheme.chars().all(char::is_alphanumeric) =>
        {
            return None;
        }
        _ => target,
    };
    let (path, heading) = match path.split_once("::") {
        Some((path, heading)) => (
            path,
            Some(heading.trim_start_matches(['*', '#']).to_owned()),
        ),
        None => (path, None),
    };
    Some(Link {
        target: path.to_owned(),
        heading,
        ..Link::default()
    })
}
