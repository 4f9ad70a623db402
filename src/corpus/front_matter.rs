//! YAML front matter: title, aliases, tags; forgiving, because people write it by hand.

use std::ops::Range;

use saphyr::{LoadableYamlNode, Yaml};

/// Front matter above this is no front matter.
const MAX_BYTES: usize = 64 << 10;

/// What the front matter says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontMatter {
    pub title: Option<String>,
    pub aliases: Vec<String>,
    pub tags: Vec<String>,
    /// True where Dendron keeps it: `id`, `desc` and times stand there, and `|` comes after a link's text.
    pub dendron: bool,
    /// Bytes of the YAML between the fences.
    pub yaml: Range<usize>,
    /// First byte after the closing fence.
    pub end: usize,
}

/// Reads the front matter that `text` opens with; without one, `end` is where the text starts (after a mark).
pub fn front_matter(text: &str) -> FrontMatter {
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let absent = FrontMatter {
        end: start,
        ..FrontMatter::default()
    };
    let Some((yaml, end)) = fenced(text, start) else {
        return absent;
    };
    let source = &text[yaml.clone()];
    let mut found = parsed(source).unwrap_or_else(|| line_by_line(source));
    found.tags.iter_mut().for_each(|tag| {
        *tag = tag.trim_start_matches('#').trim_matches('/').to_owned();
    });
    found.tags.retain(|tag| !tag.is_empty());
    found.aliases.retain(|alias| !alias.is_empty());
    found.dendron = is_of_dendron(source);
    FrontMatter { yaml, end, ..found }
}

/// True where Dendron keeps the front matter of `text`.
pub fn is_kept_by_dendron(text: &str) -> bool {
    let fenced = fenced(text, if text.starts_with('\u{feff}') { 3 } else { 0 });
    fenced.is_some_and(|(yaml, _)| is_of_dendron(&text[yaml]))
}

fn is_of_dendron(yaml: &str) -> bool {
    let has = |key: &str| yaml.lines().any(|line| line.starts_with(key));
    has("id:") && has("desc:") && (has("updated:") || has("created:"))
}

/// The range between two `---` lines at the start, and the end of the closing one.
fn fenced(text: &str, start: usize) -> Option<(Range<usize>, usize)> {
    let mut lines = text[start..].split_inclusive('\n');
    let first = lines.next().filter(|line| line.trim_end() == "---")?;
    let yaml_start = start + first.len();
    let mut at = yaml_start;
    for line in lines {
        if matches!(line.trim_end(), "---" | "...") {
            return Some((yaml_start..at, at + line.len()));
        }
        at += line.len();
        if at - yaml_start > MAX_BYTES {
            return None;
        }
    }
    None
}

fn parsed(source: &str) -> Option<FrontMatter> {
    let documents = Yaml::load_from_str(source).ok()?;
    let Some(root) = documents.first() else {
        return Some(FrontMatter::default());
    };
    root.as_mapping()?;
    let list = |keys: [&str; 2]| -> Vec<String> {
        keys.iter()
            .filter_map(|key| root.as_mapping_get(key))
            .flat_map(|value| match value.as_sequence() {
                Some(items) => items.iter().filter_map(scalar).collect(),
                None => scalar(value).map(|line| split(&line)).unwrap_or_default(),
            })
            .collect()
    };
    Some(FrontMatter {
        title: root.as_mapping_get("title").and_then(scalar),
        aliases: list(["aliases", "alias"]),
        tags: list(["tags", "tag"]),
        ..FrontMatter::default()
    })
}

fn scalar(value: &Yaml) -> Option<String> {
    let text = value
        .as_str()
        .map(str::to_owned)
        .or_else(|| value.as_integer().map(|number| number.to_string()))
        .or_else(|| value.as_floating_point().map(|number| number.to_string()))?;
    let text = text.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// `key: value` lines and `- item` lines below them, for YAML that is none.
fn line_by_line(source: &str) -> FrontMatter {
    let mut found = FrontMatter::default();
    let mut key = String::new();
    for line in source.lines() {
        let (name, value) = match line.trim_start().strip_prefix("- ") {
            Some(item) => (key.clone(), item),
            None => match line.split_once(':') {
                Some((name, value)) => (name.trim().to_lowercase(), value),
                None => continue,
            },
        };
        let value = value.trim().trim_matches(['"', '\'']).trim();
        match name.as_str() {
            "title" if !value.is_empty() => found.title = Some(value.to_owned()),
            "alias" | "aliases" => found.aliases.extend(split(value)),
            "tag" | "tags" => found.tags.extend(split(value)),
            _ => {}
        }
        key = name;
    }
    found
}

/// A list written on one line: `[a, b]` or `a, b`.
fn split(line: &str) -> Vec<String> {
    line.trim_matches(['[', ']'])
        .split(',')
        .map(|item| item.trim().trim_matches(['"', '\'']).to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, title: Option<&str>, aliases: &[&str], tags: &[&str], body: &str) {
        let found = front_matter(text);
        assert_eq!(found.title.as_deref(), title, "{text}");
        assert_eq!(found.aliases, aliases, "{text}");
        assert_eq!(found.tags, tags, "{text}");
        assert_eq!(&text[found.end..], body, "{text}");
    }

    #[test]
    fn front_matter_is_read_as_people_write_it() {
        check(
            "---\ntitle: A\naliases: [x, y]\ntags:\n  - a/b\n  - c\n---\nBody",
            Some("A"),
            &["x", "y"],
            &["a/b", "c"],
            "Body",
        );
        check(
            "---\r\ntags: '#a, b'\r\n---\r\nBody",
            None,
            &[],
            &["a", "b"],
            "Body",
        );
        check(
            "---\ntitle: \"Unclosed\naliases:\n - z\n---\nBody",
            Some("Unclosed"),
            &["z"],
            &[],
            "Body",
        );
        check("---\nnot closed\n", None, &[], &[], "---\nnot closed\n");
        check("---\n---\n", None, &[], &[], "");
        check(
            "\u{feff}---\ntitle: 2024\n---\n",
            Some("2024"),
            &[],
            &[],
            "",
        );
        check("No front matter", None, &[], &[], "No front matter");
    }
}
