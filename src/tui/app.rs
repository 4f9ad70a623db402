//! The state behind the screen, and what each action does to it.

mod edits;
mod mouse;

use std::{path::PathBuf, sync::Arc, time::Instant};

use ratatui::layout::Rect;

use super::{
    TuiError, TuiOptions,
    action::{Action, Motion, Scope},
    answer_pane::AnswerPane,
    asking::{self, Answered, Reply, Request},
    editing,
    help::Help,
    layout::{self, Areas},
    library::{Item, Library},
    preview_pane::{PreviewPane, Subject},
    query_line::QueryLine,
    reader::{self, FileText},
    status_line::Notice,
    theme::Theme,
    tree_pane::TreePane,
    worker::{Stopped, Worker},
};
use edits::Edits;

use crate::{
    answer::{AnswerOptions, Depth},
    query::Level,
    store::Snapshot,
};

/// What has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    Query,
    Tree,
    Answer,
    Preview,
}

/// What the app cannot do without the terminal.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Quit,
    /// Opens a file in the editor, at a line counted from 1.
    Edit(PathBuf, usize),
    /// Puts a text on the clipboard.
    Copy(String),
}

/// The state of everything.
pub struct App {
    pub library: Arc<Library>,
    pub theme: Theme,
    pub tree: TreePane,
    pub answer: Option<AnswerPane>,
    pub preview: PreviewPane,
    pub query: QueryLine,
    pub help: Option<Help>,
    /// The whole screen when it was last drawn.
    pub area: Rect,
    notice: Notice,
    focus: Focus,
    /// What gets the focus when the query line is left.
    back: Focus,
    /// The tree or the answer, whichever the preview follows.
    list: Focus,
    hides_answer: bool,
    /// The question asked last, and whether its answer is still to come.
    question: Option<String>,
    thinking: bool,
    /// How far the answer's ladder goes down; none where it is shown without.
    depth: Option<Depth>,
    edits: Edits,
    asker: Worker<Request, Reply>,
    reader: Worker<usize, FileText>,
    started: Instant,
}

impl App {
    /// Starts the threads and shows the top of the tree.
    pub fn new(snapshot: Snapshot, options: &TuiOptions) -> Result<Self, TuiError> {
        let library = Arc::new(editing::open(snapshot, &options.index)?);
        let asker = asking::spawn(options.model.clone(), options.fast);
        let mut app = Self {
            theme: Theme::new(options.colour),
            tree: TreePane::new(&library),
            answer: None,
            preview: PreviewPane::new(),
            query: QueryLine::default(),
            help: None,
            area: Rect::default(),
            notice: Notice::default(),
            focus: Focus::Tree,
            back: Focus::Tree,
            list: Focus::Tree,
            hides_answer: false,
            question: None,
            thinking: false,
            depth: None,
            edits: Edits::new(options.index.clone()).map_err(TuiError::Thread)?,
            asker: asker.map_err(TuiError::Thread)?,
            reader: reader::spawn(Arc::clone(&library)).map_err(TuiError::Thread)?,
            started: Instant::now(),
            library,
        };
        app.refresh_preview();
        Ok(app)
    }

    pub fn focus(&self) -> Focus {
        self.focus
    }

    /// Where keys are looked up.
    pub fn scope(&self) -> Scope {
        match self.focus {
            _ if self.help.is_some() => Scope::Help,
            Focus::Query => Scope::Query,
            Focus::Tree => Scope::Tree,
            Focus::Answer => Scope::Answer,
            Focus::Preview => Scope::Preview,
        }
    }

    pub fn areas(&self) -> Areas {
        layout::areas(self.area, self.focus, self.shows_answer())
    }

    /// Whether a thread is at work.
    pub fn busy(&self) -> bool {
        self.asker.busy() || self.reader.busy() || self.edits.busy()
    }

    /// What the status line says.
    pub fn notice(&self) -> Notice {
        let frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        let frame = frames[(self.started.elapsed().as_millis() / 100) as usize % frames.len()];
        match (self.thinking, self.asker.busy()) {
            (true, _) => Notice::new(format!("{frame} thinking")),
            (false, true) if self.notice == Notice::default() => {
                Notice::new(format!("{frame} loading the model"))
            }
            _ => self.notice.clone(),
        }
    }

    /// Tells the user something.
    pub fn notify(&mut self, notice: Notice) {
        self.notice = notice;
    }

    /// Reads what is shown again, after the editor had it.
    pub fn reload(&mut self) {
        self.preview.reload(&mut self.reader);
    }

    /// Takes what the threads have finished.
    pub fn poll(&mut self) {
        match self.asker.poll() {
            Ok(None) => {}
            Ok(Some(reply)) => self.receive(reply),
            Err(Stopped) => {
                let sentence = "Answering has stopped by a defect; quit and open again.";
                self.receive(Reply::Failed(sentence.to_owned()));
            }
        }
        self.poll_edits();
        match self.reader.poll() {
            Ok(None) => {}
            Ok(Some(file)) => self.preview.receive(file, &self.library),
            Err(Stopped) => {
                self.notice =
                    Notice::problem("Reading has stopped by a defect; quit and open again.");
            }
        }
    }

