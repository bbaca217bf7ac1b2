//! The gate against a slow model of it: the same random steps for both, compared after each. The model keeps everything
//! that happened in plain lists and takes every sum anew, in numbers that cannot overflow; it shares no arithmetic with
//! the gate but the steps of time in which that counts (ticks of the reference, parts of volume, eighths of a window). A
//! check more in the gate is a function more in [`checks`] (an intent by itself) or [`sums`] (what it adds to) and a line
//! in the lists of [`verdict`].
//!
//! What decides beside orders and positions is in [`others`] (prints, reference, volume, quotes), [`pace`] (rate, messages
//! of the day, repeated executions), [`bounds`] (limits of all and of single symbols, and how they are set) and [`by_hand`]
//! (what people do). The model
//! knows no restarts, no flatten, and no more symbols under a scope than the gate has places for.

mod acts;
mod bounds;
mod by_hand;
mod checks;
mod commands;
mod drive;
mod firm;
mod known;
mod market;
mod others;
mod pace;
mod promises;
mod quotes;
mod setting;
mod stakes;
mod steps;
mod sums;
mod told;
mod verdict;
mod words;

use super::from_env;
use super::random::Random;
use crate::risk::{LimitId, Reason};
use crate::session::VenueEventKind;
use crate::strategy::Intent;
use drive::Pair;
use firm::{Fault, Outcome};
use promises::Adds;
use std::format;
use std::println;
use std::string::String;
use std::time::Instant;
use std::vec::Vec;
use steps::{Failing, Maker, Step};
use tern_abi::command::LimitsOutcome;
use tern_abi::manual::ManualOutcome;
use verdict::Ask;

/// Steps of an episode: long enough to fill small tables, short enough that the lists stay so.
const EPISODE_STEPS: u64 = 250;
const DEBUG_STEPS: u64 = 60_000;
const FULL_STEPS: u64 = 10_000_000;

/// What episodes saw, so that a search that finds nothing cannot be one that tries nothing.
#[derive(Clone, Debug)]
struct Seen {
    steps: u64,
    sent: u64,
    refused: Vec<u64>,
    limits: [u64; LimitsOutcome::COUNT],
    by_hand: [u64; ManualOutcome::COUNT],
    promises: u64,
}

impl Seen {
    fn new() -> Self {
        Self {
            steps: 0,
            sent: 0,
            refused: std::vec![0; Reason::COUNT],
            limits: [0; LimitsOutcome::COUNT],
            by_hand: [0; ManualOutcome::COUNT],
            promises: 0,
        }
    }
    fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.sent += other.sent;
        self.promises += other.promises;
        self.limits.iter_mut().zip(&other.limits).for_each(|(sum, more)| *sum += more);
        self.by_hand.iter_mut().zip(&other.by_hand).for_each(|(sum, more)| *sum += more);
        self.refused.iter_mut().zip(&other.refused).for_each(|(sum, more)| *sum += more);
    }
}

/// Where the two part, or a promise is broken.
#[derive(Debug)]
struct Found {
    step: u64,
    what: String,
    last: Vec<Step>,
}

/// One episode.
fn episode(seed: u64, fault: Option<Fault>, seen: &mut Seen) -> Result<(), Found> {
    let mut random = Random::new(seed);
    let config = setting::config(&mut random);
    let mut pair = Pair::new(&config, fault);
    let mut taken = setting::opening(&mut random);
    let mut matches = 0;
    let is_slow = random.permille(100);
    let mut is_beyond = false;
    for number in 0..EPISODE_STEPS {
        let step = match taken.get(number as usize) {
            Some(step) => step.clone(),
            None => {
                let step = Maker { random: &mut random, firm: &pair.firm, matches: &mut matches, is_slow }.step();
                taken.push(step.clone());
                step
            }
        };
        seen.steps += 1;
        is_beyond |= pair.firm.is_beyond();
        if is_beyond {
            // What the gate holds on to there is no sum any more: all that is asked is that it does not panic.
            pair.take(&step);
            continue;
        }
        let result = one_step(&mut pair, &step, random.permille(100), seen);
        if let Err(what) = result {
            let last = taken.split_off(taken.len().saturating_sub(8).min(number as usize));
            return Err(Found { step: number, what, last });
        }
    }
    Ok(())
}

/// What was known of an intent before the gate was asked.
struct Foreseen {
    /// What the gate would say, if it were asked without doing anything.
    checked: Result<(), Reason>,
    /// The rest is known only of an intent that makes sense.
    ask: Option<(Ask, Adds)>,
    /// Everything that decides what the gate says next.
    state: Option<String>,
}

