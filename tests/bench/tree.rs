//! The tree of a large library: how long each stage takes, how much memory, and how well it finds what is there.
//!
//! `cargo bench --bench tree -- [--exact|--large] [--texts] [DOCUMENTS…]` builds trees of documents that are drawn around 12
//! subjects, 15 fields of each and 10 topics of each field, with 384 dimensions of which the noise fills few evenly,
//! as the vectors of real texts do. With `--texts` each has a title and 150 words as well, of its topic, its field, its
//! subject and of all, by Zipf's law; they are made when they are asked for, and never all held. `--exact` and `--large` say how, whatever the number. `--recall DOCUMENTS`
//! compares neighbours with the exact ones; `--grow DOCUMENTS` adds a fifth to a tree and compares it with a tree
//! that is built anew.

use std::{borrow::Cow, cell::RefCell, collections::HashMap, error::Error, time::Instant};

use half::{f16, slice::HalfFloatSliceExt};

use shas::tree::{
    Contents, Growth, Level, OwnedDocument, Stage, Tree, TreeDocument, TreeOptions, build,
    build_watched, grow, recall,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DIMENSIONS: usize = 384;
/// Subjects, fields of a subject, topics of a field, and what each adds to the square of a vector's length.
const GROUPS: [usize; 3] = [12, 15, 10];
const SHARES: [f32; 3] = [0.2, 0.15, 0.15];
const NOISE: f32 = 0.5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|own| own != "--bench")
        .collect();
    let has = |flag: &str| arguments.iter().any(|own| own == flag);
    let numbers = arguments.iter().filter(|own| !own.starts_with("--"));
    let mut numbers: Vec<usize> = numbers
        .map(|own| own.parse())
        .collect::<std::result::Result<_, _>>()?;
    if numbers.is_empty() {
        numbers.push(10_000);
    }
    let exact_documents = match (has("--exact"), has("--large")) {
        (true, _) => usize::MAX,
        (_, true) => 0,
        _ => TreeOptions::default().exact_documents,
    };
    let options = TreeOptions {
        exact_documents,
        ..TreeOptions::default()
    };
    for number in numbers {
        let library = Library::new(number, has("--texts"));
        if has("--recall") {
            let share = recall(&library.documents(number), 500, &options);
            println!("{number} documents: recall of the 15 nearest {share:.3}");
        } else if has("--grow") {
            measure_growth(&library, &options);
        } else {
            measure(&library, &options)?;
        }
    }
    Ok(())
}

/// Words of a text, of a sentence and of a title.
const TEXT_WORDS: usize = 150;
const SENTENCE_WORDS: usize = 15;
const TITLE_WORDS: usize = 2;
/// Words that all texts share, that those of a group share, and that hardly any two do.
const COMMON_WORDS: usize = 30_000;
const GROUP_WORDS: usize = 200;
const RARE_WORDS: usize = 20_000_000;

/// Vectors, and the topic that each was drawn for.
struct Library {
    vectors: Vec<f16>,
    has_texts: bool,
    titles: Vec<String>,
    topics: Vec<usize>,
    /// What tells the documents of a node from those of another.
    paths: Vec<String>,
}

