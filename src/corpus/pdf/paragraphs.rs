//! Lines put together into paragraphs and headings; what every page repeats at its edges is left out.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{PdfPart, lines::Line};

/// So many lines at the top and at the bottom of a page may be repeated on others.
const EDGE_LINES: usize = 2;
/// On so many pages a line is repeated.
const REPEATED_PAGES: usize = 3;
/// A heading's font is so much larger than that of the text.
const HEADING_RATIO: f64 = 1.15;
const MAX_HEADING_CHARACTERS: usize = 200;

/// The paragraphs and headings of each page.
pub(super) fn parts(mut pages: Vec<Vec<Line>>) -> Vec<Vec<PdfPart>> {
    let body = body_size(&pages);
    leave_out_repeated(&mut pages, body);
    let pages: Vec<Vec<Paragraph>> = pages.iter().map(|lines| paragraphs(lines)).collect();
    let all = pages.iter().flatten();
    let headings = all.filter(|paragraph| paragraph.is_heading(body));
    let sizes: HashSet<i64> = headings.map(|paragraph| rounded(paragraph.size)).collect();
    let mut sizes: Vec<i64> = sizes.into_iter().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let part = |paragraph: Paragraph| {
        let own = rounded(paragraph.size);
        let rank = sizes.iter().position(|size| *size == own).unwrap_or(0);
        PdfPart {
            level: paragraph.is_heading(body).then_some(rank.min(5) as u8 + 1),
            text: paragraph.text,
        }
    };
    let page = |paragraphs: Vec<Paragraph>| paragraphs.into_iter().map(part).collect();
    pages.into_iter().map(page).collect()
}

/// Sizes in half points, so that almost equal ones are equal.
fn rounded(size: f64) -> i64 {
    (size * 2.0).round() as i64
}

/// The size of most characters.
fn body_size(pages: &[Vec<Line>]) -> f64 {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for line in pages.iter().flatten() {
        *counts.entry(rounded(line.size)).or_default() += line.text.len();
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or(0.0, |(size, _)| size as f64 / 2.0)
}

/// Takes headers, footers and page numbers away; they are not larger than the text, as headings of chapters are.
fn leave_out_repeated(pages: &mut [Vec<Line>], body: f64) {
    let mut counts: HashMap<(bool, String), usize> = HashMap::new();
    for page in pages.iter() {
        let edges: HashSet<_> = edges(page, body).map(|(_, key)| key).collect();
        for key in edges {
            *counts.entry(key).or_default() += 1;
        }
    }
    for page in pages {
        let repeated = edges(page, body).filter(|(_, key)| {
            counts
                .get(key)
                .is_some_and(|count| *count >= REPEATED_PAGES)
        });
        let repeated: HashSet<usize> = repeated.map(|(index, _)| index).collect();
        let mut index = 0;
        page.retain(|_| {
            index += 1;
            !repeated.contains(&(index - 1))
        });
    }
}

/// The lines nearest to the top and to the bottom, whether they are the former, and their text without numbers.
fn edges(page: &[Line], body: f64) -> impl Iterator<Item = (usize, (bool, String))> {
    let mut order: Vec<usize> = (0..page.len())
        .filter(|&index| page[index].angle == 0)
        .collect();
    order.sort_by(|&a, &b| page[a].y.total_cmp(&page[b].y));
    let top = order.iter().take(EDGE_LINES).map(|&index| (index, true));
    let bottom = order
        .iter()
        .rev()
        .take(EDGE_LINES)
        .map(|&index| (index, false));
    let fits = |(index, _): &(usize, bool)| page[*index].size < body * HEADING_RATIO;
    let found: Vec<_> = top.chain(bottom).filter(fits).collect();
    found.into_iter().map(|(index, top)| {
        let text = page[index].text.trim();
        let is_numeral =
            |character: char| "ivxlcIVXLC".contains(character) || character.is_ascii_digit();
        let key = match text.chars().all(is_numeral) {
            true => String::new(),
            false => text
                .chars()
                .filter(|character| !character.is_ascii_digit())
                .collect(),
        };
        (index, (top, key))
    })
}

/// Lines that belong together.
struct Paragraph {
    text: String,
    n_lines: usize,
    size: f64,
    angle: i32,
    /// Of its lines, the leftmost start and the rightmost end.
    start: f64,
    end: f64,
}

impl Paragraph {
    fn of(line: &Line) -> Self {
        Self {
            text: line.text.trim().to_owned(),
            n_lines: 1,
            size: line.size,
            angle: line.angle,
            start: line.start,
            end: line.end,
        }
    }

    fn is_heading(&self, body: f64) -> bool {
        let letters = self
            .text
            .chars()
            .filter(|character| character.is_alphabetic());
        self.size >= body * HEADING_RATIO
            && self.angle == 0
            // A line of a table of contents leads to its page by dots.
            && !self.text.contains("....")
            && self.n_lines <= 3
            && self.text.chars().count() <= MAX_HEADING_CHARACTERS
            && letters.take(3).count() >= 3 - usize::from(self.text.chars().any(is_ideograph))
    }

    /// Adds a line; a word that was cut in two is whole again.
    fn push(&mut self, line: &Line) {
        let next = line.text.trim();
        let cut = self
            .text
            .strip_suffix('-')
            .filter(|before| before.ends_with(char::is_alphabetic));
        match cut
            .map(str::len)
            .filter(|_| next.starts_with(char::is_lowercase))
        {
            Some(length) => self.text.truncate(length),
            None if self.text.ends_with(is_ideograph) && next.starts_with(is_ideograph) => {}
            None => self.text.push(' '),
        }
        self.text.push_str(next);
        self.n_lines += 1;
        self.start = self.start.min(line.start);
        self.end = self.end.max(line.end);
    }

    fn ends_sentence(&self) -> bool {
        let text = self
            .text
            .trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
        text.ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '：'])
    }
}

