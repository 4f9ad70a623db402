//! What indexing a large dump takes, all but the model: time, memory and disk of each stage of the write path.
//!
//! `cargo bench --bench ingest [-- PASSAGES [FOLDER]]` makes a dump of so many passages (100,000) in FOLDER (a temporary
//! one), indexes it with a **stand-in for the encoder** that makes vectors and keys out of hashes, publishes it, and
//! looks for changes where there are none. The tree is left out. Memory is the most that was resident in a stage, and of
//! that the share that is not files mapped into memory, which the system takes back when it needs to.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    error::Error,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use shas::{
    corpus,
    ingest::{self, Event, IndexOptions, IngestError, Outcome},
    model::{ModelError, PassageEncoder, PassageEncoding, PassageInput},
    ops::{
        granule_keys::{GranuleKeys, KEY_DIMENSIONS},
        similarity::normalise,
    },
    store::{Snapshot, StoreWriter},
    text::Tokenizer,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PASSAGES: usize = 100_000;
/// A lead and sections, each with a paragraph that is one passage.
const PASSAGES_OF_AN_ARTICLE: usize = 4;
const SENTENCES_OF_A_PASSAGE: usize = 5;
const WORDS_OF_A_SENTENCE: usize = 13;
const LINKS_OF_A_PASSAGE: usize = 3;

const DIMENSIONS: usize = 384;
const TOKENS_OF_A_GRANULE: usize = 4;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|own| own != "--bench");
    let passages = arguments
        .next()
        .map_or(Ok(PASSAGES), |count| count.parse())?;
    let temporary = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let dump = temporary.path().join("constructed.xml");
    write_dump(&dump, passages / PASSAGES_OF_AN_ARTICLE)?;
    let megabytes = dump.metadata()?.len() as f64 / 1e6;
    println!("{passages} passages asked for, {megabytes:.0} MB of XML; the encoder is a stand-in");
    let index = temporary.path().join("index");
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let encoder = StandIn {
        tokenizer: Tokenizer::from_file(&project.join("assets/model/tokenizer.json"))?,
    };
    let dump = dump.canonicalize()?;
    let stages = Stages::start();
    let mut store = StoreWriter::open(&index, encoder.fingerprint(), "the benchmark")?;
    run(&dump, &mut store, &encoder, &stages)?;
    stages.enter("publish");
    store.publish(&dump)?;
    stages.enter("change nothing");
    run(&dump, &mut store, &encoder, &stages)?;
    drop(store);
    stages.enter("open to read");
    let snapshot = Snapshot::open(&index)?;
    stages.enter("");
    println!(
        "{} documents, {} passages",
        snapshot.body.documents.len(),
        snapshot.n_passages()
    );
    for part in ["sled", "text", "segments", "blobs", "snapshot"] {
        println!(
            "  {part:<16} {:8.1} MB",
            bytes_of(&index.join(part))? as f64 / 1e6
        );
    }
    Ok(())
}

/// Indexes up to the tree.
fn run(dump: &Path, store: &mut StoreWriter, encoder: &StandIn, stages: &Stages) -> Result<()> {
    let progress = |event| {
        match event {
            Event::Found { files: 1.. } => stages.enter("read"),
            Event::Linking => stages.enter("link, publish"),
            Event::Waiting { .. } => stages.enter("encode"),
            Event::Organising => return false,
            _ => {}
        }
        true
    };
    match ingest::update(dump, store, encoder, &IndexOptions::default(), &progress) {
        Ok(Outcome { unchanged, .. }) => println!("  {unchanged} documents are as they were"),
        Err(IngestError::Stopped) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Vectors and keys of the right sizes that say nothing.
struct StandIn {
    tokenizer: Tokenizer,
}

impl PassageEncoder for StandIn {
    fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn fingerprint(&self) -> &str {
        "stand-in"
    }

    fn encode_documents(
        &self,
        documents: &[&[PassageInput]],
    ) -> std::result::Result<Vec<Vec<PassageEncoding>>, ModelError> {
        let documents = documents.iter().map(|own| own.iter().map(stand_in));
        Ok(documents.map(Iterator::collect).collect())
    }
}

fn stand_in(passage: &PassageInput) -> PassageEncoding {
    let tokens = passage.prefix.iter().chain(passage.body);
    let mut random = Random(tokens.fold(1, |seed, &token| seed * 31 + u64::from(token)));
    let mut vector: Vec<f32> = (0..DIMENSIONS).map(|_| random.signed()).collect();
    normalise(&mut vector);
    let granules = |tokens: &[u32]| tokens.len().div_ceil(TOKENS_OF_A_GRANULE);
    let n_prefix_granules = granules(passage.prefix);
    let mut keys = GranuleKeys::default();
    for _ in 0..n_prefix_granules + granules(passage.body) {
        let key: [f32; KEY_DIMENSIONS] = std::array::from_fn(|_| random.signed());
        keys.push(&key);
    }
    PassageEncoding {
        vector,
        keys,
        n_prefix_granules,
    }
}

/// A linear congruential sequence.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn signed(&mut self) -> f32 {
        self.below(1 << 20) as f32 / (1 << 19) as f32 - 1.0
    }
}

