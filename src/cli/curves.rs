//! `shas train plot`: the curves of a run as SVG, loss above and validation below.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use plotters::{coord::Shift, prelude::*};

use crate::train::{Figures, StepReport};

/// Pixels.
const WIDTH: u32 = 900;
const HEIGHT: u32 = 360;
/// Steps that a point of the loss is the mean of.
const SMOOTHED: usize = 20;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Curves = BTreeMap<String, Vec<(f64, f64)>>;

/// Draws `metrics.jsonl` into `svg`.
pub fn plot(metrics: &Path, svg: &Path) -> Result<()> {
    let text = fs::read_to_string(metrics)
        .with_context(|| format!("cannot read {}", metrics.display()))?;
    let reports: Vec<StepReport> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} holds no metrics of a training run", metrics.display()))?;
    if reports.is_empty() {
        bail!("{} is empty; train for a step first", metrics.display());
    }
    let losses = curves(&reports, |report| &report.parts);
    let losses = losses
        .into_iter()
        .map(|(name, points)| (name, smoothed(&points)));
    let drawing = draw(
        &losses.collect(),
        &curves(&reports, |report| &report.validation),
    )?;
    fs::write(svg, drawing).with_context(|| format!("cannot write {}", svg.display()))
}

/// A curve for each name, over steps.
fn curves(reports: &[StepReport], figures: impl Fn(&StepReport) -> &Figures) -> Curves {
    let mut curves = Curves::new();
    for report in reports {
        for (name, value) in figures(report) {
            let curve = curves.entry(name.clone()).or_default();
            curve.push((report.step as f64, *value));
        }
    }
    curves
}

fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let means = points.chunks(SMOOTHED).map(|points| {
        let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
        (points[points.len() - 1].0, mean)
    });
    means.collect()
}

fn draw(losses: &Curves, validation: &Curves) -> Result<String> {
    let panels: Vec<(&str, &Curves)> = [("loss", losses), ("validation", validation)]
        .into_iter()
        .filter(|(_, curves)| !curves.is_empty())
        .collect();
    let mut svg = String::new();
    {
        let size = (WIDTH, HEIGHT * panels.len() as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (area, (title, curves)) in area.split_evenly((panels.len(), 1)).iter().zip(panels) {
            panel(area, title, curves)?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn panel(area: &Area, title: &str, curves: &Curves) -> Result<()> {
    let points = || curves.values().flatten();
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let lowest = points().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let highest = points()
        .map(|point| point.1)
        .fold(f64::NEG_INFINITY, f64::max);
    let margin = 0.05 * (highest - lowest).max(0.01);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, lowest - margin..highest + margin)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("step")
        .draw()?;
    for (at, (name, points)) in curves.iter().enumerate() {
        let colour = Palette99::pick(at).to_rgba();
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(line)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(())
}
