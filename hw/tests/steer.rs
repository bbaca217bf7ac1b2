//! The XDP program on a real interface: what it redirects, with which record, and what it counts.

mod support;

use std::net::Ipv4Addr;
use std::time::Instant;

use support::*;
use tern_abi::steer::{
    CLOCK_MONOTONIC_OFFSET, CLOCK_TAI, FRAME_ARP, FRAME_TCP, FRAME_UDP, STEER_VERSION, SteerCounter,
};
use tern_ebpf::{AttachPreference, ClockPreference, Subscription};
use tern_hw::testnet::{APPLIANCE_ADDRESS, FrameBuilder, TestNet};

/// Sends one frame and checks every field of the record that comes in front of it.
fn check_record(
    net: &TestNet,
    port: &mut impl tern_hw::port::Port,
    frame: &[u8],
    kind: u16,
    stream: u16,
    payload: Option<&[u8]>,
) {
    let before_ns = tai_ns();
    peer_socket(net).send(frame).expect("sends");
    let (record, received) = receive(port, 1).pop().expect("the frame arrives");
    let after_ns = tai_ns();
    assert_eq!(received, frame, "byte for byte");
    assert_eq!(record.version, STEER_VERSION);
    assert_eq!((record.kind, record.stream, record.queue, record.reserved), (kind, stream, 0, [0; 3]));
    assert!(
        (before_ns..=after_ns).contains(&record.arrival_tai_ns),
        "arrival {} is not within {before_ns}..={after_ns}",
        record.arrival_tai_ns
    );
    assert_eq!(record.nic_ns, 0, "veth has no clock: absent");
    let (offset, length) = (usize::from(record.payload_offset), usize::from(record.payload_bytes));
    match payload {
        Some(payload) => assert_eq!(&received[offset..offset + length], payload),
        None => assert_eq!((offset, length), (0, 0)),
    }
}

fn records_are_right(test: &str, attach_mode: AttachPreference, clock: ClockPreference) {
    let Some(net) = TestNet::new("txdp", test) else { return };
    let steer = attach(&net, |config| (config.attach, config.clock) = (attach_mode, clock));
    let mut port = open(&net, &steer, |_| {});
    let expected = if attach_mode == AttachPreference::Generic { "generic" } else { "native" };
    assert_eq!(steer.attach_mode(), expected);
    let clock_id = if clock == ClockPreference::Tai { CLOCK_TAI } else { CLOCK_MONOTONIC_OFFSET };
    assert_eq!(steer.pins().facts().clock, clock_id);

    let before = steer.pins().counters().expect("reads");
    let plain = FrameBuilder::new();
    let tagged = FrameBuilder::new().vlan(7);
    let twice = FrameBuilder::new().vlan(8).vlan(9);
    for (builder, payload) in [(&plain, &b"plain"[..]), (&tagged, b"one tag"), (&twice, b"two tags"), (&plain, b"")] {
        let frame = builder.udp(SENDER, (GROUP, PORT), payload);
        check_record(&net, &mut port, &frame, FRAME_UDP, STREAM, Some(payload));
    }
    // The longest datagram of a 1500-byte MTU, and one that Ethernet pads to its minimum.
    let long = vec![0xa5; 1472];
    check_record(&net, &mut port, &plain.udp(SENDER, (GROUP, PORT), &long), FRAME_UDP, STREAM, Some(&long));
    let mut padded = plain.udp(SENDER, (GROUP, PORT), b"x");
    padded.resize(60, 0);
    check_record(&net, &mut port, &padded, FRAME_UDP, STREAM, Some(b"x"));
    check_record(&net, &mut port, &plain.tcp_syn(SENDER, (OWN, 9000)), FRAME_TCP, 0, None);
    check_record(&net, &mut port, &tagged.tcp_syn(SENDER, (OWN, 9000)), FRAME_TCP, 0, None);
    check_record(&net, &mut port, &plain.arp(1, SENDER.0, OWN), FRAME_ARP, 0, None);
    check_record(&net, &mut port, &plain.arp(2, SENDER.0, OWN), FRAME_ARP, 0, None);
    let counted = [(SteerCounter::RedirectUdp, 6), (SteerCounter::RedirectTcp, 2), (SteerCounter::RedirectArp, 2)];
    assert_counted(&steer, &before, &counted);
    drop(port);
    steer.detach().expect("detaches");
    assert!(!net.dir().join("bpf").exists(), "the bpffs is unmounted and its folder gone");
}

#[test]
fn records_with_native_attach() {
    records_are_right("records_with_native_attach", AttachPreference::Native, ClockPreference::Tai);
}

