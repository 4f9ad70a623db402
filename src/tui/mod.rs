//! How is a library browsed? Here is a snapshot, gimme a screen: [`run`].
//!
//! event → [`Action`](action::Action) → [`App`](app::App) → [`draw`](screen::draw). Questions and files are
//! worked on by threads of their own, so that nothing blocks the screen; what is asked later supersedes what was
//! asked before. There is no retrieval here: questions are ranked by [`crate::query`] and answered by
//! [`crate::answer`].

mod action;
mod bindings;
mod library;
mod worker;
mod asking;
mod reader;
mod editing;
mod theme;
mod wrap;
mod markdown;
mod pages;
mod frame;
mod layout;
mod query_line;
mod tree_pane;
mod preview_pane;
mod level_bars;
mod answer_rows;
mod answer_pane;
mod help;
mod status_line;
mod app;
mod screen;
mod terminal;
mod editor;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use crossterm::event;
use ratatui::{Terminal, backend::CrosstermBackend};

use crate::store::{Snapshot, StoreError};
use app::{App, Effect};
use status_line::Notice;
use terminal::TerminalGuard;
pub use wrap::{fit, width};

/// How long an event is waited for: while a thread is at work, and otherwise.
const WAIT_BUSY: Duration = Duration::from_millis(16);
const WAIT_IDLE: Duration = Duration::from_secs(1);

/// What the browser is told of the user's surroundings.
#[derive(Debug, Clone)]
pub struct TuiOptions {
    /// The folder of the index that is browsed.
    pub index: PathBuf,
    /// The folder of the model that made the index.
    pub model: PathBuf,
    /// The command of the editor, with arguments if any.
    pub editor: String,
    /// Whether to use colours.
    pub colour: bool,
    /// Whether answers do without the joint reader.
    pub fast: bool,
}

/// Why the browser ended early.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    #[error("the terminal cannot be used: {0}; try another one, or `shas tree` and `shas ask`")]
    Terminal(io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no thread could be started: {0}; end other programs and try again")]
    Thread(io::Error),
}

/// Browses `snapshot` until the user quits.
pub fn run(snapshot: Snapshot, options: &TuiOptions) -> Result<(), TuiError> {
    let mut app = App::new(snapshot, options)?;
    terminal::restore_on_panic();
    let guard = TerminalGuard::enter().map_err(TuiError::Terminal)?;
    browse(&mut app, options, &guard).map_err(TuiError::Terminal)
}

fn browse(app: &mut App, options: &TuiOptions, guard: &TerminalGuard) -> io::Result<()> {
    let mut screen = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    loop {
        app.poll();
        screen.draw(|frame| screen::draw(frame, app))?;
        let mut wait = if app.busy() { WAIT_BUSY } else { WAIT_IDLE };
        // Events that have piled up are drawn once.
        while event::poll(wait)? {
            wait = Duration::ZERO;
            let action = action::action_of(&event::read()?, app.scope());
            match action.and_then(|action| app.update(action)) {
                None => {}
                Some(Effect::Quit) => return Ok(()),
                Some(Effect::Copy(text)) => terminal::copy(&text)?,
                Some(Effect::Edit(file, line)) => {
                    let ended = guard.suspended(|| edit(&options.editor, &file, line))?;
                    screen.clear()?;
                    app.notify(ended);
                    app.reload();
                }
            }
        }
    }
}

/// Runs the editor; tells how it went if it went badly.
fn edit(editor: &str, file: &Path, line: usize) -> Notice {
    let Some(mut command) = editor::command(editor, file, line) else {
        return Notice::problem("There is no editor; set $VISUAL or $EDITOR.");
    };
    match command.status() {
        Ok(status) if status.success() => Notice::default(),
        Ok(status) => Notice::problem(format!("`{editor}` ended with {status}.")),
        Err(error) => Notice::problem(format!(
            "`{editor}` cannot be run: {error}. Set $VISUAL or $EDITOR."
        )),
    }
}
