//! `tern-dataplane`: the pinned loop as a program, started by `ternd`; also the replay of its journal.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tern_config::{Config, Problems};
use tern_core::book::{Heap, Memory};
use tern_core::strategy::Rebuilt;
use tern_core::units::Symbol;
use tern_dataplane::dump::{Dumps, Tops};
use tern_dataplane::{assemble, registry, replay};
use tern_strategies::AnyStrategy;
use tern_venues::itch_ouch::{ItchFeed, OuchSession};

/// The pinned loop of Tern: market data in, orders out. Started by ternd, which attaches the XDP program before.
///
/// Exit codes: 0 stopped as asked (or the replay agrees), 1 something failed (said on stderr) or the replay differs,
/// 2 wrong usage.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file of the instance.
    #[arg(long, value_name = "FILE", required_unless_present = "replay")]
    config: Option<PathBuf>,
    /// Replays the journal in this folder instead, compares what comes out with it and prints the outcome as JSON.
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    replay: Option<PathBuf>,
    /// While replaying, dumps all books after these feed sequence numbers.
    #[arg(long, value_name = "SEQ", value_delimiter = ',', requires_all = ["replay", "dump_to"])]
    dump_books: Vec<u64>,
    /// While replaying, writes best ask and bid of this symbol after every datagram.
    #[arg(long, value_name = "SYMBOL", requires_all = ["replay", "dump_to"], conflicts_with = "dump_books")]
    dump_tops: Option<String>,
    /// File for what is dumped: books as JSON lines, tops as sequence,ask,shares,bid,shares.
    #[arg(long, value_name = "FILE", requires = "replay")]
    dump_to: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("TERN_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let outcome = match (&arguments.replay, &arguments.config) {
        (Some(journal), _) => run_replay(journal, &arguments),
        (None, Some(config)) => live(config),
        (None, None) => Ok(ExitCode::from(2)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("tern-dataplane: {error:#}");
        ExitCode::FAILURE
    })
}

/// Feed, session and strategies.
type Parts = (ItchFeed, OuchSession, Rebuilt<Box<[AnyStrategy]>>);

/// Feed, session and strategies of this build.
fn parts(config: &Config, memory: &mut impl Memory) -> anyhow::Result<Parts> {
    registry::check_venues(config).map_err(Problems::from)?;
    let strategies = registry::rebuildable(config).map_err(Problems::from)?;
    let feed = registry::itch_feed(&assemble::streams(config), memory);
    Ok((feed, registry::ouch_session(config), strategies))
}

fn live(file: &Path) -> anyhow::Result<ExitCode> {
    let stop = tern_hw::signal::stop_flag()?;
    tern_hw::signal::count_hangups()?;
    let config = Config::load(file)?;
    tern_dataplane::run(&config, stop, |memory| parts(&config, memory))?;
    Ok(ExitCode::SUCCESS)
}

fn run_replay(journal: &Path, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // clap sees to it that there is a file when something is to be dumped, and that it is one or the other
    let (mut dumps, mut tops) = (None, None);
    if let Some(path) = &arguments.dump_to {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let out = BufWriter::new(file);
        match &arguments.dump_tops {
            Some(text) => {
                let symbol = Symbol::new(text).with_context(|| format!("--dump-tops {text:?}: 1 to 8 characters"))?;
                tops = Some(Tops::new(out, symbol));
            }
            None => dumps = Some(Dumps::new(out, arguments.dump_books.clone())),
        }
    }
    let outcome = replay::replay(
        journal,
        |config| parts(config, &mut Heap),
        |sequence, desk| {
            if let Some(dumps) = &mut dumps {
                dumps.after(sequence, desk.books(), desk.instruments())?;
            }
            if let Some(tops) = &mut tops {
                tops.after(sequence, desk.books(), desk.instruments())?;
            }
            Ok(())
        },
    )?;
    if let Some(tops) = tops {
        tops.finish()?;
    }
    for sequence in dumps.iter().flat_map(Dumps::missing) {
        eprintln!("tern-dataplane: feed sequence number {sequence} is not in the journal: no dump");
    }
    for odd in &outcome.odd {
        eprintln!("tern-dataplane: taken as it was in force: {odd}");
    }
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(if outcome.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
