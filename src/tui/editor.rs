//! The user's editor, told of a file and a line.

use std::{path::Path, process::Command};

/// The command that opens `file` at `line` with `editor`, which may have arguments and quotes; none if it is blank.
pub fn command(editor: &str, file: &Path, line: usize) -> Option<Command> {
    let mut words = words(editor).into_iter();
    let program = words.next()?;
    let mut command = Command::new(&program);
    command.args(words);
    let name = Path::new(&program).file_stem().unwrap_or_default();
    let place = format!("{}:{line}", file.display());
    match name.to_string_lossy().as_ref() {
        "code" | "code-insiders" | "codium" | "cursor" => command.arg("-g").arg(place),
        "subl" | "zed" | "zeditor" => command.arg(place),
        // vi and all that took after it.
        _ => command.arg(format!("+{line}")).arg(file),
    };
    Some(command)
}

/// Words parted by spaces, but for those in quotes.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut inside) = (None, false);
    for letter in text.chars() {
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '"' || letter == '\'' => {
                quote = Some(letter);
                if !inside {
                    words.push(String::new());
                }
                inside = true;
            }
            None if letter.is_whitespace() => inside = false,
            _ => {
                if !inside {
                    words.push(String::new());
                }
                inside = true;
                if let Some(word) = words.last_mut() {
                    word.push(letter);
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(editor: &str, expect: &[&str]) {
        let command = command(editor, Path::new("/n/a b.md"), 7).unwrap();
        let program = std::iter::once(command.get_program());
        let words: Vec<_> = program.chain(command.get_args()).collect();
        assert_eq!(words, expect);
    }

    #[test]
    fn editors_are_told_the_line_their_way() {
        check("vi", &["vi", "+7", "/n/a b.md"]);
        check("emacs -nw", &["emacs", "-nw", "+7", "/n/a b.md"]);
        check("code -w", &["code", "-w", "-g", "/n/a b.md:7"]);
        check(
            "'/my bin/hx' --x=\"a b\"",
            &["/my bin/hx", "--x=a b", "+7", "/n/a b.md"],
        );
        assert!(command(" ", Path::new("a"), 1).is_none());
    }
}
