//! Stands in for the data plane in the daemon's tests: records, beats, and obeys commands, without a port.
//!
//! `TERN_FAKE=fail` ends at once with exit code 1, `usage` with 2, `stuck` stops beating after its first records,
//! `late_kill` kills before it takes a resume, `late_limits` sets limits before it takes a command that does, `holds` holds
//! 900 shares, `late_holds` does so from the first limits that it takes, `leaves` ends with 2 and leaves three orders of 100
//! shares open; in its first run `spends` uses 80 % of `gross_max`, `late_spends` does so from the first limits that it takes,
//! `mute` uses nothing, and says nothing of it from then on.
//!
//! It has two limits, `position_max` = 1000 and `duplicate_window_ns` = 50; those that spend, and `mute`, have `gross_max` as configured too.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tern_abi::ABI_VERSION;
use tern_abi::command::{CommandKind, LIMITS_MAX, LimitsOutcome, SetLimits};
use tern_abi::counters::LoopCounter;
use tern_abi::manual::{ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::record::{ACTION_NEW, Kind, LimitsRecord, OrderRecord, Recorder, StartRecord};
use tern_abi::ring::commands::Sent;
use tern_abi::segment::{HoldingsState, KillCause, LimitsState, NOT_MEASURED, UsageState};
use tern_config::Config;
use tern_config::facts::{DataplaneFacts, Named, Names};
use tern_hw::segment::{DataPlaneEnds, DataPlaneSegment, SegmentSpec};
use zerocopy::IntoBytes;

fn now_ns() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
}

/// As the loop does it: in the journal first, then in force or refused, then shown.
fn set_limits(plane: &mut DataPlaneEnds<'_>, command: &SetLimits) {
    plane.recorder.record(now_ns(), Kind::SetLimits, &[command.as_bytes()]).expect("the reserve has room");
    let before = plane.limits.read().map_or(0, |limits| limits.epoch);
    let outcome = match LimitsOutcome::from_index(command.refused as usize) {
        Some(LimitsOutcome::Set) if command.epoch_seen != before => LimitsOutcome::Stale,
        Some(LimitsOutcome::Set) if command.values().iter().any(|value| *value < 0) => LimitsOutcome::Range,
        refused => refused.unwrap_or(LimitsOutcome::Unlike),
    };
    let set = outcome == LimitsOutcome::Set;
    if set {
        plane.limits.write(&LimitsState::new(command, now_ns()));
        if command.bounds.is_meant() {
            let mut state = plane.bounds.read().unwrap_or_default();
            state.set(&command.bounds, (command.epoch, command.uid, now_ns()));
            plane.bounds.write(&state);
        }
    }
    let epoch = if set { command.epoch } else { before };
    let record = LimitsRecord { cause_seq: plane.recorder.next_seq() - 1, epoch, outcome: outcome as u32 };
    plane.recorder.record(now_ns(), Kind::Limits, &[record.as_bytes()]).expect("the reserve has room");
}

/// As the loop does it: in the journal first, then what came of it. An order of more than 900 shares is beyond its limit.
fn take_manual(plane: &mut DataPlaneEnds<'_>, wish: &ManualCommand) {
    plane.recorder.record(now_ns(), Kind::Manual, &[wish.as_bytes()]).expect("the reserve has room");
    if !matches!(wish.stage(), Some(ManualStage::Do | ManualStage::Check)) {
        return;
    }
    let request = wish.request;
    let outcomes: &[ManualOutcome] = match wish.what() {
        Some(ManualKind::Order) if wish.quantity > 900 => &[ManualOutcome::Refused],
        Some(_) if wish.stage() == Some(ManualStage::Check) => &[ManualOutcome::Passes],
        Some(ManualKind::Order) => &[ManualOutcome::Sent],
        Some(ManualKind::Cancel) => &[ManualOutcome::Canceling],
        Some(ManualKind::Adjust) => &[ManualOutcome::Adjusted],
        Some(ManualKind::Flatten) => &[ManualOutcome::Began, ManualOutcome::Sent, ManualOutcome::Flat],
        None => &[ManualOutcome::Malformed],
    };
    for outcome in outcomes {
        let order = if *outcome == ManualOutcome::Sent { 7 } else { wish.order };
        let mut record = ManualRecord { request, order, outcome: *outcome as u32, ..ManualRecord::default() };
        if *outcome == ManualOutcome::Refused {
            (record.reason, record.limit, record.value) = (1, 900, wish.quantity.into());
        }
        plane.recorder.record(now_ns(), Kind::ManualOutcome, &[record.as_bytes()]).expect("the reserve has room");
    }
}