    /// Does what is asked for, but for what needs the terminal.
    pub fn update(&mut self, action: Action) -> Option<Effect> {
        self.notice = Notice::default();
        match action {
            Action::Quit => return Some(Effect::Quit),
            Action::Activate => return self.activate(),
            Action::OpenEditor => return self.edit(),
            Action::Copy => return self.copy(),
            Action::ToggleHelp => {
                self.help = match self.help {
                    Some(_) => None,
                    None => Some(Help::default()),
                }
            }
            Action::FocusQuery => self.focus_on(Focus::Query),
            Action::FocusNext => self.switch_focus(1),
            Action::FocusPrevious => self.switch_focus(-1),
            Action::Leave => self.leave(),
            Action::Move(motion) => self.move_by(motion),
            Action::Expand => {
                if !self.tree.expand(&self.library) {
                    self.focus_on(Focus::Preview);
                }
            }
            Action::Collapse => self.tree.collapse(&self.library),
            Action::ExpandAll => self.tree.expand_all(&self.library),
            Action::CollapseAll => self.tree.collapse_all(&self.library),
            Action::Reveal => self.reveal(),
            Action::ToggleAnswer => self.toggle_answer(),
            Action::Broader => self.shift_level(-1),
            Action::Narrower => self.shift_level(1),
            Action::AtLevel(level) => self.answer_at(level),
            Action::Deeper => self.deepen(),
            Action::Rename
            | Action::Pin
            | Action::Mark
            | Action::Merge
            | Action::MoveHere
            | Action::Split
            | Action::Undo => self.edit_tree(&action),
            Action::Submit => self.submit(),
            Action::EditQuery(edit) => self.line().edit(edit),
            Action::Scroll(at, rows) => self.scroll(at, rows),
            Action::Click(at) => self.click(at),
        }
        self.refresh_preview();
        None
    }

    fn shows_answer(&self) -> bool {
        self.answer.is_some() && !self.hides_answer
    }

    fn focus_on(&mut self, focus: Focus) {
        match focus {
            Focus::Query if self.focus != Focus::Query => {
                self.back = self.focus;
                self.query.move_to_end();
            }
            Focus::Tree | Focus::Answer => self.list = focus,
            _ => {}
        }
        if focus != Focus::Query {
            self.edits.naming = None;
        }
        self.focus = focus;
    }

    fn switch_focus(&mut self, step: isize) {
        let panes: &[Focus] = match self.shows_answer() {
            true => &[Focus::Tree, Focus::Answer, Focus::Preview],
            false => &[Focus::Tree, Focus::Preview],
        };
        let own = panes.iter().position(|pane| *pane == self.focus);
        let next = own.unwrap_or(0) as isize + step;
        self.focus_on(panes[next.rem_euclid(panes.len() as isize) as usize]);
    }

    fn leave(&mut self) {
        match self.focus {
            Focus::Query => self.focus_on(self.back),
            _ if self.thinking => {
                self.asker.cancel();
                self.thinking = false;
                self.notice = Notice::new("The question is withdrawn.");
            }
            Focus::Answer | Focus::Preview => self.focus_on(Focus::Tree),
            Focus::Tree => {
                self.hides_answer = true;
                self.list = Focus::Tree;
            }
        }
    }

    fn toggle_answer(&mut self) {
        if self.answer.is_none() {
            self.notice = Notice::new("There is no answer yet; press / and ask.");
            return;
        }
        self.hides_answer = !self.hides_answer;
        let focus = match self.hides_answer {
            true => Focus::Tree,
            false => Focus::Answer,
        };
        self.focus_on(focus);
    }

    fn move_by(&mut self, motion: Motion) {
        match (&mut self.help, self.focus, &mut self.answer) {
            (Some(help), ..) => help.move_by(motion),
            (None, Focus::Tree, _) => self.tree.move_by(motion),
            (None, Focus::Preview, _) => self.preview.move_by(motion),
            (None, Focus::Answer, Some(answer)) => answer.move_by(motion),
            _ => {}
        }
    }

    fn activate(&mut self) -> Option<Effect> {
        match (self.focus, self.subject()) {
            (Focus::Tree, Subject::Item(Item::Node(_))) => self.tree.toggle(&self.library),
            (Focus::Answer, Subject::Item(Item::Node(_))) => self.reveal(),
            _ => return self.edit(),
        }
        self.refresh_preview();
        None
    }

    fn edit(&mut self) -> Option<Effect> {
        let Some((document, line)) = self.place() else {
            self.notice = Notice::new("Only documents open in the editor; select one.");
            return None;
        };
        let path = reader::path_of(&self.library, document);
        if self.library.record(document).text.is_some() {
            let sentence = format!(
                "This text was extracted from {}, which an editor does not show; open it in its own program.",
                path.display()
            );
            self.notice = Notice::new(sentence);
            return None;
        }
        if !path.exists() {
            let sentence = format!("{} is gone; run `shas index` to catch up.", path.display());
            self.notice = Notice::problem(sentence);
            return None;
        }
        Some(Effect::Edit(path, line + 1))
    }

