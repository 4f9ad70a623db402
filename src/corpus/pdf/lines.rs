//! Glyphs as a page draws them, put together into lines.
//!
//! The order of the page's own instructions is kept: it is the order of reading, across columns as well, in what
//! nearly all programs write.

use hayro_interpret::{
    BlendMode, ClipPath, Device, DrawMode, DrawProps, Image, ImageDrawProps, SoftMask,
    font::{GlyphRun, PositionedGlyph},
    hayro_cmap::BfString,
    kurbo::{Affine, BezPath},
};

/// Glyphs are drawn in units of so many to the em.
const UNITS_PER_EM: f64 = 1_000.0;
/// Characters that are read of one file.
const MAX_CHARACTERS: usize = 64 << 20;

/// A line of text; lengths are in points, and y grows downwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    pub text: String,
    pub start: f64,
    pub end: f64,
    pub y: f64,
    /// Of the font, the mean of its glyphs.
    pub size: f64,
    /// Direction in degrees; 0 for text that runs to the right.
    pub angle: i32,
}

/// Gathers the lines of one page after another.
#[derive(Default)]
pub(super) struct LineReader {
    lines: Vec<Line>,
    /// Glyphs of the last line.
    n_glyphs: f64,
    n_characters: usize,
    n_unknown: usize,
}

impl LineReader {
    /// The lines that were read since the last page.
    pub fn take_page(&mut self) -> Vec<Line> {
        let mut lines = std::mem::take(&mut self.lines);
        for line in &mut lines {
            line.text.truncate(line.text.trim_end().len());
        }
        lines.retain(|line| !line.text.is_empty());
        lines
    }

    /// True where most glyphs have no meaning.
    pub fn is_unreadable(&self) -> bool {
        self.n_unknown * 2 > self.n_characters
    }

    fn glyph(&mut self, glyph: &PositionedGlyph, transform: Affine) {
        let [a, b, c, d, e, f] = (transform * glyph.transform()).as_coeffs();
        let width = a.hypot(b);
        let finite = [a, b, c, d, e, f].iter().all(|value| value.is_finite());
        if !finite || width == 0.0 || self.n_characters >= MAX_CHARACTERS {
            return;
        }
        let text = match glyph.as_unicode() {
            Some(BfString::Char(character)) => character.to_string(),
            Some(BfString::String(text)) => text,
            None => {
                self.n_unknown += 1;
                '\u{fffd}'.to_string()
            }
        };
        self.n_characters += text.chars().count();
        // The line's own axes, however it is turned.
        let (right, down) = (a / width, b / width);
        let advance = match &**glyph {
            hayro_interpret::font::Glyph::Outline(own) => own.advance_width(),
            hayro_interpret::font::Glyph::Type3(own) => own.advance_width(),
        };
        let start = e * right + f * down;
        self.put(Line {
            text: text.chars().map(plain).collect(),
            start,
            end: start + f64::from(advance.unwrap_or(0.0)).max(0.0) * width,
            y: f * right - e * down,
            size: c.hypot(d) * UNITS_PER_EM,
            angle: down.atan2(right).to_degrees().round() as i32,
        });
    }

    /// Adds a glyph, given as a line of its own, to the last line or after it.
    fn put(&mut self, glyph: Line) {
        let text = glyph.text.replace(
            ['\u{0}', '\u{ad}'],
            if glyph.text == "\u{ad}" { "-" } else { "" },
        );
        let is_space = text.chars().all(char::is_whitespace);
        if let Some(line) = self.lines.last_mut().filter(|line| goes_on(line, &glyph)) {
            let gap = glyph.start - line.end;
            let wide = gap > 0.18 * glyph.size || is_space;
            if wide && !line.text.is_empty() && !line.text.ends_with(' ') {
                line.text.push(' ');
            }
            if is_space {
                // A space is as wide as the gap that follows, which then counts no more.
                line.end = line.end.max(glyph.end);
                return;
            }
            push_expanded(&mut line.text, &text);
            line.end = line.end.max(glyph.end);
            self.n_glyphs += 1.0;
            line.size += (glyph.size - line.size) / self.n_glyphs;
        } else if !is_space {
            let mut line = Line {
                text: String::new(),
                ..glyph
            };
            push_expanded(&mut line.text, &text);
            self.lines.push(line);
            self.n_glyphs = 1.0;
        }
    }
}

/// True for a glyph on the line, raised and lowered ones included, behind its end.
fn goes_on(line: &Line, glyph: &Line) -> bool {
    let size = line.size.max(glyph.size);
    line.angle == glyph.angle
        && (glyph.y - line.y).abs() < 0.45 * size
        && glyph.start > line.end - 0.6 * size
}

fn plain(character: char) -> char {
    match character {
        '\u{a0}' | '\t' | '\r' | '\n' => ' ',
        character => character,
    }
}

/// Letters that are drawn as one are written one by one.
fn push_expanded(text: &mut String, glyph: &str) {
    for character in glyph.chars() {
        match character {
            'ﬀ' => text.push_str("ff"),
            'ﬁ' => text.push_str("fi"),
            'ﬂ' => text.push_str("fl"),
            'ﬃ' => text.push_str("ffi"),
            'ﬄ' => text.push_str("ffl"),
            'ﬅ' | 'ﬆ' => text.push_str("st"),
            character => text.push(character),
        }
    }
}

impl<'a> Device<'a> for LineReader {
    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'a>, _: &DrawMode) {}

    fn push_clip_path(&mut self, _: &ClipPath) {}

    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, _: &DrawMode) {
        for glyph in run.glyphs() {
            self.glyph(glyph, props.transform);
        }
    }

    fn draw_image(&mut self, _: Image<'a, '_>, _: ImageDrawProps<'a>) {}

    fn pop_clip(&mut self) {}

    fn pop_transparency_group(&mut self) {}
}
