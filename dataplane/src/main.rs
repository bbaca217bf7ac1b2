//! `tern-dataplane`: the pinned loop as a program, started by `ternd`.
#![forbid(unsafe_code)]

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use tern_config::{Config, Problems};
use tern_dataplane::{assemble, registry};

/// The pinned loop of Tern: market data in, orders out. Started by ternd, which attaches the XDP program before.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file of the instance.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("TERN_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    match live(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tern-dataplane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn live(arguments: &Arguments) -> anyhow::Result<()> {
    let stop = tern_hw::signal::stop_flag()?;
    let config = Config::load(&arguments.config)?;
    registry::check_venues(&config).map_err(Problems::from)?;
    tern_dataplane::run(&config, stop, |memory| {
        let feed = registry::itch_feed(&assemble::streams(&config), memory);
        let strategies = registry::strategies(&config).map_err(Problems::from)?;
        Ok((feed, registry::ouch_session(&config), strategies))
    })
}
