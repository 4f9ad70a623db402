//! Definitions and imports of a source file, found in its syntax tree.

use std::{
    ops::{ControlFlow, Range},
    time::{Duration, Instant},
};

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use super::language::{Kinds, Language};

/// Parsing that takes longer is given up: the file is no code of its language.
const MAX_PARSE_TIME: Duration = Duration::from_secs(2);
/// Deeper nodes hold no definitions; each level of a name is one step.
const MAX_DEPTH: usize = 200;
const MAX_NAME_STEPS: usize = 16;
/// Longer names are cut, in characters.
const MAX_NAME: usize = 120;

/// What is looked for in a file, in its order.
#[derive(Debug, Default)]
pub struct Outline {
    pub definitions: Vec<Definition>,
    pub imports: Vec<Range<usize>>,
}

/// A definition with what belongs to it.
#[derive(Debug)]
pub struct Definition {
    pub name: String,
    pub span: Range<usize>,
    /// Where its signature ends.
    pub head_end: usize,
}

/// The outline of `text`; none where parsing takes too long.
pub fn outline(language: Language, text: &str) -> Option<Outline> {
    let tree = parsed(language, text)?;
    let kinds = language.kinds();
    let mut found = Outline::default();
    let mut cursor = tree.walk();
    let mut levels = vec![Level::default()];
    loop {
        let node = cursor.node();
        let depth = levels.len() - 1;
        let enters = visit(text, kinds, node, &mut levels[depth], &mut found);
        if enters && depth < MAX_DEPTH && cursor.goto_first_child() {
            let wrapper = levels[depth].below.take();
            levels.push(Level {
                wrapper,
                ..Level::default()
            });
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return Some(found);
            }
            levels.pop();
        }
    }
}

fn parsed(language: Language, text: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    let start = Instant::now();
    let mut in_time = |_: &ParseState| match start.elapsed() < MAX_PARSE_TIME {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    let options = ParseOptions::new().progress_callback(&mut in_time);
    let bytes = text.as_bytes();
    let mut rest = |at: usize, _| bytes.get(at..).unwrap_or_default();
    parser.parse_with_options(&mut rest, None, Some(options))
}

/// What is known of the place among siblings: where the comments before the next one stand.
#[derive(Debug, Default)]
struct Level {
    prelude: Option<Range<usize>>,
    /// Where the wrapper around this level starts, until a definition takes it.
    wrapper: Option<usize>,
    /// Where the node that was visited last starts, if it is a wrapper.
    below: Option<usize>,
}

/// Notes what `node` is; true where definitions may stand below it.
fn visit(text: &str, kinds: &Kinds, node: Node, level: &mut Level, found: &mut Outline) -> bool {
    let kind = node.kind();
    level.below = None;
    if kinds.imports.contains(&kind) {
        found.imports.push(node.byte_range());
    }
    if kinds.preludes.contains(&kind) {
        let start = match &level.prelude {
            Some(open) if adjoins(text, open.end, node.start_byte()) => open.start,
            _ => node.start_byte(),
        };
        let is_own = opens_line(text, start);
        level.prelude = is_own.then(|| start..node.end_byte());
        return false;
    }
    let prelude = level.prelude.take();
    let prelude = prelude.filter(|open| adjoins(text, open.end, node.start_byte()));
    let start = prelude.map_or(node.start_byte(), |open| open.start);
    if kinds.wrappers.contains(&kind) {
        level.below = Some(level.wrapper.take().unwrap_or(start));
        return true;
    }
    let is_container = kinds.containers.contains(&kind);
    if !is_container && !kinds.leaves.contains(&kind) {
        return true;
    }
    let Some((name, body)) = named(text, node) else {
        return true;
    };
    let start = level.wrapper.take().unwrap_or(start).min(start);
    found.definitions.push(Definition {
        name,
        span: start..node.end_byte(),
        head_end: head_end(text, node, body),
    });
    is_container
}

/// True where at most one line break parts what ends at `end` from what starts at `start`.
fn adjoins(text: &str, end: usize, start: usize) -> bool {
    let gap = text.get(end..start);
    let breaks = |gap: &str| gap.matches('\n').count();
    // Some grammars count the line break to the comment.
    let broken = usize::from(text[..end].ends_with('\n'));
    gap.is_some_and(|gap| gap.trim().is_empty() && breaks(gap) + broken <= 1)
}

fn opens_line(text: &str, at: usize) -> bool {
    let line = text[..at].rfind('\n').map_or(0, |found| found + 1);
    text[line..at].trim().is_empty()
}

/// The name of a definition, and its body where it has one; none for what only looks like a definition.
fn named<'tree>(text: &str, node: Node<'tree>) -> Option<(String, Option<Node<'tree>>)> {
    let field = |name: &str| node.child_by_field_name(name);
    let shown = |node: Node| one_line(&text[node.byte_range()]);
    let mut body = field("body");
    let name = match node.kind() {
        "impl_item" => {
            let own = shown(field("type")?);
            match field("trait") {
                Some(implemented) => format!("{} for {own}", shown(implemented)),
                None => own,
            }
        }
        "variable_declarator" => {
            let value = field("value")?;
            let functions = ["arrow_function", "function_expression", "class"];
            functions.contains(&value.kind()).then_some(())?;
            body = value.child_by_field_name("body");
            shown(field("name")?)
        }
        "function_definition" if field("declarator").is_some() => {
            shown(innermost_declarator(field("declarator")?))
        }
        "class_specifier" | "struct_specifier" | "enum_specifier" | "union_specifier" => {
            body?;
            shown(field("name")?)
        }
        "namespace_definition" => field("name").map_or_else(|| "namespace".to_owned(), shown),
        "mod_item" => {
            body?;
            shown(field("name")?)
        }
        "type_spec" => {
            body = field("type").and_then(|own| own.child(1));
            shown(field("name")?)
        }
        _ => shown(field("name")?),
    };
    (!name.is_empty()).then_some((name, body))
}

/// The name inside C's pointers, references and parameter lists.
fn innermost_declarator(mut node: Node) -> Node {
    for _ in 0..MAX_NAME_STEPS {
        let inner = node.child_by_field_name("declarator").or_else(|| {
            let last = node.named_child_count().checked_sub(1)?;
            (node.kind() == "reference_declarator").then(|| node.named_child(last as u32))?
        });
        match inner {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node
}

/// The end of the signature: before a body that says something, else of the whole.
fn head_end(text: &str, node: Node, body: Option<Node>) -> usize {
    let end = match body {
        Some(body) if text[body.byte_range()].chars().any(char::is_alphanumeric) => {
            body.start_byte()
        }
        Some(_) => node.end_byte(),
        None => {
            let whole = &text[node.byte_range()];
            node.start_byte() + whole.find('\n').unwrap_or(whole.len())
        }
    };
    node.start_byte() + text[node.start_byte()..end].trim_end().len()
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().take(MAX_NAME);
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_NAME).collect()
}