impl Library {
    fn new(n_documents: usize, has_texts: bool) -> Self {
        let mut random = Random(11);
        let mut centres: Vec<Vec<f32>> = vec![vec![0.0; DIMENSIONS]];
        for (count, share) in GROUPS.into_iter().zip(SHARES) {
            let scale = (share / DIMENSIONS as f32).sqrt();
            let below = centres.iter().flat_map(|centre| vec![centre; count]);
            let moved = below.map(|centre| {
                let moved = centre.iter().map(|value| value + scale * random.normal());
                moved.collect()
            });
            centres = moved.collect();
        }
        // The n-th dimension of the noise has a share of 1 / n.
        let harmonic: f32 = (1..=DIMENSIONS).map(|own| 1.0 / own as f32).sum();
        let scales = (1..=DIMENSIONS).map(|own| (NOISE / harmonic / own as f32).sqrt());
        let scales: Vec<f32> = scales.collect();
        let mut vectors = Vec::with_capacity(n_documents * DIMENSIONS);
        let mut topics = Vec::with_capacity(n_documents);
        for _ in 0..n_documents {
            let topic = random.below(centres.len());
            let noisy = centres[topic].iter().zip(&scales);
            let noisy = noisy.map(|(value, scale)| value + scale * random.normal());
            let vector: Vec<f32> = noisy.collect();
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            vectors.extend(vector.iter().map(|value| f16::from_f32(value / length)));
            topics.push(topic);
        }
        let titles = topics
            .iter()
            .enumerate()
            .map(|(own, &topic)| match has_texts {
                true => words(topic, TITLE_WORDS, own as u64),
                false => String::new(),
            });
        Self {
            vectors,
            has_texts,
            titles: titles.collect(),
            topics,
            paths: (0..n_documents).map(|own| own.to_string()).collect(),
        }
    }

    /// The first documents.
    fn documents(&self, count: usize) -> Vec<TreeDocument<'_>> {
        let document = |id: usize| TreeDocument {
            id: id as u32,
            title: &self.titles[id],
            tags: &[],
            is_index: false,
            path: &self.paths[id],
            contents: self,
        };
        (0..count).map(document).collect()
    }

    /// The group of every document among those of the first `depth` kinds.
    fn groups(&self, depth: usize) -> Vec<usize> {
        let below: usize = GROUPS[depth..].iter().product();
        self.topics.iter().map(|topic| topic / below).collect()
    }
}

impl Contents for Library {
    fn text(&self, id: u32) -> Cow<'_, str> {
        Cow::Owned(match self.has_texts {
            true => words(self.topics[id as usize], TEXT_WORDS, !u64::from(id)),
            false => String::new(),
        })
    }

    fn vector(&self, id: u32) -> Cow<'_, [f32]> {
        let mut vector = vec![0.0; DIMENSIONS];
        self.vectors[id as usize * DIMENSIONS..][..DIMENSIONS].convert_to_f32_slice(&mut vector);
        Cow::Owned(vector)
    }
}

/// Sentences of a topic: a third of their words are the topic's, as many its field's and its subject's, one is rare.
fn words(topic: usize, count: usize, seed: u64) -> String {
    let mut random = Random(seed);
    let mut text = String::new();
    for own in 1..=count {
        let zipf = |random: &mut Random, count: usize| {
            let share = (random.below(1 << 24) as f64 + 1.0) / f64::from(1 << 24);
            ((count as f64).powf(share) - 1.0) as usize
        };
        let groups = [topic, topic / GROUPS[2], topic / GROUPS[2] / GROUPS[1]];
        let drawn = random.below(60);
        let group = match drawn {
            0..20 => Some(0),
            20..32 => Some(1),
            32..40 => Some(2),
            _ => None,
        };
        let number = match group {
            Some(depth) => {
                let first = COMMON_WORDS + (groups[depth] * 3 + depth) * GROUP_WORDS;
                first + zipf(&mut random, GROUP_WORDS)
            }
            None if drawn == 59 => 10_000_000 + random.below(RARE_WORDS),
            None => zipf(&mut random, COMMON_WORDS),
        };
        push_word(number, &mut text);
        text.push_str(match own % SENTENCE_WORDS {
            0 => ". ",
            _ => " ",
        });
    }
    text
}

/// A word that stands for a number, in syllables.
fn push_word(mut number: usize, text: &mut String) {
    text.push('k');
    while number > 0 {
        text.push(char::from(b"bdfglmnprtvz"[number % 12]));
        number /= 12;
        text.push(char::from(b"aeiou"[number % 5]));
        number /= 5;
    }
    text.push('n');
}

/// Seeded numbers (SplitMix64, and the sum of four for the normal distribution).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        ((self.next() >> 32) as usize * count) >> 32
    }

    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
        (sum as f32 / 65_535.0 - 2.0) * 3f32.sqrt()
    }
}

