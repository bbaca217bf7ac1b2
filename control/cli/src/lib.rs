//! The control CLI: reads the segment, the pinned maps and the journal by itself, so that it works with the daemon dead;
//! what changes trading for the better (resume, limits) goes through the daemon.
#![forbid(unsafe_code)]
// The object of `tern status` has more members than `json!` unfolds by default.
#![recursion_limit = "256"]

mod alerts;
pub mod args;
mod client;
mod config;
mod control;
mod day;
mod export;
mod firm;
pub mod fold;
mod halt;
mod history;
mod incident;
mod indexed;
mod journal_verbs;
mod live;
mod manual;
pub mod outcome;
mod outliers;
mod packet;
mod pages;
mod picture;
mod picture_outliers;
mod pins;
mod problems;
mod query;
mod record_text;
mod records;
mod recover;
mod rescue;
mod retention;
mod risk;
mod roll;
mod scope;
mod seal;
mod second;
mod secrets;
mod status;
mod story;
mod svg;
mod table;
mod target;
mod top;
mod verify;
mod xdp;

use args::{Arguments, JournalVerb, LatencyVerb, PositionsVerb, RiskVerb, StopState, Verb};
use outcome::{Failure, Outcome, exit};
use target::Target;
use tern_abi::segment::ScopeKind;

/// Carries a command out, prints what it says, and returns the exit code.
pub fn run(arguments: &Arguments) -> u8 {
    match dispatch(arguments) {
        Ok(Some(outcome)) => {
            if arguments.json {
                println!("{}", outcome.versioned());
            } else {
                print!("{}", outcome.text);
            }
            outcome.code
        }
        Ok(None) => exit::OK,
        Err(failure) => {
            eprintln!("tern: {}", failure.message);
            failure.code
        }
    }
}

/// `None` when the command has printed by itself.
fn dispatch(arguments: &Arguments) -> Result<Option<Outcome>, Failure> {
    let which = &arguments.which;
    let target = || Target::find(which);
    let journal = || Target::journal(which);
    match &arguments.verb {
        Verb::Status => status::status(&target()?),
        Verb::Alerts { follow: false } => alerts::show(&target()?),
        Verb::Alerts { follow: true } => return alerts::follow(&target()?, arguments.json).map(|()| None),
        Verb::Counters { all } => live::counters(&target()?, *all),
        Verb::Top { interval, once, svg, size } => {
            let interval = std::time::Duration::from_secs_f64(*interval);
            let json = arguments.json;
            return top::top(
                &target()?,
                &top::Options { interval, once: *once, svg: svg.as_deref(), size: *size, json },
            );
        }
        Verb::Completions { shell } => pages::completions(*shell),
        Verb::Man { out: Some(out), .. } => pages::man(out),
        Verb::Man { out: None, .. } => Ok(pages::markdown()),
        Verb::Xdp { verb } => xdp::run(&target()?, verb.as_ref()),
        Verb::Positions { more: None } => history::positions(&journal()?),
        Verb::Positions { more: Some(PositionsVerb::Roll { to, splits, date }) } => {
            roll::roll(&journal()?, to, splits.as_deref(), *date)
        }
        Verb::Positions {
            more: Some(PositionsVerb::Adjust { symbol, strategy, side, shares, price, why, dry_run }),
        } => manual::adjust(&target()?, (symbol, strategy), (*side, *shares, *price), (why, *dry_run)),
        Verb::Orders { all, limit } => history::orders(&journal()?, *all, *limit),
        Verb::Latency { more: Some(LatencyVerb::Outliers { span, beyond, limit }), .. } => {
            outliers::outliers(&journal()?, span, *beyond, *limit)
        }
        Verb::Latency { plot, html, more: None } => history::latency(&journal()?, *plot, html.as_deref()),
        Verb::Kill { scope, even_unknown, state, timeout_ms } => {
            let target = target()?;
            match scope.as_deref().map(|scope| scope::parse(&target, scope)).transpose()? {
                // The kill word: the strongest, and the one that needs least.
                None | Some((ScopeKind::Firm, _)) if *state == StopState::Halted => control::kill(&target, *timeout_ms),
                scope => {
                    let scope = scope.unwrap_or((ScopeKind::Firm, 0));
                    scope::restrict(&target, scope, (*state).into(), *even_unknown, *timeout_ms)
                }
            }
        }
        Verb::Resume { scope, kills, timeout_ms } => {
            let target = target()?;
            match scope {
                Some(scope) => scope::lift(&target, scope::parse(&target, scope)?, *timeout_ms),
                None => control::resume(&target, *kills, *timeout_ms),
            }
        }
        Verb::CancelAll { timeout_ms } => control::cancel_all(&target()?, *timeout_ms),
        Verb::Order(verb) => manual::order(&target()?, verb),
        Verb::Flatten { symbol, strategy, all: _, why, timeout_ms, dry_run } => {
            let part = (symbol.as_deref(), strategy.as_deref());
            manual::flatten(&target()?, part, (why, *dry_run), *timeout_ms)
        }
        Verb::Pending => manual::pending(&target()?),
        Verb::Confirm { id } => manual::confirm(&target()?, *id),
        Verb::Day(verb) => day::run(&target()?, verb),
        Verb::Incident { to, minutes, around } => incident::collect(which, to, *minutes, around.as_deref()),
        Verb::Config(verb) => config::run(which, verb),
        Verb::Risk(RiskVerb::Show) => risk::show(&target()?),
        Verb::Risk(RiskVerb::Check { file }) => Ok(risk::check(file)),
        Verb::Risk(RiskVerb::Diff { limits, symbol: None }) => risk::diff(&target()?, limits),
        Verb::Risk(RiskVerb::Diff { limits, symbol: Some(symbol) }) => risk::diff_bounds(&target()?, symbol, limits),
        Verb::Risk(RiskVerb::Set { limits, symbol: None, why, epoch }) => risk::set(&target()?, limits, why, *epoch),
        Verb::Risk(RiskVerb::Set { limits, symbol: Some(symbol), why, epoch }) => {
            risk::set_bounds(&target()?, symbol, limits, why, *epoch)
        }
        Verb::Firm(verb) => firm::run(which, verb),
        Verb::Journal(JournalVerb::Verify { seal }) => verify::verify(&journal()?, seal),
        Verb::Journal(JournalVerb::Seal { to }) => seal::seal(&journal()?, to.as_deref()),
        Verb::Journal(JournalVerb::Accept) => seal::accept(&journal()?),
        Verb::Journal(JournalVerb::Index { check }) => indexed::index(&journal()?, *check),
        Verb::Journal(JournalVerb::Retention { days }) => {
            retention::show(&journal()?, Target::retain_days(which, *days)?)
        }
        Verb::Journal(JournalVerb::Forget { name }) => retention::forget(&journal()?, name),
        Verb::Journal(JournalVerb::Stats) => journal_verbs::stats(&journal()?),
        Verb::Journal(JournalVerb::Cat { kind, from_seq, limit, payload }) => {
            return journal_verbs::cat(&journal()?, kind, *from_seq, *limit, *payload, arguments.json).map(|()| None);
        }
        Verb::Journal(JournalVerb::Query(wanted)) => return query::query(&journal()?, wanted, arguments.json),
        Verb::Export { arguments: more } => return Err(export::hand_over(&journal()?, more, arguments.json)),
        Verb::Recover { accept: Some(seen), .. } => recover::accept(&target()?, *seen),
        Verb::Recover { dry_run, accept: None } => recover::show(&target()?, *dry_run),
        Verb::Report => history::report(&journal()?),
    }
    .map(Some)
}
