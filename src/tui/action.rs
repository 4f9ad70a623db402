//! What can be done, and the one table of keys that says how; the help overlay and the hints are drawn from it.

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Position;

use super::bindings::BINDINGS;
use crate::query::Level;

/// Everything that a user can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Quit,
    /// Shows or hides the overlay with every key.
    ToggleHelp,
    /// Puts the cursor into the query line.
    FocusQuery,
    FocusNext,
    FocusPrevious,
    /// Leaves the query line, a pane or the answer.
    Leave,
    /// Moves the selection, or the text where the preview has the focus.
    Move(Motion),
    /// Opens the selected item of the tree, or steps into it.
    Expand,
    /// Closes the selected item of the tree, or steps out of it.
    Collapse,
    /// Opens everything below the selected item, down to documents.
    ExpandAll,
    CollapseAll,
    /// Does the obvious with what is selected: opens or closes a node, edits a file.
    Activate,
    /// Opens what is selected in the editor.
    OpenEditor,
    /// Copies path and line of what is selected.
    Copy,
    /// Moves the tree to what is selected in the answer.
    Reveal,
    ToggleAnswer,
    /// Answers again one level up.
    Broader,
    /// Answers again one level down.
    Narrower,
    /// Answers again at this level, or at the one that the attention favours.
    AtLevel(Option<Level>),
    /// Shows the answer as a ladder, a rung deeper each time, and then as it was.
    Deeper,
    /// Puts the name of the selected node into the query line, to be changed there.
    Rename,
    /// Keeps the selected node as it is.
    Pin,
    /// Marks what is selected, to be merged or moved.
    Mark,
    /// Merges the marked node into the selected one.
    Merge,
    /// Moves what is marked into the selected node.
    MoveHere,
    /// Splits the selected node in two.
    Split,
    /// Takes the last edit of the tree back.
    Undo,
    /// Asks what stands in the query line, or gives a node that name.
    Submit,
    /// Changes the query line.
    EditQuery(QueryEdit),
    /// Scrolls what lies there by some rows, downwards where positive.
    Scroll(Position, i16),
    /// Selects what lies there.
    Click(Position),
}

/// A way to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    Up,
    Down,
    HalfPageUp,
    HalfPageDown,
    Top,
    Bottom,
}

/// A change of the query line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryEdit {
    Insert(String),
    DeleteBefore,
    DeleteAfter,
    DeleteWord,
    DeleteToStart,
    Left,
    Right,
    Start,
    End,
    /// The question asked before.
    Older,
    /// The question asked after.
    Newer,
}

/// Where a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In every pane.
    Panes,
    Tree,
    Answer,
    Preview,
    Query,
    Help,
}

/// A key with its modifiers; shift counts only where it makes no other character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub code: KeyCode,
    pub modifiers: KeyModifiers,
}

impl Key {
    fn of(event: KeyEvent) -> Self {
        Self {
            code: event.code,
            modifiers: event.modifiers - KeyModifiers::SHIFT,
        }
    }

    /// How the key is written.
    pub fn label(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(character) => character.to_string(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::F(number) => format!("F{number}"),
            other => format!("{other:?}"),
        };
        match self.modifiers.contains(KeyModifiers::CONTROL) {
            true => format!("Ctrl-{name}"),
            false => name,
        }
    }
}

/// What a terminal event asks for where `scope` has the focus.
pub fn action_of(event: &Event, scope: Scope) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => of_key(*key, scope),
        Event::Mouse(mouse) => of_mouse(*mouse),
        Event::Paste(text) if scope == Scope::Query => {
            Some(Action::EditQuery(QueryEdit::Insert(text.clone())))
        }
        _ => None,
    }
}

fn of_key(event: KeyEvent, scope: Scope) -> Option<Action> {
    let key = Key::of(event);
    let is_pane = !matches!(scope, Scope::Query | Scope::Help);
    let held = |wanted: Scope| {
        let mut bindings = BINDINGS.iter();
        bindings.find(|binding| binding.scope == wanted && binding.keys.contains(&key))
    };
    let binding = held(scope).or_else(|| held(Scope::Panes).filter(|_| is_pane));
    if let Some(binding) = binding {
        return Some(binding.action.clone());
    }
    match key.code {
        KeyCode::Char(typed) if scope == Scope::Query && key.modifiers.is_empty() => {
            Some(Action::EditQuery(QueryEdit::Insert(typed.to_string())))
        }
        _ => None,
    }
}

fn of_mouse(event: MouseEvent) -> Option<Action> {
    let at = Position::new(event.column, event.row);
    match event.kind {
        MouseEventKind::ScrollDown => Some(Action::Scroll(at, 3)),
        MouseEventKind::ScrollUp => Some(Action::Scroll(at, -3)),
        MouseEventKind::Down(MouseButton::Left) => Some(Action::Click(at)),
        _ => None,
    }
}