fn main() -> ExitCode {
    let mode = std::env::var("TERN_FAKE").unwrap_or_default();
    match mode.as_str() {
        "fail" => return ExitCode::FAILURE,
        "usage" => return ExitCode::from(2),
        _ => {}
    }
    let file = std::env::args().nth(2).expect("--config FILE");
    let config = Config::load(file).unwrap_or_else(|problems| panic!("{problems}"));
    let spec = SegmentSpec {
        path: config.paths.segment_file().map(Into::into),
        sizes: config.rings.sizes(),
        ..SegmentSpec::new(config.instance.name.clone())
    };
    let mut segment = DataPlaneSegment::open(&spec).expect("the daemon made the segment");
    let mut plane = segment.ends().expect("its rings are sound");
    let start =
        StartRecord { run: plane.runs.get(), abi_version: ABI_VERSION, pid: std::process::id(), build: [0; 24] };
    let utc_s = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let day = format!("#run day={}\n", config.trading_day(utc_s));
    plane
        .recorder
        .record(now_ns(), Kind::Start, &[start.as_bytes(), config.effective_toml().as_bytes(), day.as_bytes()])
        .expect("room");

    let has_money = ["spends", "late_spends", "mute"].contains(&mode.as_str());
    let gross_max = config.limits.gross_max;
    let count = if has_money { 3 } else { 2 };
    let limits =
        ["position_max", "duplicate_window_ns", "gross_max"].map(|name| Named::new(name, ""))[..count].to_vec();
    let facts = DataplaneFacts { names: Names { limits, ..Names::default() }, ..DataplaneFacts::default() };
    tern_config::facts::write(&config.paths.dataplane_facts(), &facts).expect("the run folder is there");
    let start = SetLimits::new(&[1000, 50, gross_max][..count], (0, 0), u32::MAX, "");
    plane.limits.write(&LimitsState::new(&start, now_ns()));

    let mut trading = !plane.kill.state().killed();
    let mut order = 0;
    let mut holds = mode == "holds";
    let mut is_mute = false;
    let is_first = plane.runs.get() == 1;
    let mut spends = mode == "spends" && is_first;
    for turn in 1_u64.. {
        if mode == "leaves" && turn == 50 {
            return ExitCode::from(2);
        }
        if mode != "stuck" || turn < 50 {
            plane.data_plane_beat.beat(now_ns(), turn);
        }
        while let Ok(Some(sent)) = plane.commands.next() {
            let mut command = match sent {
                Sent::Command(command) => command,
                Sent::Manual(wish) => {
                    take_manual(&mut plane, &wish);
                    plane.commands.done();
                    continue;
                }
                Sent::SetLimits(limits) => {
                    if mode == "late_limits" {
                        // Between the daemon's look and the loop's.
                        let seen = limits.epoch_seen;
                        let other = SetLimits::new(&[7, 50], (seen, seen + 1), 77, "somebody else");
                        set_limits(&mut plane, &other);
                    }
                    set_limits(&mut plane, &limits);
                    holds |= mode == "late_holds";
                    spends |= mode == "late_spends" && is_first;
                    is_mute |= mode == "mute";
                    plane.commands.done();
                    continue;
                }
                Sent::Day(day) => {
                    plane.recorder.record(now_ns(), Kind::Day, &[day.as_bytes()]).expect("the reserve has room");
                    plane.commands.done();
                    continue;
                }
            };
            if command.kind == CommandKind::Resume as u32 {
                if mode == "late_kill" {
                    // Between the daemon's look and the loop's.
                    plane.kill.kill(77, KillCause::Operator, now_ns());
                }
                let found = plane.kill.clear_seen(command.id).unwrap_or_else(|found| found);
                command.kill_word = found.low();
            }
            plane.recorder.record(now_ns(), Kind::Command, &[command.as_bytes()]).expect("the reserve has room");
            plane.commands.done();
            match CommandKind::from_u32(command.kind) {
                Some(CommandKind::Shutdown) => {
                    // An orderly end leaves nothing open.
                    plane.counters.set(LoopCounter::OpenOrders, 0);
                    return ExitCode::SUCCESS;
                }
                Some(CommandKind::Resume) => trading |= command.resumes(),
                _ => {}
            }
        }
        if plane.kill.state().killed() {
            trading = false;
            plane.counters.set(LoopCounter::OpenOrders, 0);
        }
        let mut found = HoldingsState { began_ns: now_ns(), ..HoldingsState::default() };
        found.positions[0].shares = if holds { 900 } else { 0 };
        plane.holdings.write(&found);
        if !is_mute {
            let mut usage =
                UsageState { tai_ns: now_ns(), reduce_only: 0, high_water: 0, used: [NOT_MEASURED; LIMITS_MAX] };
            usage.used[2] = if spends { gross_max / 10 * 8 } else { 0 };
            plane.usage.write(&usage);
        }
        plane.scopes_seen.set(plane.scopes.version());
        plane.trading.set(trading, u32::from(!trading), now_ns());
        let has_left = mode == "leaves" && order == 3;
        if trading && !has_left && plane.recorder.has_room_for_orders() {
            order += 1;
            let body = OrderRecord { action: ACTION_NEW, order, quantity: 100, ..OrderRecord::default() };
            plane.recorder.record(now_ns(), Kind::Order, &[body.as_bytes()]).expect("there was room");
            plane.counters.set(LoopCounter::OpenOrders, order.into());
        }
        let _ = plane.recorder.record(now_ns(), Kind::Datagram, &[&[0; 200]]);
        std::thread::sleep(Duration::from_micros(200));
    }
    ExitCode::SUCCESS
}
