//! `ask --llm` against an endpoint of the test's own: what is written is checked, and what fails leaves the quotes.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Output,
    sync::LazyLock,
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::vault::shas;

const QUESTION: &str = "When was the lighthouse at Eddystone rebuilt?";

/// A corpus of one note and its index.
static LIGHTHOUSE: LazyLock<(TempDir, TempDir)> = LazyLock::new(|| {
    let folder = || tempfile::tempdir().expect("a folder");
    let (corpus, index) = (folder(), folder());
    let note = "# Eddystone\n\nThe lighthouse at Eddystone was rebuilt in 1759 by John Smeaton. It stood for 123 years.\n";
    fs::write(corpus.path().join("eddystone.md"), note).expect("writes");
    let indexed = shas(index.path())
        .arg("index")
        .arg(corpus.path())
        .output()
        .expect("runs");
    assert!(indexed.status.success());
    (corpus, index)
});

/// An endpoint that answers once with this status and body, and its URL; what it was asked comes back with `join`.
fn endpoint(status: &str, body: String) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("http://{}/v1", listener.local_addr().expect("has one"));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}", body.len());
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("connects");
        let mut asked = String::new();
        let mut buffer = [0; 4096];
        while !asked.ends_with('}') {
            let count = stream.read(&mut buffer).expect("reads");
            asked += &String::from_utf8_lossy(&buffer[..count]);
        }
        write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}").expect("answers");
        asked
    });
    (url, serving)
}

fn reply(text: &str) -> String {
    json!({ "choices": [{ "message": { "role": "assistant", "content": text } }] }).to_string()
}

fn ask(index: &Path, url: &str, more: &[&str]) -> Output {
    shas(index)
        .args(["ask", "--fast", "--llm", url, "--llm-model", "tiny"])
        .args(more)
        .arg(QUESTION)
        .env_remove("SHAS_LLM_KEY")
        .output()
        .expect("runs")
}

#[test]
fn each_written_sentence_is_checked_against_what_it_cites() {
    let text = "The lighthouse at Eddystone was rebuilt in 1759 [1]. John Smeaton rebuilt it in 1760 [1]. It stood long. \
                It stood for 123 years [9].";
    let faults = [
        None,
        Some("“1760” does not stand there"),
        Some("it cites nothing"),
        Some("there is no [9]"),
    ];
    let index = LIGHTHOUSE.1.path();
    let (url, serving) = endpoint("200 OK", reply(text));
    let output = ask(index, &url, &["--json"]);
    assert!(output.status.success());
    let asked = serving.join().expect("serves");
    assert!(asked.contains("rebuilt in 1759 by John Smeaton") && asked.contains(QUESTION));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    let written = &answer["written"];
    assert_eq!(
        (&written["model"], &written["declined"]),
        (&json!("tiny"), &json!(false))
    );
    let sentences = written["sentences"].as_array().expect("a list");
    assert_eq!(sentences.len(), faults.len());
    for (sentence, fault) in sentences.iter().zip(faults) {
        assert_eq!(sentence["supported"], fault.is_none(), "{sentence}");
        assert_eq!(sentence["fault"].as_str(), fault, "{sentence}");
    }
    assert_eq!(sentences[0]["citations"], json!([1]));
    assert!(answer["timings_ms"]["write"].is_number());

    let (url, _serving) = endpoint("200 OK", reply(text));
    let output = ask(index, &url, &[]);
    let printed = String::from_utf8(output.stdout).expect("is text");
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines[0].contains("tiny") && lines[0].contains("3 of 4"),
        "{printed}"
    );
    let plain = "  The lighthouse at Eddystone was rebuilt in 1759 [1].";
    assert_eq!(lines[2], plain);
    assert!(lines[3].starts_with("  ✗ John") && lines[3].contains("(unsupported: “1760”"));
    let quote = printed.find("[1] eddystone.md:3").expect("is quoted");
    assert!(printed.find(plain).is_some_and(|written| written < quote));
}

#[test]
fn without_a_written_answer_the_quotes_are_the_answer() {
    let index = LIGHTHOUSE.1.path();
    let plain = shas(index)
        .args(["ask", "--fast", QUESTION])
        .output()
        .expect("runs");
    let check = |url: &str, expected: &str| {
        let output = ask(index, url, &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert_eq!(output.stdout, plain.stdout);
        assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
        assert!(
            errors.contains(url) && errors.contains(expected),
            "{errors}"
        );
    };
    for (status, body, expected) in [
        ("401 Unauthorized", "{}", "SHAS_LLM_KEY"),
        ("500 Internal Server Error", "{}", "(500)"),
        ("200 OK", "<html>}", "as a chat endpoint does"),
    ] {
        check(&endpoint(status, body.to_owned()).0, expected);
    }
    let closed = TcpListener::bind("127.0.0.1:0").expect("listens");
    let closed_url = format!("http://{}/v1", closed.local_addr().expect("has one"));
    drop(closed);
    check(&closed_url, "nothing listens");
}

#[test]
fn a_model_may_decline_and_writes_no_ladder() {
    let index = LIGHTHOUSE.1.path();
    let (url, _serving) = endpoint("200 OK", reply("The passages do not answer this."));
    let output = ask(index, &url, &["--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(answer["written"]["declined"], true);
    let refused = ask(index, &url, &["--depth", "sentence"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        errors.contains("--llm") && errors.contains("--depth"),
        "{errors}"
    );
}
