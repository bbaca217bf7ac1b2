//! Several instances on one interface: one program, each with queues of its own, and none that disturbs another.

mod support;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use support::*;
use tern_abi::steer::SteerCounter;
use tern_ebpf::{AttachPreference, Steer, SteerConfig, SteerCounts, SteerError, Subscription};
use tern_hw::port::{FrameBatch, Port};
use tern_hw::testnet::{FrameBuilder, RawSocket, Side, TestNet};
use tern_hw::xdp::XdpPort;

/// The instance whose run folder is `owner`, on one queue; who else lives is what `lives` says.
fn instance(net: &TestNet, owner: &str, queue: u32, lives: fn(&Path) -> bool) -> SteerConfig {
    steer_config(net, |config| {
        (config.owner, config.queues, config.lives) = (owner.into(), vec![queue], lives);
    })
}

fn attached(net: &TestNet, config: &SteerConfig) -> Steer {
    net.enter(Side::Appliance, || Steer::attach(config)).expect("attaches")
}

fn refused(net: &TestNet, config: &SteerConfig) -> (SteerError, String) {
    let error = net.enter(Side::Appliance, || Steer::attach(config)).map(drop).expect_err("refused");
    let text = error.to_string();
    (error, text)
}

fn programs_on(net: &TestNet) -> bool {
    let output = net.command(Side::Appliance, "ip").args(["link", "show", "dev", "tern0"]).output().expect("ip runs");
    String::from_utf8_lossy(&output.stdout).contains("prog/xdp")
}

/// A source port whose datagrams to `port` come in where `steer` counts what `is_it` says: which queue a flow takes is the kernel's
/// choice.
fn flow(peer: &RawSocket, port: u16, steer: &Steer, is_it: fn(&SteerCounts) -> bool) -> (Ipv4Addr, u16) {
    for from in 41_000..41_256 {
        let before = steer.pins().counters().expect("reads");
        peer.send(&FrameBuilder::new().udp((SENDER.0, from), (GROUP, port), b"where?")).expect("sends");
        std::thread::sleep(Duration::from_millis(20));
        if is_it(&steer.pins().counters().expect("reads").since(&before)) {
            return (SENDER.0, from);
        }
    }
    panic!("no flow comes there");
}

