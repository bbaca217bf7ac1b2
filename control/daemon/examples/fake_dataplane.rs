//! Stands in for the data plane in the daemon's tests: records, beats, and obeys commands, without a port.
//!
//! `TERN_FAKE=fail` ends at once with exit code 1, `usage` with 2, `stuck` stops beating after its first records,
//! `late_kill` kills before it takes a resume.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tern_abi::ABI_VERSION;
use tern_abi::command::CommandKind;
use tern_abi::counters::LoopCounter;
use tern_abi::record::{ACTION_NEW, Kind, OrderRecord, Recorder, StartRecord};
use tern_abi::segment::KillCause;
use tern_config::Config;
use tern_hw::segment::{DataPlaneSegment, SegmentSpec};
use zerocopy::IntoBytes;

fn now_ns() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
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
    plane
        .recorder
        .record(now_ns(), Kind::Start, &[start.as_bytes(), config.effective_toml().as_bytes()])
        .expect("room");

    let mut trading = !plane.kill.state().killed();
    let mut order = 0;
    for turn in 1_u64.. {
        if mode != "stuck" || turn < 50 {
            plane.data_plane_beat.beat(now_ns(), turn);
        }
        while let Ok(Some(mut command)) = plane.commands.next() {
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
                Some(CommandKind::Shutdown) => return ExitCode::SUCCESS,
                Some(CommandKind::Resume) => trading |= command.resumes(),
                _ => {}
            }
        }
        if plane.kill.state().killed() {
            trading = false;
            plane.counters.set(LoopCounter::OpenOrders, 0);
        }
        plane.trading.set(trading, u32::from(!trading), now_ns());
        if trading && plane.recorder.has_room_for_orders() {
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
