//! Reports of `shas eval` as Markdown: a row a set and a column a system, the best of each row in bold.

use std::fmt::Write;

use crate::eval::{AnswersReport, Report};

/// The systems in the order of their columns.
const RANKINGS: [&str; 6] = ["bm25", "dense", "sum", "rrf", "fast", "shas"];
const ANSWERS: [&str; 3] = ["granules", "fast", "shas"];

/// nDCG@10 of rankings, then how often the first quote and one of the first three overlap the answer.
pub fn tables(rankings: &[Report], answers: &[AnswersReport]) -> String {
    let mut text = String::new();
    if !rankings.is_empty() {
        let rows = rankings.iter().map(|own| {
            let of = |system: &str| own.systems.get(system).map(|own| vec![own.ndcg10]);
            (own.set.as_str(), RANKINGS.map(of).to_vec())
        });
        table(&mut text, "nDCG@10", &RANKINGS, rows);
    }
    if !answers.is_empty() {
        let rows = answers.iter().map(|own| {
            let of = |system: &str| {
                let figures = own.systems.get(system)?;
                Some(vec![figures.overlaps_first, figures.overlaps_three])
            };
            (own.set.as_str(), ANSWERS.map(of).to_vec())
        });
        table(&mut text, "quote 1 / 1 to 3 overlap", &ANSWERS, rows);
    }
    text.trim_end().to_owned()
}

/// One table; a system that was not asked of any set has no column.
fn table<'a>(
    text: &mut String,
    corner: &str,
    systems: &[&str],
    rows: impl Iterator<Item = (&'a str, Vec<Option<Vec<f64>>>)>,
) {
    let rows: Vec<_> = rows.collect();
    let asked = |system: &usize| rows.iter().any(|(_, cells)| cells[*system].is_some());
    let columns: Vec<usize> = (0..systems.len()).filter(asked).collect();
    let names: Vec<&str> = columns.iter().map(|&own| systems[own]).collect();
    let rule = "---|".repeat(1 + columns.len());
    // Writing into a string cannot fail.
    let _ = writeln!(text, "| {corner} | {} |\n|{rule}", names.join(" | "));
    for (set, cells) in &rows {
        let of = |column: &&usize| cells[**column].as_deref();
        let best = columns.iter().filter_map(|own| of(&own)).map(|own| own[0]);
        let best = best.fold(f64::NEG_INFINITY, f64::max);
        let shown = columns.iter().map(|own| cell(of(&own), best));
        let _ = writeln!(
            text,
            "| {set} | {} |",
            shown.collect::<Vec<_>>().join(" | ")
        );
    }
    text.push('\n');
}

/// Figures as `.123 / .456`, in bold where the first is the best.
fn cell(figures: Option<&[f64]>, best: f64) -> String {
    let Some(figures) = figures else {
        return "–".to_owned();
    };
    let shown = figures.iter().map(|own| {
        let shown = format!("{own:.3}");
        shown.strip_prefix('0').map_or(shown.clone(), str::to_owned)
    });
    let shown = shown.collect::<Vec<_>>().join(" / ");
    match figures[0] == best {
        true => format!("**{shown}**"),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::eval::Metrics;

    #[test]
    fn the_best_of_a_row_is_bold_and_nobody_is_made_up() {
        let report = |set: &str, systems: &[(&'static str, f64)]| Report {
            set: set.to_owned(),
            n_docs: 1,
            n_queries: 1,
            systems: BTreeMap::from_iter(systems.iter().map(|&(name, ndcg10)| {
                let figures = Metrics {
                    ndcg10,
                    ..Metrics::default()
                };
                (name, figures)
            })),
        };
        let reports = [
            report("one", &[("bm25", 0.5), ("fast", 1.0)]),
            report("two", &[("bm25", 0.25), ("sum", 0.125)]),
        ];
        let expected = "\
            | nDCG@10 | bm25 | sum | fast |\n\
            |---|---|---|---|\n\
            | one | .500 | – | **1.000** |\n\
            | two | **.250** | .125 | – |";
        assert_eq!(tables(&reports, &[]), expected);
        assert_eq!(tables(&[], &[]), "");
    }
}
