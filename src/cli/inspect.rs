//! `shas inspect`: one document as the global blocks see it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;

use super::{Common, heat_map, inspect_text, output, output::say, paths};
use crate::{
    answer::line_of,
    corpus::{self, Document},
    model::{
        Encoder, PassageInput, Precision,
        config::LAYOUT,
        global::{
            BlockView, GlobalConfig,
            view::{LevelKind, LevelView},
        },
    },
    text::{Layout, Passage, layout},
    tui,
};

/// Passages that are listed with what they look at, unless all are asked for.
const LISTED: usize = 12;
/// Far passages that are listed for each.
const FAR: usize = 3;
/// Columns of a text that are kept of it.
const WORDS: usize = 96;
/// What is shown where neither the model nor the user says otherwise.
const DEFAULT_PRESET: &str = "shas";

/// What the command takes beside the file.
pub struct InspectOptions<'a> {
    pub preset: Option<&'a str>,
    /// List every passage.
    pub all: bool,
    pub svg: Option<&'a Path>,
}

/// A document and what the blocks see of it.
pub struct Inspection {
    pub document: Document,
    /// Documents of the file, of which this is the first.
    pub n_documents: usize,
    /// The preset, or that the model has its own.
    pub shape: String,
    pub trained: bool,
    pub passages: Vec<Place>,
    pub blocks: Vec<BlockView>,
}

/// A passage, or a leaf in it, as a reader finds it.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// Counted from 1.
    pub passage: usize,
    /// The headings above it.
    pub section: String,
    pub line: usize,
    /// Its first words.
    pub words: String,
}

/// A far passage that another looks at.
#[derive(Debug, Clone, Serialize)]
pub struct Far {
    #[serde(flatten)]
    pub place: Place,
    /// Where in it most of the weight lies.
    pub leaf: Place,
    /// Share of the attention, on average over the blocks and in each.
    pub weight: f32,
    pub weights: Vec<f32>,
    /// What the gates let through of it.
    pub gate: f32,
}

pub fn run(common: &Common, file: &Path, options: &InspectOptions) -> Result<()> {
    let (document, n_documents) = read(file)?;
    // What blocks look at is recorded by their int8 form.
    let encoder = Encoder::load_with(&paths::model(common)?, Precision::Int8)?;
    let trained = options.preset.is_none() && encoder.global_config().is_some();
    let name = options.preset.unwrap_or(DEFAULT_PRESET);
    let encoder = match trained {
        true => encoder,
        false => untrained(encoder, name)?,
    };
    let layout = layout(&document, encoder.tokenizer(), &LAYOUT)?;
    let blocks = view(&encoder, &layout)?;
    let places = layout.passages.iter().enumerate();
    let passages = places
        .map(|(at, passage)| Place {
            passage: at + 1,
            section: section(&layout, passage),
            line: line_of(&document.text, passage.span.start),
            words: words(&document.text, below_heading(&document.text, passage)),
        })
        .collect();
    let inspection = Inspection {
        document,
        n_documents,
        shape: match trained {
            true => "the model's own".to_owned(),
            false => name.to_owned(),
        },
        trained,
        passages,
        blocks,
    };
    if let Some(svg) = options.svg {
        let drawn = heat_map::draw(&inspection).context("cannot draw the heat map")?;
        std::fs::write(svg, drawn).with_context(|| {
            format!("cannot write {}; give a folder that exists", svg.display())
        })?;
    }
    let far = inspection.far(&layout);
    if common.json {
        return as_json(&inspection, &encoder, &far);
    }
    let listed = match options.all {
        true => usize::MAX,
        false => LISTED,
    };
    inspect_text::print(&inspection, &far, listed);
    if let Some(svg) = options.svg {
        say!("\nheat map: {}", svg.display());
    }
    Ok(())
}

