//! The terminal while the browser has it, and what it gets back: after the end, an error or a panic.

use std::{
    io::{self, Write},
    panic, thread,
};

use crossterm::{
    cursor,
    event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture},
    execute,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode,
    },
};

/// Holds the terminal; dropping it gives the terminal back.
pub struct TerminalGuard;

impl TerminalGuard {
    /// Takes the terminal over.
    pub fn enter() -> io::Result<Self> {
        // Whatever was begun is undone should a later step fail.
        let guard = Self;
        enter()?;
        Ok(guard)
    }

    /// Gives the terminal back for as long as `work` runs.
    pub fn suspended<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        leave();
        let done = work();
        enter()?;
        Ok(done)
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        leave();
    }
}

/// Has a panic of this thread give the terminal back before it is reported, and one of another thread be silent:
/// it is told where its reply is missed.
pub fn restore_on_panic() {
    let own = thread::current().id();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().id() == own {
            leave();
            report(panic);
        }
    }));
}

/// Asks the terminal to put a text on the clipboard (OSC 52).
pub fn copy(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    write!(stdout, "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
    stdout.flush()
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        EnableBracketedPaste,
        cursor::Hide
    )
}

/// Every step is tried, and there is nobody to tell of one that fails.
fn leave() {
    let _ = execute!(
        io::stdout(),
        DisableBracketedPaste,
        DisableMouseCapture,
        Clear(ClearType::All),
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).flat_map(|group| {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        (0..4).map(move |at| match at <= group.len() {
            true => char::from(LETTERS[(word >> (18 - 6 * at) & 63) as usize]),
            false => '=',
        })
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads_its_last_group() {
        let check = |text: &str, expect: &str| assert_eq!(base64(text.as_bytes()), expect);
        check("", "");
        check("a", "YQ==");
        check("ab", "YWI=");
        check("abc", "YWJj");
        check("二胡.md:7", "5LqM6IOhLm1kOjc=");
    }
}
