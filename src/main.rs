//! The `sipvouch` program.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    sipvouch::main(env::args_os().skip(1), Vec::new())
}