/// One step, and everything that must hold after it.
fn one_step(pair: &mut Pair, step: &Step, is_looked_at: bool, seen: &mut Seen) -> Result<(), String> {
    let is_calm = !pair.firm.loss_untold && pair.firm.ring_room == pair.firm.ring_room_next;
    let is_single = matches!(step, Step::Timer { intents, failing: Failing::Nothing } if is_calm && intents.len() == 1);
    if is_looked_at && is_single {
        // What is due by itself, such as a cancel that is sent again, is none of the intent's doing.
        pair.take(&Step::Timer { intents: Vec::new(), failing: Failing::Nothing });
        if pair.firm.is_beyond() {
            return Ok(());
        }
        pair.compare()?;
    }
    let foreseen = match step {
        Step::Timer { intents, .. } if is_single => {
            let (owner, intent) = intents[0];
            let ask = pair.firm.ask(owner, &intent, 0).ok().filter(|ask| ask.instrument < firm::INSTRUMENTS);
            let ask = ask.filter(|_| !matches!(intent, Intent::Cancel { .. }));
            let ask = ask.map(|ask| (ask, pair.firm.adds(&ask)));
            Some(Foreseen { checked: pair.check(owner, &intent), ask, state: is_looked_at.then(|| pair.gate_state()) })
        }
        _ => None,
    };
    pair.take(step);
    if pair.firm.is_beyond() {
        return Ok(());
    }
    pair.compare()?;
    for said in &pair.firm.out {
        match said {
            Outcome::Sent { .. } => seen.sent += 1,
            Outcome::Refused(refusal) => seen.refused[refusal.reason.index()] += 1,
            Outcome::Limits(_, outcome) => seen.limits[outcome.index()] += 1,
            Outcome::ByHand(outcome, ..) => seen.by_hand[outcome.index()] += 1,
        }
    }
    match foreseen {
        Some(foreseen) => promised(pair, &foreseen, seen),
        None => Ok(()),
    }
}

/// What must hold of an intent that was the only one of its step.
fn promised(pair: &Pair, foreseen: &Foreseen, seen: &mut Seen) -> Result<(), String> {
    let verdict = match pair.firm.out.first() {
        Some(Outcome::Refused(refusal)) => Err(*refusal),
        _ => Ok(()),
    };
    if foreseen.checked != verdict.map_err(|refusal| refusal.reason) {
        return Err(format!("asked beforehand, the gate says {:?}", foreseen.checked));
    }
    seen.promises += 1;
    match (verdict, &foreseen.ask) {
        (Ok(()), Some((ask, adds))) => pair.firm.worst_fill(ask, adds)?,
        (Err(refusal), Some((ask, _))) => pair.firm.can_close(ask, &refusal)?,
        _ => {}
    }
    // What is in the way of an order that would trade with our own is to go, as the limits may say.
    let is_without_effect = verdict.is_err_and(|refusal| refusal.reason != Reason::SelfTrade);
    match &foreseen.state {
        Some(before) if is_without_effect && pair.firm.out.len() == 1 && *before != pair.gate_state() => {
            Err(format!("a refused intent changed something: {before} became {}", pair.gate_state()))
        }
        _ => Ok(()),
    }
}

/// Episodes until so many steps are done. The error has the seed of the episode.
fn search(seed: u64, steps: u64, fault: Option<Fault>, mut tell: impl FnMut(&Seen)) -> Result<Seen, (u64, Found, u64)> {
    let mut seen = Seen::new();
    let mut episode_seed = seed;
    while seen.steps < steps {
        let before = seen.steps;
        episode(episode_seed, fault, &mut seen).map_err(|found| (episode_seed, found, before))?;
        episode_seed = episode_seed.wrapping_add(1);
        tell(&seen);
    }
    Ok(seen)
}

/// Fails with what is needed to see it again.
fn must_agree(seed: u64, steps: u64, tell: impl FnMut(&Seen)) -> Seen {
    search(seed, steps, None, tell).unwrap_or_else(|(seed, found, _)| {
        let steps: String = found.last.iter().map(|step| format!("  {step:?}\n")).collect();
        panic!(
            "step {} of the episode with seed {seed}: {}\nthe last steps:\n{steps}again: TERN_PROOF_SEED={seed}",
            found.step, found.what
        )
    })
}

/// Reasons that no intent of a strategy can meet: it is not called any more.
const NOT_CALLED: [Reason; 2] = [Reason::StrategyDisabled, Reason::StrategySlow];

/// Every reason was met, but for those that no intent through a strategy can meet in this bench.
fn assert_all_met(seen: &Seen) {
    let missing: Vec<&str> = Reason::ALL
        .iter()
        .filter(|reason| seen.refused[reason.index()] == 0 && !NOT_CALLED.contains(reason))
        .map(|reason| reason.name())
        .collect();
    assert!(missing.is_empty(), "no step of {} was refused for {missing:?}", seen.steps);
    assert!(seen.limits.iter().all(|count| *count > 0), "what came of limits: {:?}", seen.limits);
    use ManualOutcome::{Adjusted, Canceling, Passes, Refused, Sent};
    for outcome in [Sent, Refused, Passes, Canceling, Adjusted] {
        assert!(seen.by_hand[outcome.index()] > 0, "nothing done by hand was {}", outcome.name());
    }
    assert!(seen.sent * 16 > seen.steps, "{} messages in {} steps: too few pass", seen.sent, seen.steps);
}

