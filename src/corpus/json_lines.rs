//! JSON lines: one object with a text on each line, as BEIR's `corpus.jsonl` has them.
//!
//! Keys: `_id` or `id`; `title`; `text`, `contents` or `body`; `tags`, a list or words parted by commas. Others, such
//! as `url`, are passed over.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader, Read},
    time::SystemTime,
};

use serde_json::{Map, Value};

use super::{
    Document, Mark, Origin, Skipped,
    open::Documents,
    plain::paragraphs,
    walk::{ScannedFile, unreadable},
};

/// Longer lines are passed over.
const MAX_LINE_BYTES: usize = 16 << 20;
/// Bad lines in a row, with no good one before, after which a file is taken for something else.
const MAX_BAD_LINES: usize = 20;

/// Reads a file of JSON lines.
pub(super) fn open(file: &ScannedFile) -> Documents {
    match File::open(&file.absolute) {
        Ok(opened) => Box::new(Lines {
            modified: file.modified,
            ..Lines::new(opened, &file.path)
        }),
        Err(error) => Box::new(std::iter::once(Err(unreadable(file.path.clone(), &error)))),
    }
}

/// Reads JSON lines from a stream; `name` stands for its path.
pub fn open_lines(reader: impl Read + Send + 'static, name: &str) -> Documents {
    Box::new(Lines::new(reader, name))
}

struct Lines<R> {
    reader: BufReader<R>,
    path: String,
    modified: Option<SystemTime>,
    /// Counted from 1.
    number: u32,
    /// The names that are taken.
    seen: HashSet<String>,
    n_bad: usize,
    ended: bool,
}

/// A line of a stream.
enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

impl<R: Read> Lines<R> {
    fn new(reader: R, path: &str) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            path: path.to_owned(),
            modified: None,
            number: 0,
            seen: HashSet::new(),
            n_bad: 0,
            ended: false,
        }
    }

    /// The next line without its end; one that is too long is not kept.
    fn line(&mut self) -> std::io::Result<Line> {
        let mut line = Vec::new();
        let most = MAX_LINE_BYTES as u64 + 1;
        let read = self
            .reader
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(Line::End);
        }
        self.number = self.number.saturating_add(1);
        if line.last() == Some(&b'\n') || read <= MAX_LINE_BYTES {
            return Ok(Line::Whole(line));
        }
        self.reader.skip_until(b'\n')?;
        Ok(Line::TooLong)
    }

    fn document(&mut self, line: &[u8]) -> Result<Document, String> {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let object: Map<String, Value> = serde_json::from_slice(line).map_err(|error| {
            format!("is not a JSON object ({error}); give one object with a text on each line")
        })?;
        let first = |keys: &[&str]| keys.iter().find_map(|key| object.get(*key).and_then(words));
        let title = first(&["title"]);
        // A line without text is still found by its title.
        let text = first(&["text", "contents", "body"])
            .or_else(|| title.clone())
            .ok_or("has no text; name it \"text\", \"contents\" or \"body\"")?;
        let id = first(&["_id", "id"]).unwrap_or_else(|| format!("line {}", self.number));
        let blocks = paragraphs(&text, 0..text.len());
        if blocks.is_empty() {
            return Err("has an empty text; there is nothing to index".to_owned());
        }
        let name = self.unique(&id);
        Ok(Document {
            path: format!("{}/{name}", self.path),
            title: title.unwrap_or_else(|| id.clone()),
            tags: object.get("tags").map(tags).unwrap_or_default(),
            blocks,
            text,
            origin: Origin::Extracted(vec![Mark {
                start: 0,
                name: id,
                line: Some(self.number),
            }]),
            modified: self.modified,
            ..Document::default()
        })
    }

    /// `id`, or with the number of its line where it was there before.
    fn unique(&mut self, id: &str) -> String {
        let own: String = id
            .chars()
            .map(|own| if own.is_control() { ' ' } else { own })
            .collect();
        if self.seen.insert(own.clone()) {
            return own;
        }
        let mut other = format!("{own} (line {})", self.number);
        while !self.seen.insert(other.clone()) {
            other.push('\'');
        }
        other
    }

    /// Reports a line; a file of nothing but such lines is given up.
    fn bad(&mut self, reason: &str) -> Skipped {
        self.n_bad += 1;
        let mut reason = format!("line {} {reason}", self.number);
        if self.n_bad >= MAX_BAD_LINES && self.seen.is_empty() {
            self.ended = true;
            reason.push_str("; so are all lines before, and the rest is not read");
        }
        Skipped {
            path: self.path.clone(),
            reason,
            failed: false,
        }
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = Result<Document, Skipped>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.line() {
                Ok(Line::Whole(line)) if line.trim_ascii().is_empty() => {}
                Ok(Line::Whole(line)) => {
                    let document = self.document(&line);
                    return Some(document.map_err(|reason| self.bad(&reason)));
                }
                Ok(Line::TooLong) => {
                    let reason = format!("is longer than {} MB; split it", MAX_LINE_BYTES >> 20);
                    return Some(Err(self.bad(&reason)));
                }
                Ok(Line::End) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(unreadable(self.path.clone(), &error)));
                }
            }
        }
        None
    }
}

