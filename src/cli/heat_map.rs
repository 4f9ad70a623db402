//! The drawing of `shas inspect --svg`: passages × passages for each block, and below them the levels of the pyramid.
//!
//! Every panel has the text from left to right by tokens, so that a strip's place is the same as its column's.

use std::ops::Range;

use anyhow::Result;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    colours::{Scale, spread},
    inspect::{Inspection, level_name},
    inspect_text::thousands,
};
use crate::{
    model::global::{BlockView, view::LevelView},
    tui,
};

/// Pixels: the side of a panel, and what lies around and between.
const PANEL: i32 = 384;
const GAP: i32 = 40;
const LEFT: i32 = 252;
const RIGHT: i32 = 140;
const TOP: i32 = 108;
/// From a panel to the strips below it, the height of a strip, and how far the next is.
const BELOW: i32 = 92;
const STRIP: i32 = 18;
const NEXT_STRIP: i32 = 25;
/// Where the legend's colours start below the panels' top, and how high they are.
const LEGEND_TOP: i32 = 60;
const LEGEND: i32 = 200;
/// Rows and columns of a panel, at most: from there on cells stand for several passages.
const MOST_CELLS: usize = 80;
/// Pixels of a column of a strip.
const COLUMN: i32 = 2;
const INK: RGBColor = RGBColor(40, 40, 40);
const FAINT: RGBColor = RGBColor(110, 110, 110);
/// What has no value: the own passage, and a node without neighbours.
const EMPTY: RGBColor = RGBColor(214, 214, 214);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The drawing as SVG.
pub fn draw(inspection: &Inspection) -> Result<String> {
    let blocks = &inspection.blocks;
    let n_blocks = blocks.len().max(1) as i32;
    let depth = blocks.iter().map(|block| block.levels.len()).max();
    let strips = TOP + PANEL + BELOW;
    let size = (
        (LEFT + n_blocks * (PANEL + GAP) - GAP + RIGHT) as u32,
        (strips + depth.unwrap_or(0) as i32 * NEXT_STRIP + 20) as u32,
    );
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        title(&area, inspection)?;
        let groups = groups(inspection.passages.len());
        let cells: Vec<Vec<Option<f32>>> =
            blocks.iter().map(|block| cells(block, &groups)).collect();
        let scale = Scale::over(cells.iter().flatten().copied().flatten());
        for (at, (block, cells)) in blocks.iter().zip(&cells).enumerate() {
            let left = LEFT + at as i32 * (PANEL + GAP);
            panel(
                &area,
                left,
                &Cells {
                    block,
                    groups: &groups,
                    values: cells,
                },
                &scale,
            )?;
        }
        sections(&area, inspection)?;
        let left = LEFT + n_blocks * (PANEL + GAP) - GAP + 24;
        legend(&area, left, &scale)?;
        if cells.iter().flatten().any(Option::is_none) {
            let own = TOP + LEGEND_TOP + LEGEND + 24;
            let corners = [(left, own), (left + 18, own + 14)];
            area.draw(&Rectangle::new(corners, EMPTY.filled()))?;
            write(
                &area,
                "own passage",
                (left + 24, own + 12),
                &Face::new(14.0).faint(),
            )?;
        }
        levels(&area, blocks, strips)?;
        area.present()?;
    }
    Ok(svg)
}

fn title(area: &Area, inspection: &Inspection) -> Result<()> {
    let n_passages = inspection.passages.len();
    write(area, &inspection.document.path, (24, 34), &Face::new(26.0))?;
    let state = match inspection.trained {
        true => "trained global blocks".to_owned(),
        false => format!("untrained start of the shape {}", inspection.shape),
    };
    let cell = match n_passages.div_ceil(MOST_CELLS) {
        0 | 1 => String::new(),
        some => format!("; a cell is {some} × {some} passages"),
    };
    let about = format!(
        "Which passages look at which beyond their window: {n_passages} passages, {} tokens; {state}{cell}",
        thousands(inspection.n_tokens())
    );
    write(area, &about, (24, 62), &Face::new(17.0).faint())
}

/// Passages of each row and column.
fn groups(n_passages: usize) -> Vec<Range<usize>> {
    let size = n_passages.div_ceil(MOST_CELLS).max(1);
    let starts = (0..n_passages).step_by(size);
    starts
        .map(|start| start..(start + size).min(n_passages))
        .collect()
}

/// The cells of a panel, row by row.
struct Cells<'a> {
    block: &'a BlockView,
    groups: &'a [Range<usize>],
    values: &'a [Option<f32>],
}

