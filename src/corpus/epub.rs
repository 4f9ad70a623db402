//! Books in EPUB: pages of XHTML in an archive, in the order of the book's spine.

use std::{
    collections::HashMap,
    io::{Read, Seek},
};

use super::{
    Document,
    extract::{Extract, one_line},
    html::extract_html,
    xml::{Node, texts, walk},
    zipped::Zipped,
};

/// Chapters that are read.
const MAX_CHAPTERS: usize = 10_000;
/// Subjects that become tags.
const MAX_SUBJECTS: usize = 8;
/// Fonts are garbled by these so that they cannot be copied; the text is not.
const FONT_CIPHERS: [&str; 2] = [
    "http://www.idpf.org/2008/embedding",
    "http://ns.adobe.com/pdf/enc#RC",
];

/// Parses a book; the error is a clause about the file.
pub fn parse(path: &str, reader: impl Read + Seek) -> Result<Document, String> {
    let mut files = Zipped::open(reader)?;
    if is_protected(&files.text("META-INF/encryption.xml")?.unwrap_or_default()) {
        return Err("is protected against copying; get it without protection".to_owned());
    }
    let none = || "holds no book; get a whole copy of it".to_owned();
    let container = files.text("META-INF/container.xml")?.ok_or_else(none)?;
    let package_path = package_path(&container).ok_or_else(none)?;
    let package = Package::read(&package_path, &files.text(&package_path)?.ok_or_else(none)?);
    let names = match &package.contents {
        Some(contents) => names(contents, &files.text(contents)?.unwrap_or_default()),
        None => HashMap::new(),
    };
    let mut extract = Extract::default();
    for chapter in package.chapters.iter().take(MAX_CHAPTERS) {
        let Some(source) = files.text(chapter)? else {
            continue;
        };
        let mut page = Extract::default();
        let title = extract_html(&source, &mut page, false);
        let name = names
            .get(chapter)
            .cloned()
            .or_else(|| page.first_heading())
            .or(title);
        let name = name
            .map(|name| format!("chapter {name}"))
            .unwrap_or_default();
        extract.mark(&name, None);
        extract.append(page, "chapter");
    }
    let mut document = extract.finish(path, package.title);
    document.tags = package.tags;
    Ok(document)
}

/// What the package says of the book.
#[derive(Default)]
struct Package {
    title: Option<String>,
    /// Authors, then subjects.
    tags: Vec<String>,
    /// Paths of the pages in reading order.
    chapters: Vec<String>,
    /// Path of the table of contents.
    contents: Option<String>,
}

impl Package {
    fn read(path: &str, source: &str) -> Self {
        let mut package = Self::default();
        // Path and whether it is a page, by id.
        let mut items: HashMap<String, (String, bool)> = HashMap::new();
        let (mut navigation, mut ncx) = (None, None);
        walk(source, |node| {
            let Node::Start(tag) = node else {
                return;
            };
            match tag.name() {
                "item" => {
                    let of = |name| tag.attribute(name).unwrap_or_default();
                    let (target, kind) = (joined(path, &of("href")), of("media-type"));
                    if of("properties").split(' ').any(|own| own == "nav") {
                        navigation = Some(target.clone());
                    }
                    if kind == "application/x-dtbncx+xml" {
                        ncx = Some(target.clone());
                    }
                    items.insert(of("id"), (target, kind.contains("html")));
                }
                "itemref" if tag.attribute("linear").as_deref() != Some("no") => {
                    let item = tag.attribute("idref").and_then(|id| items.get(&id));
                    // The contents as a page would be read as a list of names without anything behind them.
                    let chapter =
                        item.filter(|(target, page)| *page && Some(target) != navigation.as_ref());
                    package
                        .chapters
                        .extend(chapter.map(|(target, _)| target.clone()));
                }
                _ => {}
            }
        });
        package.contents = navigation.or(ncx);
        let of = |name: &str| {
            let found = texts(source, &[name]).into_iter();
            found.map(|(_, text)| text).collect::<Vec<_>>()
        };
        package.title = of("title").into_iter().next();
        let subjects = of("subject").into_iter().take(MAX_SUBJECTS);
        for tag in of("creator").into_iter().take(MAX_SUBJECTS).chain(subjects) {
            if !package.tags.contains(&tag) {
                package.tags.push(tag);
            }
        }
        package
    }
}

fn package_path(container: &str) -> Option<String> {
    let mut path = None;
    walk(container, |node| {
        if let Node::Start(tag) = node
            && tag.name() == "rootfile"
            && path.is_none()
        {
            path = tag.attribute("full-path");
        }
    });
    path
}

