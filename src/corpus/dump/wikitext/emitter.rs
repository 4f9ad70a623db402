//! The second pass over wikitext: writes the text that is left.

use std::collections::HashSet;

use super::{
    Stripped,
    elements::{Element, tag},
    entities::{decoded, entity},
    lines::Quotes,
    link::{Meaning, meaning},
    regions::{Kind, Region, regions},
    templates::{Kept, is_named, kept, number_length},
    writer::Writer,
};
use crate::corpus::{BlockKind, dump::namespaces::Namespaces};

/// A choice of writing systems is not longer.
const MAX_VARIANT_BYTES: usize = 512;

/// Walks over the source with its regions.
pub(super) struct Emitter<'a> {
    pub(super) source: &'a str,
    pub(super) bytes: &'a [u8],
    namespaces: &'a Namespaces,
    pub(super) regions: Vec<Region>,
    /// The first region that does not begin before `at`.
    pub(super) next: usize,
    pub(super) at: usize,
    pub(super) steps: usize,
    /// What has to end where text is kept from within a region, the innermost last.
    pub(super) inside: Vec<Inside>,
    pub(super) writer: Writer,
    tags: Vec<String>,
    seen_tags: HashSet<String>,
    /// True until something of the line is written.
    pub(super) line_start: bool,
    /// Bytes of text when something that may fill a line was dropped last.
    pub(super) dropped_at: Option<usize>,
    /// Bytes of text when the line began.
    pub(super) line_text: usize,
    pub(super) quotes: Quotes,
    /// Links out of the wiki whose text is being written.
    pub(super) n_external: usize,
    /// True within a poem.
    pub(super) keeps_lines: bool,
    /// True after a table that is never closed.
    pub(super) in_table: bool,
    /// True where writing systems are chosen from.
    has_variants: bool,
}

/// Text that is kept from within a region.
pub(super) struct Inside {
    end: usize,
    /// Where to go on behind it.
    resume: usize,
    link: Option<usize>,
}

impl<'a> Emitter<'a> {
    pub fn new(source: &'a str, namespaces: &'a Namespaces) -> Self {
        let (regions, steps) = regions(source);
        Self {
            source,
            bytes: source.as_bytes(),
            namespaces,
            regions,
            next: 0,
            at: 0,
            steps,
            inside: Vec::new(),
            writer: Writer::default(),
            tags: Vec::new(),
            seen_tags: HashSet::new(),
            line_start: true,
            dropped_at: None,
            line_text: 0,
            quotes: Quotes::default(),
            n_external: 0,
            keeps_lines: false,
            in_table: false,
            has_variants: source.contains("-{"),
        }
    }

    pub fn run(mut self) -> Stripped {
        loop {
            if let Some(inside) = self.inside.pop_if(|inside| self.at >= inside.end) {
                self.leave(&inside);
            } else if self.at >= self.bytes.len() {
                break;
            } else if !(self.line_start && self.inside.is_empty() && self.line_markup()) {
                self.step();
            }
        }
        self.writer.finish();
        Stripped {
            text: self.writer.text,
            blocks: self.writer.blocks,
            links: self.writer.links,
            tags: self.tags,
            steps: self.steps,
        }
    }

    /// The region that begins here.
    pub(super) fn region(&mut self) -> Option<Region> {
        while self
            .regions
            .get(self.next)
            .is_some_and(|region| (region.start as usize) < self.at)
        {
            self.next += 1;
            self.steps += 1;
        }
        let next = self.regions.get(self.next);
        next.filter(|region| region.start as usize == self.at)
            .copied()
    }

