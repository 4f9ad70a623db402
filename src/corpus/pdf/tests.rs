//! Small PDFs made here, whole, damaged and locked.

use proptest::prelude::*;

use super::*;
use crate::corpus::extract::testing::{check_spans, shown};

/// A file of one font, with a page for each content, and more in its trailer.
fn pdf(pages: &[&str], trailer: &str) -> Vec<u8> {
    let mut objects = vec![
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        String::new(),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".to_owned(),
    ];
    let mut kids = String::new();
    for content in pages {
        let number = objects.len() + 1;
        kids += &format!("{number} 0 R ");
        objects.push(format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {} 0 R/Resources<</Font<</F 3 0 R>>>>>>",
            number + 1
        ));
        objects.push(format!(
            "<</Length {}>>stream\n{content}\nendstream",
            content.len()
        ));
    }
    objects[1] = format!("<</Type/Pages/Kids[{kids}]/Count {}>>", pages.len());
    let mut bytes = b"%PDF-1.4\n".to_vec();
    let mut table = String::new();
    for (index, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", bytes.len());
        bytes.extend(format!("{} 0 obj{object}endobj\n", index + 1).bytes());
    }
    let (start, size) = (bytes.len(), objects.len() + 1);
    let end = format!(
        "xref\n0 {size}\n0000000000 65535 f \n{table}trailer<</Root 1 0 R/Size {size}{trailer}>>\nstartxref\n{start}\n%%EOF"
    );
    bytes.extend(end.bytes());
    bytes
}

const FIRST: &str = "BT /F 24 Tf 50 700 Td (The Whale) Tj /F 12 Tf 0 -40 Td (Nobody saw the light-) Tj 0 -14 Td (house \\(it was dark\\).) Tj 0 -14 Td [(Sp) 20 (aced) -300 (out)] TJ ET";
const SECOND: &str = "BT /F 12 Tf 50 700 Td (Caf\\351.) Tj ET";

fn check(bytes: Vec<u8>, expected: Result<&str, &str>) {
    match (read_pdf(bytes), expected) {
        (Ok(found), Ok(expected)) => {
            let found = document("a/b.pdf", found);
            check_spans(&found);
            assert_eq!(shown(&found), expected);
        }
        (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn pages_are_read_in_order() {
    let text = "@0 page 1\nh1 The Whale\nParagraph Nobody saw the lighthouse (it was dark). Spaced out\n@64 page 2\nParagraph Café.\n";
    let whole = pdf(&[FIRST, SECOND], "");
    check(whole.clone(), Ok(&format!("The Whale\n{text}")));
    check(
        pdf(&[FIRST, SECOND], "/Info<</Title(A title)>>"),
        Ok(&format!("A title\n{text}")),
    );
    check(
        pdf(&[FIRST, SECOND], "/Info<</Title(draft.docx)>>"),
        Ok(&format!("The Whale\n{text}")),
    );
    // Without its table the objects are found one by one.
    let end = whole
        .windows(4)
        .position(|window| window == b"xref")
        .unwrap();
    check(whole[..end].to_vec(), Ok(&format!("The Whale\n{text}")));
}

#[test]
fn what_cannot_be_read_says_why() {
    check(b"%PDF-1.4\ngarbage".to_vec(), Err("damaged"));
    check(pdf(&["0 0 10 10 re f"], ""), Err("pictures only"));
    let lock = "/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<0000000000000000000000000000000000000000000000000000000000000000>/U<0000000000000000000000000000000000000000000000000000000000000000>>>";
    check(pdf(&[FIRST], lock), Err("encrypted"));
}

#[test]
fn titles_are_decoded() {
    for (bytes, expected) in [
        (&b"\xfe\xff\0A\x4e\x2d"[..], Some("A中")),
        (b"Caf\xe9", Some("Café")),
        (b"Microsoft Word - Notes", Some("Notes")),
        (b"paper.tex", None),
        (b"  ", None),
    ] {
        assert_eq!(title(bytes).as_deref(), expected);
    }
}

proptest! {
    /// What a process of its own is for is not tried here: the crate may give up, but not on so little.
    #[test]
    fn damaged_files_never_break_the_spans(at in 0..2_000usize, bytes in proptest::collection::vec(any::<u8>(), 1..8)) {
        let mut file = pdf(&[FIRST, SECOND], "");
        let at = at % (file.len() - bytes.len());
        file[at..at + bytes.len()].copy_from_slice(&bytes);
        if let Ok(text) = read_pdf(file) {
            check_spans(&document("a.pdf", text));
        }
    }
}