/// True where more than fonts is encrypted.
fn is_protected(source: &str) -> bool {
    let mut protected = false;
    walk(source, |node| {
        if let Node::Start(tag) = node
            && tag.name() == "EncryptionMethod"
        {
            let cipher = tag.attribute("Algorithm").unwrap_or_default();
            protected |= !FONT_CIPHERS.contains(&cipher.as_str());
        }
    });
    protected
}

/// The first name that the table of contents, of either kind, gives each page.
fn names(path: &str, source: &str) -> HashMap<String, String> {
    let mut names: HashMap<String, String> = HashMap::new();
    let (mut label, mut target, mut in_label) = (String::new(), None, false);
    let mut add = |target: &mut Option<String>, label: &mut String| {
        let name = one_line(&std::mem::take(label));
        if let Some(target) = target.take().filter(|_| !name.is_empty()) {
            names.entry(target).or_insert(name);
        }
    };
    walk(source, |node| match node {
        Node::Start(tag) => match tag.name() {
            "navLabel" => (in_label, label) = (true, String::new()),
            "a" => {
                (in_label, label) = (true, String::new());
                target = tag.attribute("href").map(|target| joined(path, &target));
            }
            "content" => {
                target = tag.attribute("src").map(|target| joined(path, &target));
                add(&mut target, &mut label);
            }
            _ => {}
        },
        Node::End("navLabel") => in_label = false,
        Node::End("a") => {
            in_label = false;
            add(&mut target, &mut label);
        }
        Node::Text(text) if in_label => label.push_str(text),
        _ => {}
    });
    names
}

/// What `target` means in the file `from`; it never leads out of the archive, which has no folders above.
fn joined(from: &str, target: &str) -> String {
    let target = target.split('#').next().unwrap_or("");
    let target = super::markdown::percent_decoded(target);
    if target.is_empty() {
        return from.to_owned();
    }
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    super::resolve::joined(folder, &target)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{
        extract::testing::{check_spans, shown},
        zipped::testing::archive,
    };

    const CONTAINER: (&str, &str) = (
        "META-INF/container.xml",
        "<container><rootfiles><rootfile full-path='O/book.opf'/></rootfiles></container>",
    );
    const PACKAGE: &str = "<package><metadata><dc:title>The Book</dc:title><dc:creator>A. Writer</dc:creator></metadata>
        <manifest><item id='a' href='a%20b.xhtml' media-type='application/xhtml+xml'/>
        <item id='c' href='c.xhtml' media-type='application/xhtml+xml'/>
        <item id='n' href='nav.xhtml' properties='nav' media-type='application/xhtml+xml'/>
        <item id='p' href='../../p.png' media-type='image/png'/></manifest>
        <spine><itemref idref='n'/><itemref idref='c'/><itemref idref='a'/><itemref idref='p'/></spine></package>";

    fn check(files: &[(&str, &str)], expected: Result<&str, &str>) {
        let mut all = vec![("mimetype", "application/epub+zip")];
        all.extend(files);
        match (parse("a.epub", Cursor::new(archive(&all))), expected) {
            (Ok(found), Ok(expected)) => {
                check_spans(&found);
                assert_eq!(shown(&found), expected);
            }
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn chapters_come_in_the_order_of_the_spine() {
        check(
            &[
                CONTAINER,
                ("O/book.opf", PACKAGE),
                (
                    "O/nav.xhtml",
                    "<html><nav><a href='c.xhtml#x'>To  sea</a></nav></html>",
                ),
                (
                    "O/c.xhtml",
                    "<html><head><title/><script/></head><body><p>Call me.</p></body></html>",
                ),
                (
                    "O/a b.xhtml",
                    "<html><h2>Two</h2><p>Later.</p><h2>Three</h2><p>Last.</p></html>",
                ),
            ],
            Ok(
                "The Book\n@0 chapter To sea\nParagraph Call me.\n@10 chapter Two\nh2 Two\nParagraph Later.\n@23 chapter Three\nh2 Three\nParagraph Last.\n",
            ),
        );
        check(&[], Err("no book"));
        check(
            &[(
                "META-INF/encryption.xml",
                "<e><enc:EncryptionMethod Algorithm='aes'/></e>",
            )],
            Err("protected"),
        );
    }

    proptest! {
        #[test]
        fn any_damage_keeps_the_spans(
            page in "(<(/?)(p|h1|h2|li|table|td|pre|title)(/?)>|[a é中&<]){0,30}",
            at in 0..4_000usize,
            byte in any::<u8>(),
        ) {
            let mut bytes = archive(&[CONTAINER, ("O/book.opf", PACKAGE), ("O/c.xhtml", &page)]);
            check_spans(&parse("a.epub", Cursor::new(bytes.clone())).unwrap());
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(found) = parse("a.epub", Cursor::new(bytes)) {
                check_spans(&found);
            }
        }
    }
}
