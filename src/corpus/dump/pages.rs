//! The pages of a MediaWiki export, one at a time, and what the XML of a page says.
//!
//! The stream is cut at `<page>` and `</page>`, which text cannot hold unescaped, before it is parsed as XML. So one
//! page is in memory at a time, and a bad one does not spoil the next.

use std::{borrow::Cow, fmt::Display, io::Read, ops::Range};

use memchr::memmem;
use quick_xml::{
    Reader,
    escape::unescape,
    events::{BytesStart, Event},
};

use super::{archive::Source, namespaces::Namespaces};

/// MediaWiki takes 2 MB of text by default; escaped, and with what goes with it, this is ample.
const MAX_PAGE_BYTES: usize = 8 << 20;
/// `<siteinfo>` ends before.
const MAX_HEADER_BYTES: usize = 1 << 20;
/// Read at once from the source.
const CHUNK_BYTES: usize = 256 << 10;
const OPENS: &[u8] = b"<page>";
const CLOSES: &[u8] = b"</page>";

/// Cuts a stream into pages.
pub(super) struct PageReader {
    source: Source,
    buffer: Vec<u8>,
    /// What lies before is done with.
    start: usize,
    failure: Option<std::io::Error>,
    pub namespaces: Namespaces,
}

/// What comes next in a stream.
pub(super) enum Next {
    /// A page's bytes, from `<page>` to `</page>`.
    Page(Range<usize>),
    /// A page that is left out: its title, as far as it is known, and why.
    Bad {
        title: String,
        reason: String,
    },
    /// The stream breaks off; why.
    Cut(String),
    End,
}

/// What a page says of itself.
#[derive(Debug, Default)]
pub(super) struct Page<'a> {
    pub title: String,
    /// Number of its namespace; old exports do not say.
    pub namespace: Option<i32>,
    /// The title it redirects to; empty where the export does not say.
    pub redirect: Option<String>,
    /// The kind of its content; `wikitext`, where none is given.
    pub model: Option<String>,
    /// Of the last revision.
    pub text: Cow<'a, str>,
}

impl PageReader {
    /// Reads up to the first page.
    ///
    /// # Errors
    /// When this is no export; a clause that continues its path.
    pub fn new(source: Source) -> Result<Self, String> {
        let mut reader = Self {
            source,
            buffer: Vec::new(),
            start: 0,
            failure: None,
            namespaces: Namespaces::default(),
        };
        let mut scanned = 0;
        let end = loop {
            if let Some(at) = reader.find(OPENS, scanned) {
                break at;
            }
            scanned = reader.buffer.len().saturating_sub(OPENS.len());
            let ended = !reader
                .fill()
                .map_err(|error| format!("cannot be read: {error}"))?;
            if ended || reader.buffer.len() > MAX_HEADER_BYTES {
                break reader.buffer.len();
            }
        };
        let header = &reader.buffer[..end];
        if memmem::find(header, b"<mediawiki").is_none() {
            return Err("is not a MediaWiki dump; other XML is not read".to_owned());
        }
        reader.namespaces = namespaces(header);
        reader.start = end;
        Ok(reader)
    }

    /// The bytes of a range that [`PageReader::advance`] gave last.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// The next page.
    pub fn advance(&mut self) -> Next {
        let mut scanned = self.start;
        loop {
            if let Some(end) = self.find(CLOSES, scanned) {
                return self.page(end);
            }
            if self.buffer.len() - self.start > MAX_PAGE_BYTES {
                return self.oversized();
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            scanned = self.buffer.len().saturating_sub(CLOSES.len() - 1);
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return self.rest(),
                Err(error) => return Next::Cut(error.to_string()),
            }
        }
    }

    /// The page that closes at `end`; one that another opens within breaks off before that.
    fn page(&mut self, end: usize) -> Next {
        let range = self.start..end;
        self.start = end + CLOSES.len();
        let bytes = &self.buffer[range.clone()];
        let Some(first) = memmem::find(bytes, OPENS) else {
            return Next::Bad {
                title: String::new(),
                reason: "has a page that ends without beginning; the rest is read".to_owned(),
            };
        };
        let second = memmem::find(&bytes[first + OPENS.len()..], OPENS);
        if let Some(second) = second {
            let within = first + OPENS.len() + second;
            self.start = range.start + within;
            return Next::Bad {
                title: title(&bytes[first..within]),
                reason: "breaks off before its end; download the dump again".to_owned(),
            };
        }
        Next::Page(range.start + first..end + CLOSES.len())
    }

    /// Passes over a page that is too large.
    fn oversized(&mut self) -> Next {
        let title = title(&self.buffer[self.start..self.start + MAX_PAGE_BYTES]);
        loop {
            if let Some(end) = self.find(CLOSES, self.start) {
                self.start = end + CLOSES.len();
                break;
            }
            let kept = self.buffer.len().saturating_sub(CLOSES.len());
            self.buffer.drain(..kept);
            self.start = 0;
            match self.fill() {
                Ok(true) => {}
                // The next call reports that the stream breaks off.
                Ok(false) | Err(_) => break,
            }
        }
        Next::Bad {
            title,
            reason: format!(
                "is larger than {} MB; cut it into pages",
                MAX_PAGE_BYTES >> 20
            ),
        }
    }

