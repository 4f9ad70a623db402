//! Imports as links: the files that a name may stand for.
//!
//! An import that could mean several files becomes a link to each; those that do not exist lead nowhere.

use std::{collections::HashSet, ops::Range};

use super::language::Language;
use crate::corpus::{Link, plain::file_stem};

/// Names that one import may list.
const MAX_NAMES: usize = 200;
const MAX_LENGTH: usize = 20_000;

/// The links of the imports that stand at `spans`.
pub fn links(language: Language, path: &str, text: &str, spans: &[Range<usize>]) -> Vec<Link> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for span in spans {
        let Some(import) = text.get(span.clone()).filter(|own| own.len() <= MAX_LENGTH) else {
            continue;
        };
        let targets = match language {
            Language::Rust => rust(path, import),
            Language::Python => python(path, import),
            Language::TypeScript | Language::Tsx => typescript(path, import),
            Language::Go => go(import),
            Language::Cpp => include(import),
            Language::Java => java(import),
        };
        for target in targets.into_iter().take(MAX_NAMES) {
            if seen.insert(target.clone()) {
                found.push(Link {
                    target,
                    span: span.clone(),
                    ..Link::default()
                });
            }
        }
    }
    found
}

fn folder(path: &str) -> Vec<&str> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    folder.split('/').filter(|part| !part.is_empty()).collect()
}

/// A path from the corpus root; `parts` may hold `.` and `..`.
fn rooted(parts: &[&str]) -> String {
    let mut taken: Vec<&str> = Vec::new();
    for part in parts.iter().flat_map(|part| part.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(taken.pop()),
            part => taken.push(part),
        }
    }
    format!("/{}", taken.join("/"))
}

/// `mod x;` is a file beside or below; `use crate::a::b` is the deepest module that has one.
fn rust(path: &str, import: &str) -> Vec<String> {
    let stem = file_stem(path);
    let mut own = folder(path);
    if !["mod", "lib", "main"].contains(&stem) {
        own.push(stem);
    }
    let files = |module: &[&str]| {
        let module = rooted(module);
        [format!("{module}.rs"), format!("{module}/mod.rs")]
    };
    if let Some((_, name)) = import
        .rsplit_once("mod ")
        .filter(|_| !import.contains("use "))
    {
        let name = name.trim_end().strip_suffix(';').map(str::trim);
        return name.map_or_else(Vec::new, |name| {
            files(&[own.as_slice(), &[name]].concat()).into()
        });
    }
    // A corpus without `src` may be the inside of one.
    let root = own.iter().rposition(|part| *part == "src");
    let root = &own[..root.map_or(0, |src| src + 1)];
    let Some((_, tree)) = import.split_once("use ") else {
        return Vec::new();
    };
    let mut targets = Vec::new();
    for name in expanded(tree.trim_end_matches(';')) {
        let mut parts: Vec<&str> = name.split("::").map(str::trim).collect();
        let mut base = match parts[0] {
            "crate" => root.to_vec(),
            "self" | "super" => own.clone(),
            _ => continue,
        };
        while parts.first() == Some(&"super") {
            base.pop();
            parts.remove(0);
        }
        let is_module = |part: &&&str| {
            !part.is_empty() && !part.starts_with(char::is_uppercase) && **part != "*"
        };
        let skipped = ["crate", "self"]
            .contains(parts.first().unwrap_or(&""))
            .into();
        let modules = parts.iter().skip(skipped).take_while(is_module);
        let modules: Vec<&str> = modules.copied().collect();
        // The last name may be a module or an item of the one before.
        for length in modules.len().saturating_sub(1).max(1)..=modules.len() {
            targets.extend(files(&[base.as_slice(), &modules[..length]].concat()));
        }
    }
    targets
}