/// What can be planted: every limit off by one either way, every check left out, what the gate hears and sees, and ways to
/// count too little or too much.
fn faults() -> Vec<Fault> {
    use VenueEventKind as Kind;
    let bounds = LimitId::ALL.iter().copied().flat_map(|id| [Fault::Bound(id, 1), Fault::Bound(id, -1)]);
    // Of an instrument that there is not, the model has nothing that it could look at.
    let is_checked = |reason: &Reason| {
        let is_unknown = matches!(
            reason,
            Reason::UnknownInstrument
                | Reason::UnknownOrder
                | Reason::IdsExhausted
                | Reason::RecordFailed
                | Reason::EncodeFailed
        );
        !is_unknown && !NOT_CALLED.contains(reason)
    };
    let ignored = Reason::ALL.iter().copied().filter(is_checked).map(Fault::Ignored);
    let misheard =
        [Kind::Accepted, Kind::Executed, Kind::Canceled, Kind::Replaced, Kind::Modified].map(Fault::Misheard);
    let others = [
        Fault::Misprint,
        Fault::NewSizeAtOnce,
        Fault::CancelledAtOnce,
        Fault::OwnPrints,
        Fault::OwnQuotes,
        Fault::OddLots,
        Fault::OldIndication,
        Fault::OwnIndication,
        Fault::NoClose,
        Fault::OldVolume,
        Fault::FreeCancels,
        Fault::IdsUnheard,
        Fault::LastInstant,
        Fault::NoCeiling,
        Fault::WindowForgets,
        Fault::Unforgotten,
        Fault::LogCounts,
        Fault::StaleTaken,
        Fault::LossLater,
        Fault::NetAtCost,
        Fault::GrossAtCost,
        Fault::SalesAtLimit,
        Fault::FillsRevalue,
        Fault::BandEnds,
        Fault::MarketInBand,
        Fault::ToldUncounted,
    ];
    bounds.chain(ignored).chain(misheard).chain(others).collect()
}

/// Steps in which every planted fault has to be found.
const FAULT_STEPS: u64 = 2_000_000;

#[test]
fn every_planted_fault_is_found() {
    let seed = from_env("TERN_PROOF_SEED").unwrap_or(1);
    let mut longest = (0, None);
    let faults = faults();
    for fault in &faults {
        match search(seed, FAULT_STEPS, Some(*fault), |_| ()) {
            Err((_, found, before)) => longest = longest.max((before + found.step + 1, Some(format!("{fault:?}")))),
            Ok(_) => panic!("{fault:?} was not found in {FAULT_STEPS} steps from seed {seed}"),
        }
    }
    println!("gate: {} planted faults found, the last after {} steps: {:?}", faults.len(), longest.0, longest.1);
}

#[test]
fn the_gate_says_what_the_model_says() {
    let seed = from_env("TERN_PROOF_SEED").unwrap_or(1);
    let steps = from_env("TERN_PROOF_STEPS").unwrap_or(DEBUG_STEPS);
    println!("gate: {steps} steps from seed {seed}");
    let seen = must_agree(seed, steps, |_| ());
    if steps >= DEBUG_STEPS {
        assert_all_met(&seen);
    }
}

/// The whole search, on as many threads as there are cores.
#[test]
#[ignore = "ten million steps: run it in release, by its name"]
fn the_gate_says_what_the_model_says_in_full() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock after 1970");
    let seed = from_env("TERN_PROOF_SEED").unwrap_or(now.as_secs() << 24);
    let steps = from_env("TERN_PROOF_STEPS").unwrap_or(FULL_STEPS);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    println!("gate: {steps} steps from seed {seed}, {threads} threads");
    let start = Instant::now();
    let seen = std::thread::scope(|scope| {
        let run = |thread: u64| {
            let mut told = 0;
            // Far enough apart that no two threads meet.
            must_agree(seed + (thread << 22), steps.div_ceil(threads), move |seen| {
                if seen.steps / 1_000_000 > told {
                    told = seen.steps / 1_000_000;
                    println!("gate: thread {thread}: {} steps, {:.0} s", seen.steps, start.elapsed().as_secs_f32());
                }
            })
        };
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        let mut sum = Seen::new();
        all.into_iter().for_each(|thread| sum.add(&thread.join().expect("the gate and its model agree")));
        sum
    });
    println!(
        "gate: {} steps agree, {} messages sent, {} promises kept, {:.1} s",
        seen.steps,
        seen.sent,
        seen.promises,
        start.elapsed().as_secs_f32()
    );
    for reason in Reason::ALL {
        println!("gate: {:>10} refused for {}", seen.refused[reason.index()], reason.name());
    }
    if steps >= DEBUG_STEPS {
        assert_all_met(&seen);
    }
}