fn is_ideograph(character: char) -> bool {
    matches!(u32::from(character), 0x3000..=0x30ff | 0x3400..=0x9fff | 0xf900..=0xfaff | 0xff00..=0xffef | 0x20000..=0x3ffff)
}

fn paragraphs(lines: &[Line]) -> Vec<Paragraph> {
    let leading = leading(lines);
    let mut paragraphs: Vec<Paragraph> = Vec::new();
    let mut last: Option<&Line> = None;
    for line in lines {
        match (paragraphs.last_mut(), last) {
            (Some(open), Some(last)) if !parts_from(open, last, line, leading) => open.push(line),
            _ => paragraphs.push(Paragraph::of(line)),
        }
        last = Some(line);
    }
    paragraphs
}

/// The distance of most lines from those before.
fn leading(lines: &[Line]) -> f64 {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in lines.windows(2) {
        let distance = pair[1].y - pair[0].y;
        if distance > 0.5 * pair[1].size && distance < 4.0 * pair[1].size {
            *counts.entry(rounded(distance)).or_default() += 1;
        }
    }
    let most = counts
        .into_iter()
        .max_by_key(|(distance, count)| (*count, -distance));
    most.map_or(0.0, |(distance, _)| distance as f64 / 2.0)
}

/// True where `line` does not go on with `open`, whose last line is `last`.
fn parts_from(open: &Paragraph, last: &Line, line: &Line, leading: f64) -> bool {
    let size = last.size.max(line.size);
    let distance = line.y - last.y;
    if line.angle != last.angle
        || (line.size - open.size).abs() > 0.12 * size
        || line.text.starts_with(super::BULLETS)
    {
        return true;
    }
    if distance < -0.5 * size {
        // The next column goes on with an open sentence.
        return open.ends_sentence();
    }
    if distance < 0.5 * size {
        return false;
    }
    let far = distance
        > (1.3 * leading)
            .max(1.25 * size)
            .min(2.0 * size.max(leading / 1.3));
    let indented = line.start > open.start + 0.8 * size && line.start < open.start + 5.0 * size;
    let short = last.end < open.end - 0.2 * (open.end - open.start);
    far || (open.ends_sentence() && (indented || short))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines at (start, y), with the size of their font.
    fn check(pages: &[&[(f64, f64, f64, &str)]], expected: &[&str]) {
        let line = |&(start, y, size, text): &(f64, f64, f64, &str)| Line {
            text: text.to_owned(),
            start,
            end: start + text.len() as f64 * size / 2.0,
            y,
            size,
            angle: 0,
        };
        let pages = pages
            .iter()
            .map(|page| page.iter().map(line).collect())
            .collect();
        let found: Vec<String> = parts(pages)
            .iter()
            .map(|page| {
                let shown = page.iter().map(|part| match part.level {
                    Some(level) => format!("#{level} {}", part.text),
                    None => part.text.clone(),
                });
                shown.collect::<Vec<_>>().join(" / ")
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_become_paragraphs_and_headings() {
        check(
            &[&[
                (10.0, 10.0, 20.0, "Title"),
                (10.0, 50.0, 10.0, "A para-"),
                (10.0, 62.0, 10.0, "graph of self-"),
                (10.0, 74.0, 10.0, "Made lines."),
                (20.0, 86.0, 10.0, "Another one"),
                (10.0, 98.0, 10.0, "that goes on"),
                (200.0, 50.0, 10.0, "in a column."),
                (200.0, 90.0, 10.0, "Far away"),
                (200.0, 102.0, 10.0, "• item"),
                (200.0, 114.0, 10.0, "中文"),
                (200.0, 126.0, 10.0, "字。"),
            ]],
            &[
                "#1 Title / A paragraph of self- Made lines. / Another one that goes on in a column. / Far away / • item 中文字。",
            ],
        );
    }

    #[test]
    fn what_pages_repeat_is_left_out() {
        let page = |text: &'static str, number: &'static str| {
            [
                (10.0, 10.0, 8.0, "Book"),
                (10.0, 20.0, 20.0, "Chapter"),
                (10.0, 50.0, 10.0, text),
                (10.0, 62.0, 10.0, "and the same."),
                (10.0, 190.0, 8.0, "A footer"),
                (10.0, 200.0, 8.0, number),
            ]
        };
        let pages = [page("One", "1"), page("Two", "2"), page("Three", "ix")];
        let pages: Vec<&[_]> = pages.iter().map(|page| page.as_slice()).collect();
        check(
            &pages,
            &[
                "#1 Chapter / One and the same.",
                "#1 Chapter / Two and the same.",
                "#1 Chapter / Three and the same.",
            ],
        );
    }
}
