//! Documents of several formats through the program, PDFs each in a process of its own.

use std::fs;

use serde_json::Value;

use crate::vault::shas;

/// A file of one page; its objects are found without a table of them.
const PDF: &str = "%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 66>>stream
BT /F 12 Tf 50 700 Td (The lighthouse was rebuilt in 1759.) Tj ET 
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>endobj
trailer<</Root 1 0 R/Size 6>>";

fn read_pdf(content: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.pdf");
    fs::write(&file, content).expect("writes");
    let output = shas(folder.path())
        .arg("read-pdf")
        .arg(&file)
        .output()
        .expect("runs");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("is JSON")
}

#[test]
fn a_pdf_is_read_in_a_process_of_its_own() {
    let read = read_pdf(PDF);
    let text = &read["Ok"]["pages"][0][0]["text"];
    assert_eq!(text, "The lighthouse was rebuilt in 1759.", "{read}");
    let read = read_pdf("%PDF-1.4 garbage");
    let reason = read["Err"].as_str().expect("a reason");
    assert!(reason.contains("damaged"), "{reason}");
}

#[test]
fn files_are_indexed_as_what_they_are() {
    let (corpus, index) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    for (name, content) in [
        ("whale.pdf", PDF),
        (
            "page",
            "<!DOCTYPE html><title>Page</title><p>The keeper kept bees.",
        ),
        ("notes.org", "#+title: Notes\n* Boats\nA boat sank."),
        ("broken.pdf", "%PDF-1.4 garbage"),
        ("picture.png", "no text"),
    ] {
        fs::write(corpus.path().join(name), content).expect("writes");
    }
    let output = shas(index.path())
        .arg("index")
        .arg(corpus.path())
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("broken.pdf: is damaged"), "{errors}");
    let output = shas(index.path())
        .args(["status", "--json"])
        .output()
        .expect("runs");
    let status: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(status["counts"]["indexed"], 3, "{status}");
}
