//! An answer as rows: its words, then each quote, then each hit.

use ratatui::text::{Line, Span};

use super::{
    asking::Answered,
    level_bars, markdown,
    theme::Theme,
    wrap::{fit, one_line, wrap},
};
use crate::answer::{Answer, Citation, Depth, Hit, Rung};

/// What stands above an answer that little speaks for.
const UNSUPPORTED: &str = "This corpus does not seem to answer that. The nearest that it says:";
/// Rows that a quote takes at most.
const QUOTE_ROWS: usize = 2;
/// Where fewer columns are left beside a hit's name, its place is left out.
const MIN_PLACE: usize = 12;

/// What can be selected at once.
pub struct ItemRows {
    /// How many of the rows are above the item: a gap and a heading.
    pub n_above: usize,
    pub rows: Vec<Line<'static>>,
}

/// The answer, its citations and its hits, with the levels in a line where `levels` says so.
pub fn items(answered: &Answered, width: usize, levels: bool, theme: &Theme) -> Vec<ItemRows> {
    let answer = &answered.answer;
    let mut rows = Vec::new();
    if !answer.judgement.supported {
        rows.extend(wrap(&Line::styled(UNSUPPORTED, theme.problem), width, 0));
        rows.push(Line::default());
    }
    if answer.ladder.is_empty() {
        let text = markdown::inline(&one_line(&answer.answer.text), theme.strong, theme);
        rows.extend(wrap(&text, width, 0));
    } else {
        let rungs = answer.ladder.iter();
        rows.extend(rungs.flat_map(|rung| rung_rows(rung, width, theme)));
    }
    if levels {
        rows.push(Line::default());
        rows.extend(wrap(&level_bars::line(answered, theme), width, 0));
    }
    let mut items = vec![ItemRows { n_above: 0, rows }];
    for (index, citation) in answer.citations.iter().enumerate() {
        let rows = citation_rows(citation, answer, width, theme);
        items.push(under("Quotes", index, rows, theme));
    }
    for (index, hit) in answered.hits.iter().enumerate() {
        items.push(under("Hits", index, hit_rows(hit, width, theme), theme));
    }
    items
}

/// A rung: its depth and name, what it says, and what that rests on.
fn rung_rows(rung: &Rung, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let indent = 2 * Depth::ALL
        .iter()
        .take_while(|own| **own < rung.depth)
        .count();
    let count = rung.n_documents.map(|count| format!("  {count} documents"));
    let head = Line::from_iter([
        Span::styled(format!("{} ", rung.depth.name()), theme.muted),
        Span::styled(rung.name.clone(), theme.heading),
        Span::styled(count.unwrap_or_default(), theme.muted),
    ]);
    let place = match &rung.citation {
        Some(citation) => format!("{}:{}", citation.path, citation.line_start),
        None => {
            let paths = rung.documents.iter().map(|own| own.path.as_str());
            paths.collect::<Vec<_>>().join(", ")
        }
    };
    let said = match rung.depth {
        Depth::Sentence => theme.strong,
        _ => theme.text,
    };
    let inner = width.saturating_sub(indent);
    let mut rows = wrap(&head, inner, 2);
    rows.extend(wrap(
        &markdown::inline(&one_line(&rung.text), said, theme),
        inner,
        2,
    ));
    rows.extend(wrap(&Line::styled(place, theme.accent), inner, 2));
    for row in &mut rows {
        row.spans.insert(0, Span::raw(" ".repeat(indent)));
    }
    rows
}

/// Puts a heading above the first item of its kind.
fn under(heading: &'static str, index: usize, own: Vec<Line<'static>>, theme: &Theme) -> ItemRows {
    let mut rows = match index {
        0 => vec![Line::default(), Line::styled(heading, theme.heading)],
        _ => Vec::new(),
    };
    let n_above = rows.len();
    rows.extend(own);
    ItemRows { n_above, rows }
}

fn citation_rows(
    citation: &Citation,
    answer: &Answer,
    width: usize,
    theme: &Theme,
) -> Vec<Line<'static>> {
    let place = fit(&format!("{}:{}", citation.path, citation.line_start), width);
    let mut rows = vec![Line::styled(place, theme.accent)];
    if citation.quote == answer.answer.text {
        let room = width.saturating_sub(rows[0].width());
        rows[0].push_span(Span::styled(fit("  as above", room), theme.muted));
        return rows;
    }
    let quote = format!("“{}”", one_line(&citation.quote));
    let quote = markdown::inline(&quote, theme.text, theme);
    let quote = wrap(&quote, width.saturating_sub(1), 0);
    let is_cut = quote.len() > QUOTE_ROWS;
    rows.extend(quote.into_iter().take(QUOTE_ROWS));
    if let Some(last) = rows.last_mut().filter(|_| is_cut) {
        last.push_span(Span::styled("…", theme.muted));
    }
    rows
}

fn hit_rows(hit: &Hit, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    let name = fit(&hit.name, width);
    let room = width.saturating_sub(Span::raw(name.as_str()).width());
    let place = match room >= MIN_PLACE {
        true => fit(&format!("  {}:{}", hit.path, hit.line), room),
        false => String::new(),
    };
    let name = Span::styled(name, theme.accent);
    vec![
        Line::from_iter([name, Span::styled(place, theme.muted)]),
        Line::styled(fit(&hit.snippet, width), theme.muted),
    ]
}