#[test]
fn records_with_generic_attach() {
    records_are_right("records_with_generic_attach", AttachPreference::Generic, ClockPreference::Tai);
}

#[test]
fn records_where_the_kernel_has_no_tai_helper() {
    let test = "records_where_the_kernel_has_no_tai_helper";
    records_are_right(test, AttachPreference::Native, ClockPreference::MonotonicOffset);
}

#[test]
fn nic_stamp_program_is_bound_to_the_device_and_falls_back() {
    let test = "nic_stamp_program_is_bound_to_the_device_and_falls_back";
    let Some(net) = TestNet::new("txdp", test) else { return };
    let steer = attach(&net, |_| {});
    // veth implements the metadata function; on kernels without it (before 6.3) the reason must be kept.
    assert_eq!(steer.nic_stamp(), steer.fallbacks().is_empty(), "{:?}", steer.fallbacks());
    eprintln!("nic stamp program attached: {}; fallbacks {:?}", steer.nic_stamp(), steer.fallbacks());
    let mut port = open(&net, &steer, |_| {});
    let frame = FrameBuilder::new().udp(SENDER, (GROUP, PORT), b"stamped?");
    check_record(&net, &mut port, &frame, FRAME_UDP, STREAM, Some(b"stamped?"));
    drop(port);
    steer.detach().expect("detaches");

    // A device-bound program cannot run in the generic hook: the plain one must be taken there.
    let steer = attach(&net, |config| config.attach = AttachPreference::Generic);
    assert!(!steer.nic_stamp());
    steer.detach().expect("detaches");
}

#[test]
fn every_outcome_is_counted_once() {
    let Some(net) = TestNet::new("txdp", "every_outcome_is_counted_once") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |_| {});
    let peer = peer_socket(&net);
    let other = Ipv4Addr::new(10, 77, 0, 200);
    let frame = FrameBuilder::new();
    let udp = frame.udp(SENDER, (GROUP, PORT), b"payload");
    let spoiled = |at: usize, byte: u8| {
        let mut frame = udp.clone();
        frame[at] = byte;
        frame
    };
    let cases: &[(SteerCounter, Vec<u8>)] = &[
        (SteerCounter::RedirectUdp, udp.clone()),
        (SteerCounter::RedirectTcp, frame.tcp_syn(SENDER, (OWN, 1))),
        (SteerCounter::RedirectArp, frame.arp(1, SENDER.0, OWN)),
        (SteerCounter::PassNotIp, frame.ethernet(0x88cc, &[0; 46])),
        (SteerCounter::PassVlanDepth, FrameBuilder::new().vlan(1).vlan(2).vlan(3).udp(SENDER, (GROUP, PORT), b"")),
        (SteerCounter::PassArpOther, frame.arp(1, SENDER.0, other)),
        (SteerCounter::PassArpOther, frame.ethernet(0x0806, &[0xff; 28])),
        // Cut in each header, and each length that promises more than there is or less than it needs.
        (SteerCounter::PassTruncated, udp[..30].to_vec()),
        (SteerCounter::PassTruncated, udp[..udp.len() - 1].to_vec()),
        (SteerCounter::PassTruncated, spoiled(17, 27)),
        (SteerCounter::PassTruncated, spoiled(17, 19)),
        (SteerCounter::PassTruncated, spoiled(39, 7)),
        (SteerCounter::PassTruncated, spoiled(39, 200)),
        (SteerCounter::PassTruncated, frame.ipv4(6, SENDER.0, OWN, 0, &[0; 19])),
        (SteerCounter::PassTruncated, frame.arp(1, SENDER.0, OWN)[..41].to_vec()),
        (SteerCounter::PassTruncated, frame.ethernet(0x8100, &[0; 3])),
        (SteerCounter::PassIpOptions, spoiled(14, 0x46)),
        (SteerCounter::PassIpOptions, spoiled(14, 0x44)),
        (SteerCounter::PassIpOptions, spoiled(14, 0x65)),
        (SteerCounter::PassFragment, frame.ipv4(17, SENDER.0, GROUP, 0x2000, &udp[34..])),
        (SteerCounter::PassFragment, frame.ipv4(17, SENDER.0, GROUP, 0x0001, &udp[34..])),
        (SteerCounter::PassProtocol, frame.ipv4(1, SENDER.0, APPLIANCE_ADDRESS, 0, &[8; 8])),
        (SteerCounter::PassUnsubscribed, frame.udp(SENDER, (GROUP, PORT + 1), b"")),
        (SteerCounter::PassUnsubscribed, frame.udp(SENDER, (Ipv4Addr::new(239, 77, 1, 2), PORT), b"")),
        (SteerCounter::PassTcpOther, frame.tcp_syn(SENDER, (other, 1))),
    ];
    for (counter, frame) in cases {
        let before = steer.pins().counters().expect("reads");
        peer.send(frame).expect("sends");
        assert_counted(&steer, &before, &[(*counter, 1)]);
    }
    assert_eq!(receive(&mut port, 3).len(), 3, "the three redirected frames");

    // Without a socket, a frame for us reaches the kernel as it came.
    drop(port);
    let kernel = net.enter(tern_hw::testnet::Side::Appliance, || {
        tern_hw::testnet::RawSocket::open(tern_hw::testnet::APPLIANCE_INTERFACE)
    });
    // A process that another test forks may hold the socket open until it execs.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = steer.pins().counters().expect("reads");
        peer.send(&udp).expect("sends");
        let counts = counts_when(&steer, |counts| counts.since(&before).total() > 0).since(&before);
        assert_eq!(counts.total(), 1);
        if counts.get(SteerCounter::PassNoSocket) == 1 {
            break;
        }
        assert_eq!(counts.get(SteerCounter::RedirectUdp), 1);
        assert!(Instant::now() < deadline, "the closed socket stays in the map");
    }
    let passed = kernel.expect("opens").receive(PATIENCE, |frame| frame.len() == udp.len()).expect("captures");
    assert_eq!(passed.as_deref(), Some(&udp[..]), "unmodified");
    steer.detach().expect("detaches");
}

