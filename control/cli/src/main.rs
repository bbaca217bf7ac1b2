//! `tern`: the control CLI.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tern_cli::run(&tern_cli::args::Arguments::parse()).into()
}