    /// What follows the last page.
    fn rest(&mut self) -> Next {
        let rest = &self.buffer[self.start..];
        if memmem::find(rest, b"</mediawiki>").is_some() {
            return Next::End;
        }
        Next::Cut("the end is missing".to_owned())
    }

    fn find(&self, needle: &[u8], from: usize) -> Option<usize> {
        memmem::find(&self.buffer[from..], needle).map(|at| from + at)
    }

    /// Reads on; false at the end. What came before an error is kept, and the error is told next time.
    fn fill(&mut self) -> std::io::Result<bool> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let before = self.buffer.len();
        let chunk = &mut self.source.by_ref().take(CHUNK_BYTES as u64);
        self.failure = chunk.read_to_end(&mut self.buffer).err();
        match self.failure.take_if(|_| self.buffer.len() == before) {
            Some(error) => Err(error),
            None => Ok(self.buffer.len() > before),
        }
    }
}

/// The names in `<siteinfo>`.
fn namespaces(header: &[u8]) -> Namespaces {
    let mut namespaces = Namespaces::default();
    let header = String::from_utf8_lossy(header);
    let mut reader = lenient(&header);
    let mut number = None;
    let mut name = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) if element.local_name().as_ref() == "namespace" => {
                number = attribute(&element, "key").and_then(|key| key.parse().ok());
                name.clear();
            }
            Ok(Event::End(_)) => {
                if let Some(number) = number.take() {
                    namespaces.insert(number, &name);
                }
            }
            Ok(Event::Eof) | Err(_) => return namespaces,
            Ok(event) => push_text(&mut name, &event),
        }
    }
}

impl<'a> Page<'a> {
    /// Parses what lies between `<page>` and `</page>`.
    ///
    /// # Errors
    /// When it is no page; a clause that continues its title.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let mut xml = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            format!(
                "is not valid UTF-8 (first bad byte of the page at {at}); download the dump again"
            )
        })?;
        let mut page = Self::default();
        'parts: loop {
            let mut reader = lenient(xml);
            let mut value = String::new();
            loop {
                let event = reader.read_event().map_err(bad_xml)?;
                match event {
                    Event::Start(element) if element.local_name().as_ref() == "text" => {
                        let rest = &xml[reader.buffer_position() as usize..];
                        let end = memmem::find(rest.as_bytes(), b"</text>")
                            .ok_or("has text that does not end; download the dump again")?;
                        page.text = unescape(&rest[..end]).map_err(bad_xml)?;
                        // Its thousands of escapes need not be events.
                        xml = &rest[end + "</text>".len()..];
                        continue 'parts;
                    }
                    Event::Start(element) => {
                        value.clear();
                        page.note(&element);
                    }
                    Event::Empty(element) => page.note(&element),
                    Event::End(element) => page.set(element.local_name().as_ref(), &mut value),
                    Event::Eof => return Ok(page),
                    event => push_text(&mut value, &event),
                }
            }
        }
    }

    fn note(&mut self, element: &BytesStart) {
        match element.local_name().as_ref() {
            "redirect" => self.redirect = Some(attribute(element, "title").unwrap_or_default()),
            "text" => self.text = Cow::Borrowed(""),
            _ => {}
        }
    }

    fn set(&mut self, name: &str, value: &mut String) {
        let value = std::mem::take(value);
        match name {
            "title" if self.title.is_empty() => self.title = value.trim().to_owned(),
            "ns" => self.namespace = value.trim().parse().ok(),
            "model" => self.model = Some(value.trim().to_owned()),
            _ => {}
        }
    }
}

/// The title in the bytes of a page, as far as there is one.
pub(super) fn title(bytes: &[u8]) -> String {
    let find = |needle: &[u8]| memmem::find(bytes, needle);
    let (Some(start), Some(end)) = (find(b"<title>"), find(b"</title>")) else {
        return String::new();
    };
    let raw = bytes.get(start + b"<title>".len()..end).unwrap_or_default();
    let raw = String::from_utf8_lossy(&raw[..raw.len().min(1 << 10)]).into_owned();
    unescape(&raw).map_or(raw.clone(), Cow::into_owned)
}

fn lenient(xml: &str) -> Reader<&[u8]> {
    let mut reader = Reader::from_str(xml);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    reader
}

fn bad_xml(error: impl Display) -> String {
    format!("is not XML ({error}); download the dump again")
}

fn attribute(element: &BytesStart, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok().flatten()?;
    Some(unescape(&attribute.value).ok()?.into_owned())
}

/// Appends what an event says in words.
fn push_text(value: &mut String, event: &Event) {
    match event {
        Event::Text(text) => value.push_str(text),
        Event::CData(text) => value.push_str(text),
        Event::GeneralRef(name) => {
            let escape = format!("&{};", &**name);
            value.push_str(&unescape(&escape).unwrap_or_default());
        }
        _ => {}
    }
}