/// What is said by a string, a number or a list of them.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
            Some(parts.join("\n\n").trim().to_owned()).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

fn tags(value: &Value) -> Vec<String> {
    let all: Vec<&str> = match value {
        Value::String(text) => text.split(',').collect(),
        Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut seen = HashSet::new();
    let own = all
        .into_iter()
        .map(|tag| tag.trim().trim_start_matches('#'));
    own.filter(|tag| !tag.is_empty() && seen.insert(tag.to_lowercase()))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// What is read, a line each: `path | title | tags | line | text`, or `path: reason`.
    #[track_caller]
    fn check(lines: &[u8], expected: &[&str]) {
        let items = open_lines(Cursor::new(lines.to_vec()), "f.jsonl");
        let told = items.map(|item| match item {
            Ok(document) => {
                let line = match &document.origin {
                    Origin::Extracted(marks) => marks[0].line.unwrap_or(0),
                    Origin::File => 0,
                };
                let tags = document.tags.join(",");
                format!(
                    "{} | {} | {tags} | {line} | {}",
                    document.path, document.title, document.text
                )
            }
            Err(skipped) => format!("{}: {}", skipped.path, skipped.reason),
        });
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn lines_become_documents() {
        check(
            br#"{"_id": "d1", "title": "Bread", "text": "Old.\n\nGood.", "metadata": {"url": "x"}}"#,
            &["f.jsonl/d1 | Bread |  | 1 | Old.\n\nGood."],
        );
        check(
            b"\xef\xbb\xbf{\"id\": 7, \"contents\": \"a\", \"tags\": [\"B\", \"#c\", \"b\"], \"url\": \"x\"}\r\n\n\
              {\"body\": \"b\", \"tags\": \"x, y\"}\n{\"id\": 7, \"text\": [\"c\", \"d\"]}\n{\"id\": \"t\", \"title\": \"T\", \"text\": \"\"}",
            &[
                "f.jsonl/7 | 7 | B,c | 1 | a",
                "f.jsonl/line 3 | line 3 | x,y | 3 | b",
                "f.jsonl/7 (line 4) | 7 |  | 4 | c\n\nd",
                "f.jsonl/t | T |  | 5 | T",
            ],
        );
        check(b"", &[]);
    }

    #[test]
    fn bad_lines_are_told_and_the_rest_is_read() {
        let told = |lines: &[u8], expected: &str| {
            let mut items = open_lines(Cursor::new(lines.to_vec()), "f");
            let skipped = items.next().and_then(Result::err).expect("is bad");
            assert!(skipped.reason.starts_with(expected), "{}", skipped.reason);
            assert_eq!(items.filter(Result::is_ok).count(), 1);
        };
        let good = b"\n{\"text\": \"good\"}\n";
        told(
            &[b"{\"text\": ".as_slice(), good].concat(),
            "line 1 is not a JSON object",
        );
        told(
            &[b"[1, 2]".as_slice(), good].concat(),
            "line 1 is not a JSON object",
        );
        told(
            &[b"\n{\"a\": 1}".as_slice(), good].concat(),
            "line 2 has no text",
        );
        told(
            &[b"\xff\xfe".as_slice(), good].concat(),
            "line 1 is not a JSON object",
        );
        told(
            &[vec![b'['; 100_000].as_slice(), good].concat(),
            "line 1 is not a JSON object",
        );
        told(
            &[vec![b'x'; MAX_LINE_BYTES + 1].as_slice(), good].concat(),
            "line 1 is longer than 16 MB",
        );
        let items = open_lines(Cursor::new("no\n".repeat(1_000)), "f");
        let all: Vec<_> = items.filter_map(Result::err).collect();
        assert_eq!(all.len(), MAX_BAD_LINES);
        assert!(
            all[MAX_BAD_LINES - 1]
                .reason
                .ends_with("the rest is not read")
        );
    }
}
