//! Source code: definitions are sections, bodies are code, imports are links.
//!
//! A section's heading is the definition's name; its span holds the comments before it and the signature. Files
//! that no grammar is at hand for, and those that take too long, are code from end to end.

mod imports;
mod language;
mod outline;

use std::{ops::Range, path::Path};

use self::{language::Language, outline::Outline};
use super::{
    Block, BlockKind, Document, Skipped,
    open::read_text,
    plain::{file_name, paragraphs},
    walk::ScannedFile,
};

/// Of code and of the files beside it; for some of them there are grammars.
pub const ENDINGS: &[&str] = &[
    "rs", "py", "pyi", "ts", "mts", "cts", "tsx", "jsx", "js", "mjs", "cjs", "go", "c", "h", "cc",
    "cpp", "cxx", "hh", "hpp", "hxx", "cu", "cuh", "java", "kt", "kts", "scala", "swift", "rb",
    "php", "cs", "fs", "lua", "sh", "bash", "zsh", "fish", "ps1", "bat", "sql", "r", "jl", "pl",
    "pm", "ex", "exs", "erl", "hs", "ml", "mli", "clj", "dart", "zig", "nim", "nix", "tf", "proto",
    "graphql", "vue", "svelte", "cmake", "gradle", "css", "scss", "less", "toml", "ini", "cfg",
    "json", "jsonc", "json5", "yaml", "yml",
];
/// Files above this are read without their structure.
const MAX_PARSED_BYTES: usize = 2 << 20;
/// Data above this is no text that anyone wrote.
const MAX_DATA_BYTES: u64 = 256 << 10;
const DATA_ENDINGS: [&str; 5] = ["json", "jsonc", "json5", "yaml", "yml"];
/// A line above this was written by a program.
const MAX_LINE_BYTES: usize = 10_000;
/// Files that a package manager writes, of those with an ending that is read.
const LOCK_FILES: [&str; 3] = ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml"];
const MAX_LEVEL: usize = 6;

/// Reads a source file, unless a program wrote it.
pub fn read(file: &ScannedFile) -> Result<Document, Skipped> {
    let skip = |reason: String| Skipped {
        path: file.path.clone(),
        reason,
        failed: false,
    };
    let name = file_name(&file.path);
    let ending = name.rsplit('.').next().unwrap_or("").to_lowercase();
    if LOCK_FILES.contains(&name) {
        return Err(skip(
            "is a lock file; a package manager wrote it".to_owned(),
        ));
    }
    if DATA_ENDINGS.contains(&ending.as_str()) && file.bytes > MAX_DATA_BYTES {
        let kilobytes = file.bytes >> 10;
        return Err(skip(format!(
            "is {kilobytes} KB of data, not text; convert what you want to search to Markdown"
        )));
    }
    let document = read_text(file, parse)?;
    let longest = document.text.lines().map(str::len).max().unwrap_or(0);
    if longest > MAX_LINE_BYTES {
        return Err(skip(format!(
            "has a line of {longest} characters; give the source that it was made from"
        )));
    }
    Ok(document)
}

/// Parses a source file; its title is its name with the ending.
pub fn parse(path: &str, text: String) -> Document {
    let language = Language::by_name(Path::new(path)).filter(|_| text.len() <= MAX_PARSED_BYTES);
    let outline = language.and_then(|language| outline::outline(language, &text));
    let blocks = match &outline {
        Some(outline) => blocks(&text, outline),
        None => code_blocks(&text, 0..text.len()),
    };
    let links = match (language, &outline) {
        (Some(language), Some(outline)) => imports::links(language, path, &text, &outline.imports),
        _ => Vec::new(),
    };
    Document {
        path: path.to_owned(),
        title: file_name(path).to_owned(),
        blocks,
        links,
        text,
        ..Document::default()
    }
}

/// Headings for definitions, code between them.
fn blocks(text: &str, outline: &Outline) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    for definition in &outline.definitions {
        let head = definition.span.start..definition.head_end;
        if head.start < at || head.is_empty() {
            continue;
        }
        push_code(text, at..head.start, &mut blocks);
        while open.last().is_some_and(|&end| end <= head.start) {
            open.pop();
        }
        open.push(definition.span.end);
        at = head.end;
        blocks.push(Block {
            kind: BlockKind::Heading {
                level: open.len().min(MAX_LEVEL) as u8,
                text: definition.name.clone(),
            },
            span: head,
        });
    }
    push_code(text, at..text.len(), &mut blocks);
    blocks
}

/// Adds code; brackets alone go to the block before.
fn push_code(text: &str, range: Range<usize>, blocks: &mut Vec<Block>) {
    for block in code_blocks(text, range) {
        let says_something = text[block.span.clone()].chars().any(char::is_alphanumeric);
        match blocks.last_mut() {
            Some(last) if !says_something => last.span.end = block.span.end,
            _ => blocks.push(block),
        }
    }
}

