//! `tern xdp` on a network of its own: what it shows of a stream that arrives, and that it names the right cause for each fault
//! that is planted.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tern_abi::counters::LoopCounter;
use tern_abi::record::{DatagramHead, Kind, RecordHeader};
use tern_abi::segment::{DISTRUSTED, TRUSTED};
use tern_abi::steer::{FRAME_RECORD_BYTES, FRAME_UDP, FrameRecord};
use tern_config::Config;
use tern_config::facts::{DataplaneFacts, FACTS_VERSION, Named, Names, PortFact};
use tern_ebpf::{Steer, SteerConfig, Subscription};
use tern_hw::port::{FrameBatch, Port};
use tern_hw::segment::{DataPlaneSegment, SegmentSpec};
use tern_hw::socket::membership::Membership;
use tern_hw::testnet::{APPLIANCE_INTERFACE, FrameBuilder, PEER_ADDRESS, PEER_INTERFACE, RawSocket, Side, TestNet};
use tern_hw::xdp::{XdpConfig, XdpPort};
use tern_journal::{Options, Writer};
use zerocopy::{FromBytes, IntoBytes};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 77, 1, 1);
const PORT: u16 = 26_400;
const STREAM: u16 = 7;
/// More than come while a busy host keeps the loop of the test from its core.
const RING: u32 = 4096;

fn tai_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_TAI).map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

/// A MoldUDP64 packet with one message, of this session.
fn payload(session: &[u8; 10]) -> Vec<u8> {
    [&session[..], &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1], b"S"].concat()
}

fn datagram(source_port: u16, port: u16) -> Vec<u8> {
    FrameBuilder::new().udp((PEER_ADDRESS, source_port), (GROUP, port), &payload(b"20261127AB"))
}

/// What the loop of the test does with what it gets.
#[derive(Default)]
struct Faults {
    /// It lives, and takes nothing.
    takes_nothing: AtomicBool,
    /// It knows no stream.
    knows_no_stream: AtomicBool,
    /// It is in another session.
    is_in_other_session: AtomicBool,
    /// It gives no sign of life.
    gives_no_beat: AtomicBool,
    /// Its books lost trust.
    is_distrusted: AtomicBool,
    stop: AtomicBool,
}

