//! An answer on the terminal: what a model wrote of it, its words, its quotes, the ladder, and why the ranking is as it is.

use std::io::IsTerminal;

use super::output::{place, say};
use crate::answer::{Answer, Candidate, Citation, Depth, Kind, NamedHop, Rung, Written};

pub fn print(answer: &Answer) {
    if let Some(written) = &answer.written {
        print_written(written);
    }
    if !answer.judgement.supported {
        say!("This corpus does not seem to answer that. The nearest that it says:\n");
    }
    match answer.ladder.is_empty() {
        true => print_points(answer),
        false => answer.ladder.iter().for_each(print_rung),
    }
    if !answer.hops.is_empty() {
        say!("\nfound by following links:");
        answer
            .hops
            .iter()
            .for_each(|hop| say!("  {}", hop_line(hop)));
    }
    let levels = answer.levels.iter();
    let levels = levels.map(|(level, weight)| format!("{level} {:.0}%", weight * 100.0));
    say!(
        "\n{} at the level of the {}; support {:.0}%; attention: {}",
        match answer.answer.kind {
            Kind::Detail => "a detail",
            Kind::Concept => "a concept",
            Kind::Synthesis => "a synthesis",
        },
        answer.answer.level,
        answer.judgement.support * 100.0,
        levels.collect::<Vec<_>>().join(", ")
    );
    if let Some(explanation) = &answer.explanation {
        say!("\nwhy:");
        for (candidate, number) in explanation.candidates.iter().zip(1..) {
            print_candidate(candidate, number);
        }
    }
}

/// A sentence a line, so that each stands beside what is wrong with it.
fn print_written(written: &Written) {
    let n_unsupported = written
        .sentences
        .iter()
        .filter(|own| !own.supported)
        .count();
    let count = match n_unsupported {
        0 => String::new(),
        _ => format!(
            " (unsupported: {n_unsupported} of {} sentences)",
            written.sentences.len()
        ),
    };
    say!(
        "{} writes from the passages of these quotes{count}:\n",
        written.model
    );
    let (open, close) = match is_plain() {
        true => ("", ""),
        false => ("\u{1b}[33m", "\u{1b}[0m"),
    };
    for own in &written.sentences {
        match &own.fault {
            Some(fault) => say!("  {open}✗ {} (unsupported: {fault}){close}", own.text),
            None => say!("  {}", own.text),
        }
    }
    say!("");
}

/// A detail stands above its quotes; points are their quotes, under the name of the node that they are about.
fn print_points(answer: &Answer) {
    let quotes = answer.citations.iter().zip(1..);
    // The text of several points is their quotes.
    let is_quotes = answer.citations.first().is_some_and(|first| {
        answer.answer.text.starts_with(&first.quote) && answer.answer.kind != Kind::Detail
    });
    if !is_quotes {
        say!("{}\n", one_line(&answer.answer.text));
    }
    for (citation, number) in quotes {
        say!("  [{number}] {}", place_of(citation));
        say!("      “{}”", quote(citation));
        if !citation.also.is_empty() {
            say!("      also in {}", citation.also.join(", "));
        }
    }
}

fn print_rung(rung: &Rung) {
    let indent = "  ".repeat(
        Depth::ALL
            .iter()
            .take_while(|own| **own < rung.depth)
            .count(),
    );
    let count = rung
        .n_documents
        .map(|count| format!(" ({count} documents)"));
    say!(
        "{indent}{}: {}{}",
        rung.depth.name(),
        rung.name,
        count.unwrap_or_default()
    );
    match &rung.citation {
        Some(citation) => {
            say!("{indent}  “{}”", quote(citation));
            say!("{indent}  {}", place_of(citation));
        }
        None => {
            say!("{indent}  {}", one_line(&rung.text));
            let paths = rung.documents.iter().map(|own| own.path.as_str());
            say!(
                "{indent}  stands for {}",
                paths.collect::<Vec<_>>().join(", ")
            );
        }
    }
}

fn print_candidate(candidate: &Candidate, number: usize) {
    let Candidate {
        name, path, line, ..
    } = candidate;
    say!(
        "{number:>3}. {name}  ({path}:{line})  {:.2}",
        candidate.score
    );
    for part in &candidate.parts {
        let count = match (part.deviations, part.weight) {
            (Some(deviations), Some(weight)) => format!("{deviations:+.2} × {weight:.2}"),
            _ => String::new(),
        };
        say!(
            "       {:<8} {:>+6.2}  {count:<13} {}",
            part.name,
            part.adds,
            part.words
        );
    }
    let own = candidate.granules;
    say!(
        "       {:<8} passage {:.2}, neighbours {:.2}, section {:.2}, document {:.2}",
        "granules",
        own.passage,
        own.neighbours,
        own.section,
        own.document
    );
    let levels = candidate.levels.iter().map(|own| {
        format!(
            "{} {:.0}% × {:.0}%",
            own.level,
            own.weight * 100.0,
            own.share * 100.0
        )
    });
    say!(
        "       {:<8} {}",
        "levels",
        levels.collect::<Vec<_>>().join(", ")
    );
    say!("       {:<8} {}", "in", candidate.tree_path.join(" › "));
    if let Some(hop) = &candidate.hop {
        say!("       {:<8} {}", "led to", hop_line(hop));
    }
}

fn hop_line(hop: &NamedHop) -> String {
    let through = hop.through.as_deref().unwrap_or(&hop.to);
    let line = hop.line.map(|line| format!(":{line}")).unwrap_or_default();
    format!(
        "{}{line} → {} through “{}”, {:.0}% of the way up to it",
        hop.from_path,
        hop.to_path,
        one_line(through),
        hop.share * 100.0
    )
}

fn place_of(citation: &Citation) -> String {
    let collection = citation.collection.as_deref();
    place(
        collection,
        &citation.path,
        citation.place.as_deref(),
        citation.line_start,
    )
}

/// The quote on one line, the likely answer in bold where the terminal has it.
fn quote(citation: &Citation) -> String {
    let marked = citation.marked.filter(|_| !is_plain());
    let parts = marked.and_then(|(start, end)| {
        let text = &citation.quote;
        Some((text.get(..start)?, text.get(start..end)?, text.get(end..)?))
    });
    match parts {
        Some((before, own, after)) => one_line(&format!("{before}\u{1b}[1m{own}\u{1b}[0m{after}")),
        None => one_line(&citation.quote),
    }
}

/// Whether nothing but characters may be printed.
fn is_plain() -> bool {
    !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
