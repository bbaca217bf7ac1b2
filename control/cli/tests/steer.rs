//! `tern counters` and `tern xdp` read the kernel and the pins, without the daemon. Needs root.

mod xdp;

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tern_abi::steer::SteerCounter;
use tern_config::Config;
use tern_ebpf::{Steer, SteerConfig, Subscription};
use tern_hw::segment::{DataPlaneSegment, SegmentSpec};
use tern_hw::testnet::{APPLIANCE_INTERFACE, PEER_ADDRESS, Side, TestNet};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 1, 1);
const PORT: u16 = 26_400;

fn config(folder: &Path) -> Config {
    let at = |file: &str| folder.join(file).display().to_string();
    let text = format!(
        "[instance]\nname = \"steer\"\n[paths]\nsegment = \"{}\"\njournal = \"{}\"\nrun = \"{}\"\n\
         [port]\nkind = \"xdp\"\ninterface = \"{APPLIANCE_INTERFACE}\"\naddress = \"10.77.0.3/24\"\n\
         [rings]\norder_slots = 1024\ncapture_bytes = 1048576\ncommand_slots = 16\n",
        at("segment"),
        at("journal"),
        at("run")
    );
    std::fs::write(folder.join("tern.toml"), text).expect("a file");
    std::fs::create_dir_all(folder.join("run")).expect("a folder");
    Config::load(folder.join("tern.toml")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn counters(config: &Config) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tern"))
        .env_remove("TERN_CONFIG")
        .args(["--json", "--config"])
        .arg(config.file())
        .arg("counters")
        .output()
        .expect("it runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_pinned_counters_are_those_of_the_program() {
    let Some(net) = TestNet::new("tclist", "the_pinned_counters_are_those_of_the_program") else { return };
    let config = config(net.dir());
    let spec = SegmentSpec {
        path: config.paths.segment_file().map(Path::to_path_buf),
        sizes: config.rings.sizes(),
        ..SegmentSpec::new("steer")
    };
    let _segment = DataPlaneSegment::open(&spec).expect("a segment");
    let wanted =
        SteerConfig { owner: config.paths.run.clone(), ..SteerConfig::new(APPLIANCE_INTERFACE, &config.paths.bpf) };
    let steer = net.enter(Side::Appliance, || Steer::attach(&wanted)).expect("attaches");
    steer.pins().subscribe(Subscription { group: GROUP, port: PORT, stream: 7, line: 0 }).expect("subscribes");
    let said = counters(&config);
    assert_eq!(said["steer"][SteerCounter::PassNoSocket.name()], 0, "{said}");

    // Some that are wanted, but no socket takes them, and some that nobody asked for.
    net.enter(Side::Peer, || {
        for (port, count) in [(PORT, 20), (PORT + 1, 3)] {
            for _ in 0..count {
                let socket = UdpSocket::bind((PEER_ADDRESS, 0)).expect("the peer's address");
                socket.send_to(b"tick", (GROUP, port)).expect("it is sent");
            }
        }
    });
    let said = counters(&config);
    let counts = steer.pins().counters().expect("readable");
    for (counter, count) in counts.iter() {
        assert_eq!(said["steer"][counter.name()], count, "{}: {said}", counter.name());
    }
    assert_eq!(said["steer"][SteerCounter::PassNoSocket.name()], 20);
    assert_eq!(said["steer"][SteerCounter::PassUnsubscribed.name()], 3);
    assert!(said["absent"]["steer"].is_null(), "{said}");

    // Without the program there is nothing to read, and it says where it looked.
    steer.detach().expect("detaches");
    let said = counters(&config);
    let why = said["absent"]["steer"].as_str().unwrap_or_default();
    assert!(why.contains(APPLIANCE_INTERFACE), "{said}");
}