fn config(folder: &Path) -> Config {
    let at = |file: &str| folder.join(file).display().to_string();
    let text = format!(
        "[instance]\nname = \"xdp\"\n[paths]\nsegment = \"{}\"\njournal = \"{}\"\nrun = \"{}\"\n\
         [port]\nkind = \"xdp\"\ninterface = \"{APPLIANCE_INTERFACE}\"\naddress = \"10.77.0.3/24\"\nring_frames = {RING}\n\
         [[feed]]\nvenue = \"itch_ouch\"\nstream = {STREAM}\ngroup = \"{GROUP}\"\nport = {PORT}\n\
         [rings]\norder_slots = 1024\ncapture_bytes = 1048576\ncommand_slots = 16\n",
        at("segment"),
        at("journal"),
        at("run")
    );
    std::fs::write(folder.join("tern.toml"), text).expect("a file");
    std::fs::create_dir_all(folder.join("run")).expect("a folder");
    Config::load(folder.join("tern.toml")).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A loop without orders: takes frames, counts and journals them as the data plane and the daemon do.
fn turn(config: &Config, net: &TestNet, faults: &Faults, ready: &AtomicBool) {
    let spec = SegmentSpec {
        path: config.paths.segment_file().map(Path::to_path_buf),
        sizes: config.rings.sizes(),
        ..SegmentSpec::new("xdp")
    };
    let mut segment = DataPlaneSegment::open(&spec).expect("a segment");
    let plane = segment.ends().expect("its ends");
    let pins = config.paths.pins(APPLIANCE_INTERFACE);
    let mut wanted = XdpConfig::new(APPLIANCE_INTERFACE, 0, pins);
    (wanted.rx_frames, wanted.rx_ring, wanted.tx_frames, wanted.huge_pages) = (RING, RING, 64, false);
    let mut port = net.enter(Side::Appliance, || XdpPort::open(&wanted)).expect("opens");
    let (mut journal, _) = Writer::open(&config.paths.journal, Options::new("xdp")).expect("a journal");
    let mut batch = FrameBatch::default();
    let mut seq = 0;
    let mut add = |journal: &mut Writer, kind: Kind, body: &[u8]| {
        seq += 1;
        let body_bytes = body.len() as u32;
        let header = RecordHeader { seq, tai_ns: tai_ns(), kind: kind as u16, flags: 0, body_bytes };
        journal.append(&header, body).expect("it is taken");
    };
    ready.store(true, Ordering::Release);
    let is = |fault: &AtomicBool| fault.load(Ordering::Relaxed);
    while !is(&faults.stop) {
        let now = tai_ns();
        if !is(&faults.gives_no_beat) {
            plane.data_plane_beat.beat(now, 1);
        }
        plane.trust.set(STREAM.into(), if is(&faults.is_distrusted) { DISTRUSTED } else { TRUSTED }, now);
        if is(&faults.takes_nothing) {
            sleep(Duration::from_millis(1));
            continue;
        }
        port.wait(1_000_000).expect("polls");
        let count = port.receive(&mut batch);
        plane.counters.add(LoopCounter::FramesReceived, count as u64);
        for index in 0..count {
            let frame = batch.take(index).expect("just received");
            let bytes = port.bytes(&frame);
            let (record, _) = FrameRecord::read_from_prefix(bytes).expect("a record in front");
            if record.kind == FRAME_UDP && is(&faults.knows_no_stream) {
                plane.counters.add(LoopCounter::DroppedUnknownStream, 1);
            } else if record.kind == FRAME_UDP {
                let arrival_ns = record.arrival_tai_ns;
                let head = DatagramHead {
                    arrival_ns,
                    stream: record.stream,
                    line: record.line.into(),
                    ..DatagramHead::default()
                };
                let begin = FRAME_RECORD_BYTES + usize::from(record.payload_offset);
                let payload = &bytes[begin..begin + usize::from(record.payload_bytes)];
                add(&mut journal, Kind::Datagram, &[head.as_bytes(), payload].concat());
                plane.counters.add(LoopCounter::Datagrams, 1);
                if is(&faults.is_in_other_session) {
                    plane.counters.add(LoopCounter::DroppedWrongSession, 1);
                }
            }
            port.release(frame);
        }
        batch.reset();
        journal.sync().expect("on the disk");
    }
}

/// The command in the appliance's namespace.
fn tern(net: &TestNet, config: &Config, arguments: &[&str]) -> Output {
    let mut command = net.command(Side::Appliance, env!("CARGO_BIN_EXE_tern"));
    let command: &mut Command = command.env_remove("TERN_CONFIG").arg("--config").arg(config.file()).args(arguments);
    command.output().expect("it runs")
}

fn json(net: &TestNet, config: &Config, arguments: &[&str]) -> Value {
    let output = tern(net, config, &[&["--json"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn ip(net: &TestNet, side: Side, arguments: &[&str]) {
    let status = net.command(side, "ip").args(arguments).status().expect("ip runs");
    assert!(status.success(), "ip {arguments:?}");
}

#[test]
fn a_stream_that_arrives_is_shown_and_each_planted_fault_is_named() {
    let Some(net) = TestNet::with_queues("tcxdp", "a_stream_that_arrives_is_shown_and_each_planted_fault_is_named", 2)
    else {
        return;
    };
    let config = config(net.dir());
    let attach = |bpf: &Path| {
        let owner = config.paths.run.clone();
        let wanted = SteerConfig { owner, ..SteerConfig::new(APPLIANCE_INTERFACE, bpf) };
        net.enter(Side::Appliance, || Steer::attach(&wanted)).expect("attaches")
    };
    let steer = attach(&config.paths.bpf);
    let wanted = Subscription { group: GROUP, port: PORT, stream: STREAM, line: 0 };
    steer.pins().subscribe(wanted).expect("subscribes");
    // A socket is of the namespace in which it is made, and joining makes one.
    let join = || {
        let mut membership = Membership::new(APPLIANCE_INTERFACE)?;
        membership.join(GROUP).map(|_| membership)
    };
    let mut membership = net.enter(Side::Appliance, join).expect("joins");
    let facts = DataplaneFacts {
        version: FACTS_VERSION,
        pid: std::process::id(),
        ports: vec![PortFact { kind: "xdp".into(), interface: APPLIANCE_INTERFACE.into(), ..PortFact::default() }],
        names: Names { distrusts: vec![Named::new("gap", "Messages are missing.")], ..Names::default() },
        ..DataplaneFacts::default()
    };
    tern_config::facts::write(&config.paths.dataplane_facts(), &facts).expect("a file");

    let faults = Faults::default();
    let (ready, frame) = (AtomicBool::new(false), Mutex::new(None::<Vec<u8>>));
    let peer = net.enter(Side::Peer, || RawSocket::open(PEER_INTERFACE)).expect("root opens packet sockets");
    let ends = Ends(&faults.stop);
    std::thread::scope(|scope| {
        let _ends = ends;
        scope.spawn(|| turn(&config, &net, &faults, &ready));
        scope.spawn(|| {
            while !faults.stop.load(Ordering::Relaxed) {
                let now = frame.lock().expect("nobody panics with it").clone();
                // Refused while the interface is down: that is one of the faults.
                let _ = now.map(|frame| peer.send(&frame));
                // Nothing is taken: the ring is to be full soon.
                if !faults.takes_nothing.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(2));
                }
            }
        });
        while !ready.load(Ordering::Acquire) {
            sleep(Duration::from_millis(1));
        }
        let send = |bytes: Option<Vec<u8>>| *frame.lock().expect("nobody panics with it") = bytes;
        let astray = || steer.pins().counters().expect("readable").get(tern_abi::steer::SteerCounter::PassOtherQueue);
        // Which queue a flow takes is the kernel's choice: one for each is looked for.
        let [mut here, mut elsewhere] = [None, None];
        for source_port in 4000..4064 {
            let before = astray();
            peer.send(&datagram(source_port, PORT)).expect("it is sent");
            sleep(Duration::from_millis(5));
            *(if astray() == before { &mut here } else { &mut elsewhere }) = Some(datagram(source_port, PORT));
        }
        let (here, elsewhere) = (here.expect("a flow for queue 0"), elsewhere.expect("a flow for queue 1"));
        send(Some(here.clone()));

        let asked = format!("{GROUP}:{PORT}");
        let why_of = |asked: &str| json(&net, &config, &["xdp", "why", asked, "--seconds", "0.3"]);
        // On a host that has much to do what was before a change is still seen after it, for a while.
        let settled = |is_right: &dyn Fn(&Value) -> bool| {
            let mut said = why_of(&asked);
            for _ in 0..10 {
                if is_right(&said) {
                    break;
                }
                said = why_of(&asked);
            }
            assert!(is_right(&said), "{said:#}");
            said
        };
        let why = |cause: &str| {
            let said = settled(&|said| said["cause"] == cause);
            let last = said["steps"].as_array().and_then(|steps| steps.last()).cloned().unwrap_or_default();
            assert!(!last["evidence"].as_str().unwrap_or_default().is_empty(), "{said:#}");
            assert!(!last["todo"].as_str().unwrap_or_default().is_empty(), "{said:#}");
        };
        let arrives = || {
            settled(&|said| said["cause"].is_null() && said["datagrams"].as_u64() > Some(0));
        };
        arrives();
        shown(&net, &config, steer.pins().facts().program_id);
        captured(&net, &config);

        // In the order of a packet's way; each is mended before the next.
        ip(&net, Side::Appliance, &["link", "set", APPLIANCE_INTERFACE, "down"]);
        why("interface_down");
        ip(&net, Side::Appliance, &["link", "set", APPLIANCE_INTERFACE, "up"]);
        ip(&net, Side::Peer, &["link", "set", PEER_INTERFACE, "down"]);
        why("no_carrier");
        ip(&net, Side::Peer, &["link", "set", PEER_INTERFACE, "up"]);
        arrives();

        send(Some(FrameBuilder::new().ipv4(17, PEER_ADDRESS, GROUP, 0x2000, &[0; 32])));
        why("fragments");
        let mut options = here.clone();
        options[14] = 0x46;
        send(Some(options));
        why("ip_options");
        let tagged = FrameBuilder::new().vlan(5).vlan(6).vlan(7);
        send(Some(tagged.udp((PEER_ADDRESS, 4000), (GROUP, PORT), b"tick")));
        why("vlan_depth");
        send(Some(datagram(4000, PORT + 1)));
        why("wrong_port");
        let other = why_of(&format!("{GROUP}:{}", PORT + 5));
        assert_eq!(other["cause"], "wrong_port", "{other:#}");
        let other = why_of("239.77.9.9:26400");
        assert_eq!(other["cause"], "not_subscribed", "{other:#}");

        send(Some(here.clone()));
        steer.pins().unsubscribe(GROUP, PORT).expect("was subscribed");
        why("not_subscribed");
        steer.pins().subscribe(Subscription { stream: 9, ..wanted }).expect("subscribes");
        why("other_stream");
        steer.pins().subscribe(wanted).expect("subscribes");
        send(Some(elsewhere));
        why("wrong_queue");
        send(Some(here.clone()));
        let with = |fault: &AtomicBool, cause: &str| {
            fault.store(true, Ordering::Relaxed);
            // What was taken before is recorded before it is looked for.
            sleep(Duration::from_millis(200));
            why(cause);
            fault.store(false, Ordering::Relaxed);
        };
        with(&faults.takes_nothing, "fill_ring_empty");
        with(&faults.knows_no_stream, "unknown_stream");
        with(&faults.is_in_other_session, "wrong_session");
        with(&faults.is_distrusted, "not_trusted");
        arrives();
        send(None);
        sleep(Duration::from_millis(200));
        why("source_silent");
        membership.leave(GROUP).expect("was joined");
        why("not_joined");
        faults.gives_no_beat.store(true, Ordering::Relaxed);
        sleep(Duration::from_millis(2_100));
        why("loop_stuck");

        // Last, for nothing arrives behind it: another program, then none.
        steer.detach().expect("detaches");
        let foreign = attach(&net.dir().join("foreign"));
        why("foreign_program");
        foreign.detach().expect("detaches");
        why("no_program");
    });
}

/// Ends the threads of a test also when it fails.
struct Ends<'f>(&'f AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What `status` says of a stream that arrives.
fn shown(net: &TestNet, config: &Config, program_id: u32) {
    let said = json(net, config, &["xdp", "status", "--seconds", "0.3"]);
    assert_eq!(said["healthy"], true, "{said:#}");
    let program = &said["programs"][0];
    assert_eq!((program["id"].as_u64(), &program["ours"]), (Some(program_id.into()), &true.into()), "{said:#}");
    assert!(program["link"].as_u64().is_some() && program["loaded_s"].as_u64() > Some(0), "{program}");
    let tag = program["tag"].as_str().unwrap_or_default();
    assert!(tag.len() == 16 && tag != "0000000000000000", "{program}");
    assert_eq!((&said["attach_mode"], &said["queues"][0]), (&"native".into(), &0.into()), "{said:#}");
    assert_eq!(said["link"]["rx_queues"], 2, "{said:#}");
    let socket = &said["sockets"][0];
    assert_eq!((&socket["queue"], &socket["zero_copy"]), (&0.into(), &false.into()), "{said:#}");
    let fill = socket["rings"]["fill"].as_u64().unwrap_or_default();
    assert!((1..=u64::from(RING)).contains(&fill), "buffers are offered: {said:#}");
    let row = &said["subscriptions"][0];
    assert_eq!((&row["group"], &row["port"], &row["stream"]), (&"239.77.1.1".into(), &PORT.into(), &STREAM.into()));
    assert_eq!(
        (&row["subscribed"], &row["joined"], &row["trusted"]),
        (&true.into(), &true.into(), &true.into()),
        "{row}"
    );
    assert!(row["datagrams"].as_u64() > Some(0) && row["last_ns"].as_u64() > Some(0), "{row}");
    let counters = &said["counters"];
    for (group, name) in [("steer", "redirect_udp"), ("link", "rx_packets")] {
        assert!(counters[group][name]["per_second"].as_f64() > Some(0.0), "{counters:#}");
    }
    assert!(counters["xdp_statistics"]["rx_dropped"]["value"].is_u64(), "{counters:#}");
    let picture = net.dir().join("xdp.svg").display().to_string();
    let text = tern(net, config, &["xdp", "status", "--svg", &picture]);
    let text = String::from_utf8_lossy(&text.stdout);
    let picture = std::fs::read_to_string(picture).expect("it was drawn");
    assert!(picture.starts_with("<svg ") && picture.contains("239.77.1.1:26400"), "{picture}");
    for part in ["native", "0 ours", "queue 0 copy", "239.77.1.1:26400", "on tern0", "trusted", "redirect_udp"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A capture holds what arrives, and a packet analyzer reads it.
fn captured(net: &TestNet, config: &Config) {
    let file = net.dir().join("sample.pcap");
    let path = file.display().to_string();
    let group = format!("{GROUP}:{PORT}");
    let all = ["xdp", "capture", "--seconds", "30", "--count", "20", "--group", &group, "-o", &path];
    let before = tai_ns();
    let said = json(net, config, &all);
    assert_eq!((&said["datagrams"], &said["shed_datagrams"]), (&20.into(), &0.into()), "{said}");
    let bytes = std::fs::read(&file).expect("it was written");
    assert_eq!(bytes.len(), 24 + 20 * (16 + 42 + payload(b"20261127AB").len()), "{said}");
    let seconds = u32::from_le_bytes(bytes[24..28].try_into().expect("four"));
    let ahead_s = said["tai_minus_utc_ns"].as_u64().expect("a number") / 1_000_000_000;
    let arrived = u64::from(seconds) + ahead_s;
    assert!(
        arrived + 2 >= before / 1_000_000_000 && arrived <= tai_ns() / 1_000_000_000,
        "the packet's own time: {said}"
    );
    match Command::new("tshark").args(["-n", "-r", &path, "-T", "fields", "-e", "ip.dst", "-e", "udp.dstport"]).output()
    {
        Err(error) => eprintln!("SKIP: tshark: {error}"),
        Ok(read) => {
            let text = String::from_utf8_lossy(&read.stdout).into_owned();
            assert_eq!(text.lines().filter(|line| *line == "239.77.1.1\t26400").count(), 20, "{read:?}");
        }
    }
    let unknown = tern(net, config, &["xdp", "capture", "--group", "239.1.1.1:1", "-o", &path]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("239.77.1.1:26400"), "{unknown:?}");
}
