//! What is in an encyclopaedia? Here is a MediaWiki dump, gimme its articles as [`Document`]s.
//!
//! Redirects are aliases of the article they lead to. They stand before or after it, so a file is read twice: first
//! for its redirects, which are kept packed, then for its articles. A stream is read once; of a redirect that comes
//! behind its article it is only told how many there were.

mod archive;
mod namespaces;
mod pages;
mod redirects;
mod wikitext;

use std::{
    collections::HashSet,
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

pub use archive::decompressed;

use self::{
    namespaces::{Namespace, Namespaces},
    pages::{Next, Page, PageReader},
    redirects::{Redirects, title_hash},
};
use super::{
    Document, Mark, Origin, Skipped,
    open::Documents,
    walk::{ScannedFile, unreadable},
};

/// Twice what MediaWiki takes.
const MAX_TEXT_BYTES: usize = 4 << 20;
/// Bad pages in a row after which there is no use in going on.
const MAX_BAD_PAGES: usize = 1_000;
/// So much of a file tells whether it is a dump.
const HEAD_BYTES: u64 = 1 << 10;
/// How a redirect begins where the export does not mark it.
const REDIRECT: &str = "#redirect";

/// Reads a dump, compressed or not.
pub(super) fn open(file: &ScannedFile) -> Documents {
    let path = file.path.clone();
    let source = match archive::open(&file.absolute) {
        Ok(source) => source,
        Err(error) => return one(unreadable(path, &error)),
    };
    match PageReader::new(source) {
        Ok(reader) => {
            let mut articles = Articles::new(path, reader);
            articles.shelf.modified = file.modified;
            articles.first_pass = Some(file.absolute.clone());
            Box::new(articles)
        }
        Err(reason) => one(skipped(path, reason)),
    }
}

/// Reads a dump from a stream, compressed or not; `name` stands for its path.
pub fn open_dump(reader: impl Read + Send + 'static, name: &str) -> Documents {
    let source = archive::decompressed(reader).map_err(|error| unreadable(name.to_owned(), &error));
    let articles = source.and_then(|source| {
        let reader = PageReader::new(source).map_err(|reason| skipped(name.to_owned(), reason))?;
        Ok(Articles::new(name.to_owned(), reader))
    });
    match articles {
        Ok(articles) => Box::new(articles),
        Err(skipped) => one(skipped),
    }
}

/// True for a compressed `.xml`, also as `pages-articles1.xml-p1p41242.bz2`; of other files the content tells.
pub(super) fn is_named_like_one(name: &str) -> bool {
    let name = name.to_lowercase();
    let mut endings = [".bz2", ".gz", ".zst"].into_iter();
    let name = endings.find_map(|ending| name.strip_suffix(ending));
    name.is_some_and(|name| name.ends_with(".xml") || name.contains(".xml-"))
}

/// True for a file that is a dump whatever its name, compressed or not.
pub(super) fn begins_like_one(path: &Path) -> bool {
    let head = archive::open(path).map(|source| source.take(HEAD_BYTES));
    let mut bytes = Vec::new();
    // What is broken further on may still begin well.
    let _ = head.and_then(|mut head| head.read_to_end(&mut bytes));
    memchr::memmem::find(&bytes, b"<mediawiki").is_some()
}

/// The pages of a dump in its order.
struct Articles {
    reader: PageReader,
    shelf: Shelf,
    /// The file that is still to be read for its redirects.
    first_pass: Option<PathBuf>,
    n_bad: usize,
    ended: bool,
    /// What is told at the end.
    last_words: Vec<Skipped>,
}

/// What is known of the dump besides the page that is being read.
struct Shelf {
    path: String,
    modified: Option<SystemTime>,
    redirects: Redirects,
    /// True where all redirects were read before.
    knows_redirects: bool,
    /// Redirects that came behind their article.
    n_late: usize,
    /// Titles of the articles so far.
    seen: HashSet<u64>,
}

impl Articles {
    fn new(path: String, reader: PageReader) -> Self {
        Self {
            reader,
            shelf: Shelf {
                path,
                modified: None,
                redirects: Redirects::default(),
                knows_redirects: false,
                n_late: 0,
                seen: HashSet::new(),
            },
            first_pass: None,
            n_bad: 0,
            ended: false,
            last_words: Vec::new(),
        }
    }

    /// What the next page gives; nothing where it is no article.
    fn next_page(&mut self) -> Option<Result<Document, Skipped>> {
        let (title, reason) = match self.reader.advance() {
            Next::Page(range) => {
                let bytes = self.reader.bytes(range);
                match Page::parse(bytes) {
                    Ok(page) => {
                        self.n_bad = 0;
                        return self.shelf.article(&page, &self.reader.namespaces);
                    }
                    Err(reason) => (pages::title(bytes), reason),
                }
            }
            Next::Bad { title, reason } => (title, reason),
            Next::Cut(reason) => {
                self.ended = true;
                let n_read = self.shelf.seen.len();
                let reason = format!(
                    "breaks off after {n_read} articles, which are kept ({reason}); download it again"
                );
                return Some(Err(failed(self.shelf.path.clone(), reason)));
            }
            Next::End => {
                self.ended = true;
                return None;
            }
        };
        self.n_bad += 1;
        if self.n_bad >= MAX_BAD_PAGES {
            self.ended = true;
            let reason = format!("has {MAX_BAD_PAGES} bad pages in a row; the rest is not read");
            self.last_words
                .push(failed(self.shelf.path.clone(), reason));
        }
        let path = match title.as_str() {
            "" => self.shelf.path.clone(),
            title => format!("{}/{title}", self.shelf.path),
        };
        Some(Err(failed(path, reason)))
    }

    /// What is told once all pages are read.
    fn last_word(&mut self) -> Option<Skipped> {
        let n_late = std::mem::take(&mut self.shelf.n_late);
        let n_left_out = std::mem::take(&mut self.shelf.redirects.n_left_out);
        if n_late > 0 {
            let reason = format!(
                "has {n_late} redirects behind the article they lead to, which are no aliases in a stream; \
                 give the dump as a file"
            );
            self.last_words
                .push(skipped(self.shelf.path.clone(), reason));
        }
        if n_left_out > 0 {
            let reason =
                format!("has {n_left_out} redirects more than are kept; they are no aliases");
            self.last_words
                .push(skipped(self.shelf.path.clone(), reason));
        }
        self.last_words.pop()
    }
}

impl Iterator for Articles {
    type Item = Result<Document, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(file) = self.first_pass.take() {
            self.shelf.redirects = redirects_of(&file);
            self.shelf.knows_redirects = true;
        }
        while !self.ended {
            if let Some(item) = self.next_page() {
                return Some(item);
            }
        }
        self.last_word().map(Err)
    }
}