    fn step(&mut self) {
        let byte = self.bytes[self.at];
        if matches!(byte, b'{' | b'[' | b'<')
            && let Some(region) = self.region()
        {
            return self.enter(&region);
        }
        match byte {
            b'\n' => self.end_line(),
            b'\'' => self.apostrophes(),
            b'&' => self.reference(),
            b'<' => self.tag(),
            b'[' => self.external(),
            b']' => self.bracket(),
            b'}' if self.bytes.get(self.at + 1) == Some(&b'}') => self.at += 2,
            b'_' => self.switch(),
            b'-' if self.has_variants => self.variant(),
            _ => self.plain(1),
        }
    }

    /// Writes what has no meaning: the first `least` bytes, and on to what may have one.
    fn plain(&mut self, least: usize) {
        let from = self.at;
        let rest = &self.bytes[from + least..];
        let is_special =
            |byte: &u8| IS_SPECIAL[usize::from(*byte)] || (*byte == b'-' && self.has_variants);
        let length = least + rest.iter().position(is_special).unwrap_or(rest.len());
        let end = self.inside.last().map_or(usize::MAX, |inside| inside.end);
        self.at = (from + length).min(end.max(from + least));
        self.steps += self.at - from;
        self.line_start &= self.source[from..self.at].trim().is_empty();
        self.writer.push(&self.source[from..self.at]);
    }

    /// Writes text that is not looked into.
    fn write(&mut self, text: &str) {
        self.line_start &= text.trim().is_empty();
        self.writer.push(text);
    }

    fn enter(&mut self, region: &Region) {
        self.next += 1;
        if region.end == 0 {
            return self.unclosed(region);
        }
        let end = region.end as usize;
        match region.kind {
            Kind::Template => self.template(region),
            Kind::Link => self.link(region),
            Kind::Comment => self.at = end,
            Kind::Table => {
                self.break_block();
                self.drop_to(end);
            }
            Kind::Element(element) => self.element(element, region),
        }
    }

    fn drop_to(&mut self, end: usize) {
        self.dropped_at = Some(self.writer.text.len());
        self.writer.gap();
        self.at = end;
        self.line_start = false;
    }

    /// Ends the text kept from within a region.
    fn leave(&mut self, inside: &Inside) {
        if let Some(link) = inside.link {
            self.writer.close_link(link);
        }
        self.at = inside.resume;
    }

    pub(super) fn keep(&mut self, from: usize, end: usize, resume: usize, link: Option<usize>) {
        self.inside.push(Inside { end, resume, link });
        self.at = from;
    }

    /// What is opened and never closed: the rest of its line goes, unless it is a link.
    fn unclosed(&mut self, region: &Region) {
        let start = region.start as usize;
        self.at += usize::from(region.width);
        let is_file = || {
            let rest = &self.source[self.at..];
            let prefix = &rest[..rest.floor_char_boundary(64)];
            !matches!(
                meaning(
                    prefix.split(['|', '\n', ']']).next().unwrap_or(""),
                    self.namespaces
                ),
                Meaning::Link(_) | Meaning::Text
            )
        };
        match region.kind {
            Kind::Link if !is_file() => {}
            Kind::Table if self.bytes[start] == b'<' => self.break_block(),
            kind => {
                self.in_table |= kind == Kind::Table;
                self.writer.gap();
                self.skip_line();
            }
        }
    }

    fn link(&mut self, region: &Region) {
        let (start, end) = (region.start as usize + 2, region.end as usize);
        let pipe = region.separators[0] as usize;
        let target = &self.source[start..if pipe == 0 { end - 2 } else { pipe }];
        self.steps += target.len();
        let meaning = meaning(target, self.namespaces);
        let colon = target.len() - target.trim_start_matches([' ', ':']).len();
        let shown = match pipe {
            0 => start + colon,
            // `[[target|]]` shows the target.
            pipe if self.source[pipe + 1..end - 2].trim().is_empty() => start + colon,
            pipe => pipe + 1,
        };
        let shown_end = if shown < pipe { pipe } else { end - 2 };
        match meaning {
            Meaning::Nothing => self.drop_to(end),
            Meaning::Category(name) => {
                if !name.is_empty() && self.seen_tags.insert(name.to_lowercase()) {
                    self.tags.push(name);
                }
                self.drop_to(end);
            }
            Meaning::Text => self.keep(shown, shown_end, end, None),
            Meaning::Link(link) => {
                let link = self.writer.open_link(link);
                self.keep(shown, shown_end, end, Some(link));
            }
        }
    }

