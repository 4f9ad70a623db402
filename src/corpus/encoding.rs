//! Bytes of pages as text: by their mark, as UTF-8, by the encoding that they name, else as Windows-1252.

use encoding_rs::{Encoding, WINDOWS_1252};

/// Declarations of the encoding stand in this much of a page.
const DECLARED_BYTES: usize = 4 << 10;

/// The text of a page; what no encoding knows is replaced.
pub(super) fn decode(bytes: Vec<u8>) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(&bytes) {
        return encoding
            .decode_without_bom_handling(&bytes[mark..])
            .0
            .into_owned();
    }
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let bytes = error.into_bytes();
        let encoding = declared(&bytes).unwrap_or(WINDOWS_1252);
        encoding.decode_without_bom_handling(&bytes).0.into_owned()
    })
}

/// What `<meta charset=…>` or `<?xml encoding=…?>` names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(DECLARED_BYTES)].to_ascii_lowercase();
    let names: [&[u8]; 2] = [b"charset=", b"encoding="];
    let at = |name: &[u8]| head.windows(name.len()).position(|window| window == name);
    let after = names
        .iter()
        .find_map(|name| at(name).map(|at| at + name.len()))?;
    let label = head[after..].trim_ascii_start();
    let label = label
        .strip_prefix(b"\"")
        .or(label.strip_prefix(b"'"))
        .unwrap_or(label);
    let end = label.iter().position(|byte| b"\"' ;/>?".contains(byte));
    Encoding::for_label(&label[..end.unwrap_or(label.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(decode(bytes.to_vec()), expected);
    }

    #[test]
    fn pages_say_their_encoding_in_several_ways() {
        check("né 中".as_bytes(), "né 中");
        check(b"\xef\xbb\xbfa", "a");
        check(b"\xff\xfea\0", "a");
        check(b"caf\xe9 \x93q\x94", "café “q”");
        check(
            b"<meta charset='ISO-8859-2'>\xb3",
            "<meta charset='ISO-8859-2'>ł",
        );
        check(
            b"<?xml encoding=\"koi8-r\"?>\xc1",
            "<?xml encoding=\"koi8-r\"?>а",
        );
    }
}
