//! Edits of the tree: what is marked, what is being named, and what came of the last one.

use std::{io, path::PathBuf, sync::Arc};

use super::{App, Focus};
use crate::{
    ingest::Change,
    query::Target,
    tree::edit::{Placed, Request},
    tui::{
        action::Action,
        editing::{self, Edited, Editor, Wanted},
        library::{Item, Library},
        query_line::QueryLine,
        reader,
        status_line::Notice,
        worker::Stopped,
    },
};

/// Parts of a node that is split.
const PARTS: usize = 2;

/// The state of the user's edits.
pub struct Edits {
    /// The node that gets a name, and the name as far as it is typed.
    pub naming: Option<(u64, QueryLine)>,
    marked: Option<Placed>,
    editor: Editor,
}

impl Edits {
    pub fn new(index: PathBuf) -> io::Result<Self> {
        Ok(Self {
            naming: None,
            marked: None,
            editor: editing::spawn(index)?,
        })
    }

    pub fn busy(&self) -> bool {
        self.editor.busy()
    }
}

impl App {
    /// The line in which a node is named.
    pub fn naming(&self) -> Option<&QueryLine> {
        self.edits.naming.as_ref().map(|(_, line)| line)
    }

    /// The item that is marked.
    pub fn marked(&self) -> Option<Item> {
        match self.edits.marked? {
            Placed::Node(id) => self.library.item(Target::Node(id)),
            Placed::Document(id) => {
                let document = self.library.snapshot.document_with_id(id);
                document.map(Item::Document)
            }
        }
    }

    /// The line that keys go into.
    pub(super) fn line(&mut self) -> &mut QueryLine {
        match &mut self.edits.naming {
            Some((_, line)) => line,
            None => &mut self.query,
        }
    }

    /// Does what is asked for with the selected item.
    pub(super) fn edit_tree(&mut self, action: &Action) {
        let selected = self.tree.selected();
        let node = match selected {
            Some(Item::Node(index)) => Some(self.library.node(index).id),
            _ => None,
        };
        match (action, node, self.edits.marked) {
            (Action::Undo, ..) => self.change(Change::Undo(None)),
            (Action::Mark, ..) => self.mark(selected),
            (_, None, _) => {
                self.notice = Notice::new("Only nodes are changed like this; select one.");
            }
            (Action::Rename, Some(node), _) => self.start_naming(node),
            (Action::Pin, Some(node), _) => self.change(Change::Make(Request::Pin { node })),
            (Action::Split, Some(node), _) => {
                let parts = PARTS;
                self.change(Change::Make(Request::Split { node, parts }));
            }
            (Action::Merge, Some(into), Some(Placed::Node(node))) => {
                self.change(Change::Make(Request::Merge { node, into }));
            }
            (Action::MoveHere, Some(into), Some(what)) => {
                self.change(Change::Make(Request::Move { what, into }));
            }
            _ => self.notice = Notice::new("Mark what it is about with m first, then come here."),
        }
    }

    fn mark(&mut self, selected: Option<Item>) {
        let placed = selected.and_then(|item| match item {
            Item::Node(index) => Some(Placed::Node(self.library.node(index).id)),
            Item::Document(document) => Some(Placed::Document(self.library.record(document).id)),
            Item::Section(..) => None,
        });
        let Some(placed) = placed else {
            self.notice = Notice::new("Sections stay in their document; mark a node or document.");
            return;
        };
        let is_marked = self.edits.marked == Some(placed);
        self.edits.marked = (!is_marked).then_some(placed);
        self.notice = Notice::new(match (is_marked, placed) {
            (true, _) => "Nothing is marked any more.",
            (false, Placed::Node(_)) => "Marked; go to another node: M merges, v moves.",
            (false, Placed::Document(_)) => "Marked; go to an entity: v moves it there.",
        });
    }

    fn start_naming(&mut self, node: u64) {
        let name = self.library.snapshot.body.tree.node(node);
        let name = name.map_or("", |node| node.name.as_str());
        let line = QueryLine::with(name);
        self.focus_on(Focus::Query);
        self.edits.naming = Some((node, line));
    }

    /// Gives the node the name that was typed.
    pub(super) fn give_name(&mut self) {
        if let Some((node, line)) = self.edits.naming.take() {
            let name = line.text().to_owned();
            self.change(Change::Make(Request::Rename { node, name }));
        }
    }

    fn change(&mut self, change: Change) {
        if self.edits.busy() {
            self.notice = Notice::new("The edit before is still being written; try again.");
            return;
        }
        let library = Arc::clone(&self.library);
        self.edits.editor.ask(Wanted { library, change });
    }

    /// Takes what the thread has finished.
    pub(super) fn poll_edits(&mut self) {
        match self.edits.editor.poll() {
            Ok(None) => {}
            Ok(Some(Ok(edited))) => self.show_edited(*edited),
            Ok(Some(Err(sentence))) => self.notice = Notice::problem(sentence),
            Err(Stopped) => {
                let sentence = "Editing has stopped by a defect; quit and open again.";
                self.notice = Notice::problem(sentence);
            }
        }
    }

    /// Puts the library in the place of the one before, with the same items open.
    fn show_edited(&mut self, edited: Edited) {
        let library = Arc::new(edited.library);
        let reader = match reader::spawn(Arc::clone(&library)) {
            Ok(reader) => reader,
            Err(error) => {
                self.notice = Notice::problem(format!("Quit and open again: {error}."));
                return;
            }
        };
        self.reader = reader;
        self.tree = self.tree.carried(&self.library, &library);
        let ids = |library: &Library| -> Vec<u32> {
            let documents = library.snapshot.body.documents.iter();
            documents.map(|document| document.id).collect()
        };
        if ids(&library) != ids(&self.library) {
            // Answers name documents by their places.
            self.answer = None;
            self.focus_on(Focus::Tree);
        }
        self.library = library;
        let node = edited.changed.node.map(Target::Node);
        if let Some(item) = node.and_then(|node| self.library.item(node)) {
            self.tree.reveal(item, &self.library);
        }
        self.edits.marked = None;
        self.preview.forget();
        self.refresh_preview();
        self.notice = Notice::new(sentence(&edited.changed.words));
    }
}

/// Words that begin with a capital and end with a point.
fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).chain(['.']).collect()
}