/// Runs the loaded program on a frame with hardly any room in front, which no driver at hand delivers: a few
/// instructions eat the headroom, move the headers up and tail-call into it.
mod headroom {
    #![allow(unsafe_code, reason = "instructions by hand, and the test run of the kernel")]

    use std::ffi::CString;
    use std::mem;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

    use libbpf_rs::libbpf_sys as bpf;
    use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};

    /// XDP_PACKET_HEADROOM is 256; what is left is more than struct xdp_frame (40) and less than that and a record.
    const EATEN: i32 = 190;
    /// Ethernet, IPv4 and UDP headers and six bytes more.
    const MOVED: i32 = 48;

    fn instruction(code: u8, to: u8, from: u8, imm: i32) -> bpf::bpf_insn {
        let mut instruction = bpf::bpf_insn { code, imm, ..Default::default() };
        instruction.set_dst_reg(to);
        instruction.set_src_reg(from);
        instruction
    }

    /// The verdict on `frame` of the program with this id.
    pub(crate) fn run(program_id: u32, frame: &[u8]) -> u32 {
        const MOVE: u8 = 0xb7;
        const COPY: u8 = 0xbf;
        const ADD: u8 = 0x07;
        const CALL: u8 = 0x85;
        const MAP: u8 = 0x18;
        const EXIT: u8 = 0x95;
        // SAFETY: a number; the descriptor it returns is nobody else's.
        let steer = unsafe { OwnedFd::from_raw_fd(bpf::bpf_prog_get_fd_by_id(program_id)) };
        let options =
            bpf::bpf_map_create_opts { sz: mem::size_of::<bpf::bpf_map_create_opts>() as _, ..Default::default() };
        let programs = MapHandle::create(MapType::ProgArray, Some("programs"), 4, 4, 1, &options).expect("creates");
        programs.update(&[0; 4], &steer.as_raw_fd().to_ne_bytes(), MapFlags::ANY).expect("same type of program");
        let bytes = |helper, offset| {
            [
                instruction(COPY, 1, 6, 0),
                instruction(MOVE, 2, 0, offset),
                instruction(COPY, 3, 10, 0),
                instruction(ADD, 3, 0, -MOVED),
                instruction(MOVE, 4, 0, MOVED),
                instruction(CALL, 0, 0, helper),
            ]
        };
        let mut code = vec![
            instruction(COPY, 6, 1, 0),
            instruction(MOVE, 2, 0, -EATEN),
            instruction(CALL, 0, 0, bpf::BPF_FUNC_xdp_adjust_head as i32),
        ];
        code.extend(bytes(bpf::BPF_FUNC_xdp_load_bytes as i32, EATEN));
        code.extend(bytes(bpf::BPF_FUNC_xdp_store_bytes as i32, 0));
        code.extend([
            instruction(COPY, 1, 6, 0),
            // 1: the immediate is a map's descriptor.
            instruction(MAP, 2, 1, programs.as_fd().as_raw_fd()),
            instruction(0, 0, 0, 0),
            instruction(MOVE, 3, 0, 0),
            instruction(CALL, 0, 0, bpf::BPF_FUNC_tail_call as i32),
            instruction(MOVE, 0, 0, 0),
            instruction(EXIT, 0, 0, 0),
        ]);
        // Programs that call one another must have been loaded for the same hook; libbpf names it.
        let options = bpf::bpf_prog_load_opts {
            sz: mem::size_of::<bpf::bpf_prog_load_opts>() as _,
            expected_attach_type: bpf::BPF_XDP,
            ..Default::default()
        };
        let (name, license) = (CString::new("headroom").expect("no NUL"), CString::new("GPL").expect("no NUL"));
        // SAFETY: strings and instructions with their count, which outlive the call.
        let fd = unsafe {
            bpf::bpf_prog_load(
                bpf::BPF_PROG_TYPE_XDP,
                name.as_ptr(),
                license.as_ptr(),
                code.as_ptr(),
                code.len() as u64,
                &raw const options as *mut _,
            )
        };
        assert!(fd >= 0, "loading: {fd}");
        // SAFETY: the call just returned this descriptor, which nothing else owns.
        let program = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut run = bpf::bpf_test_run_opts {
            sz: mem::size_of::<bpf::bpf_test_run_opts>() as _,
            data_in: frame.as_ptr().cast(),
            data_size_in: frame.len() as u32,
            repeat: 1,
            ..Default::default()
        };
        // SAFETY: options that point to the frame, which outlive the call.
        let result = unsafe { bpf::bpf_prog_test_run_opts(program.as_raw_fd(), &raw mut run) };
        assert_eq!(result, 0, "test run");
        run.retval
    }
}

