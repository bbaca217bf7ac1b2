//! `tern-exchange`: the simulated exchange as a program.
#![forbid(unsafe_code)]

use clap::Parser;

fn main() -> anyhow::Result<()> {
    tern_sim::cli::main(tern_sim::cli::Cli::parse())
}