/// `a::{b, c::{d}}` as `a::b`, `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut prefixes = vec![String::new()];
    let mut name = String::new();
    for character in tree.chars() {
        let prefix = prefixes.last().map_or("", String::as_str);
        match character {
            '{' => {
                let inner = format!("{prefix}{}", name.trim());
                // Nothing that people write nests deeper.
                if prefixes.len() > 16 || found.len() > MAX_NAMES {
                    return found;
                }
                prefixes.push(inner);
                name.clear();
            }
            ',' | '}' => {
                if !name.trim().is_empty() {
                    found.push(format!("{prefix}{}", name.trim()));
                }
                name.clear();
                if character == '}' && prefixes.len() > 1 {
                    prefixes.pop();
                }
            }
            character => name.push(character),
        }
    }
    if !name.trim().is_empty() {
        found.push(name.trim().to_owned());
    }
    for name in &mut found {
        if let Some(at) = name.find(" as ") {
            name.truncate(at);
        }
    }
    found
}

/// `import a.b` is `a/b.py`; dots in front count folders.
fn python(path: &str, import: &str) -> Vec<String> {
    let import = import.replace(['(', ')', '\\'], " ");
    let list = |names: &str| -> Vec<String> {
        names
            .split(',')
            .filter_map(|name| name.split_whitespace().next().map(str::to_owned))
            .collect()
    };
    let modules = match import
        .strip_prefix("from ")
        .and_then(|rest| rest.split_once(" import "))
    {
        Some((module, names)) => {
            let module = module.trim();
            let names = list(names);
            let below = names.iter().filter(|name| *name != "*").map(|name| {
                let dot = if module.ends_with('.') { "" } else { "." };
                format!("{module}{dot}{name}")
            });
            std::iter::once(module.to_owned()).chain(below).collect()
        }
        None => list(import.trim_start_matches("import ")),
    };
    let own = folder(path);
    let mut targets = Vec::new();
    for module in modules.iter().take(MAX_NAMES) {
        let name = module.trim_start_matches('.');
        let dots = module.len() - name.len();
        let file = name.replace('.', "/");
        if dots > 0 {
            let base = &own[..own.len().saturating_sub(dots - 1)];
            let module = rooted(&[base, &[file.as_str()]].concat());
            targets.push(format!("{module}/__init__.py"));
            targets.push(format!("{module}.py"));
        } else {
            // A name without dots is a file beside this one or at the root, not any of that name.
            let beside = rooted(&[own.as_slice(), &[file.as_str()]].concat());
            let found_anywhere = if file.contains('/') {
                file
            } else {
                format!("/{file}")
            };
            for module in [beside, found_anywhere] {
                targets.push(format!("{module}/__init__.py"));
                targets.push(format!("{module}.py"));
            }
        }
    }
    targets
}

/// `from "./x"` and `require("./x")` are `x` with any ending, or the index of a folder.
fn typescript(path: &str, import: &str) -> Vec<String> {
    let calls = ["require(", "import("];
    let is_call = calls.iter().any(|call| import.starts_with(call));
    let names = import.starts_with("import") || import.starts_with("export");
    let source = match import.split_once(" from ").or(import.split_once("} from")) {
        Some((_, source)) => source,
        None if is_call || names => import,
        None => return Vec::new(),
    };
    let Some(open) = source.find(['"', '\'']) else {
        return Vec::new();
    };
    let name = source[open + 1..]
        .split(['"', '\'', '\n'])
        .next()
        .unwrap_or("");
    if !name.starts_with('.') {
        return Vec::new();
    }
    let file = rooted(&[folder(path).as_slice(), &[name]].concat());
    let endings = [".js", ".mjs", ".cjs", ".jsx"];
    // What is imported as JavaScript may be written in TypeScript.
    let bare = endings.iter().find_map(|ending| file.strip_suffix(ending));
    let bare = bare.unwrap_or(&file).to_owned();
    let index = format!("{bare}/index");
    [file.clone()]
        .into_iter()
        .chain((bare != file).then_some(bare))
        .chain([index])
        .collect()
}

/// The file of a package that has its name.
fn go(import: &str) -> Vec<String> {
    let path = import.split('"').nth(1).unwrap_or("");
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., above, last] => [last, "doc"]
            .map(|file| format!("{above}/{last}/{file}.go"))
            .into(),
        _ => Vec::new(),
    }
}

/// `"x.h"` from this folder or any; `<a/x.h>` where it has a folder.
fn include(import: &str) -> Vec<String> {
    let quoted = import.split('"').nth(1);
    let bracketed = || {
        let (_, rest) = import.split_once('<')?;
        let (name, _) = rest.split_once('>')?;
        name.contains('/').then_some(name)
    };
    quoted
        .or_else(bracketed)
        .map(str::to_owned)
        .into_iter()
        .collect()
}

