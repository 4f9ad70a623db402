//! How results look on a terminal and as JSON.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::store::{FileState, Snapshot};

/// Prints a line to stdout; where nobody reads on, as behind `| head`, the command ends.
macro_rules! say {
    ($($part:tt)*) => {
        $crate::cli::output::print_line(format_args!($($part)*))
    };
}
pub(super) use say;

pub fn print_line(line: fmt::Arguments) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// One hit of `search`.
#[derive(Serialize)]
pub struct Hit {
    pub id: u64,
    pub level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    pub name: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    pub line: usize,
    pub score: f32,
    pub parts: HitParts,
    #[serde(skip)]
    pub snippet: String,
}

/// The parts of a hit's score, as z-scores; what tree, near passages, links and reader add is weighted already.
#[derive(Serialize)]
pub struct HitParts {
    pub bm25: f32,
    pub passage: f32,
    pub granule: f32,
    pub tree: f32,
    pub near: f32,
    pub links: f32,
    pub reader: f32,
}

/// Prints any value as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// `path:line`, or `path, page 3` where the text has places of its own; behind its collection.
pub(super) fn place(
    collection: Option<&str>,
    path: &str,
    place: Option<&str>,
    line: usize,
) -> String {
    let path = match collection {
        Some(collection) => format!("{collection}: {path}"),
        None => path.to_owned(),
    };
    match place {
        Some(place) => format!("{path}, {place}"),
        None => format!("{path}:{line}"),
    }
}

pub fn print_hits(hits: &[Hit]) {
    for hit in hits {
        let collection = hit.collection.as_deref();
        let place = place(collection, &hit.path, hit.place.as_deref(), hit.line);
        say!("{:6.2}  {}  ({place})", hit.score, hit.name);
        say!("        {}", hit.snippet);
    }
}

/// Counts of files by state, and of what is encoded.
#[derive(Serialize)]
pub struct Counts {
    pub indexed: usize,
    pub skipped: usize,
    pub failed: usize,
    pub documents: usize,
    pub passages: usize,
    pub encoded_passages: usize,
}

pub fn counts(snapshot: &Snapshot) -> Counts {
    let count = |state| snapshot.body.n_files(state);
    Counts {
        indexed: count(FileState::Indexed),
        skipped: count(FileState::Skipped),
        failed: count(FileState::Failed),
        documents: snapshot.body.documents.len(),
        passages: snapshot.n_passages(),
        encoded_passages: snapshot
            .body
            .documents
            .iter()
            .map(|document| document.n_encoded as usize)
            .sum(),
    }
}

/// A time as `2026-11-27 08:30` in UTC.
pub fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (rest / 3_600, rest % 3_600 / 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// The time now, as [`time`].
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    time(since.map_or(0, |since| since.as_secs()))
}

/// Year, month and day of a number of days since 1970, by Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_dates() {
        let check = |seconds, expected| assert_eq!(time(seconds), expected);
        check(0, "1970-01-01 00:00");
        check(951_868_799, "2000-02-29 23:59");
        check(1_795_766_400, "2026-11-27 08:00");
    }
}