    fn copy(&mut self) -> Option<Effect> {
        let Some((document, line)) = self.place() else {
            self.notice = Notice::new("Only places in documents are copied; select one.");
            return None;
        };
        let place = format!("{}:{}", self.library.record(document).path, line + 1);
        self.notice = Notice::new(format!("Copied {place}"));
        Some(Effect::Copy(place))
    }

    /// The document that is meant, and the line of it, from 0.
    fn place(&self) -> Option<(usize, usize)> {
        self.preview.place(self.focus == Focus::Preview)
    }

    fn reveal(&mut self) {
        let item = match self.subject() {
            Subject::Nothing => return,
            Subject::Item(item) => item,
            Subject::Quote(document, bytes) => self.library.item_at(document, bytes.start),
            Subject::Byte(document, byte) => self.library.item_at(document, byte),
        };
        self.tree.reveal(item, &self.library);
        self.focus_on(Focus::Tree);
    }

    /// What the list that leads has selected.
    fn subject(&self) -> Subject {
        let answer = self.answer.as_ref().filter(|_| self.list == Focus::Answer);
        let chosen = answer.and_then(|answer| answer.selected(&self.library));
        let item = || self.tree.selected().map(Subject::Item);
        chosen.or_else(item).unwrap_or(Subject::Nothing)
    }

    fn refresh_preview(&mut self) {
        let subject = self.subject();
        self.preview
            .show(subject, &self.library, &self.theme, &mut self.reader);
    }

    fn submit(&mut self) {
        if self.naming().is_some() {
            self.give_name();
        } else if !self.query.text().is_empty() {
            self.query.remember();
            self.question = Some(self.query.text().to_owned());
            self.ask(None);
        }
        self.focus_on(self.back);
    }

    fn ask(&mut self, level: Option<Level>) {
        if let Some(question) = self.question.clone() {
            self.thinking = true;
            let options = AnswerOptions {
                level,
                depth: self.depth,
                ..AnswerOptions::default()
            };
            let library = Arc::clone(&self.library);
            self.asker
                .ask(Request::Question(library, question, options));
        }
    }

    fn deepen(&mut self) {
        let Some(answer) = &self.answer else {
            self.notice = Notice::new("Ladders are of an answer; press / and ask.");
            return;
        };
        let wanted = answer.answered.wanted;
        self.depth = match self.depth {
            None => Some(Depth::Domain),
            Some(depth) => {
                let mut deeper = Depth::ALL.into_iter();
                deeper.find(|own| *own > depth)
            }
        };
        self.ask(wanted);
    }

    fn answer_at(&mut self, level: Option<Level>) {
        let Some(answer) = &self.answer else {
            self.notice = Notice::new("Levels are of an answer; press / and ask.");
            return;
        };
        let answered = &answer.answered;
        let has = |wanted: Level| answered.levels.iter().any(|own| own.level == wanted);
        match level {
            Some(level) if !has(level) => {
                self.notice = Notice::new(format!("Nothing matches at the level of the {level}."));
            }
            _ => self.ask(level),
        }
    }

    fn shift_level(&mut self, step: isize) {
        let next = self.answer.as_ref().and_then(|answer| {
            let levels = &answer.answered.levels;
            let own = answer.answered.answer.answer.level;
            let own = levels.iter().position(|attention| attention.level == own)?;
            levels.get(own.checked_add_signed(step)?)
        });
        match next.map(|attention| attention.level) {
            Some(level) => self.ask(Some(level)),
            None if self.answer.is_none() => self.answer_at(None),
            None => self.notice = Notice::new("There is no level beyond this one."),
        }
    }

    fn receive(&mut self, reply: Reply) {
        match reply {
            Reply::Loaded => {}
            Reply::Failed(sentence) => {
                self.thinking = false;
                self.notice = Notice::problem(sentence);
            }
            Reply::Answered(answered) => {
                self.thinking = false;
                self.land(*answered);
            }
        }
    }

    /// Shows an answer, and moves the tree to what it is about.
    fn land(&mut self, answered: Answered) {
        let item = answered.target.and_then(|target| self.library.item(target));
        if let Some(item) = item {
            self.tree.reveal(item, &self.library);
        }
        let is_new = self.answer.as_ref().is_none_or(|shown| {
            shown.answered.answer.question != answered.answer.question || self.hides_answer
        });
        self.answer = Some(AnswerPane::new(answered));
        self.hides_answer = false;
        self.list = Focus::Answer;
        match self.focus {
            Focus::Query => self.back = Focus::Answer,
            _ if is_new => self.focus_on(Focus::Answer),
            Focus::Tree => self.list = Focus::Tree,
            _ => {}
        }
        self.refresh_preview();
    }
}
