//! What the loader finds and leaves: crashed runs, strangers' programs, a daemon that dies while the data plane lives.

mod support;

use std::fs;
use std::path::Path;
use std::time::Instant;

use support::*;
use tern_abi::steer::{SteerCounter, names};
use tern_ebpf::{AttachPreference, Steer, SteerError, SteerPins, Subscription, is_bpffs};
use tern_hw::testnet::{FrameBuilder, Side, TestNet};

fn xdp_program_on(net: &TestNet) -> bool {
    let output = net.command(Side::Appliance, "ip").args(["link", "show", "dev", "tern0"]).output().expect("ip runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("tern0"), "{text}");
    text.contains("prog/xdp")
}

/// The kernel lets go of a link some time after its last pin and descriptor, of which a process that another test forks
/// may hold one until it execs.
fn wait_until_detached(net: &TestNet) {
    let deadline = Instant::now() + PATIENCE;
    while xdp_program_on(net) {
        assert!(Instant::now() < deadline, "the link stays");
    }
}

/// An XDP program that is not Tern's: two instructions, `return XDP_PASS`.
mod stranger {
    #![allow(unsafe_code, reason = "loads two instructions by hand")]

    use std::ffi::CString;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::ptr;

    use libbpf_rs::libbpf_sys as bpf;

    pub(crate) fn load() -> OwnedFd {
        let instruction =
            |code, imm| bpf::bpf_insn { code, _bitfield_align_1: [], _bitfield_1: Default::default(), off: 0, imm };
        // r0 = 2 (XDP_PASS); exit
        let program = [instruction(0xb7, 2), instruction(0x95, 0)];
        let (name, license) = (CString::new("stranger").expect("no NUL"), CString::new("GPL").expect("no NUL"));
        // SAFETY: strings and instructions with their count, which outlive the call.
        let fd = unsafe {
            bpf::bpf_prog_load(
                bpf::BPF_PROG_TYPE_XDP,
                name.as_ptr(),
                license.as_ptr(),
                program.as_ptr(),
                program.len() as u64,
                ptr::null_mut(),
            )
        };
        assert!(fd >= 0, "loading the stranger: {fd}");
        // SAFETY: the call just returned this descriptor, which nothing else owns.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }

    /// Attaches as `ip link set … xdp` does, without a link; `generic` picks the hook. `None` detaches.
    pub(crate) fn attach_by_netlink(interface: &str, program: Option<&OwnedFd>, generic: bool) {
        use std::os::fd::AsRawFd;
        let name = CString::new(interface).expect("no NUL");
        // SAFETY: a string that outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let flags = if generic { bpf::XDP_FLAGS_SKB_MODE } else { bpf::XDP_FLAGS_DRV_MODE };
        let fd = program.map_or(-1, AsRawFd::as_raw_fd);
        // SAFETY: numbers and a null for no options.
        let result = unsafe { bpf::bpf_xdp_attach(index as i32, fd, flags, ptr::null()) };
        assert_eq!(result, 0, "attaching by netlink");
    }

    /// Attaches by a link, which lives as long as the descriptor.
    pub(crate) fn attach_by_link(interface: &str, program: &OwnedFd) -> OwnedFd {
        use std::os::fd::AsRawFd;
        let name = CString::new(interface).expect("no NUL");
        // SAFETY: a string that outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        // SAFETY: numbers and a null for no options.
        let fd = unsafe { bpf::bpf_link_create(program.as_raw_fd(), index as i32, bpf::BPF_XDP, ptr::null()) };
        assert!(fd >= 0, "attaching by link: {fd}");
        // SAFETY: the call just returned this descriptor, which nothing else owns.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }
}

#[test]
fn the_program_outlives_its_loader_and_is_adopted() {
    let Some(net) = TestNet::new("txdp", "the_program_outlives_its_loader_and_is_adopted") else { return };
    let config = steer_config(&net, |_| {});
    let adopted = net.enter(Side::Appliance, || Steer::adopt(&config)).expect("looks");
    assert!(adopted.is_none(), "nothing to adopt yet");
    let steer = attach(&net, |_| {});
    let mut port = open(&net, &steer, |_| {});
    // What SIGKILL leaves: descriptors closed, pins in place.
    drop(steer);
    assert!(xdp_program_on(&net));
    let peer = peer_socket(&net);
    let frame = FrameBuilder::new().udp(SENDER, (GROUP, PORT), b"still here");
    peer.send(&frame).expect("sends");
    assert_eq!(receive(&mut port, 1).len(), 1, "market data does not stop with the daemon");

    let adopted = net.enter(Side::Appliance, || Steer::adopt(&config)).expect("looks").expect("finds it");
    assert_eq!(adopted.attach_mode(), "native");
    assert_eq!(
        adopted.pins().subscriptions().expect("lists"),
        [Subscription { group: GROUP, port: PORT, stream: STREAM, line: 0 }]
    );
    peer.send(&frame).expect("sends");
    assert_eq!(receive(&mut port, 1).len(), 1, "the socket is still in the map");
    let counts = adopted.pins().counters().expect("reads");
    assert_eq!(counts.get(SteerCounter::RedirectUdp), 2);
    adopted.detach().expect("detaches");
    assert!(!xdp_program_on(&net));
    assert!(!net.dir().join("bpf").exists());
}

#[test]
fn leftovers_of_a_crashed_run_do_not_stop_the_next() {
    let Some(net) = TestNet::new("txdp", "leftovers_of_a_crashed_run_do_not_stop_the_next") else { return };
    let config = steer_config(&net, |_| {});
    let dir = config.pins_dir();

    // A whole run, crashed.
    let crashed = attach(&net, |_| {});
    let old_program = crashed.pins().facts().program_id;
    drop(crashed);
    let steer = attach(&net, |_| {});
    assert!(steer.leftovers().iter().any(|text| text.contains("detached the program")), "{:?}", steer.leftovers());
    assert_ne!(steer.pins().facts().program_id, old_program);
    assert!(steer.pins().is_attached().expect("reads"));

    // Crashed before the link was pinned, and after an operator had detached the link.
    drop(steer);
    fs::remove_file(dir.join(names::LINK)).expect("removes the pin, which detaches the program");
    wait_until_detached(&net);
    let steer = attach(&net, |_| {});
    assert!(steer.leftovers().iter().all(|text| text.contains("removed the pin")), "{:?}", steer.leftovers());
    assert!(!steer.leftovers().is_empty());
    drop(steer);

    // The interface went away and came back under the same name; the pinned link now points nowhere.
    let replace = "ip link delete tern0 && ip link add tern0 type veth peer name other0 \
                   && ip link set other0 up && ip link set tern0 up";
    let status = net.command(Side::Appliance, "sh").args(["-c", replace]).status();
    assert!(status.expect("sh runs").success());
    assert!(net.enter(Side::Appliance, || Steer::adopt(&config)).expect("looks").is_none(), "nothing works there");
    let steer = attach(&net, |_| {});
    assert!(steer.pins().is_attached().expect("reads"));
    steer.detach().expect("detaches");
    assert!(!is_bpffs(&config.bpffs).expect("looks"));
}

#[test]
fn a_strangers_program_is_left_alone() {
    let Some(net) = TestNet::new("txdp", "a_strangers_program_is_left_alone") else { return };
    let config = steer_config(&net, |_| {});
    let program = stranger::load();
    let refused = |mode: &str, remedy: &str| {
        let error = net.enter(Side::Appliance, || Steer::attach(&config)).map(drop).expect_err("refused");
        let text = error.to_string();
        let SteerError::ForeignProgram { program, program_id, .. } = error else { panic!("{text}") };
        assert_eq!(program, "stranger");
        assert!(program_id > 0);
        assert!(text.contains(mode) && text.contains(remedy), "{text}");
        assert!(xdp_program_on(&net), "it is still there");
        assert!(!config.pins_dir().exists(), "nothing of ours stays");
    };
    for (generic, mode, remedy) in [
        (false, "native", "ip link set dev tern0 xdpdrv off"),
        (true, "generic", "ip link set dev tern0 xdpgeneric off"),
    ] {
        net.enter(Side::Appliance, || stranger::attach_by_netlink("tern0", Some(&program), generic));
        refused(mode, remedy);
        // The advice must work.
        let words: Vec<_> = remedy.split(' ').collect();
        assert!(net.command(Side::Appliance, words[0]).args(&words[1..]).status().expect("ip runs").success());
        assert!(!xdp_program_on(&net));
    }
    let link = net.enter(Side::Appliance, || stranger::attach_by_link("tern0", &program));
    refused("native", "bpftool link detach id ");
    drop(link);
    wait_until_detached(&net);

    // Another instance of ours is a stranger too.
    let other = attach(&net, |config| config.bpffs = net.dir().join("other"));
    let error = net.enter(Side::Appliance, || Steer::attach(&config)).map(drop).expect_err("refused");
    assert!(error.to_string().contains("tern_steer"), "{error}");
    other.detach().expect("detaches");

    let steer = attach(&net, |_| {});
    steer.detach().expect("detaches");
}

#[test]
fn native_attach_falls_back_to_generic_with_the_reason() {
    let test = "native_attach_falls_back_to_generic_with_the_reason";
    let Some(net) = TestNet::new("txdp", test) else { return };
    // Native XDP on veth refuses a peer with a large MTU; generic takes it.
    let status = net.command(Side::Peer, "ip").args(["link", "set", "peer0", "mtu", "9000"]).status();
    assert!(status.expect("ip runs").success());
    let error = net
        .enter(Side::Appliance, || {
            Steer::attach(&steer_config(&net, |config| config.attach = AttachPreference::Native))
        })
        .map(drop)
        .expect_err("refused");
    assert!(error.to_string().contains("MTU"), "{error}");
    let steer = attach(&net, |_| {});
    assert_eq!(steer.attach_mode(), "generic");
    let reasons = steer.fallbacks();
    assert!(reasons.iter().any(|reason| reason.contains("generic") && reason.contains("MTU")), "{reasons:?}");
    let mut port = open(&net, &steer, |_| {});
    peer_socket(&net).send(&FrameBuilder::new().udp(SENDER, (GROUP, PORT), b"slow")).expect("sends");
    assert_eq!(receive(&mut port, 1).len(), 1);
    steer.detach().expect("detaches");
}

#[test]
fn pins_of_another_version_are_refused() {
    let Some(net) = TestNet::new("txdp", "pins_of_another_version_are_refused") else { return };
    use libbpf_rs::{MapCore, MapFlags, MapHandle};
    let steer = attach(&net, |_| {});
    let facts = MapHandle::from_pinned_path(steer.pins().dir().join(names::FACTS)).expect("opens");
    let mut value = facts.lookup(&[0; 4], MapFlags::ANY).expect("reads").expect("is there");
    value[..2].copy_from_slice(&77u16.to_ne_bytes());
    facts.update(&[0; 4], &value, MapFlags::ANY).expect("writes");
    let error = SteerPins::open(steer.pins().dir(), &[0]).map(drop).expect_err("refused");
    let said = format!("have layout version 77, this program knows {}", tern_abi::steer::STEER_VERSION);
    assert!(error.to_string().contains(&said), "{error}");
    let config = steer_config(&net, |_| {});
    assert!(net.enter(Side::Appliance, || Steer::adopt(&config)).expect("looks").is_none());
    let error = SteerPins::open(Path::new("/nowhere"), &[0]).map(drop).expect_err("refused");
    assert!(matches!(error, SteerError::Pin { .. }), "{error}");
    let error = net
        .enter(Side::Appliance, || Steer::attach(&steer_config(&net, |config| config.interface = "nosuch0".into())))
        .map(drop)
        .expect_err("refused");
    assert!(matches!(error, SteerError::NoInterface(_)), "{error}");
    steer.detach().expect("detaches");
}
