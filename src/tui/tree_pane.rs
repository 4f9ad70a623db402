//! The tree: domains, categories, entities, documents and sections, as rows that open and close.
//!
//! Only rows under open items exist, and only those on the screen are drawn; opening splices the new rows in.

use std::collections::HashSet;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    action::Motion,
    frame,
    library::{Item, Library},
    theme::Theme,
    wrap::fit,
};
use crate::tree::Level;

/// Rows kept in sight around the selected one.
const MARGIN: usize = 2;
/// Opening all below an item ends at about so many rows.
const MAX_OPENED: usize = 50_000;
/// Stands behind the names of nodes that the user has named or pinned.
const KEPT: &str = " *";

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    item: Item,
    depth: u16,
}

/// The state of the tree.
pub struct TreePane {
    rows: Vec<Row>,
    open: HashSet<Item>,
    selected: usize,
    /// First row on the screen.
    first: usize,
    /// Rows on the screen when it was last drawn.
    height: usize,
    /// Whether the selected row has to be in sight, and in the middle if it was not.
    follow: bool,
}

impl TreePane {
    /// The closed tree, or with its first level open where that is short.
    pub fn new(library: &Library) -> Self {
        let roots = library.roots().iter();
        let rows = roots.map(|&item| Row { item, depth: 0 }).collect();
        let mut pane = Self {
            rows,
            open: HashSet::new(),
            selected: 0,
            first: 0,
            height: 1,
            follow: true,
        };
        if pane.rows.len() <= 12 {
            for root in library.roots() {
                if let Some(row) = pane.row_of(*root).filter(|_| matches!(root, Item::Node(_))) {
                    pane.open(row, library);
                }
            }
        }
        pane
    }

    /// The tree of a library that has taken the place of `old`, with the same items open and selected.
    pub fn carried(&self, old: &Library, library: &Library) -> Self {
        let same = |item: &Item| library.same(*item, old);
        let mut pane = Self {
            rows: Vec::new(),
            open: self.open.iter().filter_map(same).collect(),
            ..*self
        };
        let mut rows = Vec::new();
        for &item in library.roots() {
            rows.push(Row { item, depth: 0 });
            if pane.open.contains(&item) {
                pane.collect(item, 1, library, &mut rows);
            }
        }
        pane.rows = rows;
        let selected = self.selected().as_ref().and_then(same);
        let row = selected.and_then(|item| pane.row_of(item));
        pane.select(row.unwrap_or(0));
        pane
    }

    /// The selected item; none only where nothing is indexed.
    pub fn selected(&self) -> Option<Item> {
        self.rows.get(self.selected).map(|row| row.item)
    }

    pub fn move_by(&mut self, motion: Motion) {
        let last = self.rows.len().saturating_sub(1);
        let half = (self.height / 2).max(1);
        let wanted = match motion {
            Motion::Up => self.selected.saturating_sub(1),
            Motion::Down => self.selected + 1,
            Motion::HalfPageUp => self.selected.saturating_sub(half),
            Motion::HalfPageDown => self.selected + half,
            Motion::Top => 0,
            Motion::Bottom => last,
        };
        self.select(wanted.min(last));
    }

    /// Opens the selected item; an open one passes the selection to its first child.
    ///
    /// Returns whether there was anything to open or step into.
    pub fn expand(&mut self, library: &Library) -> bool {
        let Some(item) = self.selected() else {
            return false;
        };
        if !library.has_children(item) {
            return false;
        }
        match self.open.contains(&item) {
            true => self.move_by(Motion::Down),
            false => self.open(self.selected, library),
        }
        true
    }

    /// Closes the selected item; a closed one passes the selection to its parent.
    pub fn collapse(&mut self, library: &Library) {
        let Some(item) = self.selected() else {
            return;
        };
        if self.open.contains(&item) {
            self.close(self.selected);
        } else if let Some(parent) = library.parent(item).and_then(|item| self.row_of(item)) {
            self.select(parent);
        }
    }

    /// Opens or closes the selected item.
    pub fn toggle(&mut self, library: &Library) {
        match self.selected() {
            Some(item) if self.open.contains(&item) => self.close(self.selected),
            Some(item) if library.has_children(item) => self.open(self.selected, library),
            _ => {}
        }
    }

    /// Opens all nodes from the selected item down.
    pub fn expand_all(&mut self, library: &Library) {
        let Some(item) = self.selected() else {
            return;
        };
        self.close(self.selected);
        let mut pending = vec![item];
        let mut opened = 0;
        while let Some(item) = pending.pop().filter(|_| opened < MAX_OPENED) {
            self.open.insert(item);
            let children = library.children(item);
            opened += children.len();
            pending.extend(children.iter().filter(|item| matches!(item, Item::Node(_))));
        }
        self.open.remove(&item);
        self.open(self.selected, library);
    }

    /// Closes everything; the selection goes to what the selected item stood under.
    pub fn collapse_all(&mut self, library: &Library) {
        let mut top = self.selected();
        while let Some(parent) = top.and_then(|item| library.parent(item)) {
            top = Some(parent);
        }
        self.open.clear();
        self.rows.retain(|row| row.depth == 0);
        self.select(top.and_then(|item| self.row_of(item)).unwrap_or(0));
    }

    /// Opens what an item stands under, and selects it.
    pub fn reveal(&mut self, item: Item, library: &Library) {
        let mut path = Vec::new();
        let mut above = library.parent(item);
        while let Some(parent) = above {
            path.push(parent);
            above = library.parent(parent);
        }
        for parent in path.into_iter().rev() {
            if let Some(row) = self.row_of(parent).filter(|_| !self.open.contains(&parent)) {
                self.open(row, library);
            }
        }
        if let Some(row) = self.row_of(item) {
            self.select(row);
        }
    }

