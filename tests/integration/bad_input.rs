//! What people have in their folders: one clear line each, and the rest is indexed.

use std::{fs, path::Path};

use serde_json::Value;

use crate::vault::shas;

fn statuses(index: &Path) -> Value {
    let output = shas(index)
        .args(["status", "--json"])
        .output()
        .expect("runs");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("is JSON")
}

#[cfg(unix)]
#[test]
fn every_bad_file_gets_one_line_and_the_rest_is_indexed() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let (corpus, index) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let at = |name: &str| corpus.path().join(name);
    fs::write(
        at("good.md"),
        "# Good\n\nThe lighthouse at Eddystone was rebuilt in 1759.",
    )
    .expect("writes");
    fs::write(at("empty.md"), "").expect("writes");
    fs::write(at("latin1.md"), b"caf\xe9 au lait").expect("writes");
    fs::write(at("binary.md"), b"\x7fELF\x02\x01\0\0\0\0").expect("writes");
    fs::write(at("long.txt"), "word ".repeat(6 << 20)).expect("writes");
    fs::write(at("secret.md"), "hidden").expect("writes");
    fs::write(at("table.csv"), "rye,7\n").expect("writes");
    fs::set_permissions(at("secret.md"), fs::Permissions::from_mode(0o000)).expect("changes");
    symlink(corpus.path(), at("loop")).expect("links");
    symlink("nowhere.md", at("gone.md")).expect("links");
    let output = shas(index.path())
        .arg("index")
        .arg(corpus.path())
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    // The superuser reads what others may not.
    let unreadable = fs::read(at("secret.md")).is_err();
    let mut expected = vec![
        ("binary.md", "skipped", "binary"),
        ("empty.md", "skipped", "empty"),
        ("gone.md", "failed", "link to nothing"),
        ("latin1.md", "skipped", "first bad byte at 3"),
        ("long.txt", "skipped", "line 1 is 30.0 MB long"),
        ("loop", "skipped", "loop is not followed"),
    ];
    if unreadable {
        expected.push(("secret.md", "failed", "permissions"));
    }
    expected.push(("table.csv", "skipped", "is a table, which is not read"));
    let statuses = statuses(index.path());
    let files = statuses["files"].as_array().expect("a list");
    for (path, state, reason) in &expected {
        let lines: Vec<&str> = errors
            .lines()
            .filter(|line| line.starts_with(&format!("{path}:")))
            .collect();
        assert_eq!(lines.len(), 1, "{path} in {errors}");
        assert!(lines[0].contains(reason), "{}", lines[0]);
        let file = files
            .iter()
            .find(|file| file["path"] == *path)
            .expect("is listed");
        assert_eq!(file["state"], *state, "{path}");
        assert!(
            file["reason"]
                .as_str()
                .is_some_and(|own| own.contains(reason)),
            "{file}"
        );
    }
    assert_eq!(
        statuses["counts"]["indexed"],
        if unreadable { 1 } else { 2 }
    );
    let output = shas(index.path())
        .args(["ask", "--json", "When was Eddystone rebuilt?"])
        .output()
        .expect("runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(answer["citations"][0]["path"], "good.md");
}

#[test]
fn a_missing_path_and_an_empty_folder_are_errors() {
    let (corpus, index) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let check = |path: &Path, expected: &str| {
        let output = shas(index.path())
            .arg("index")
            .arg(path)
            .output()
            .expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(expected), "{errors}");
        assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
    };
    check(&corpus.path().join("missing"), "missing does not exist");
    check(corpus.path(), "could be indexed");
}