/// The first document of a file, and how many it holds.
fn read(file: &Path) -> Result<(Document, usize)> {
    if file.is_dir() {
        bail!(
            "{} is a folder; give one of the files in it",
            file.display()
        );
    }
    let mut first = None;
    let mut n_documents = 0;
    for read in corpus::read(file)? {
        let document =
            read.map_err(|left_out| anyhow::anyhow!("{} {}", file.display(), left_out.reason))?;
        n_documents += 1;
        first.get_or_insert(document);
    }
    let first = first.with_context(|| {
        format!(
            "{} holds no document; give a .md or .txt file",
            file.display()
        )
    })?;
    Ok((first, n_documents))
}

fn untrained(encoder: Encoder, preset: &str) -> Result<Encoder> {
    let Some(config) = GlobalConfig::preset(preset) else {
        bail!(
            "there is no preset {preset}; use one of {:?}",
            GlobalConfig::PRESETS
        );
    };
    // What an untrained block looks at is shown of short notes as well.
    let config = GlobalConfig {
        least_passages: 2,
        ..config
    };
    let start = encoder.untrained(&config);
    let weights = [start.clone(), start.clone(), start];
    Ok(encoder.with_global(&config, weights)?)
}

fn view(encoder: &Encoder, layout: &Layout) -> Result<Vec<BlockView>> {
    let ids = |passage: &Passage| passage.tokens.iter().map(|token| token.id).collect();
    let bodies: Vec<Vec<u32>> = layout.passages.iter().map(ids).collect();
    let inputs: Vec<PassageInput> = layout
        .passages
        .iter()
        .zip(&bodies)
        .map(|(passage, body)| PassageInput {
            prefix: &passage.prefix,
            body,
        })
        .collect();
    Ok(encoder.view(&inputs)?)
}

/// The headings above a passage, the document's title left out where there are others.
fn section(layout: &Layout, passage: &Passage) -> String {
    let mut headings = Vec::new();
    let mut at = Some(passage.section);
    while let Some(section) = at.map(|at| &layout.sections[at]) {
        headings.push(section.heading.trim());
        at = section.parent;
    }
    headings.reverse();
    headings.dedup();
    let below_title = headings.len().min(2) - 1;
    headings[below_title..].join(" > ")
}

/// Where a passage starts that is more than its heading, which is told beside it.
fn below_heading(text: &str, passage: &Passage) -> usize {
    let own = &text[passage.span.clone()];
    let after = own.find('\n').filter(|_| own.starts_with('#'));
    match after.filter(|&after| !own[after..].trim().is_empty()) {
        Some(after) => passage.span.start + after + 1,
        None => passage.span.start,
    }
}

/// The first words from a byte on, that byte's own word included, without what is only markup.
fn words(text: &str, byte: usize) -> String {
    let before = &text[..byte];
    let start = before
        .char_indices()
        .rev()
        .take_while(|(_, character)| character.is_alphanumeric())
        .last()
        .map_or(byte, |(at, _)| at);
    let mut words = String::new();
    let own = text[start..].split_whitespace();
    for word in own.filter(|word| word.chars().any(char::is_alphanumeric)) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if words.chars().count() >= WORDS {
            break;
        }
    }
    // Brackets of links and stars of emphasis only get in the way of reading.
    words.retain(|character| !['[', ']', '*', '`'].contains(&character));
    tui::fit(&words, WORDS)
}

impl Inspection {
    /// The passages' level in a block.
    pub fn passage_level(block: &BlockView) -> Option<&LevelView> {
        let mut levels = block.levels.iter();
        levels.find(|level| level.kind == LevelKind::Passages)
    }

    /// Word pieces, prefixes and special tokens included.
    pub fn n_tokens(&self) -> usize {
        let level = self.blocks.first().and_then(|block| block.levels.first());
        level.map_or(0, |tokens| tokens.n_nodes)
    }