impl Shelf {
    /// The article on a page; nothing where it is none.
    fn article(
        &mut self,
        page: &Page,
        namespaces: &Namespaces,
    ) -> Option<Result<Document, Skipped>> {
        if !is_article(page, namespaces) {
            return None;
        }
        if let Some(target) = redirect(page) {
            if !self.knows_redirects {
                self.n_late += usize::from(self.seen.contains(&title_hash(&target)));
                self.redirects.insert(&page.title, &target);
            }
            return None;
        }
        let path = format!("{}/{}", self.path, page.title);
        let skip = |reason: String| Some(Err(skipped(path.clone(), reason)));
        if !self.seen.insert(title_hash(&page.title)) {
            return skip("comes twice in the dump; the first one is read".to_owned());
        }
        if let Some(model) = page.model.as_deref().filter(|model| *model != "wikitext") {
            return skip(format!("is not wikitext but {model}, which is not read"));
        }
        if page.text.len() > MAX_TEXT_BYTES {
            let most = MAX_TEXT_BYTES >> 20;
            return skip(format!("is larger than {most} MB; split it into articles"));
        }
        let stripped = wikitext::strip(&page.text, namespaces);
        if stripped.blocks.is_empty() {
            return skip("has no text outside of templates and tables".to_owned());
        }
        Some(Ok(Document {
            path,
            title: page.title.clone(),
            aliases: self.redirects.aliases(&page.title),
            tags: stripped.tags,
            text: stripped.text,
            origin: Origin::Extracted(vec![Mark {
                start: 0,
                name: page.title.clone(),
                line: None,
            }]),
            blocks: stripped.blocks,
            links: stripped.links,
            records: Vec::new(),
            modified: self.modified,
        }))
    }
}

/// The redirects of a file; what is wrong with it is told when its articles are read.
fn redirects_of(file: &Path) -> Redirects {
    let mut redirects = Redirects::default();
    let reader = archive::open(file).ok().map(PageReader::new);
    let Some(Ok(mut reader)) = reader else {
        return redirects;
    };
    loop {
        match reader.advance() {
            Next::Page(range) => {
                let page = Page::parse(reader.bytes(range));
                if let Ok(page) = page
                    && is_article(&page, &reader.namespaces)
                    && let Some(target) = redirect(&page)
                {
                    redirects.insert(&page.title, &target);
                }
            }
            Next::Bad { .. } => {}
            Next::Cut(_) | Next::End => return redirects,
        }
    }
}

fn is_article(page: &Page, namespaces: &Namespaces) -> bool {
    let is_article = match page.namespace {
        Some(number) => number == 0,
        None => namespaces.of(&page.title) == Namespace::Article,
    };
    is_article && !page.title.is_empty()
}

/// The title that a page redirects to.
fn redirect(page: &Page) -> Option<String> {
    match &page.redirect {
        Some(title) if !title.is_empty() => Some(title.clone()),
        Some(_) => Some(wikitext::first_target(&page.text).unwrap_or_default()),
        None => {
            let text = page.text.trim_start();
            let word = text.get(..REDIRECT.len())?;
            let is_one = word.eq_ignore_ascii_case(REDIRECT);
            is_one.then(|| wikitext::first_target(text))?
        }
    }
}

fn one(skipped: Skipped) -> Documents {
    Box::new(std::iter::once(Err(skipped)))
}

fn skipped(path: String, reason: String) -> Skipped {
    let failed = false;
    Skipped {
        path,
        reason,
        failed,
    }
}

fn failed(path: String, reason: String) -> Skipped {
    let failed = true;
    Skipped {
        path,
        reason,
        failed,
    }
}

#[cfg(test)]
mod tests;
