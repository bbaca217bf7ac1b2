//! The XDP program through the daemon's life and deaths, on a veth pair. Needs root.

use std::net::UdpSocket;

use nix::sys::signal::Signal;
use tern_abi::steer::SteerCounter;
use tern_ebpf::{SteerPins, Subscription};
use tern_hw::testnet::{APPLIANCE_INTERFACE, PEER_ADDRESS, Side, TestNet};

use crate::bench::Bench;

const GROUP: &str = "239.77.1.1";
const PORT: u16 = 26400;

fn pins(bench: &Bench) -> SteerPins {
    SteerPins::open(&bench.config.paths.pins(APPLIANCE_INTERFACE), &[0]).expect("the program is pinned")
}

#[test]
fn the_program_is_attached_adopted_cleared_and_detached() {
    let Some(net) = TestNet::new("ternctl", "the_program_is_attached_adopted_cleared_and_detached") else { return };
    let port = format!("kind = \"xdp\"\ninterface = \"{APPLIANCE_INTERFACE}\"\naddress = \"10.77.0.3/24\"");
    let feed = format!("[[feed]]\nvenue = \"itch_ouch\"\nstream = 7\ngroup = \"{GROUP}\"\nport = {PORT}\n");
    let mut bench = Bench::on(&port, "xdp", "", &feed);
    net.enter(Side::Appliance, || bench.start());
    bench.until_journaled(20);
    let group = GROUP.parse().expect("an address");
    let wanted = vec![Subscription { group, port: PORT, stream: 7, line: 0 }];
    assert_eq!(pins(&bench).subscriptions().expect("readable"), wanted);
    assert!(pins(&bench).is_attached().expect("readable"));
    bench.until("the attach mode", || ["native", "generic"].contains(&bench.facts().attach_mode.as_str()));
    net.enter(Side::Peer, || {
        let socket = UdpSocket::bind((PEER_ADDRESS, 0)).expect("the peer's address");
        socket.send_to(b"tick", (GROUP, PORT)).expect("it is sent");
    });
    let unserved = SteerCounter::PassNoSocket.name();
    bench.until("the datagram is counted", || bench.facts().steer.get(unserved) == Some(&1));

    // Market data goes on while no daemon lives, and the next one takes the same program over.
    let program = pins(&bench).facts().program_id;
    bench.signal(Signal::SIGKILL);
    assert!(pins(&bench).is_attached().expect("readable"));
    net.enter(Side::Appliance, || bench.start());
    bench.until("adoption", || bench.facts().adopted && !bench.facts().steer.is_empty());
    assert_eq!((pins(&bench).facts().program_id, bench.facts().steer[unserved]), (program, 1));

    // With the data plane dead as well, the next start clears what is left and attaches anew.
    bench.signal(Signal::SIGKILL);
    bench.kill_data_plane(Signal::SIGKILL);
    let view = bench.view();
    bench.until("the data plane's end", || view.data_plane().expect("its lock").is_none());
    drop(view);
    net.enter(Side::Appliance, || bench.start());
    bench.until("a fresh start", || bench.facts().leftovers.iter().any(|text| text.contains("detached")));
    assert_ne!(pins(&bench).facts().program_id, program);
    assert_eq!(pins(&bench).subscriptions().expect("readable"), wanted);
    bench.stop();
    assert!(!bench.config.paths.bpf.exists(), "the bpffs is unmounted and gone");
    assert_eq!(bench.facts().steer[unserved], 0, "the last counters are kept in the facts");
    bench.verified();
}