    fn template(&mut self, region: &Region) {
        let (start, end) = (region.start as usize, region.end as usize);
        let (name, content_end) = (start + usize::from(region.width), end - 2);
        let separators = region.separators.iter().map(|at| *at as usize);
        let mut borders: Vec<usize> = separators.filter(|at| *at != 0).collect();
        if borders.len() < region.separators.len() {
            borders.push(content_end);
        }
        let own = self.source[name..borders[0]].trim_start();
        let kept = kept(&own[..own.floor_char_boundary(64)]).filter(|_| region.width == 2);
        let arguments = borders.windows(2).map(|pair| (pair[0] + 1, pair[1]));
        let mut arguments = arguments.filter(|(from, to)| !is_named(&self.source[*from..*to]));
        match kept {
            Some(Kept::Text(text)) => {
                self.write(text);
                self.at = end;
            }
            Some(Kept::Argument(number, before)) => match arguments.nth(number) {
                Some((from, to)) => {
                    self.write(before);
                    let from = from + number_length(&self.source[from..to]);
                    self.keep(from, to, end, None);
                }
                None => self.drop_to(end),
            },
            Some(Kept::Joined(between)) => {
                let words: Vec<&str> = arguments
                    .map(|(from, to)| self.source[from..to].trim())
                    .collect();
                match joined(&words, between) {
                    Some(text) => {
                        self.write(&decoded(&text));
                        self.at = end;
                    }
                    None => self.drop_to(end),
                }
            }
            Some(Kept::Name) => {
                let colon = self.source[name..].find(':').unwrap_or(0);
                self.keep(name + colon + 1, borders[0], end, None);
            }
            None => self.drop_to(end),
        }
    }

    fn element(&mut self, element: Element, region: &Region) {
        let end = region.end as usize;
        let [from, to, ..] = region.separators.map(|at| at as usize);
        let content = &self.source[from..to];
        self.steps += content.len();
        match element {
            Element::Literal => self.write(&decoded(content)),
            Element::Code if self.inside.is_empty() => {
                self.writer.begin(BlockKind::Code);
                self.writer.push_lines(&decoded(content));
                self.writer.end_block();
            }
            Element::Code => self.write(&decoded(content)),
            Element::Formula if !content.contains(['\\', '{', '_', '^']) => {
                self.write(&decoded(content));
            }
            _ => self.writer.gap(),
        }
        self.at = end;
    }

    /// A tag whose content is wikitext, or a mere character.
    fn tag(&mut self) {
        let Some(tag) = tag(self.source, self.at) else {
            return self.plain(1);
        };
        self.steps += tag.end - self.at;
        self.at = tag.end;
        match tag.element {
            Element::LineBreak if self.keeps_lines => self.writer.line(),
            Element::LineBreak => self.writer.space(),
            Element::Block | Element::Table => self.break_block(),
            Element::ListItem if !tag.closes && self.inside.is_empty() => {
                self.writer.begin_line(BlockKind::ListItem);
            }
            Element::Poem => {
                self.break_block();
                self.keeps_lines = !tag.closes && !tag.empty;
            }
            _ => {}
        }
    }

    /// Ends the block, unless text is being kept from within a region.
    fn break_block(&mut self) {
        match self.inside.is_empty() {
            true => self.writer.end_block(),
            false => self.writer.space(),
        }
    }

    fn reference(&mut self) {
        match entity(&self.source[self.at..]) {
            Some((text, bytes)) => {
                self.write(&text);
                self.at += bytes;
            }
            None => self.plain(1),
        }
    }