    /// What each passage looks at most, the strongest first.
    fn far(&self, layout: &Layout) -> Vec<Vec<Far>> {
        let n_passages = self.passages.len();
        let n_blocks = self.blocks.len().max(1) as f32;
        let at = |values: &[f32], from: usize, to: usize| values[from * n_passages + to];
        let mean = |values: fn(&BlockView) -> &[f32], from, to| {
            let all = self.blocks.iter().map(|block| at(values(block), from, to));
            all.sum::<f32>() / n_blocks
        };
        (0..n_passages)
            .map(|from| {
                let mut others: Vec<(f32, usize)> = (0..n_passages)
                    .map(|to| (mean(|block| &block.attention, from, to), to))
                    .filter(|(weight, _)| *weight > 0.0)
                    .collect();
                others.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                let far = others.iter().take(FAR);
                far.map(|&(weight, to)| Far {
                    place: self.passages[to].clone(),
                    leaf: self.leaf(layout, from, to),
                    weight,
                    weights: self
                        .blocks
                        .iter()
                        .map(|block| at(&block.attention, from, to))
                        .collect(),
                    gate: mean(|block| &block.gated, from, to) / weight,
                })
                .collect()
            })
            .collect()
    }

    /// The leaf of `to` that gets most of the weight of `from` in the last block.
    fn leaf(&self, layout: &Layout, from: usize, to: usize) -> Place {
        let mut place = self.passages[to].clone();
        let last = self.blocks.last();
        if let Some((block, level)) =
            last.and_then(|block| Some((block, Self::passage_level(block)?)))
        {
            let passage = &layout.passages[to];
            let start = block.strongest[from * self.passages.len() + to] - level.borders[to];
            // [CLS] and the prefix stand before the passage's own text.
            let token = (start as usize).saturating_sub(1 + passage.prefix.len());
            let byte = passage.tokens.get(token).map(|token| token.start as usize);
            let heading_end = below_heading(&self.document.text, passage);
            if let Some(byte) = byte.filter(|&byte| byte > heading_end) {
                place.line = line_of(&self.document.text, byte);
                place.words = words(&self.document.text, byte);
            }
        }
        place
    }
}

fn as_json(inspection: &Inspection, encoder: &Encoder, far: &[Vec<Far>]) -> Result<()> {
    let n_passages = inspection.passages.len();
    let passages: Vec<_> = inspection
        .passages
        .iter()
        .zip(far)
        .map(|(place, far)| json!({ "place": place, "far": far }))
        .collect();
    let mut blocks = Vec::new();
    for block in &inspection.blocks {
        let mut view = serde_json::to_value(block)?;
        let rows = |values: &[f32]| -> Vec<Vec<f32>> {
            values
                .chunks(n_passages.max(1))
                .map(<[f32]>::to_vec)
                .collect()
        };
        view["attention"] = json!(rows(&block.attention));
        view["gated"] = json!(rows(&block.gated));
        blocks.push(view);
    }
    output::json(&json!({
        "path": inspection.document.path,
        "title": inspection.document.title,
        "n_documents": inspection.n_documents,
        "n_tokens": inspection.n_tokens(),
        "trained": inspection.trained,
        "shape": encoder.global_config(),
        "passages": passages,
        "blocks": blocks,
    }))
}

/// The name of a level, counted from the tokens.
pub fn level_name(levels: &[LevelView], at: usize) -> String {
    match levels[at].kind {
        LevelKind::Tokens => "tokens".to_owned(),
        LevelKind::Nodes => format!("level {at}"),
        LevelKind::Passages => "passages".to_owned(),
        LevelKind::IndexOnly => {
            let own = levels[..=at].iter();
            let above = own.filter(|level| level.kind == LevelKind::IndexOnly);
            format!("index {}", above.count())
        }
    }
}

/// What the command line gives.
#[derive(clap::Args)]
pub struct InspectArgs {
    /// The file to look at
    pub file: PathBuf,
    /// Look with the untrained start of this shape instead of the model's own blocks
    #[arg(long, value_parser = GlobalConfig::PRESETS)]
    pub preset: Option<String>,
    /// List every passage, not only the twelve with the strongest far attention
    #[arg(long)]
    pub all: bool,
    /// Draw passages × passages and every level of the pyramid into this file
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,
}
