//! The `sipvouch` program: parse arguments, run, turn the result into an exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}