/// Weights relative to those of an even look at all tokens outside the own passage; nothing where there are none.
fn cells(block: &BlockView, groups: &[Range<usize>]) -> Vec<Option<f32>> {
    let Some(level) = Inspection::passage_level(block) else {
        return Vec::new();
    };
    let n_passages = level.n_nodes;
    let tokens = |passage: usize| (level.borders[passage + 1] - level.borders[passage]) as f32;
    let all: f32 = (0..n_passages).map(tokens).sum();
    let mut cells = Vec::with_capacity(groups.len() * groups.len());
    for rows in groups {
        for columns in groups {
            let (mut weight, mut even) = (0.0, 0.0);
            for row in rows.clone() {
                let others = columns.clone().filter(|&column| column != row);
                for column in others {
                    weight += tokens(row) * block.attention[row * n_passages + column];
                    even += tokens(row) * tokens(column) / (all - tokens(row)).max(1.0);
                }
            }
            cells.push((even > 0.0).then(|| weight / even));
        }
    }
    cells
}

fn panel(area: &Area, left: i32, cells: &Cells, scale: &Scale) -> Result<()> {
    let Some(level) = Inspection::passage_level(cells.block) else {
        return Ok(());
    };
    let n_groups = cells.groups.len();
    let borders: Vec<i32> = cells
        .groups
        .iter()
        .map(|group| group.start)
        .chain([level.n_nodes])
        .map(|passage| pixel(level, passage))
        .collect();
    for row in 0..n_groups {
        let values = &cells.values[row * n_groups..(row + 1) * n_groups];
        let colours: Vec<RGBColor> = values
            .iter()
            .map(|value| value.map_or(EMPTY, |value| scale.colour(value)))
            .collect();
        let rows = (TOP + borders[row], TOP + borders[row + 1]);
        bands(area, &colours, |column| left + borders[column], rows)?;
    }
    frame(area, (left, TOP), (left + PANEL, TOP + PANEL))?;
    let title = format!("after layer {}", cells.block.layer);
    write(
        area,
        &title,
        (left + PANEL / 2, TOP - 10),
        &Face::new(19.0).centred(),
    )?;
    let step = level.n_nodes.div_ceil(8).max(1);
    for passage in (0..level.n_nodes).step_by(step) {
        let middle = (pixel(level, passage) + pixel(level, passage + 1)) / 2;
        let at = (left + middle, TOP + PANEL + 18);
        write(
            area,
            &(passage + 1).to_string(),
            at,
            &Face::new(14.0).centred().faint(),
        )?;
    }
    let at = (left + PANEL / 2, TOP + PANEL + 40);
    write(
        area,
        "passage that is looked at",
        at,
        &Face::new(16.0).centred(),
    )
}

/// Where a passage starts in a panel.
fn pixel(level: &LevelView, passage: usize) -> i32 {
    let n_tokens = level.borders[level.n_nodes].max(1);
    (f64::from(level.borders[passage]) / f64::from(n_tokens) * f64::from(PANEL)).round() as i32
}

/// The names of the sections beside the rows of the first panel, those that have room.
fn sections(area: &Area, inspection: &Inspection) -> Result<()> {
    let level = inspection
        .blocks
        .first()
        .and_then(Inspection::passage_level);
    let Some(level) = level else { return Ok(()) };
    let mut free = i32::MIN;
    let mut before = "";
    for (passage, place) in inspection.passages.iter().enumerate() {
        let top = TOP + pixel(level, passage);
        if place.section == before {
            continue;
        }
        before = &place.section;
        area.draw(&PathElement::new([(LEFT - 6, top), (LEFT, top)], FAINT))?;
        if top >= free {
            let name = format!("{} {}", tui::fit(&place.section, 25), passage + 1);
            write(
                area,
                &name,
                (LEFT - 9, top + 11),
                &Face::new(14.0).right().faint(),
            )?;
            free = top + 14;
        }
    }
    let face = Face::new(16.0).centred().turned();
    write(area, "passage that looks", (20, TOP + PANEL / 2), &face)
}

fn legend(area: &Area, left: i32, scale: &Scale) -> Result<()> {
    let (top, height, n_steps) = (TOP + LEGEND_TOP, LEGEND, 40);
    for step in 0..n_steps {
        let value = scale.least + (scale.most - scale.least) * step as f32 / (n_steps - 1) as f32;
        let bottom = top + height - step * height / n_steps;
        let corners = [(left, bottom - height / n_steps), (left + 18, bottom)];
        area.draw(&Rectangle::new(corners, scale.colour(value).filled()))?;
    }
    let face = || Face::new(14.0).faint();
    write(
        area,
        &format!("{:.1} ×", scale.most),
        (left + 24, top + 10),
        &face(),
    )?;
    write(
        area,
        &format!("{:.1} ×", scale.least),
        (left + 24, top + height),
        &face(),
    )?;
    for (line, text) in ["weight,", "relative to", "an even look"]
        .into_iter()
        .enumerate()
    {
        write(area, text, (left, top - 44 + 16 * line as i32), &face())?;
    }
    Ok(())
}

