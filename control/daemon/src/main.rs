//! `ternd`: one instance's control daemon.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tern_config::Config;

/// The control daemon of one Tern instance: attaches XDP, starts and watches the data plane, and drains its records
/// into the journal.
///
/// Exit codes: 0 stopped as asked, 1 something failed (said on stderr), 2 wrong usage or configuration.
#[derive(Parser)]
#[command(name = "ternd", version)]
struct Arguments {
    /// Configuration of the instance.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The data plane's program; by default `tern-dataplane` beside this one. `tern-audit` is looked for beside it.
    #[arg(long, value_name = "FILE")]
    dataplane_bin: Option<PathBuf>,
    /// Checks the configuration and ends.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("TERN_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    if let Err(problems) = config.load_firm() {
        eprintln!("{problems}");
        return ExitCode::from(2);
    }
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    let dataplane = arguments.dataplane_bin.or_else(|| {
        let own = std::env::current_exe().ok()?;
        Some(own.with_file_name("tern-dataplane"))
    });
    let dataplane = dataplane.unwrap_or_else(|| PathBuf::from("tern-dataplane"));
    match ternd::run(&config, &dataplane) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
