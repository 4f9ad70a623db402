//! `shas status` and `shas doctor`: how an index is.

use std::{io::IsTerminal, path::Path};

use anyhow::{Result, bail};
use serde_json::json;

use super::{Common, output, output::say, paths};
use crate::store::{self, FileState, FileStatus, Snapshot};

/// Prints what became of each file, of one state only where that is asked for.
pub fn status(common: &Common, state: Option<FileState>) -> Result<()> {
    let folder = paths::index_to_read(common)?;
    let snapshot = Snapshot::open(&folder)?;
    let counts = output::counts(&snapshot);
    let all = snapshot.body.statuses.iter();
    let wanted = |status: &&FileStatus| match state {
        Some(state) => status.state == state,
        // A list of what went well is long.
        None => common.json || status.state != FileState::Indexed,
    };
    let files: Vec<&FileStatus> = all.filter(wanted).collect();
    if common.json {
        return output::json(&json!({ "index": folder, "counts": counts, "files": files }));
    }
    say!(
        "{} indexed, {} skipped, {} failed",
        counts.indexed,
        counts.skipped,
        counts.failed
    );
    say!(
        "{} documents in {} of {} passages encoded ({:.0}%); index: {}",
        counts.documents,
        counts.encoded_passages,
        counts.passages,
        1e2 * counts.encoded_passages as f64 / counts.passages.max(1) as f64,
        folder.display()
    );
    for status in files {
        let reason = status.reason.as_deref().unwrap_or("indexed");
        say!("{}  {}: {reason}", output::time(status.time), status.path);
    }
    Ok(())
}

/// Checks every part of the index and says what is wrong and what helps.
pub fn doctor(common: &Common) -> Result<()> {
    let folder = paths::index_to_read(common)?;
    let findings = store::doctor::examine(&folder)?;
    let broken = findings.iter().filter(|own| own.is_damage).count();
    if common.json {
        output::json(&json!({ "index": folder, "clean": broken == 0, "findings": findings }))?;
    } else {
        print_findings(&folder, &findings);
    }
    match broken {
        0 => Ok(()),
        _ => bail!("the index is damaged; run `shas index --rebuild` on its corpus"),
    }
}

fn print_findings(folder: &Path, findings: &[store::doctor::Finding]) {
    let [good, bad] = match std::io::stdout().is_terminal() {
        true => ["✓", "✗"],
        false => ["ok", "damaged"],
    };
    say!("index: {}", folder.display());
    for finding in findings {
        let mark = if finding.is_damage { bad } else { good };
        say!("{mark} {}: {}", finding.part, finding.what);
    }
}