/// Articles out of the words of the bundled notes, which link to each other; each passage has a word of its own.
fn write_dump(path: &Path, articles: usize) -> Result<()> {
    let (files, _) = corpus::scan(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/vault"))?;
    let notes = files.iter().flat_map(corpus::open).flatten();
    let notes = notes.map(|note| note.text).collect::<Vec<_>>().join(" ");
    let words: BTreeSet<&str> = notes
        .split(|character: char| !character.is_ascii_alphabetic())
        .filter(|word| word.len() > 1)
        .collect();
    let words: Vec<&str> = words.into_iter().collect();
    let mut random = Random(7);
    let mut file = BufWriter::new(File::create(path)?);
    let namespaces = r#"<namespaces><namespace key="0" /></namespaces>"#;
    writeln!(
        file,
        r#"<mediawiki xml:lang="en"><siteinfo>{namespaces}</siteinfo>"#
    )?;
    for article in 0..articles {
        writeln!(
            file,
            "<page><title>{}</title><ns>0</ns><id>{}</id><revision><text>",
            title(&words, article),
            article + 1
        )?;
        for passage in 0..PASSAGES_OF_AN_ARTICLE {
            if passage > 0 {
                let name = words[random.below(words.len())];
                writeln!(file, "\n== Its {name} ==")?;
            }
            write!(file, "X{article:x}y{passage} is where it begins. ")?;
            for _ in 0..SENTENCES_OF_A_PASSAGE {
                let sentence: Vec<&str> = (0..WORDS_OF_A_SENTENCE)
                    .map(|_| words[random.below(words.len())])
                    .collect();
                write!(file, "The {}. ", sentence.join(" "))?;
            }
            for _ in 0..LINKS_OF_A_PASSAGE {
                write!(file, "See [[{}]]. ", title(&words, random.below(articles)))?;
            }
        }
        writeln!(file, "\n[[Category:Things]]</text></revision></page>")?;
    }
    writeln!(file, "</mediawiki>")?;
    Ok(file.flush()?)
}

fn title(words: &[&str], article: usize) -> String {
    let name = words[article % words.len()];
    format!("{}{} {article}", name[..1].to_uppercase(), &name[1..])
}

fn bytes_of(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(path.metadata()?.len());
    }
    let entries: Vec<PathBuf> = std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    entries.iter().map(|entry| bytes_of(entry)).sum()
}

/// Time and memory of the stages, each printed when the next one begins.
struct Stages {
    peak: Arc<Peak>,
    now: RefCell<(&'static str, Instant)>,
}

/// The most kilobytes of memory since they were last asked for.
#[derive(Default)]
struct Peak {
    resident: AtomicU64,
    anonymous: AtomicU64,
}

impl Stages {
    const SAMPLED_EVERY: Duration = Duration::from_millis(10);

    fn start() -> Self {
        let peak = Arc::new(Peak::default());
        let sampled = Arc::clone(&peak);
        thread::spawn(move || {
            loop {
                sampled.resident.fetch_max(kilobytes("VmRSS:"), Relaxed);
                sampled.anonymous.fetch_max(kilobytes("RssAnon:"), Relaxed);
                thread::sleep(Self::SAMPLED_EVERY);
            }
        });
        Self {
            peak,
            now: RefCell::new(("open", Instant::now())),
        }
    }

    fn enter(&self, stage: &'static str) {
        let (last, since) = self.now.replace((stage, Instant::now()));
        let megabytes = |peak: &AtomicU64| peak.swap(0, Relaxed) as f64 / 1e3;
        println!(
            "  {last:<16} {:8.1} s, {:7.0} MB resident, {:7.0} MB of them not files",
            since.elapsed().as_secs_f64(),
            megabytes(&self.peak.resident),
            megabytes(&self.peak.anonymous),
        );
    }
}

/// A line of the process's status; 0 where the system does not tell.
fn kilobytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}
