//! Reads a PDF where it can do no harm: in a process of its own, with limits of time and output.
//!
//! Without a program to start, a thread does the reading: a panic and a loop are survived, an overflow of the stack
//! or want of memory is not.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use super::{PdfText, read_pdf};

/// The time that one file may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What a process may print.
const MAX_OUTPUT_BYTES: u64 = 128 << 20;
/// The command of the program, before the file's path.
const COMMAND: &str = "read-pdf";
const CRASHED: &str = "breaks the reader of PDF; print it to a new PDF";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// From now on each PDF is read by `program read-pdf FILE`, which prints `Result<PdfText, String>` as JSON.
pub fn read_pdfs_with(program: PathBuf) {
    PROGRAM.get_or_init(|| program);
}

/// What `file` holds; the error is a clause about it.
pub(super) fn text(file: &Path) -> Result<PdfText, String> {
    match PROGRAM.get() {
        Some(program) => {
            let mut command = Command::new(program);
            command.arg(COMMAND).arg(file);
            by_process(command, LIMIT)
        }
        None => by_thread(file, LIMIT),
    }
}

fn by_process(mut command: Command, limit: Duration) -> Result<PdfText, String> {
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child =
        started.map_err(|error| format!("cannot be read: no process starts: {error}"))?;
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes);
            // Nobody waits any more where the time is over.
            drop(sender.send(read.map(|_| bytes)));
        });
    }
    let output = receiver.recv_timeout(limit);
    // It has ended, or it is not waited for.
    drop(child.kill());
    drop(child.wait());
    match output {
        Ok(Ok(bytes)) => serde_json::from_slice(&bytes).unwrap_or_else(|_| Err(CRASHED.to_owned())),
        Ok(Err(_)) => Err(CRASHED.to_owned()),
        Err(_) => Err(too_slow(limit)),
    }
}

fn by_thread(file: &Path, limit: Duration) -> Result<PdfText, String> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || drop(sender.send(read_pdf(bytes))));
    match receiver.recv_timeout(limit) {
        Ok(read) => read,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(too_slow(limit)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(CRASHED.to_owned()),
    }
}

fn too_slow(limit: Duration) -> String {
    format!(
        "takes more than {} s to read; print it to a new PDF",
        limit.as_secs()
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn check(script: &str, expected: Result<usize, &str>) {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        let found = by_process(command, Duration::from_secs(1));
        match (found, expected) {
            (Ok(found), Ok(pages)) => assert_eq!(found.pages.len(), pages),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{script}: {found:?}"),
        }
    }

    #[test]
    fn a_process_is_believed_only_when_it_answers() {
        check(r#"echo '{"Ok":{"title":null,"pages":[[],[]]}}'"#, Ok(2));
        check(r#"echo '{"Err":"is encrypted"}'"#, Err("is encrypted"));
        check("kill -9 $$", Err("breaks the reader"));
        check("exec sleep 20", Err("takes more than 1 s"));
    }
}
