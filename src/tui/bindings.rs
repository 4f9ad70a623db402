//! The table of keys.

use crossterm::event::{KeyCode, KeyModifiers};

use super::action::{
    Action::{self, *},
    Key, Motion, QueryEdit,
    Scope::{self, *},
};
use crate::query::Level;

/// Keys and what they do.
pub struct Binding {
    pub scope: Scope,
    pub keys: &'static [Key],
    pub action: Action,
    /// For the help overlay; bindings that follow each other with the same words share a row.
    pub help: &'static str,
    /// For the row of hints; empty where none is given.
    pub hint: &'static str,
}

/// Every binding, in the order of the help overlay.
#[rustfmt::skip]
pub static BINDINGS: &[Binding] = &[
    row(Panes, &[char('/')], FocusQuery, "ask a question", "ask"),
    row(Panes, &[char('j'), code(KeyCode::Down)], Move(Motion::Down), "down", ""),
    row(Panes, &[char('k'), code(KeyCode::Up)], Move(Motion::Up), "up", ""),
    row(Panes, &[control('d'), code(KeyCode::PageDown)], Move(Motion::HalfPageDown), "half a page down", ""),
    row(Panes, &[control('u'), code(KeyCode::PageUp)], Move(Motion::HalfPageUp), "half a page up", ""),
    row(Panes, &[char('g'), code(KeyCode::Home)], Move(Motion::Top), "to the top", ""),
    row(Panes, &[char('G'), code(KeyCode::End)], Move(Motion::Bottom), "to the bottom", ""),
    row(Panes, &[code(KeyCode::Tab)], FocusNext, "next pane", "pane"),
    row(Panes, &[code(KeyCode::BackTab)], FocusPrevious, "previous pane", ""),
    row(Panes, &[char('o')], OpenEditor, "open in the editor, at the line", ""),
    row(Panes, &[char('y')], Copy, "copy path:line", ""),
    row(Panes, &[char('a')], ToggleAnswer, "show or hide the answer", ""),
    row(Panes, &[char('[')], Broader, "answer one level broader", ""),
    row(Panes, &[char(']')], Narrower, "answer one level narrower", ""),
    level(&[char('1')], Level::Domain),
    level(&[char('2')], Level::Category),
    level(&[char('3')], Level::Entity),
    level(&[char('4')], Level::Document),
    level(&[char('5')], Level::Section),
    level(&[char('6')], Level::Passage),
    row(Panes, &[char('0')], AtLevel(None), "answer at the favoured level", ""),
    row(Panes, &[char('d')], Deeper, "the answer as a ladder, one rung deeper", ""),
    row(Panes, &[code(KeyCode::Esc)], Leave, "back to the tree; from there, hide the answer", ""),
    row(Panes, &[char('?'), code(KeyCode::F(1))], ToggleHelp, "this help", "help"),
    row(Panes, &[char('q'), control('c')], Quit, "quit", "quit"),
    row(Tree, &[char('l'), code(KeyCode::Right)], Expand, "open, or step in", "open"),
    row(Tree, &[char('h'), code(KeyCode::Left)], Collapse, "close, or step out", "close"),
    row(Tree, &[char('L')], ExpandAll, "open all below, down to documents", ""),
    row(Tree, &[char('H')], CollapseAll, "close all", ""),
    row(Tree, &[code(KeyCode::Enter)], Activate, "open or close a node; edit a document or section", ""),
    row(Tree, &[char('r')], Rename, "rename the node", ""),
    row(Tree, &[char('p')], Pin, "pin the node, with all below it", ""),
    row(Tree, &[char('m')], Mark, "mark a node or document, or let it go", ""),
    row(Tree, &[char('M')], Merge, "merge the marked node into this one", ""),
    row(Tree, &[char('v')], MoveHere, "move what is marked into this node", ""),
    row(Tree, &[char('s')], Split, "split the node in two", ""),
    row(Tree, &[char('u')], Undo, "take the last edit of the tree back", ""),
    row(Answer, &[code(KeyCode::Enter)], Activate, "edit the file that is cited or hit", "edit"),
    row(Answer, &[char('t')], Reveal, "show in the tree", "in tree"),
    row(Answer, &[char('l'), code(KeyCode::Right)], FocusNext, "to the preview", ""),
    row(Answer, &[char('h'), code(KeyCode::Left)], FocusPrevious, "to the tree", ""),
    row(Preview, &[code(KeyCode::Enter)], Activate, "edit the file", "edit"),
    row(Preview, &[char('h'), code(KeyCode::Left)], FocusPrevious, "to the pane before", ""),
    row(Query, &[code(KeyCode::Enter)], Submit, "ask, or give the name", "ask"),
    query(&[code(KeyCode::Up), control('p')], QueryEdit::Older, "the question before", "history"),
    query(&[code(KeyCode::Down), control('n')], QueryEdit::Newer, "the question after", ""),
    row(Query, &[code(KeyCode::Esc)], Leave, "leave the query line", "leave"),
    query(&[code(KeyCode::Left), control('b')], QueryEdit::Left, "left", ""),
    query(&[code(KeyCode::Right), control('f')], QueryEdit::Right, "right", ""),
    query(&[code(KeyCode::Home), control('a')], QueryEdit::Start, "to the start", ""),
    query(&[code(KeyCode::End), control('e')], QueryEdit::End, "to the end", ""),
    query(&[code(KeyCode::Backspace), control('h')], QueryEdit::DeleteBefore, "delete before", ""),
    query(&[code(KeyCode::Delete), control('d')], QueryEdit::DeleteAfter, "delete after", ""),
    query(&[control('w')], QueryEdit::DeleteWord, "delete a word", ""),
    query(&[control('u')], QueryEdit::DeleteToStart, "delete to the start", ""),
    row(Query, &[control('c')], Quit, "quit", ""),
    row(Help, &[char('j'), code(KeyCode::Down)], Move(Motion::Down), "down", ""),
    row(Help, &[char('k'), code(KeyCode::Up)], Move(Motion::Up), "up", ""),
    row(Help, &[char('?'), char('q'), code(KeyCode::Esc), code(KeyCode::F(1))], ToggleHelp, "close this help", "close"),
    row(Help, &[control('c')], Quit, "quit", ""),
];

const fn row(
    scope: Scope,
    keys: &'static [Key],
    action: Action,
    help: &'static str,
    hint: &'static str,
) -> Binding {
    Binding {
        scope,
        keys,
        action,
        help,
        hint,
    }
}

const fn query(
    keys: &'static [Key],
    edit: QueryEdit,
    help: &'static str,
    hint: &'static str,
) -> Binding {
    row(Scope::Query, keys, EditQuery(edit), help, hint)
}

const fn level(keys: &'static [Key], level: Level) -> Binding {
    row(
        Panes,
        keys,
        AtLevel(Some(level)),
        "answer at the level of domain, category, entity, document, section, passage",
        "",
    )
}

const fn char(character: char) -> Key {
    code(KeyCode::Char(character))
}

const fn control(character: char) -> Key {
    Key {
        code: KeyCode::Char(character),
        modifiers: KeyModifiers::CONTROL,
    }
}

const fn code(code: KeyCode) -> Key {
    Key {
        code,
        modifiers: KeyModifiers::NONE,
    }
}
