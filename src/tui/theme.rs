//! Every style in one place.
//!
//! The colours are fixed entries of the 256-colour palette, of middling lightness: they stand out on dark and
//! on light backgrounds alike, whatever the terminal makes of its first sixteen colours.

use ratatui::style::{Color, Modifier, Style};

const BLUE: Color = Color::Indexed(32);
const PURPLE: Color = Color::Indexed(133);
const GREEN: Color = Color::Indexed(29);
const ORANGE: Color = Color::Indexed(130);
const RED: Color = Color::Indexed(160);
const GREY: Color = Color::Indexed(244);

/// The styles of the screen.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    pub text: Style,
    pub muted: Style,
    pub strong: Style,
    pub accent: Style,
    /// Domains, and headings of texts.
    pub heading: Style,
    /// The row that keys act on, in the pane that has them and in the others.
    pub selected: Style,
    pub selected_elsewhere: Style,
    pub border: Style,
    pub border_focused: Style,
    /// What an answer quotes.
    pub quoted: Style,
    pub code: Style,
    pub link: Style,
    pub tag: Style,
    pub bar: Style,
    pub bar_chosen: Style,
    pub key: Style,
    pub problem: Style,
}

impl Theme {
    /// The coloured theme, or one of weights and lines alone.
    pub fn new(colour: bool) -> Self {
        match colour {
            true => Self::coloured(),
            false => Self::plain(),
        }
    }

    /// The border of a pane.
    pub fn border_of(&self, focused: bool) -> Style {
        match focused {
            true => self.border_focused,
            false => self.border,
        }
    }

    fn coloured() -> Self {
        let on = |foreground: u8, background: u8| {
            Style::new()
                .fg(Color::Indexed(foreground))
                .bg(Color::Indexed(background))
        };
        Self {
            muted: Style::new().fg(GREY),
            accent: Style::new().fg(BLUE),
            heading: Style::new().fg(PURPLE).bold(),
            selected: on(231, 25).bold(),
            selected_elsewhere: on(231, 241),
            border: Style::new().fg(GREY),
            border_focused: Style::new().fg(BLUE),
            quoted: on(16, 179),
            code: Style::new().fg(ORANGE),
            link: Style::new().fg(BLUE).underlined(),
            tag: Style::new().fg(GREEN),
            bar: Style::new().fg(GREY),
            bar_chosen: Style::new().fg(GREEN),
            key: Style::new().fg(BLUE).bold(),
            problem: Style::new().fg(RED),
            ..Self::plain()
        }
    }

    fn plain() -> Self {
        let plain = Style::new();
        Self {
            text: plain,
            muted: plain.dim(),
            strong: plain.bold(),
            accent: plain.bold(),
            heading: plain.bold(),
            selected: plain.reversed(),
            selected_elsewhere: plain.add_modifier(Modifier::UNDERLINED | Modifier::BOLD),
            border: plain.dim(),
            border_focused: plain.bold(),
            quoted: plain.reversed(),
            code: plain,
            link: plain.underlined(),
            tag: plain.italic(),
            bar: plain.dim(),
            bar_chosen: plain,
            key: plain.bold(),
            problem: plain.bold(),
        }
    }
}