/// `import a.b.C;` is `a/b/C.java`; of a static import, the last name is a member.
fn java(import: &str) -> Vec<String> {
    let name = import
        .trim_start_matches("import")
        .trim()
        .trim_end_matches(';');
    let (name, is_static) = match name.strip_prefix("static ") {
        Some(name) => (name.rsplit_once('.').map_or(name, |(class, _)| class), true),
        None => (name, false),
    };
    if name.ends_with('*') && !is_static {
        return Vec::new();
    }
    vec![format!("{}.java", name.trim().replace('.', "/"))]
}

#[cfg(test)]
mod tests {
    use crate::corpus::{Document, LinkResolver, code::parse};

    #[test]
    fn imports_lead_to_files_of_the_corpus() {
        let files = [
            ("src/lib.rs", "mod corpus;\npub mod text;"),
            ("src/corpus/mod.rs", "mod walk;"),
            (
                "src/corpus/walk.rs",
                "use super::{Skipped, code::{self, parse as p}};\nuse crate::text::Words;",
            ),
            ("src/corpus/code.rs", "mod outline;"),
            ("src/corpus/code/outline.rs", "use std::io;"),
            ("src/text.rs", ""),
            (
                "lib/app/main.py",
                "import os, app.tools\nfrom . import views\nfrom ..other import (a,\n b)",
            ),
            ("lib/app/tools.py", ""),
            ("lib/app/views/__init__.py", ""),
            ("lib/other.py", ""),
            ("os/os.py", ""),
            (
                "web/a.ts",
                "import x, { y } from \"./b\";\nimport './c.js';\nconst d = require('../web/d');\nexport * from \"./b\";\nimport react from \"react\";",
            ),
            ("web/b.tsx", ""),
            ("web/c.ts", ""),
            ("web/d/index.js", ""),
            (
                "native/a.c",
                "#include \"b.h\"\n#include <stdio.h>\n#include <food/rye.h>",
            ),
            ("native/include/b.h", ""),
            ("native/include/food/rye.h", ""),
            (
                "go/main.go",
                "package main\nimport (\n\t\"fmt\"\n\tx \"a.b/go/oven\"\n)",
            ),
            ("go/oven/oven.go", ""),
            (
                "java/org/a/Main.java",
                "import org.a.Oven;\nimport static org.a.Rye.bake;\nimport java.util.*;",
            ),
            ("java/org/a/Oven.java", ""),
            ("java/org/a/Rye.java", ""),
        ];
        let documents: Vec<Document> = files
            .iter()
            .map(|(path, text)| parse(path, (*text).to_owned()))
            .collect();
        let resolver = LinkResolver::new(&documents);
        let check = |path: &str, expected: &[&str]| {
            let document = documents.iter().find(|own| own.path == path).expect(path);
            let found = document
                .links
                .iter()
                .filter_map(|link| resolver.resolve(path, link));
            let mut found: Vec<&str> = found
                .map(|index| documents[index as usize].path.as_str())
                .collect();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found, expected, "{path}");
        };
        check("src/lib.rs", &["src/corpus/mod.rs", "src/text.rs"]);
        check("src/corpus/mod.rs", &["src/corpus/walk.rs"]);
        check("src/corpus/walk.rs", &["src/corpus/code.rs", "src/text.rs"]);
        check("src/corpus/code.rs", &["src/corpus/code/outline.rs"]);
        check("src/corpus/code/outline.rs", &[]);
        check(
            "lib/app/main.py",
            &[
                "lib/app/tools.py",
                "lib/app/views/__init__.py",
                "lib/other.py",
            ],
        );
        check("web/a.ts", &["web/b.tsx", "web/c.ts", "web/d/index.js"]);
        check(
            "native/a.c",
            &["native/include/b.h", "native/include/food/rye.h"],
        );
        check("go/main.go", &["go/oven/oven.go"]);
        check(
            "java/org/a/Main.java",
            &["java/org/a/Oven.java", "java/org/a/Rye.java"],
        );
    }
}
