//! A data plane whose first strategy panics, or asks for what the sandbox forbids, for the checks that show what becomes of it
//! (`scripts/checks/strategy.py`, `scripts/checks/sandboxed.py`).
//!
//! It is the program of this package but for its strategies, and no part of what is shipped: `ternd --dataplane` starts it.
//! The first strategy counts its executions, hands the count out as its state, and panics at one of them, unless it was
//! given a state: built anew, it counts on. With `TERN_FRAGILE=phones_home` it connects to a host of its own at that execution instead.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tern_config::{Config, Problems};
use tern_core::book::{BookChange, Heap, Memory};
use tern_core::session::VenueEventKind;
use tern_core::strategy::{Batch, Ctx, Intents, KeptState, OrderEvent, Rebuilt, Strategy};
use tern_core::units::TaiNs;
use tern_dataplane::{assemble, registry, replay};
use tern_strategies::AnyStrategy;
use tern_venues::itch_ouch::{ItchFeed, OuchSession};

/// Layout of the state: the count, four bytes, little-endian.
const STATE_VERSION: u16 = 1;
/// At this execution the first strategy panics.
const PANICS_AT: u32 = 30;
/// Where nobody listens.
const HOME: &str = "127.0.0.1:9";

/// A data plane whose first strategy panics at its 30th execution.
#[derive(Parser)]
struct Arguments {
    /// Configuration file of the instance.
    #[arg(long, value_name = "FILE", required_unless_present = "replay")]
    config: Option<PathBuf>,
    /// Replays the journal in this folder instead, and prints the outcome as JSON.
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    replay: Option<PathBuf>,
}

/// A strategy of the registry that counts its executions.
#[derive(Debug)]
struct Counting {
    inner: AnyStrategy,
    executions: u32,
    is_fragile: bool,
    phones_home: bool,
}

impl Strategy for Counting {
    fn on_book(&mut self, ctx: &Ctx<'_>, change: &BookChange, out: &mut Intents) {
        self.inner.on_book(ctx, change, out);
    }
    fn on_batch_end(&mut self, ctx: &Ctx<'_>, batch: Batch, out: &mut Intents) {
        self.inner.on_batch_end(ctx, batch, out);
    }
    fn on_order(&mut self, ctx: &Ctx<'_>, event: &OrderEvent, out: &mut Intents) {
        self.inner.on_order(ctx, event, out);
        if event.kind != VenueEventKind::Executed {
            return;
        }
        self.executions = self.executions.saturating_add(1);
        if self.is_fragile && self.phones_home && self.executions == PANICS_AT {
            let _ = std::net::TcpStream::connect(HOME);
        }
        assert!(
            !self.is_fragile || self.phones_home || self.executions < PANICS_AT,
            "execution {} is one too many",
            self.executions
        );
        // Four bytes fit.
        let _ = out.keep(STATE_VERSION, &self.executions.to_le_bytes());
    }
    fn on_timer(&mut self, ctx: &Ctx<'_>, out: &mut Intents) {
        self.inner.on_timer(ctx, out);
    }
    fn next_deadline(&self) -> TaiNs {
        self.inner.next_deadline()
    }
    fn restore(&mut self, state: &KeptState) {
        if let (STATE_VERSION, Ok(count)) = (state.version(), state.bytes().try_into()) {
            self.executions = u32::from_le_bytes(count);
            self.is_fragile = false;
        }
    }
}

type Parts = (ItchFeed, OuchSession, Rebuilt<Box<[Counting]>>);

fn strategies(config: &Config) -> Result<Box<[Counting]>, Problems> {
    let inner = registry::strategies(config).map_err(Problems::from)?.into_iter().enumerate();
    let phones_home = std::env::var("TERN_FRAGILE").is_ok_and(|mode| mode == "phones_home");
    Ok(inner.map(|(index, inner)| Counting { inner, executions: 0, is_fragile: index == 0, phones_home }).collect())
}

fn parts(config: &Config, memory: &mut impl Memory) -> anyhow::Result<Parts> {
    registry::check_venues(config).map_err(Problems::from)?;
    let again = config.clone();
    let strategies = Rebuilt::new(strategies(config)?, move || strategies(&again).ok());
    Ok((registry::itch_feed(&assemble::streams(config), memory), registry::ouch_session(config), strategies))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (&arguments.replay, &arguments.config) {
        (Some(journal), _) => run_replay(journal),
        (None, Some(config)) => live(config),
        (None, None) => Ok(ExitCode::from(2)),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("fragile: {error:#}");
        ExitCode::FAILURE
    })
}

fn live(file: &Path) -> anyhow::Result<ExitCode> {
    let stop = tern_hw::signal::stop_flag()?;
    let config = Config::load(file)?;
    tern_dataplane::run(&config, stop, |memory| parts(&config, memory))?;
    Ok(ExitCode::SUCCESS)
}

fn run_replay(journal: &Path) -> anyhow::Result<ExitCode> {
    let outcome = replay::replay(journal, |config| parts(config, &mut Heap), |_, _| Ok(()))?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(if outcome.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