/// Code parted at blank lines.
fn code_blocks(text: &str, range: Range<usize>) -> Vec<Block> {
    let mut blocks = paragraphs(text, range);
    for block in &mut blocks {
        block.kind = BlockKind::Code;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Headings as `level name`, other blocks as their text.
    fn outline_of(path: &str, text: &str) -> Vec<String> {
        let document = parse(path, text.to_owned());
        let shown = |block: &Block| match &block.kind {
            BlockKind::Heading { level, text } => format!("{level} {text}"),
            _ => document.text[block.span.clone()].to_owned(),
        };
        document.blocks.iter().map(shown).collect()
    }

    fn check(path: &str, text: &str, expected: &[&str]) {
        assert_eq!(outline_of(path, text), expected, "{path}");
    }

    #[test]
    fn definitions_are_sections() {
        check(
            "a.rs",
            "use a::b;\n\n/// Doc.\n#[derive(Debug)]\npub struct Rye {\n    flour: u8,\n}\n\nimpl Bread for Rye {\n    // Slow.\n    fn bake(&self) {\n        heat();\n    }\n}\n\nmod tests {\n    fn one() {}\n}\n",
            &[
                "use a::b;",
                "1 Rye",
                "{\n    flour: u8,\n}",
                "1 Bread for Rye",
                "2 bake",
                "{\n        heat();\n    }\n}",
                "1 tests",
                "2 one",
            ],
        );
        check(
            "a.py",
            "import os\n\n@cached\nclass Oven(Box):\n    \"\"\"Hot.\"\"\"\n\n    def heat(self):\n        return 1\n\nasync def main():\n    pass\n",
            &[
                "import os",
                "1 Oven",
                "\"\"\"Hot.\"\"\"",
                "2 heat",
                "return 1",
                "1 main",
                "pass",
            ],
        );
        check(
            "a.ts",
            "import { a } from \"./a\";\n\n/** Doc. */\nexport default class Oven<T> {\n  heat(): void { go(); }\n}\nexport const bake = async (x: T) => { x(); };\ninterface Loaf { a: number }\nnamespace N { function f() {} }\n",
            &[
                "import { a } from \"./a\";",
                "1 Oven",
                "2 heat",
                "{ go(); }\n}",
                "1 bake",
                "{ x(); };",
                "1 Loaf",
                "{ a: number }",
                "1 N",
                "2 f",
            ],
        );
        check(
            "a.jsx",
            "function App() {\n  return <div>{x}</div>;\n}\n",
            &["1 App", "{\n  return <div>{x}</div>;\n}"],
        );
        check(
            "a.go",
            "package a\n\n// Oven is hot.\ntype Oven struct {\n\tHot bool\n}\n\nfunc (o *Oven) Heat() error {\n\treturn nil\n}\n",
            &[
                "package a",
                "1 Oven",
                "{\n\tHot bool\n}",
                "1 Heat",
                "{\n\treturn nil\n}",
            ],
        );
        check(
            "a.cpp",
            "#include \"b.h\"\nnamespace food {\ntemplate <class T>\nclass Oven {\n  void heat() { go(); }\n};\n}\nint *food::Oven::cool(int a) { return a; }\n",
            &[
                "#include \"b.h\"",
                "1 food",
                "2 Oven",
                "3 heat",
                "{ go(); }\n};\n}",
                "1 food::Oven::cool",
                "{ return a; }",
            ],
        );
        check(
            "A.java",
            "package a;\n\n/** Doc. */\npublic class Oven {\n  @Override\n  public void heat() { go(); }\n}\n",
            &["package a;", "1 Oven", "2 heat", "{ go(); }\n}"],
        );
    }

    #[test]
    fn comments_and_attributes_stay_with_their_definition() {
        let document = parse(
            "a.rs",
            "x!(); // No.\n// Not this.\n\n/// Doc.\n#[a]\nfn f() {}".to_owned(),
        );
        let heading = &document.blocks[1];
        assert_eq!(
            &document.text[heading.span.clone()],
            "/// Doc.\n#[a]\nfn f() {}"
        );
        assert_eq!(document.title, "a.rs");
    }

    #[test]
    fn what_has_no_grammar_is_code() {
        check("a.lua", "local a = 1\n\nb()\n", &["local a = 1", "b()"]);
        check("a.rs", "", &[]);
    }

    #[test]
    fn deep_nesting_is_read() {
        for (path, open) in [
            ("a.rs", "("),
            ("a.py", "["),
            ("a.ts", "{"),
            ("a.c", "{("),
            ("A.java", "class A {"),
        ] {
            let text = open.repeat(20_000);
            assert!(!parse(path, text).blocks.is_empty());
        }
    }

    #[test]
    fn what_programs_write_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |name: &str, text: &str, expected: Option<&str>| {
            let absolute = folder.path().join(name);
            std::fs::write(&absolute, text).expect("writes");
            let read = read(&ScannedFile {
                path: name.to_owned(),
                absolute,
                bytes: text.len() as u64,
                modified: None,
            });
            match expected {
                Some(expected) => {
                    let reason = read.expect_err(name).reason;
                    assert!(reason.contains(expected), "{reason}");
                }
                None => assert!(read.is_ok(), "{name}"),
            }
        };
        check("a.json", "{\"a\": 1}", None);
        check("package-lock.json", "{}", Some("lock file"));
        check("b.json", &"[1]\n".repeat(70_000), Some("273 KB of data"));
        check("a.min.js", &"a();".repeat(3_000), Some("12000 characters"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_parses_to_ordered_disjoint_blocks(
            text in "(fn |class |def |impl |struct |use |import |from |mod |#include |func |a|B|é中|\\{|\\}|\\(|\\)|;|:|\n|\n    |//|/\\*|\\*/|\"|'|<|>|\\.|\\*|#\\[|\\]|=){0,60}",
            ending in "(rs|py|ts|jsx|go|c|cpp|java|lua)",
        ) {
            let document = parse(&format!("src/a/b.{ending}"), text);
            let mut end = 0;
            for block in &document.blocks {
                prop_assert!(block.span.start >= end);
                prop_assert!(document.text[end..block.span.start].trim().is_empty());
                prop_assert!(document.text.get(block.span.clone()).is_some());
                end = block.span.end;
            }
            prop_assert!(document.text[end..].trim().is_empty());
            for link in &document.links {
                prop_assert!(document.text.get(link.span.clone()).is_some());
            }
        }
    }
}
