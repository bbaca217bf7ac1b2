//! `tern-exchange`: the simulated exchange as a program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match tern_sim::cli::main(tern_sim::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tern-exchange: {error:#}");
            ExitCode::FAILURE
        }
    }
}
