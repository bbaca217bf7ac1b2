//! A daemon that stops beating under a loop that trades: what leaves, and that the journal replays it.

use crate::venue::{Answer, Gateway};
use crate::world::{DAEMON_HALT_NS, DAEMON_SILENCE_NS, SegmentFile, World, replayed};
use tern_abi::command::{Command, CommandKind};
use tern_abi::counters::LoopCounter;
use tern_core::risk::HaltReason;
use tern_hw::segment::{DaemonSegment, DataPlaneSegment};

/// Time passes, in steps that are no pause of the process, with the venue alive and the market moving.
fn pass(world: &mut World<'_>, ns: u64) {
    const STEP_NS: u64 = 50_000_000;
    for step in 0..ns / STEP_NS {
        if step % 20 == 0 {
            world.peer.send(&Gateway::heartbeat());
            world.trade(1);
        }
        world.step(STEP_NS);
    }
}

fn halt(world: &World<'_>) -> Option<HaltReason> {
    world.engine.pipeline().desk().gate().halt()
}

#[test]
fn a_silent_daemon_lets_only_cancels_leave_a_lost_one_nothing_until_an_operator_resumes() {
    let file = SegmentFile::new("daemon");
    {
        let mut segment = DataPlaneSegment::open(&file.spec()).expect("a segment");
        let mut world = World::new(&mut segment, 1 << 16, |_| Answer::Accept);
        let words = world.engine.words();
        words.daemon_beat.beat(1, 1);
        world.log_in();
        world.open_market(2);
        world.trade(20);
        let sent = world.gateway.orders.len();
        assert!(sent > 0 && halt(&world).is_none());

        pass(&mut world, DAEMON_SILENCE_NS);
        assert_eq!(halt(&world), Some(HaltReason::DaemonSilent));
        let sent = world.gateway.orders.len();
        world.trade(20);
        assert_eq!(world.gateway.orders.len(), sent, "no order after the first deadline");
        assert_eq!(words.trading.get(), (false, HaltReason::DaemonSilent as u32));
        assert!(world.gateway.open_orders() > 0, "what rests stays");

        words.daemon_beat.beat(2, 2);
        world.step(2_000_000);
        assert_eq!(halt(&world), None);
        world.trade(20);
        let again = world.gateway.orders.len();
        assert!(again > sent, "it trades again by itself");

        pass(&mut world, DAEMON_HALT_NS);
        world.run_until("the cancels", |world| world.gateway.open_orders() == 0);
        assert_eq!(halt(&world), Some(HaltReason::DaemonLost));
        words.daemon_beat.beat(3, 3);
        let sent = world.gateway.orders.len();
        world.trade(20);
        assert_eq!((world.gateway.orders.len(), halt(&world)), (sent, Some(HaltReason::DaemonLost)));
        assert_eq!(world.counter(LoopCounter::DaemonSilences), 2);
        let mut daemon = DaemonSegment::open(&file.spec()).expect("the daemon's side");
        let mut commands = daemon.ends().expect("ring ends").commands;
        let resume = Command { kind: CommandKind::Resume as u32, ..Command::default() };
        commands.send(&resume).expect("room");
        world.turn();
        assert_eq!(halt(&world), None);
    }
    let outcome = replayed(&file);
    assert_eq!((outcome.mismatches, outcome.differences), (0, Vec::new()));
}