    /// `[https://example.org text]`, of which the text stays.
    fn external(&mut self) {
        let rest = &self.source[self.at + 1..];
        let head = rest.get(..rest.floor_char_boundary(10)).unwrap_or(rest);
        let schemes = ["http:", "https:", "ftp:", "//", "mailto:", "irc:", "news:"];
        let is_link = |scheme: &&str| {
            head.get(..scheme.len())
                .is_some_and(|own| own.eq_ignore_ascii_case(scheme))
        };
        if !schemes.iter().any(is_link) {
            return self.plain(1);
        }
        let address = rest.bytes().position(|byte| {
            matches!(
                byte,
                b' ' | b'\t' | b'\n' | b']' | b'[' | b'<' | b'|' | b'}'
            )
        });
        let address = address.unwrap_or(rest.len());
        self.steps += address;
        self.at += 1 + address;
        self.writer.gap();
        self.line_start = false;
        self.n_external += 1;
    }

    fn bracket(&mut self) {
        if self.bytes.get(self.at + 1) == Some(&b']') && self.n_external == 0 {
            self.at += 2;
        } else if self.n_external > 0 {
            self.n_external -= 1;
            self.at += 1;
        } else {
            self.plain(1);
        }
    }

    /// `__NOTOC__` and its like in any language.
    fn switch(&mut self) {
        let rest = &self.source[self.at..];
        let head = &rest[..rest.floor_char_boundary(64)];
        let name = head
            .strip_prefix("__")
            .and_then(|head| head.split_once("__"));
        match name {
            Some((name, _))
                if name
                    .chars()
                    .all(|own| own == '_' || (own.is_alphabetic() && !own.is_lowercase()))
                    && !name.is_empty() =>
            {
                self.at += name.len() + 4;
            }
            _ => self.plain(1),
        }
    }

    /// `-{zh-hans:计算机; zh-hant:電腦}-`: the first choice stays.
    fn variant(&mut self) {
        let rest = &self.source[self.at..];
        let head = &rest[..rest.floor_char_boundary(MAX_VARIANT_BYTES)];
        let content = head
            .strip_prefix("-{")
            .and_then(|head| head.split_once("}-"));
        let Some((content, _)) =
            content.filter(|(content, _)| !content.contains(['{', '[', '<', '\n']))
        else {
            return self.plain(1);
        };
        let end = self.at + content.len() + 4;
        let (flags, choices) = content.split_once('|').unwrap_or(("", content));
        // Other flags only define what words become elsewhere.
        if flags.trim().is_empty() || matches!(flags.trim(), "A" | "R") {
            let first = choices
                .split(';')
                .find(|own| !own.trim().is_empty())
                .unwrap_or("");
            let word = first
                .split_once(':')
                .filter(|(code, _)| code.trim().starts_with("zh"));
            let word = word.map_or(choices, |(_, word)| word).trim();
            self.write(&decoded(word));
        }
        self.at = end;
    }
}

/// `5`, `km` or `5`, `to`, `10`, `km`; nothing where there is markup in it.
fn joined(words: &[&str], between: &str) -> Option<String> {
    let is_plain = |word: &&&str| word.len() <= 40 && !word.contains(['{', '[', '<', '\n', '\'']);
    let words: Vec<&str> = words.iter().take_while(is_plain).copied().collect();
    match words.as_slice() {
        [
            from,
            "to" | "-" | "–" | "and" | "or" | "by" | "x" | "×",
            to,
            unit,
            ..,
        ] if between == " " => Some(format!("{from} {} {to} {unit}", words[1])),
        [first, second, ..] => Some(format!("{first}{between}{second}")),
        [only] => Some((*only).to_owned()),
        [] => None,
    }
}

/// Bytes at which something may begin or end.
const IS_SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let special = b"{}[]|<&'_\n";
    let mut index = 0;
    while index < special.len() {
        table[special[index] as usize] = true;
        index += 1;
    }
    table
};
