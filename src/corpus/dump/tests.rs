//! Dumps as they come: compressed or not, whole or cut off.

use std::io::{Cursor, Write};

use bzip2::{Compression, write::BzEncoder};
use flate2::write::GzEncoder;

use super::*;
use crate::corpus::{open, scan};

const HEADER: &str = r#"<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ltg">
  <siteinfo><sitename>Vikipedeja</sitename><namespaces>
    <namespace key="0" case="first-letter" />
    <namespace key="6" case="first-letter">Fails</namespace>
    <namespace key="14" case="first-letter">Kategoreja</namespace>
  </namespaces></siteinfo>
"#;
const FOOTER: &str = "</mediawiki>\n";

/// A page; its text is escaped here.
fn page(title: &str, namespace: i32, redirect: Option<&str>, text: &str) -> String {
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let redirect = redirect.map(|target| format!("<redirect title=\"{}\" />", escaped(target)));
    format!(
        "  <page>\n    <title>{}</title><ns>{namespace}</ns><id>1</id>{}\n    <revision><id>2</id>\
         <contributor><username>A</username></contributor><model>wikitext</model>\
         <text bytes=\"1\" xml:space=\"preserve\">{}</text></revision>\n  </page>\n",
        escaped(title),
        redirect.unwrap_or_default(),
        escaped(text),
    )
}

fn dump(pages: &[String]) -> String {
    format!("{HEADER}{}{FOOTER}", pages.concat())
}

fn pages() -> Vec<String> {
    vec![
        page("Riga", 0, Some("Reiga"), "#REDIRECT [[Reiga]]"),
        page(
            "Reiga",
            0,
            None,
            "'''Reiga''' ir [[Latveja|Latvejis]] golvyspiļsāta.\n[[Fails:A.jpg|thumb]]\n[[Kategoreja:Piļsātys]]",
        ),
        page("Rīga & co", 0, Some("Reiga"), "#REDIRECT [[Reiga]]"),
        page("Kategoreja:Piļsātys", 14, None, "Vysys piļsātys."),
        page("Talk", 1, None, "Not an article."),
        page("Empty", 0, None, "{{only|a|template}}"),
        page("A/B & C", 0, None, "a < b"),
    ]
}

/// What is read, a line each: `path [aliases] [tags] text`, or `path: reason`.
fn told(documents: Documents) -> Vec<String> {
    let line = |item: Result<Document, Skipped>| match item {
        Ok(document) => format!(
            "{} {:?} {:?} {}",
            document.path, document.aliases, document.tags, document.text
        ),
        Err(skipped) => format!("{}: {}", skipped.path, skipped.reason),
    };
    documents.map(line).collect()
}

fn in_file(name: &str, bytes: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), bytes).expect("writes");
    let (files, _) = scan(&folder.path().join(name)).expect("scans");
    told(open(&files[0]))
}

fn bzip2(parts: &[&str]) -> Vec<u8> {
    let streams = parts.iter().map(|part| {
        let mut encoder = BzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part.as_bytes()).expect("writes");
        encoder.finish().expect("ends")
    });
    streams.collect::<Vec<_>>().concat()
}

fn gzip(part: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(part.as_bytes()).expect("writes");
    encoder.finish().expect("ends")
}

fn zstandard(part: &str) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(part.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
}

const READ: [&str; 3] = [
    "Reiga [\"Riga\", \"Rīga & co\"] [\"Piļsātys\"] Reiga ir Latvejis golvyspiļsāta.",
    "Empty: has no text outside of templates and tables",
    "A/B & C [] [] a < b",
];

#[test]
fn dumps_are_read_however_they_are_packed() {
    let own = dump(&pages());
    let (head, tail) = own.split_at(own.find("<page>").expect("has pages"));
    let skippable = [
        &[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3],
        zstandard(&own).as_slice(),
    ]
    .concat();
    for (name, bytes) in [
        ("a.xml", own.clone().into_bytes()),
        ("a.xml.bz2", bzip2(&[&own])),
        ("a-multistream.xml.bz2", bzip2(&[head, tail])),
        ("a1.xml-p1p41242.bz2", bzip2(&[&own])),
        ("a.xml.gz", gzip(&own)),
        ("a.xml.zst", zstandard(&own)),
        (
            "frames.xml.zst",
            [zstandard(head), zstandard(tail)].concat(),
        ),
        ("skippable.xml.zst", skippable),
        ("without-ending", bzip2(&[&own])),
    ] {
        let expected: Vec<String> = READ.iter().map(|line| format!("{name}/{line}")).collect();
        assert_eq!(in_file(name, &bytes), expected, "{name}");
    }
}