    /// Moves what is in sight without moving the selection.
    pub fn scroll(&mut self, rows: i16) {
        let last = self.rows.len().saturating_sub(self.height);
        let first = self.first.saturating_add_signed(isize::from(rows));
        self.first = first.min(last);
        self.follow = false;
    }

    /// Selects the row that lies `y` rows below the first one in sight; a second click opens or closes it.
    pub fn click(&mut self, y: u16, library: &Library) {
        let row = self.first + usize::from(y);
        if row >= self.rows.len() {
            return;
        }
        match row == self.selected {
            true => self.toggle(library),
            false => self.select(row),
        }
    }

    /// Draws the rows in sight.
    pub fn draw(&mut self, area: Rect, buffer: &mut Buffer, look: &Look) {
        self.height = usize::from(area.height);
        self.bring_into_sight();
        for (y, row) in (area.y..area.bottom()).zip(self.first..self.rows.len()) {
            let own = Rect {
                y,
                height: 1,
                ..area
            };
            self.draw_row(row, own, buffer, look);
        }
        let style = look.theme.border_of(look.focused);
        frame::thumb(area, self.first, self.rows.len(), buffer, style);
    }

    fn draw_row(&self, row: usize, area: Rect, buffer: &mut Buffer, look: &Look) {
        let Row { item, depth } = self.rows[row];
        let theme = look.theme;
        let selected = match (row == self.selected, look.focused) {
            (false, _) => None,
            (true, true) => Some(theme.selected),
            (true, false) => Some(theme.selected_elsewhere),
        };
        let marker = match (self.open.contains(&item), look.library.has_children(item)) {
            (true, _) => "▾ ",
            (false, true) => "▸ ",
            (false, false) => "  ",
        };
        let count = look
            .library
            .n_documents(item)
            .map(|count| count.to_string());
        let count = count.unwrap_or_default();
        let width = usize::from(area.width);
        let indent = usize::from(depth * 2).min(width / 2);
        let room =
            width.saturating_sub(indent + 2 + if count.is_empty() { 0 } else { count.len() + 1 });
        let kept = match look.library.is_kept(item) {
            true => KEPT,
            false => "",
        };
        let name = fit(look.library.name(item), room.saturating_sub(kept.len())) + kept;
        if let Some(style) = selected {
            buffer.set_style(area, style);
        }
        let over = |style: Style| selected.unwrap_or(style);
        let name_style = match look.marked == Some(item) {
            true => theme.quoted,
            false => name_style(item, look),
        };
        let head = Line::from_iter([
            Span::styled(format!("{}{marker}", " ".repeat(indent)), over(theme.muted)),
            Span::styled(name, over(name_style)),
        ]);
        buffer.set_line(area.x, area.y, &head, area.width);
        if count.len() < width {
            let x = area.right() - count.len() as u16;
            buffer.set_line(
                x,
                area.y,
                &Line::styled(count.as_str(), over(theme.muted)),
                area.width,
            );
        }
    }

    fn row_of(&self, item: Item) -> Option<usize> {
        self.rows.iter().position(|row| row.item == item)
    }

    fn select(&mut self, row: usize) {
        self.selected = row;
        self.follow = true;
    }

    fn open(&mut self, row: usize, library: &Library) {
        let Row { item, depth } = self.rows[row];
        self.open.insert(item);
        let mut rows = Vec::new();
        self.collect(item, depth + 1, library, &mut rows);
        if self.selected > row {
            self.selected += rows.len();
        }
        self.rows.splice(row + 1..row + 1, rows);
    }

    /// Rows below an open item.
    fn collect(&self, item: Item, depth: u16, library: &Library, rows: &mut Vec<Row>) {
        for child in library.children(item) {
            rows.push(Row { item: child, depth });
            if self.open.contains(&child) {
                self.collect(child, depth + 1, library, rows);
            }
        }
    }

    fn close(&mut self, row: usize) {
        let Row { item, depth } = self.rows[row];
        self.open.remove(&item);
        let below = self.rows[row + 1..].iter();
        let n_below = below.take_while(|row| row.depth > depth).count();
        self.rows.drain(row + 1..row + 1 + n_below);
    }

    fn bring_into_sight(&mut self) {
        let height = self.height.max(1);
        let last = self.rows.len().saturating_sub(height);
        if self.follow {
            let margin = MARGIN.min((height - 1) / 2);
            let lowest = self.selected.saturating_sub(margin);
            let highest = (self.selected + margin + 1).saturating_sub(height);
            let is_far = self.first > lowest + height || self.first + height < highest;
            self.first = match is_far {
                true => self.selected.saturating_sub(height / 2),
                false => self.first.clamp(highest.min(lowest), lowest),
            };
        }
        self.first = self.first.min(last);
    }
}

/// What the tree is drawn with.
pub struct Look<'a> {
    pub library: &'a Library,
    pub theme: &'a Theme,
    /// What is marked, to be merged or moved.
    pub marked: Option<Item>,
    pub focused: bool,
}

fn name_style(item: Item, look: &Look) -> Style {
    match item {
        Item::Node(index) => match look.library.node(index).level {
            Level::Domain => look.theme.heading,
            Level::Category(_) => look.theme.strong,
            Level::Entity => look.theme.text,
        },
        Item::Document(_) => look.theme.accent,
        Item::Section(..) => look.theme.muted,
    }
}
