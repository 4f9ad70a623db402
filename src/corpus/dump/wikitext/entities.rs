//! Character references of HTML.

use std::borrow::Cow;

use quick_xml::escape::resolve_html5_entity;

/// The longest name of an entity, `&` and `;` included.
const MAX_BYTES: usize = 34;

/// The text of the reference that `rest` begins with, and its bytes; none where its `&` is only a character.
pub(super) fn entity(rest: &str) -> Option<(Cow<'static, str>, usize)> {
    let bytes = rest.as_bytes();
    let end = bytes
        .iter()
        .take(MAX_BYTES)
        .position(|byte| *byte == b';')?;
    let name = rest.get(1..end)?;
    let text = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => number.parse().ok()?,
            };
            Cow::Owned(char::from_u32(code)?.to_string())
        }
        None => Cow::Borrowed(resolve_html5_entity(name)?),
    };
    Some((plain(text), end + 1))
}

/// `text` with its references resolved.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        let (own, bytes) = entity(&rest[at..]).unwrap_or((Cow::Borrowed("&"), 1));
        decoded.push_str(&own);
        rest = &rest[at + bytes..];
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// Spaces of any width are spaces, and marks that only steer typesetting are nothing.
fn plain(text: Cow<'static, str>) -> Cow<'static, str> {
    match text.chars().next() {
        Some('\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}') => {
            " ".into()
        }
        Some('\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}') => {
            "".into()
        }
        Some(character) if character.is_control() => " ".into(),
        _ => text,
    }
}
