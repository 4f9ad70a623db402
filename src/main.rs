//! The `shas` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    shas::cli::run()
}