/// By the clock, and of all cores together.
struct Time(Instant, f64);

impl Time {
    fn now() -> Self {
        // Ticks of a hundredth of a second, of the process and for it.
        let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = status.rsplit(')').next().unwrap_or("").split_whitespace();
        let ticks = fields
            .skip(11)
            .take(2)
            .filter_map(|own| own.parse::<f64>().ok());
        Self(Instant::now(), ticks.sum::<f64>() / 100.0)
    }

    fn since(&self, start: &Self) -> String {
        let clock_s = (self.0 - start.0).as_secs_f64();
        format!("{clock_s:>8.1} s, {:>8.1} s of the cores", self.1 - start.1)
    }
}

fn measure(library: &Library, options: &TreeOptions) -> Result<()> {
    let documents = library.documents(library.topics.len());
    let before_gb = peak_gb()?;
    let stages: RefCell<Vec<(Stage, Time)>> = RefCell::default();
    let tree = build_watched(&documents, &[], options, &|stage| {
        stages.borrow_mut().push((stage, Time::now()));
    });
    let end = Time::now();
    let stages = stages.into_inner();
    println!(
        "{} documents: {}; peak {:.2} GB, of which {before_gb:.2} GB are the documents",
        documents.len(),
        end.since(&stages[0].1),
        peak_gb()?,
    );
    let ends = stages.iter().skip(1).map(|(_, start)| start).chain([&end]);
    for ((stage, start), end) in stages.iter().zip(ends) {
        println!("    {:<12}{}", format!("{stage:?}"), end.since(start));
    }
    println!(
        "    level       nodes  children: least median most   NMI with subjects fields topics   purity"
    );
    for (level, assigned) in levels(&tree, documents.len()) {
        let nodes = tree.nodes.iter().filter(|node| node.level == level);
        let children = nodes.map(|node| node.children.len().max(node.documents.len()));
        let mut children: Vec<usize> = children.collect();
        children.sort_unstable();
        let within = children
            .iter()
            .filter(|count| (2..=20).contains(*count))
            .count();
        print!(
            "    {:<12}{:>5}  {:>4} {:>4} {:>4}  {:>5.1}% within 2..20 ",
            level.to_string(),
            children.len(),
            children[0],
            children[children.len() / 2],
            children[children.len() - 1],
            100.0 * within as f64 / children.len() as f64,
        );
        for depth in 1..=3 {
            print!(" {:.3}", nmi(&assigned, &library.groups(depth)));
        }
        print!("  ");
        for depth in 1..=3 {
            print!(" {:.3}", purity(&assigned, &library.groups(depth)));
        }
        println!();
    }
    Ok(())
}

/// The node of every document, by its place in the tree, at each level.
fn levels(tree: &Tree, n_documents: usize) -> Vec<(Level, Vec<usize>)> {
    let mut levels: Vec<Level> = tree.nodes.iter().map(|node| node.level).collect();
    levels.dedup();
    let assigned = levels.into_iter().map(|level| {
        let mut assigned = vec![0; n_documents];
        for (place, node) in tree
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.level == level)
        {
            for document in tree.documents_below(node) {
                assigned[document as usize] = place;
            }
        }
        (level, assigned)
    });
    assigned.collect()
}

type Counts<K> = HashMap<K, f64>;

/// How often each pair, each first and each second stand in two lists.
fn counts(a: &[usize], b: &[usize]) -> (Counts<(usize, usize)>, Counts<usize>, Counts<usize>) {
    let (mut both, mut firsts, mut seconds) = (Counts::new(), Counts::new(), Counts::new());
    for (&a, &b) in a.iter().zip(b) {
        *both.entry((a, b)).or_default() += 1.0;
        *firsts.entry(a).or_default() += 1.0;
        *seconds.entry(b).or_default() += 1.0;
    }
    (both, firsts, seconds)
}

