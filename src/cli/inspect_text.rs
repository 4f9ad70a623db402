//! What `shas inspect` prints: the pyramid, the blocks side by side, and what passages look at.

use super::{
    inspect::{Far, Inspection, Place, level_name},
    output::say,
};
use crate::{
    model::global::{
        BlockView,
        view::{BranchView, LevelKind},
    },
    tui,
};

/// Columns of the labels of tables, and of a figure.
const LABEL: usize = 42;
const FIGURE: usize = 17;
/// Columns of the texts of passages, and characters of the section's name among them.
const TEXT: usize = 76;
const SECTION: usize = 24;

/// Prints everything, of the passages the `listed` with the strongest far attention.
pub fn print(inspection: &Inspection, far: &[Vec<Far>], listed: usize) {
    heading(inspection);
    pyramid(inspection);
    if inspection.passages.len() < 2 {
        say!(
            "\nThe document is one passage, and a passage never sees itself in a global block: the blocks leave it unchanged."
        );
        return;
    }
    say!("");
    blocks(&inspection.blocks);
    say!("");
    passages(inspection, far, listed);
}

fn heading(inspection: &Inspection) {
    say!(
        "{}: {}, {} {}, {} tokens (prefixes included)",
        inspection.document.path,
        inspection.document.title,
        inspection.passages.len(),
        match inspection.passages.len() {
            1 => "passage",
            _ => "passages",
        },
        thousands(inspection.n_tokens())
    );
    if inspection.n_documents > 1 {
        say!(
            "The file holds {} documents; this is the first.",
            inspection.n_documents
        );
    }
    if !inspection.trained {
        say!(
            "Untrained start of the shape {}: nothing is learned yet, attention is by likeness of content.",
            inspection.shape
        );
    }
}

fn pyramid(inspection: &Inspection) {
    let Some(block) = inspection.blocks.first() else {
        return;
    };
    say!("\n{:<20}{:>10}{:>16}", "pyramid", "nodes", "tokens a node");
    for at in (0..block.levels.len()).rev() {
        let level = &block.levels[at];
        say!(
            "  {:<18}{:>10}{:>16}{}",
            level_name(&block.levels, at),
            thousands(level.n_nodes),
            figure(level.mean_tokens),
            match level.kind {
                LevelKind::IndexOnly => "   means, for the indexer only",
                _ => "",
            }
        );
    }
}

/// One row a figure, one column a block.
fn blocks(blocks: &[BlockView]) {
    row(blocks, "block", |block| {
        Some(format!("after layer {}", block.layer))
    });
    each(blocks, "mean gate", |branch| format!("{:.2}", branch.gate));
    each(blocks, "keys that a query sees", |branch| {
        figure(branch.n_keys)
    });
    row(
        blocks,
        "  share of the document's tokens among them",
        |block| {
            let tokens = block.branches.iter().filter(|own| own.name != "compressed");
            let seen: f32 = tokens.map(|branch| branch.n_keys).sum();
            Some(percent(seen / block.levels[0].n_nodes as f32))
        },
    );
    each(blocks, "attention to the null key", |branch| {
        percent(branch.null)
    });
    each(blocks, "evenness (100%: all seen tokens alike)", |branch| {
        percent(branch.evenness)
    });
    let Some(first) = blocks.first() else { return };
    let is_on = |name: &str| first.branches.iter().any(|branch| branch.name == name);
    if is_on("compressed") {
        say!("attention of the cover, by level");
        for at in (1..first.levels.len()).rev() {
            let share = |block: &BlockView| block.cover.get(at).copied();
            if blocks.iter().filter_map(share).any(|share| share > 0.0) {
                let name = format!("  {}", level_name(&first.levels, at));
                row(blocks, &name, |block| share(block).map(percent));
            }
        }
    }
    if is_on("selected") {
        selection(blocks);
    }
}

fn selection(blocks: &[BlockView]) {
    say!("selection");
    row(blocks, "  leaves that any granule selected", |block| {
        let selection = &block.selection;
        Some(format!(
            "{} of {}",
            selection.n_selected, selection.n_leaves
        ))
    });
    row(
        blocks,
        "  of these, selected by several granules",
        |block| {
            let selection = &block.selection;
            Some(percent(
                selection.n_shared as f32 / selection.n_selected.max(1) as f32,
            ))
        },
    );
    row(blocks, "  granules a selected leaf", |block| {
        Some(figure(block.selection.granules_a_leaf))
    });
    row(blocks, "  mean distance in tokens", |block| {
        Some(thousands(block.selection.mean_distance.round() as usize))
    });
}

fn row(blocks: &[BlockView], label: &str, figure: impl Fn(&BlockView) -> Option<String>) {
    let figures = blocks.iter().map(|block| {
        let figure = figure(block).unwrap_or_else(|| "–".to_owned());
        format!("{figure:>FIGURE$}")
    });
    say!("{label:<LABEL$}{}", figures.collect::<String>());
}

/// A row for each branch that any block has.
fn each(blocks: &[BlockView], title: &str, figure: fn(&BranchView) -> String) {
    say!("{title}");
    let Some(first) = blocks.first() else { return };
    for name in first.branches.iter().map(|branch| branch.name) {
        row(blocks, &format!("  {name}"), |block| {
            let own = block.branches.iter().find(|own| own.name == name);
            own.map(figure)
        });
    }
}

fn passages(inspection: &Inspection, far: &[Vec<Far>], listed: usize) {
    let mut order: Vec<usize> = (0..far.len()).filter(|&at| !far[at].is_empty()).collect();
    if listed < order.len() {
        let strength = |at: usize| far[at][0].weight;
        order.sort_by(|&a, &b| strength(b).total_cmp(&strength(a)));
        order.truncate(listed);
        order.sort_unstable();
    }
    let layers: Vec<String> = inspection
        .blocks
        .iter()
        .map(|block| format!("{:>6}", block.layer))
        .collect();
    let title = match order.len() == far.len() {
        true => "what each passage looks at beyond its window".to_owned(),
        false => format!(
            "what passages look at beyond their window ({} of {}; --all lists all)",
            order.len(),
            far.len()
        ),
    };
    say!("{title:<TEXT$} layer{}  gate", layers.concat());
    for at in order {
        say!("{}", text(&inspection.passages[at], 0));
        for far in &far[at] {
            let weights: String = far
                .weights
                .iter()
                .map(|&weight| format!("{:>6}", percent(weight)))
                .collect();
            say!("{}      {weights}  {:.2}", text(&far.leaf, 4), far.gate);
        }
    }
}

/// A passage in one line, padded.
fn text(place: &Place, indent: usize) -> String {
    let section = tui::fit(&place.section, SECTION);
    let indent = " ".repeat(indent);
    let opening = format!(
        "{indent}{:>4} {section}, line {}: “",
        place.passage, place.line
    );
    let room = TEXT.saturating_sub(tui::width(&opening) + 1);
    let line = format!("{opening}{}”", tui::fit(&place.words, room));
    let padding = " ".repeat(TEXT.saturating_sub(tui::width(&line)));
    line + &padding
}

fn percent(share: f32) -> String {
    match share * 100.0 {
        few if few > 0.0 && few < 0.05 => "<0.1%".to_owned(),
        few if few < 9.95 => format!("{few:.1}%"),
        many => format!("{many:.0}%"),
    }
}

fn figure(number: f32) -> String {
    match number {
        few if few < 100.0 => format!("{few:.1}"),
        many => thousands(many.round() as usize),
    }
}

/// A number with its thousands apart.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut apart = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}
