//! Files on their own thread: read, compared with what was indexed, and cut into lines.

use std::{ops::Range, path::PathBuf, sync::Arc};

use super::{
    library::Library,
    markdown::{self, Kind},
    worker::Worker,
};
use crate::answer::{self, SourceText};

/// A file as it is now.
pub struct FileText {
    /// Index of its document.
    pub document: usize,
    /// Why there are no lines.
    pub problem: Option<String>,
    /// Whether it differs from what was indexed.
    pub changed: bool,
    text: String,
    lines: Vec<(Range<usize>, Kind)>,
}

impl FileText {
    pub fn n_lines(&self) -> usize {
        self.lines.len()
    }

    /// A line without its end, its kind, and the byte it starts at.
    pub fn line(&self, line: usize) -> (&str, Kind, usize) {
        let (span, kind) = &self.lines[line];
        (&self.text[span.clone()], *kind, span.start)
    }

    /// Index of the first line behind the front matter.
    pub fn first_line(&self) -> usize {
        let front = self
            .lines
            .iter()
            .take_while(|(_, kind)| *kind == Kind::FrontMatter);
        match front.count() {
            all if all >= self.lines.len() => 0,
            front => front,
        }
    }

    /// Index of the line that holds a byte.
    pub fn line_at(&self, byte: usize) -> usize {
        let after = self.lines.partition_point(|(span, _)| span.start <= byte);
        after.saturating_sub(1)
    }
}

/// Starts the thread that reads documents' files, asked by document.
pub fn spawn(library: Arc<Library>) -> std::io::Result<Worker<usize, FileText>> {
    Worker::spawn("files", move |document| read(&library, document))
}

/// The absolute path of a document's file.
pub fn path_of(library: &Library, document: usize) -> PathBuf {
    answer::file_of(&library.snapshot, library.record(document))
}

fn read(library: &Library, document: usize) -> FileText {
    let record = library.record(document);
    let (source, problem) = match SourceText::read(&library.snapshot, document) {
        Ok(source) => (source, None),
        Err(error) => {
            let problem = format!(
                "{} cannot be read: {error}. Run `shas index` to bring the index up to date.",
                record.path
            );
            (SourceText::default(), Some(problem))
        }
    };
    let name = record.path.to_lowercase();
    let is_markdown = [".md", ".markdown"].iter().any(|end| name.ends_with(end));
    FileText {
        document,
        problem,
        changed: !source.is_current,
        lines: markdown::lines(&source.text, is_markdown),
        text: source.text,
    }
}