/// Mutual information, of the mean of both entropies.
fn nmi(a: &[usize], b: &[usize]) -> f64 {
    let total = a.len() as f64;
    let (both, firsts, seconds) = counts(a, b);
    let entropy = |counts: &Counts<usize>| -> f64 {
        counts
            .values()
            .map(|count| -count / total * (count / total).ln())
            .sum()
    };
    let shared = both
        .iter()
        .map(|((a, b), count)| count / total * (count * total / (firsts[a] * seconds[b])).ln());
    2.0 * shared.sum::<f64>() / (entropy(&firsts) + entropy(&seconds)).max(f64::MIN_POSITIVE)
}

/// The share of documents that are of the commonest group of their node.
fn purity(assigned: &[usize], groups: &[usize]) -> f64 {
    let mut commonest: Counts<usize> = Counts::new();
    for ((node, _), count) in counts(assigned, groups).0 {
        let held = commonest.entry(node).or_default();
        *held = held.max(count);
    }
    commonest.values().sum::<f64>() / assigned.len() as f64
}

/// The adjusted Rand index.
fn ari(a: &[usize], b: &[usize]) -> f64 {
    let pairs = |count: f64| count * (count - 1.0) / 2.0;
    let (both, firsts, seconds) = counts(a, b);
    let both: f64 = both.values().map(|count| pairs(*count)).sum();
    let firsts: f64 = firsts.values().map(|count| pairs(*count)).sum();
    let seconds: f64 = seconds.values().map(|count| pairs(*count)).sum();
    let chance = firsts * seconds / pairs(a.len() as f64);
    (both - chance) / ((firsts + seconds) / 2.0 - chance)
}

impl Growth for Library {
    fn documents(&self, ids: &[u32]) -> Vec<OwnedDocument> {
        let document = |&id| OwnedDocument {
            id,
            path: self.paths[id as usize].clone(),
            text: self.text(id).into_owned(),
            title: self.titles[id as usize].clone(),
            vector: Contents::vector(self, id).into_owned(),
            ..OwnedDocument::default()
        };
        ids.iter().map(document).collect()
    }

    fn vector(&self, id: u32) -> Vec<f32> {
        Contents::vector(self, id).into_owned()
    }

    fn linked(&self, _: u32) -> Vec<u32> {
        Vec::new()
    }
}

/// Builds a tree of five sixths of the documents, adds the rest, and compares with a tree of all.
fn measure_growth(library: &Library, options: &TreeOptions) {
    let total = library.topics.len();
    let before = total * 5 / 6;
    let tree = build(&library.documents(before), &[], options);
    let start = Instant::now();
    let added: Vec<u32> = (before as u32..total as u32).collect();
    let grown = grow(tree, &added, &[], library, options);
    println!(
        "{before} documents and {} more: grown in {:.1} s",
        added.len(),
        start.elapsed().as_secs_f64()
    );
    let all = library.documents(total);
    let anew = build(&all, &[], options);
    let other_seed = TreeOptions {
        seed: options.seed + 1,
        ..*options
    };
    let again = build(&all, &[], &other_seed);
    println!(
        "    level       ARI of grown and built, of built and built by another seed   NMI with topics grown, built"
    );
    let topics = library.groups(3);
    let built = levels(&anew, total);
    for (level, grown) in levels(&grown, total) {
        let of = |levels: &[(Level, Vec<usize>)]| {
            levels
                .iter()
                .find(|(own, _)| *own == level)
                .map(|(_, assigned)| assigned.clone())
        };
        if let (Some(built), Some(again)) = (of(&built), of(&levels(&again, total))) {
            println!(
                "    {:<12}{:.3} {:.3}   {:.3} {:.3}",
                level.to_string(),
                ari(&grown, &built),
                ari(&again, &built),
                nmi(&grown, &topics),
                nmi(&built, &topics),
            );
        }
    }
}

/// The most memory that the process has held.
fn peak_gb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kb: f64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .unwrap_or("0")
        .parse()?;
    Ok(kb / 1e6 * 1.024)
}