#[test]
fn instances_share_a_program_and_get_what_is_theirs() {
    let Some(net) = TestNet::with_queues("txdp", "instances_share_a_program_and_get_what_is_theirs", 2) else { return };
    let all_live: fn(&Path) -> bool = |_| true;
    let b = attached(&net, &instance(&net, "/run/b", 1, all_live));
    let wanted = |stream, line| Subscription { group: GROUP, port: PORT, stream, line };
    b.pins().subscribe(wanted(2, 1)).expect("subscribes");
    let peer = peer_socket(&net);
    // It wants the group on queue 1, where it has no socket yet.
    let to_0 = flow(&peer, PORT, &b, |counts| counts.get(SteerCounter::PassOtherQueue) == 1);
    let to_1 = flow(&peer, PORT, &b, |counts| counts.get(SteerCounter::PassNoSocket) == 1);
    let send = |from, port| peer.send(&FrameBuilder::new().udp(from, (GROUP, port), b"tick")).expect("sends");

    // What came astray on a queue that is nobody's is told to everybody, and stays told when somebody takes the queue.
    let before = b.pins().counters().expect("reads");
    send(to_0, PORT);
    assert_counted(&b, &before, &[(SteerCounter::PassOtherQueue, 1)]);
    let before = b.pins().counters().expect("reads");
    let a = attached(&net, &instance(&net, "/run/a", 0, all_live));
    assert_eq!(b.pins().counters().expect("reads"), before, "a counter never goes down");
    assert_eq!(a.pins().facts(), b.pins().facts(), "one program");
    assert_eq!(a.leftovers(), [] as [String; 0]);
    let owners: Vec<_> = a.pins().claims().expect("reads").into_iter().collect();
    assert_eq!(owners, [(0, "/run/a".into()), (1, "/run/b".into())]);

    // The same group, to each as its own stream, from its own queue; and what only one wants.
    a.pins().subscribe(wanted(1, 0)).expect("subscribes");
    a.pins().subscribe(Subscription { port: PORT + 1, ..wanted(3, 0) }).expect("subscribes");
    a.pins().add_address(OWN).expect("adds the address");
    assert_eq!(b.pins().subscriptions().expect("reads"), [wanted(2, 1)]);
    assert_eq!(a.pins().subscriptions().expect("reads").len(), 2);
    let mut port_a = open(&net, &a, |_| {});
    let mut port_b = open(&net, &b, |config| config.queue = 1);
    let counts = || [&a, &b].map(|steer| steer.pins().counters().expect("reads"));
    let got = |port: &mut XdpPort| {
        let record = receive(port, 1)[0].0;
        (record.stream, record.line, record.queue)
    };
    let before = counts();
    send(to_0, PORT);
    send(to_1, PORT);
    assert_eq!((got(&mut port_a), got(&mut port_b)), ((1, 0, 0), (2, 1, 1)));
    assert_counted(&a, &before[0], &[(SteerCounter::RedirectUdp, 1)]);
    assert_counted(&b, &before[1], &[(SteerCounter::RedirectUdp, 1)]);
    let unwanted_to_1 = flow(&peer, PORT + 2, &b, |counts| counts.total() == 1);
    let wanted_to_1 = flow(&peer, PORT + 1, &b, |counts| counts.total() == 1);
    let before = counts();
    send(unwanted_to_1, PORT + 2);
    assert_counted(&b, &before[1], &[(SteerCounter::PassUnsubscribed, 1)]);
    send(wanted_to_1, PORT + 1);
    assert_counted(&b, &before[1], &[(SteerCounter::PassUnsubscribed, 1), (SteerCounter::PassOtherQueue, 1)]);
    assert_eq!(a.pins().counters().expect("reads"), before[0], "what came on another's queue is that one's");
    // ARP, which a NIC brings to whichever queue it likes, has a counter of its own: nothing is wrong with the feed.
    let arp = FrameBuilder::new().arp(1, SENDER.0, OWN);
    let before = counts();
    peer.send(&arp).expect("sends");
    let deadline = Instant::now() + PATIENCE;
    let arp_of = |steer: &Steer, before: &SteerCounts| {
        let since = steer.pins().counters().expect("reads").since(before);
        (since.get(SteerCounter::RedirectArp), since.get(SteerCounter::PassArpOtherQueue))
    };
    while ![((1, 0), (0, 0)), ((0, 0), (0, 1))].contains(&(arp_of(&a, &before[0]), arp_of(&b, &before[1]))) {
        assert!(Instant::now() < deadline, "{:?} {:?}", arp_of(&a, &before[0]), arp_of(&b, &before[1]));
    }
    let mut batch = FrameBatch::default();
    std::thread::sleep(Duration::from_millis(20));
    port_a.receive(&mut batch);
    (0..batch.len()).for_each(|index| port_a.release(batch.take(index).expect("just received")));
    assert!(!b.pins().remove_address(OWN).expect("looks") && a.pins().remove_address(OWN).expect("removes"));
    assert!(b.pins().unsubscribe(GROUP, PORT).expect("unsubscribes"));
    assert_eq!(a.pins().subscriptions().expect("reads").len(), 2, "each has its own");
    b.pins().subscribe(wanted(2, 1)).expect("subscribes");

    // Who wants what cannot be had is told whose it is, and nothing changes.
    let (error, text) = refused(&net, &instance(&net, "/run/c", 1, all_live));
    assert!(matches!(error, SteerError::Taken { queue: 1, .. }) && text.contains("/run/b"), "{text}");
    let generic = SteerConfig { attach: AttachPreference::Generic, ..instance(&net, "/run/c", 7, all_live) };
    let (error, text) = refused(&net, &generic);
    assert!(matches!(error, SteerError::Unfit { .. }) && text.contains("/run/a, /run/b"), "{text}");
    let (error, text) = refused(&net, &instance(&net, "/run/c", 256, all_live));
    assert!(matches!(error, SteerError::Queue { queue: 256, .. }), "{text}");
    let elsewhere = SteerConfig { bpffs: net.dir().join("elsewhere"), ..instance(&net, "/run/c", 7, all_live) };
    let (error, text) = refused(&net, &elsewhere);
    assert!(matches!(error, SteerError::ForeignProgram { .. }) && text.contains("`paths.bpf`"), "{text}");
    assert!(!elsewhere.bpffs.exists(), "nothing of ours stays");

    // One crashes: the other goes on, nothing of the first is left to it, and the first comes back.
    let program = b.pins().facts().program_id;
    drop((a, port_a));
    let before = b.pins().counters().expect("reads");
    for _ in 0..100 {
        send(to_1, PORT);
    }
    assert_eq!(receive(&mut port_b, 100).len(), 100, "undisturbed");
    let config = instance(&net, "/run/a", 0, all_live);
    assert!(net.enter(Side::Appliance, || Steer::adopt(&config)).expect("looks").is_some(), "its data plane may live");
    let a = attached(&net, &config);
    assert_eq!(a.leftovers(), ["cleared queue 0 of /run/a, which is gone"]);
    assert_eq!((a.pins().facts().program_id, a.pins().subscriptions().expect("reads").len()), (program, 0));
    send(to_1, PORT);
    assert_eq!(receive(&mut port_b, 1).len(), 1);
    assert_counted(&b, &before, &[(SteerCounter::RedirectUdp, 101)]);

    // Nor does it hear of what comes in while the first comes back, again and again.
    let before = b.pins().counters().expect("reads");
    let (a, sent) = std::thread::scope(|scope| {
        let comes_back = scope.spawn(|| {
            (0..200).fold(a, |a, _| {
                drop(a);
                attached(&net, &config)
            })
        });
        let mut sent = 0;
        while !comes_back.is_finished() {
            send(to_0, PORT);
            sent += 1;
        }
        (comes_back.join().expect("comes back"), sent)
    });
    assert_eq!(b.pins().counters().expect("reads"), before, "{sent} datagrams meanwhile");

    // One leaves, then the last: what a dead one has does not keep the program.
    drop(a);
    drop(port_b);
    let a_is_dead: fn(&Path) -> bool = |owner| owner != Path::new("/run/a");
    drop(b);
    let c = attached(&net, &instance(&net, "/run/c", 0, a_is_dead));
    assert!(c.leftovers()[0].starts_with("cleared queue 0 of /run/a"), "{:?}", c.leftovers());
    let b = net.enter(Side::Appliance, || Steer::adopt(&instance(&net, "/run/b", 1, a_is_dead)));
    let b = b.expect("looks").expect("it is there");
    c.detach().expect("leaves");
    assert!(programs_on(&net) && b.pins().is_attached().expect("reads"), "b still has it");
    assert_eq!(b.pins().claims().expect("reads").len(), 1);
    assert_eq!(b.pins().subscriptions().expect("reads"), [wanted(2, 1)]);
    b.detach().expect("detaches");
    let deadline = Instant::now() + PATIENCE;
    while programs_on(&net) {
        assert!(Instant::now() < deadline, "the link stays");
    }
    assert!(!net.dir().join("bpf").exists());
}

#[test]
fn instances_that_start_and_stop_at_the_same_moment_do_not_lose_one_another() {
    let test = "instances_that_start_and_stop_at_the_same_moment_do_not_lose_one_another";
    let Some(net) = TestNet::with_queues("txdp", test, 2) else { return };
    std::thread::scope(|scope| {
        for queue in 0..6 {
            let net = &net;
            scope.spawn(move || {
                let config = instance(net, &format!("/run/{queue}"), queue, |_| true);
                for _ in 0..8 {
                    let steer = attached(net, &config);
                    let mine = Subscription { group: GROUP, port: PORT, stream: queue as u16, line: 0 };
                    steer.pins().subscribe(mine).expect("subscribes");
                    assert!(steer.pins().is_attached().expect("reads"), "it lasts as long as one uses it");
                    assert_eq!(steer.pins().subscriptions().expect("reads"), [mine]);
                    assert_eq!(steer.pins().claims().expect("reads").get(&queue), Some(&config.owner));
                    net.enter(Side::Appliance, || steer.detach()).expect("leaves");
                }
            });
        }
    });
    assert!(!programs_on(&net), "the last one took it off");
    assert!(!net.dir().join("bpf").exists());
}