/// One strip a level and block, the top of the pyramid first.
fn levels(area: &Area, blocks: &[BlockView], top: i32) -> Result<()> {
    let deepest = blocks.iter().max_by_key(|block| block.levels.len());
    let Some(deepest) = deepest else {
        return Ok(());
    };
    write(
        area,
        "How like its neighbours each node is (cosine of their latents), level by level along the text",
        (LEFT, top - 14),
        &Face::new(16.0),
    )?;
    let n_levels = deepest.levels.len();
    for at in 0..n_levels {
        let from = top + (n_levels - 1 - at) as i32 * NEXT_STRIP;
        let name = level_name(&deepest.levels, at);
        let name = format!("{name}: {}", thousands(deepest.levels[at].n_nodes));
        write(area, &name, (LEFT - 9, from + 14), &Face::new(15.0).right())?;
        let strips: Vec<Vec<Option<f32>>> = blocks
            .iter()
            .map(|block| block.levels.get(at).map_or_else(Vec::new, strip))
            .collect();
        let scale = Scale::over(strips.iter().flatten().copied().flatten());
        for (block, strip) in strips.iter().enumerate() {
            let left = LEFT + block as i32 * (PANEL + GAP);
            let colours: Vec<RGBColor> = strip
                .iter()
                .map(|value| value.map_or(EMPTY, |value| scale.colour(value)))
                .collect();
            let column = |column: usize| left + column as i32 * COLUMN;
            bands(area, &colours, column, (from, from + STRIP))?;
            frame(area, (left, from), (left + PANEL, from + STRIP))?;
        }
        let right = LEFT + blocks.len() as i32 * (PANEL + GAP) - GAP + 12;
        if deepest.levels[at].n_nodes > 1 {
            let range = format!("{:.2} to {:.2}", scale.least, scale.most);
            write(area, &range, (right, from + 14), &Face::new(14.0).faint())?;
        }
    }
    Ok(())
}

/// The likeness of a level's nodes to their neighbours, column by column of a strip.
fn strip(level: &LevelView) -> Vec<Option<f32>> {
    let n_tokens = level.borders[level.n_nodes] as f32;
    let nodes = (0..level.n_nodes).filter_map(|node| {
        let sides = [node.checked_sub(1), Some(node)];
        let sides = sides
            .into_iter()
            .flatten()
            .filter_map(|side| level.likeness.get(side));
        let (sum, count) = sides.fold((0.0, 0.0), |(sum, count), own| (sum + own, count + 1.0));
        let tokens = level.borders[node] as f32..level.borders[node + 1] as f32;
        (count > 0.0).then(|| (tokens, sum / count))
    });
    spread(nodes, n_tokens, (PANEL / COLUMN) as usize)
}

/// Rectangles side by side; neighbours of the same colour become one.
fn bands(
    area: &Area,
    colours: &[RGBColor],
    left_of: impl Fn(usize) -> i32,
    (top, bottom): (i32, i32),
) -> Result<()> {
    let mut first = 0;
    for band in colours.chunk_by(|a, b| a == b) {
        let corners = [(left_of(first), top), (left_of(first + band.len()), bottom)];
        area.draw(&Rectangle::new(corners, band[0].filled()))?;
        first += band.len();
    }
    Ok(())
}

fn frame(area: &Area, from: (i32, i32), to: (i32, i32)) -> Result<()> {
    Ok(area.draw(&Rectangle::new([from, to], FAINT))?)
}

/// How a text is written.
struct Face {
    size: f64,
    colour: RGBColor,
    anchor: HPos,
    turned: bool,
}

impl Face {
    fn new(size: f64) -> Self {
        Self {
            size,
            colour: INK,
            anchor: HPos::Left,
            turned: false,
        }
    }

    fn faint(self) -> Self {
        Self {
            colour: FAINT,
            ..self
        }
    }

    fn centred(self) -> Self {
        Self {
            anchor: HPos::Center,
            ..self
        }
    }

    fn right(self) -> Self {
        Self {
            anchor: HPos::Right,
            ..self
        }
    }

    fn turned(self) -> Self {
        Self {
            turned: true,
            ..self
        }
    }
}

/// Writes a text whose line stands at `at`.
fn write(area: &Area, text: &str, at: (i32, i32), face: &Face) -> Result<()> {
    let mut font = ("sans-serif", face.size).into_font();
    if face.turned {
        font = font.transform(FontTransform::Rotate270);
    }
    let style = TextStyle::from(font)
        .color(&face.colour)
        .pos(Pos::new(face.anchor, VPos::Bottom));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}