#[test]
fn a_frame_without_room_for_the_record_is_passed() {
    const XDP_PASS: u32 = 2;
    let Some(net) = TestNet::new("txdp", "a_frame_without_room_for_the_record_is_passed") else { return };
    // The plain program: one that is bound to a device takes no tail calls.
    let steer = attach(&net, |config| config.nic_stamp = false);
    let port = open(&net, &steer, |_| {});
    let before = steer.pins().counters().expect("reads");
    let frame = FrameBuilder::new().udp(SENDER, (GROUP, PORT), &[7; 100]);
    assert_eq!(headroom::run(steer.pins().facts().program_id, &frame), XDP_PASS);
    assert_counted(&steer, &before, &[(SteerCounter::PassNoHeadroom, 1)]);
    drop(port);
    steer.detach().expect("detaches");
}

#[test]
fn subscriptions_change_while_frames_flow() {
    let Some(net) = TestNet::new("txdp", "subscriptions_change_while_frames_flow") else { return };
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |_| {});
    let peer = peer_socket(&net);
    let udp = FrameBuilder::new().udp(SENDER, (GROUP, PORT), b"x");
    let syn = FrameBuilder::new().tcp_syn(SENDER, (OWN, 1));
    let pins = tern_ebpf::SteerPins::open(steer.pins().dir(), &[0]).expect("another process opens the pins");
    let counted = |frame: &[u8], counter| {
        let before = pins.counters().expect("reads");
        peer.send(frame).expect("sends");
        assert_counted(&steer, &before, &[(counter, 1)]);
    };

    counted(&udp, SteerCounter::RedirectUdp);
    let record = receive(&mut port, 1)[0].0;
    assert_eq!((record.stream, record.line), (STREAM, 0));
    pins.subscribe(Subscription { group: GROUP, port: PORT, stream: 9, line: 1 }).expect("replaces the stream");
    counted(&udp, SteerCounter::RedirectUdp);
    let record = receive(&mut port, 1)[0].0;
    assert_eq!((record.stream, record.line), (9, 1));
    assert_eq!(pins.subscriptions().expect("lists"), [Subscription { group: GROUP, port: PORT, stream: 9, line: 1 }]);
    assert!(pins.unsubscribe(GROUP, PORT).expect("unsubscribes"));
    assert!(!pins.unsubscribe(GROUP, PORT).expect("is not an error"), "it was not subscribed any more");
    counted(&udp, SteerCounter::PassUnsubscribed);

    counted(&syn, SteerCounter::RedirectTcp);
    assert!(pins.remove_address(OWN).expect("removes"));
    counted(&syn, SteerCounter::PassTcpOther);
    counted(&FrameBuilder::new().arp(1, SENDER.0, OWN), SteerCounter::PassArpOther);
    steer.detach().expect("detaches");
}
