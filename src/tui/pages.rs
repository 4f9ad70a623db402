//! What the preview shows of a node: its name, its summary and what it holds.

use ratatui::text::{Line, Span};

use super::{
    library::{Item, Library},
    markdown,
    theme::Theme,
    wrap::one_line,
};

/// A line and the columns that its continuation is indented by.
pub type PageLine = (Line<'static>, usize);

/// The page of a node.
pub fn node(index: usize, library: &Library, theme: &Theme) -> Vec<PageLine> {
    let node = library.node(index);
    let item = Item::Node(index);
    let mut lines = vec![
        (Line::styled(node.name.clone(), theme.heading), 0),
        (Line::styled(facts(item, library), theme.muted), 0),
    ];
    if !node.summary.is_empty() {
        let summary = markdown::inline(&one_line(&node.summary), theme.text, theme);
        lines.extend([(Line::default(), 0), (summary, 0)]);
    }
    let children = library.children(item);
    let widest = children
        .iter()
        .filter_map(|&child| library.n_documents(child))
        .max()
        .map_or(0, |count| count.to_string().len());
    let mut level = String::new();
    for child in children {
        let own = library.level(child);
        if own != level {
            let heading = Line::styled(plural(&own), theme.strong);
            lines.extend([(Line::default(), 0), (heading, 0)]);
            level = own;
        }
        lines.push(child_line(child, widest, library, theme));
    }
    lines
}

fn facts(item: Item, library: &Library) -> String {
    let mut facts = vec![library.level(item)];
    facts.extend(
        library
            .n_documents(item)
            .map(|count| counted(count as usize, "document")),
    );
    let mut names = Vec::new();
    let mut above = library.parent(item);
    while let Some(parent) = above {
        names.push(library.name(parent));
        above = library.parent(parent);
    }
    if !names.is_empty() {
        names.reverse();
        facts.push(format!("in {}", names.join(" › ")));
    }
    facts.join(" · ")
}

fn child_line(child: Item, widest: usize, library: &Library, theme: &Theme) -> PageLine {
    let name = library.name(child).to_owned();
    match (child, library.n_documents(child)) {
        (_, Some(count)) => {
            let count = format!("  {count:>widest$}  ");
            let hang = count.len();
            let spans = [
                Span::styled(count, theme.muted),
                Span::styled(name, theme.text),
            ];
            (Line::from_iter(spans), hang)
        }
        (Item::Document(document), None) => {
            let path = format!("  {}", library.record(document).path);
            let spans = [
                Span::raw("  "),
                Span::styled(name, theme.accent),
                Span::styled(path, theme.muted),
            ];
            (Line::from_iter(spans), 4)
        }
        (_, None) => (Line::styled(format!("  {name}"), theme.text), 2),
    }
}

/// `1 document`, `2 documents`.
pub fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// The heading over items of a level.
fn plural(level: &str) -> String {
    let (noun, layer) = level.split_once('-').unwrap_or((level, ""));
    let plural = match noun {
        "entity" => "Entities".to_owned(),
        "category" => "Categories".to_owned(),
        other => {
            let mut letters = other.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters).chain(['s']).collect()
        }
    };
    match layer {
        "" => plural,
        layer => format!("{plural} of layer {layer}"),
    }
}
