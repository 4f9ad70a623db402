//! How fast dumps become documents and word pieces, on one core.
//!
//! `cargo bench --bench parsing -- DUMP…` gives megabytes of XML a second: decompressing, parsing what is decompressed
//! beside a plain XML reader that only walks over it, and cutting into passages beside the tokenizer alone. With
//! `--print N` it prints every Nth article instead, which shows what is left of its markup.

#[path = "support.rs"]
mod support;

use std::{
    convert::Infallible,
    fs::File,
    io::{BufReader, Cursor, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use quick_xml::events::Event;
use shas::{
    corpus::{self, Document, ScannedFile, Skipped},
    model::config::LAYOUT,
    text::{Tokenizer, layout},
};
use support::{Result, median, project, seconds};

const RUNS: usize = 3;
/// Text that is cut into passages beside the tokenizer.
const CUT_BYTES: usize = 2 << 20;
/// Text after which parsing and cutting stops.
const MAX_TEXT_BYTES: usize = 16 << 20;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|own| own != "--bench");
    let (mut dumps, mut every) = (Vec::new(), None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--print" => every = arguments.next().map(|own| own.parse()).transpose()?,
            path => dumps.push(PathBuf::from(path)),
        }
    }
    if dumps.is_empty() {
        println!("give one dump or more: cargo bench --bench parsing -- DUMP");
    }
    let tokenizer = Tokenizer::from_file(&project().join("assets/model/tokenizer.json"))?;
    for dump in dumps {
        match every {
            Some(every) => print(&dump, every)?,
            None => measure(&dump, &tokenizer)?,
        }
    }
    Ok(())
}

fn measure(dump: &Path, tokenizer: &Tokenizer) -> Result<()> {
    let file = scanned(dump)?;
    let mut xml = Vec::new();
    let decompression = speed(0, || -> Result<usize> {
        xml = decompressed(dump)?;
        Ok(xml.len())
    })?;
    let megabytes = xml.len() as f64 / 1e6;
    println!("{}: {megabytes:.1} MB of XML", file.path);
    count(&file);
    println!("  decompressing            {decompression:8.1} MB/s");
    let walking = speed(xml.len(), || walk(&xml))?;
    let mut documents = Vec::new();
    let parsing = speed(xml.len(), || {
        documents = corpus::open_dump(Cursor::new(xml.clone()), &file.path)
            .filter_map(std::result::Result::ok)
            .collect();
        Ok(0)
    })?;
    println!("  walking over XML events  {walking:8.1} MB/s");
    println!(
        "  parsing into documents   {parsing:8.1} MB/s, {:.2} of walking",
        parsing / walking
    );
    tokenise(&documents, tokenizer)?;
    let whole = parse_and_cut(xml, tokenizer)?;
    println!("  parsing and cutting      {whole:8.1} MB/s of XML");
    Ok(())
}

/// Cutting into passages beside the tokenizer alone, on the first documents.
fn tokenise(documents: &[Document], tokenizer: &Tokenizer) -> Result<()> {
    let mut bytes = 0;
    let some = documents.iter().take_while(|document| {
        bytes += document.text.len();
        bytes <= CUT_BYTES
    });
    let some: Vec<&Document> = some.collect();
    let bytes: usize = some.iter().map(|document| document.text.len()).sum();
    let tokenising = speed(bytes, || {
        for document in &some {
            tokenizer.tokenize(&document.text)?;
        }
        Ok(0)
    })?;
    let cutting = speed(bytes, || {
        for document in &some {
            layout(document, tokenizer, &LAYOUT)?;
        }
        Ok(0)
    })?;
    println!("  tokenising alone         {tokenising:8.1} MB/s of text");
    println!(
        "  cutting into passages    {cutting:8.1} MB/s of text, {:.2} of tokenising",
        cutting / tokenising
    );
    Ok(())
}

/// Parses and cuts page by page; stops after enough text.
fn parse_and_cut(xml: Vec<u8>, tokenizer: &Tokenizer) -> Result<f64> {
    speed(0, || {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Counted {
            xml: Cursor::new(xml.clone()),
            read: Arc::clone(&read),
        };
        let mut bytes = 0;
        for document in corpus::open_dump(counted, "dump").flatten() {
            layout(&document, tokenizer, &LAYOUT)?;
            bytes += document.text.len();
            if bytes > MAX_TEXT_BYTES {
                break;
            }
        }
        Ok(read.load(Ordering::Relaxed))
    })
}

/// Counts the bytes that are read.
struct Counted {
    xml: Cursor<Vec<u8>>,
    read: Arc<AtomicUsize>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.xml.read(buffer)?;
        self.read.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }
}

/// Megabytes a second of `work` over `bytes`, or over as many as it gives.
fn speed(bytes: usize, mut work: impl FnMut() -> Result<usize>) -> Result<f64> {
    let mut speeds = Vec::new();
    for _ in 0..RUNS {
        let mut given = Ok(bytes);
        let took = seconds(|| -> std::result::Result<(), Infallible> {
            given = work();
            Ok(())
        })?;
        speeds.push(given?.max(bytes) as f64 / 1e6 / took);
    }
    Ok(median(speeds))
}

fn decompressed(dump: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    corpus::decompressed(File::open(dump)?)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The baseline: an XML reader that goes over all events.
fn walk(xml: &[u8]) -> Result<usize> {
    let mut reader = quick_xml::Reader::from_reader(BufReader::new(xml));
    let mut buffer = Vec::new();
    let mut bytes = 0;
    loop {
        match reader.read_event_into(&mut buffer)? {
            Event::Eof => return Ok(bytes.min(xml.len())),
            Event::Text(text) => bytes += text.len(),
            _ => {}
        }
        buffer.clear();
    }
}

fn count(file: &ScannedFile) {
    let (mut n_articles, mut n_aliases, mut n_links) = (0, 0, 0);
    let mut skipped: Vec<Skipped> = Vec::new();
    for item in corpus::open(file) {
        match item {
            Ok(document) => {
                n_articles += 1;
                n_aliases += document.aliases.len();
                n_links += document.links.len();
            }
            Err(reason) => skipped.push(reason),
        }
    }
    println!(
        "  {n_articles} articles, {n_aliases} aliases, {n_links} links, {} left out",
        skipped.len()
    );
    for skipped in skipped.iter().take(5) {
        println!("    {}: {}", skipped.path, skipped.reason);
    }
}

fn print(dump: &Path, every: usize) -> Result<()> {
    let file = scanned(dump)?;
    for document in corpus::open(&file).flatten().step_by(every.max(1)) {
        println!(
            "=== {} {:?} {:?}",
            document.path, document.aliases, document.tags
        );
        println!("{}", document.text);
    }
    Ok(())
}

fn scanned(dump: &Path) -> Result<ScannedFile> {
    let (files, _) = corpus::scan(dump)?;
    Ok(files.into_iter().next().ok_or("the dump is no file")?)
}