#[test]
fn marks_and_links_lead_to_the_article() {
    let documents = open_dump(Cursor::new(dump(&pages())), "d");
    let document = documents.flatten().next().expect("an article");
    let mark = Mark {
        start: 0,
        name: "Reiga".to_owned(),
        line: None,
    };
    assert_eq!(document.origin, Origin::Extracted(vec![mark]));
    assert_eq!(document.links[0].target, "Latveja");
    assert_eq!(&document.text[document.links[0].span.clone()], "Latvejis");
}

#[track_caller]
fn check(bytes: impl Into<Vec<u8>>, expected: &[&str]) {
    let bytes: Vec<u8> = bytes.into();
    assert_eq!(told(open_dump(Cursor::new(bytes), "d")), expected);
}

#[test]
fn bad_pages_are_told_and_the_rest_is_read() {
    let (first, last) = (page("A", 0, None, "First."), page("B", 0, None, "Last."));
    let read = ["d/A [] [] First.", "d/B [] [] Last."];
    let between = |middle: &str| dump(&[first.clone(), middle.to_owned(), last.clone()]);
    let check_between =
        |reason: &str, middle: &str| check(between(middle), &[read[0], reason, read[1]]);
    check_between(
        "d/A: comes twice in the dump; the first one is read",
        &first,
    );
    check_between(
        "d/Bad: breaks off before its end; download the dump again",
        "<page><title>Bad</title><ns>0</ns><revision><text>a",
    );
    check_between(
        "d/Bad: has text that does not end; download the dump again",
        "<page><title>Bad</title><ns>0</ns><revision><text>a</page>",
    );
    check_between(
        "d/Data: is not wikitext but json, which is not read",
        &page("Data", 0, None, "{}").replace("wikitext", "json"),
    );
    let huge = page("Huge", 0, None, &"word ".repeat(1 << 20));
    check_between("d/Huge: is larger than 4 MB; split it into articles", &huge);
    let vast = page("Vast", 0, None, &"word ".repeat(2 << 20));
    check_between("d/Vast: is larger than 8 MB; cut it into pages", &vast);
    let mut bytes =
        between("<page><title>Bad</title><ns>0</ns><revision><text>\u{1}</text></page>")
            .into_bytes();
    let at = bytes.iter().position(|byte| *byte == 1).expect("is there");
    bytes[at] = 0xff;
    let found = told(open_dump(Cursor::new(bytes), "d"));
    assert_eq!((found[0].as_str(), found[2].as_str()), (read[0], read[1]));
    assert!(
        found[1].starts_with("d/Bad: is not valid UTF-8"),
        "{}",
        found[1]
    );
}

#[test]
fn what_breaks_off_is_told_once() {
    let own = dump(&[page("A", 0, None, "First."), page("B", 0, None, "Last.")]);
    let cut =
        "d: breaks off after 1 articles, which are kept (the end is missing); download it again";
    check(&own[..own.len() - 40], &["d/A [] [] First.", cut]);
    let packed = bzip2(&[&own]);
    let found = told(open_dump(
        Cursor::new(packed[..packed.len() - 20].to_vec()),
        "d",
    ));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("d: "), "{}", found[0]);
    check(
        "<rss></rss>",
        &["d: is not a MediaWiki dump; other XML is not read"],
    );
    check("", &["d: is not a MediaWiki dump; other XML is not read"]);
}

#[test]
fn a_stream_tells_of_redirects_that_come_late() {
    let found = told(open_dump(Cursor::new(dump(&pages())), "d"));
    assert_eq!(
        found[0],
        "d/Reiga [\"Riga\"] [\"Piļsātys\"] Reiga ir Latvejis golvyspiļsāta."
    );
    let expected = "d: has 1 redirects behind the article they lead to";
    assert!(found[3].starts_with(expected), "{}", found[3]);
}

#[test]
fn old_exports_do_not_say_what_a_page_is() {
    let text = "<page><title>A</title><revision><text>First.</text></revision></page>\
                <page><title>Kategoreja:B</title><revision><text>None.</text></revision></page>\
                <page><title>C</title><revision><text>#redirect [[D_e|f]]</text></revision></page>\
                <page><title>D e</title><revision><text>Old.</text></revision><revision><text>New.</text></revision></page>";
    check(
        dump(&[text.to_owned()]),
        &["d/A [] [] First.", "d/D e [\"C\"] [] New."],
    );
}

#[test]
fn names_of_dumps_are_known() {
    let check =
        |name: &str, expected: bool| assert_eq!(is_named_like_one(name), expected, "{name}");
    check("enwiki-latest-pages-articles.xml.bz2", true);
    check("enwiki-latest-pages-articles1.xml-p1p41242.bz2", true);
    check("LTGWIKI.XML.GZ", true);
    check("a.xml.zst", true);
    check("a.xml", false);
    check("a.tar.gz", false);
    check("notes.bz2", false);
    check("a.xml.md", false);
}
