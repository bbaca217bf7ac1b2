//! `tern xdp why GROUP:PORT`: walks the way of a packet from the wire to the book, and names the first thing that explains
//! why a stream is silent.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tern_abi::counters::LoopCounter;
use tern_abi::steer::COUNTERS_OF_NOBODY;

use super::evidence::Evidence;
use super::frame::Shape;
use super::look::STUCK_NS;
use crate::outcome::{Failure, Outcome, exit};
use crate::table::grouped;
use crate::target::Target;

/// What a step of the way came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is wrong here.
    Fine,
    /// It is not how it should be, and is not why the stream is silent.
    Odd,
    /// It could not be looked at.
    Unknown,
    /// This is why, by its name.
    Cause(&'static str),
}

/// One step of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    name: &'static str,
    verdict: Verdict,
    /// What was seen.
    evidence: String,
    /// What to do; empty when there is nothing to be done.
    todo: String,
}

fn step(name: &'static str, verdict: Verdict, evidence: impl Into<String>, todo: impl Into<String>) -> Step {
    Step { name, verdict, evidence: evidence.into(), todo: todo.into() }
}

fn fine(name: &'static str, evidence: impl Into<String>) -> Step {
    step(name, Verdict::Fine, evidence, "")
}

/// # Errors
/// Exit code 2: what was asked for is no group and port, or no interface is known.
pub(crate) fn why(target: &Target, stream: (Ipv4Addr, u16), seconds: f64) -> Result<Outcome, Failure> {
    let (group, port) = stream;
    let evidence = Evidence::gather(target, group, port, seconds).map_err(Failure::usage)?;
    let steps = walk(&evidence);
    let cause = steps.iter().find_map(|step| match step.verdict {
        Verdict::Cause(name) => Some((name, step)),
        _ => None,
    });
    let arrived = evidence.line().map_or(0, |line| line.datagrams);
    let mut text = String::new();
    for step in &steps {
        let mark = match step.verdict {
            Verdict::Fine => "ok",
            Verdict::Odd => "odd",
            Verdict::Unknown => "unknown",
            Verdict::Cause(_) => "CAUSE",
        };
        let _ = writeln!(text, "{mark:<8} {:<12} {}", step.name, step.evidence);
        if !step.todo.is_empty() {
            let _ = writeln!(text, "{:<21} -> {}", "", step.todo);
        }
    }
    let said = match &cause {
        Some((name, step)) => format!("{group}:{port} is silent: {name}: {}", step.evidence),
        None => format!("{group}:{port} arrives: {} datagrams in {:.1} s", grouped(arrived), evidence.seconds),
    };
    let _ = writeln!(text, "\n{said}");
    let json = json!({
        "group": group,
        "port": port,
        "seconds": evidence.seconds,
        "stream": evidence.configured.map(|(stream, _)| stream),
        "line": evidence.configured.map(|(_, line)| line),
        "datagrams": arrived,
        "cause": cause.map(|(name, _)| name),
        "steps": steps.iter().map(step_json).collect::<Vec<_>>(),
    });
    let code = if cause.is_some() { exit::UNHEALTHY } else { exit::OK };
    Ok(Outcome { text, json, code })
}

fn step_json(step: &Step) -> Value {
    let (verdict, cause) = match step.verdict {
        Verdict::Fine => ("ok", None),
        Verdict::Odd => ("odd", None),
        Verdict::Unknown => ("unknown", None),
        Verdict::Cause(name) => ("cause", Some(name)),
    };
    json!({ "step": step.name, "verdict": verdict, "cause": cause, "evidence": step.evidence, "todo": step.todo })
}

/// A step's look at what was gathered.
type Walk = fn(&Evidence) -> Step;

/// All steps in the order of the way. Those behind one that lets nothing through are not walked.
fn walk(evidence: &Evidence) -> Vec<Step> {
    let mut steps = Vec::new();
    // With whether it is of XDP alone.
    let all: [(bool, Walk); 10] = [
        (false, interface),
        (true, program),
        (false, form),
        (true, subscription),
        (true, queue),
        (true, sockets),
        (false, looping),
        (false, arrival),
        (false, session),
        (false, sequence),
    ];
    for (is_of_xdp, one) in all {
        if is_of_xdp && !evidence.look.is_xdp {
            continue;
        }
        steps.push(one(evidence));
        if matches!(steps.last().map(|step| &step.verdict), Some(Verdict::Cause(_))) {
            break;
        }
    }
    steps
}

fn interface(evidence: &Evidence) -> Step {
    let name = &evidence.look.interface;
    let is = "interface";
    match &evidence.after.link {
        Err(why) => step(is, Verdict::Cause("interface_missing"), why, "name the right one in port.interface"),
        Ok(link) if !link.is_up => {
            step(is, Verdict::Cause("interface_down"), format!("`{name}` is down"), format!("`ip link set {name} up`"))
        }
        Ok(link) if !link.has_carrier => step(
            is,
            Verdict::Cause("no_carrier"),
            format!("`{name}` is up and has no carrier"),
            "look at cable, optics and the switch's port",
        ),
        Ok(_) => {
            let packets = evidence.added("link", "rx_packets").unwrap_or(0);
            fine(is, format!("`{name}` is up; {} packets came in {:.1} s", grouped(packets), evidence.seconds))
        }
    }
}

fn program(evidence: &Evidence) -> Step {
    let is = "program";
    match &evidence.look.programs {
        Err(why) => step(is, Verdict::Unknown, why, ""),
        Ok(programs) if programs.is_empty() => step(
            is,
            Verdict::Cause("no_program"),
            "no XDP program is attached",
            "start ternd, which attaches it; if it runs, somebody detached it: restart it",
        ),
        Ok(programs) => {
            match (programs.iter().find(|program| program.is_ours), programs.first(), &evidence.look.pins) {
                (Some(ours), ..) => fine(is, format!("{} (id {}), {}, is ours", ours.name, ours.id, ours.hook)),
                // Ours, perhaps: who may not open the pins cannot tell.
                (None, Some(other), Err(why)) if evidence.look.has_pins => {
                    step(is, Verdict::Unknown, format!("{} (id {}); the pins: {why}", other.name, other.id), "")
                }
                (None, Some(other), Ok(pins)) if pins.facts.program_id == other.id => step(
                    is,
                    Verdict::Cause("no_queue"),
                    format!(
                        "{} (id {}) serves other instances, and none of its queues is this one's",
                        other.name, other.id
                    ),
                    "start ternd, which joins it",
                ),
                (None, Some(other), _) => step(
                    is,
                    Verdict::Cause("foreign_program"),
                    format!("another program is attached: {} (id {}), {}", other.name, other.id, other.hook),
                    match other.link {
                        Some(link) => {
                            format!("find out whose it is, then `bpftool link detach id {link}` and restart ternd")
                        }
                        None => format!(
                            "find out whose it is, then `ip link set dev {} xdp off` and restart ternd",
                            evidence.look.interface
                        ),
                    },
                ),
                (None, None, _) => step(is, Verdict::Unknown, "nothing is known of it", ""),
            }
        }
    }
}

/// Frames of the group that the program does not look into.
fn form(evidence: &Evidence) -> Step {
    let is = "form";
    let got = |is_it: fn(&Shape) -> bool| evidence.kernel_got(is_it);
    if let Err(why) = &evidence.kernel {
        return step(is, Verdict::Unknown, why, "");
    }
    let depth = got(|shape| matches!(shape, Shape::VlanDepth(_)));
    let (fragments, options) = (got(|shape| *shape == Shape::Fragment), got(|shape| *shape == Shape::Options));
    let truncated = got(|shape| *shape == Shape::Truncated);
    // A few beside a stream that arrives are not why it is silent.
    let cause = |name| if evidence.line().is_some() { Verdict::Odd } else { Verdict::Cause(name) };
    if depth > 0 {
        let what = format!("{} frames of the group have more than two VLAN tags", grouped(depth));
        return step(is, cause("vlan_depth"), what, "have the switch take tags off this port");
    }
    if fragments > 0 {
        let what = format!("{} fragments of the group: fragments are left to the kernel", grouped(fragments));
        return step(is, cause("fragments"), what, "the source's datagrams are longer than its path's MTU: mend that");
    }
    if options > 0 {
        let what = format!("{} packets of the group have IPv4 options", grouped(options));
        return step(is, cause("ip_options"), what, "have the source, or what is between, send without");
    }
    if truncated > 0 {
        let what = format!("{} packets of the group are shorter than they say", grouped(truncated));
        return step(is, cause("truncated"), what, "look at what is between source and NIC");
    }
    fine(is, "no fragments, options or deep VLAN tags came to the kernel")
}

fn subscription(evidence: &Evidence) -> Step {
    let (is, group, port) = ("subscription", evidence.group, evidence.port);
    let pins = match &evidence.look.pins {
        Err(why) => return step(is, Verdict::Unknown, format!("the map is not read: {why}"), ""),
        Ok(pins) => pins,
    };
    let Some(found) = pins.subscriptions.iter().find(|known| (known.group, known.port) == (group, port)) else {
        let others: Vec<u16> =
            pins.subscriptions.iter().filter(|known| known.group == group).map(|known| known.port).collect();
        return match (evidence.configured, others.as_slice()) {
            (Some(_), _) => step(
                is,
                Verdict::Cause("not_subscribed"),
                "the configuration has it, the map has not",
                "restart ternd: it subscribes at its start",
            ),
            (None, []) => step(
                is,
                Verdict::Cause("not_subscribed"),
                "neither the map nor the configuration has it",
                "add a [[feed]] with this group and port, and restart",
            ),
            (None, others) => step(
                is,
                Verdict::Cause("wrong_port"),
                format!("the group is subscribed with port {others:?}, not with {port}"),
                "correct [[feed]] port, or ask for the right one",
            ),
        };
    };
    if let Some((stream, line)) = evidence.configured.filter(|wanted| *wanted != (found.stream, found.line)) {
        return step(
            is,
            Verdict::Cause("other_stream"),
            format!(
                "the map gives it stream {} line {}, the configuration {stream} line {line}",
                found.stream, found.line
            ),
            "restart ternd: it subscribes at its start",
        );
    }
    let elsewhere: Vec<u16> = (evidence.kernel.iter().flatten())
        .filter_map(|(shape, _)| if let Shape::Udp(to) = shape { Some(*to) } else { None })
        .filter(|to| *to != port && !evidence.other_ports.contains(to))
        .collect();
    let here = evidence.kernel_got(|shape| *shape == Shape::Udp(port)) > 0 || evidence.line().is_some();
    match elsewhere.is_empty() || here {
        true => fine(is, format!("in the map, as stream {} line {}", found.stream, found.line)),
        false => step(
            is,
            Verdict::Cause("wrong_port"),
            format!("the group's datagrams come to port {elsewhere:?}, none to {port}"),
            "correct [[feed]] port, and restart",
        ),
    }
}

fn queue(evidence: &Evidence) -> Step {
    let is = "queue";
    if evidence.look.data_plane.is_none() {
        return step(
            is,
            Verdict::Cause("no_data_plane"),
            "no data plane runs: no queue has a socket",
            "`tern status`; ternd starts it",
        );
    }
    let passed = evidence.kernel_got(|shape| *shape == Shape::Udp(evidence.port));
    let no_socket = evidence.added("steer", "pass_no_socket").unwrap_or(0);
    let no_room = evidence.added("steer", "pass_no_headroom").unwrap_or(0);
    let astray: u64 = evidence.astray.values().sum();
    let queues = &evidence.look.queues;
    let of = evidence.look.rx_queues.map_or_else(String::new, |all| format!(" of {all}"));
    let has = format!("sockets on queues {queues:?}{of}");
    let name = &evidence.look.interface;
    if passed > 0 && astray > 0 {
        return step(
            is,
            Verdict::Cause("wrong_queue"),
            format!(
                "{} of its datagrams came to the kernel; frames that are wanted on another queue came on {} ({has})",
                grouped(passed),
                astray_text(evidence)
            ),
            format!(
                "steer it: `ethtool -N {name} flow-type udp4 dst-ip {} dst-port {} action {}`, or put the queue into port.queues",
                evidence.group,
                evidence.port,
                queues.first().copied().unwrap_or(0)
            ),
        );
    }
    if passed > 0 && no_room > 0 && no_socket == 0 {
        let what = format!("{} frames without room for the record", grouped(no_room));
        return step(
            is,
            Verdict::Cause("no_headroom"),
            what,
            "the driver leaves no headroom: use attach = \"generic\"",
        );
    }
    if passed > 0 && no_socket > 0 {
        return step(
            is,
            Verdict::Cause("no_socket"),
            format!(
                "{} of its datagrams came on a queue of ours without a socket ({has}; pass_no_socket +{no_socket})",
                grouped(passed)
            ),
            "see dataplane.log: the data plane opens one on each of port.queues at its start",
        );
    }
    let odd = if no_socket > 0 || astray > 0 { Verdict::Odd } else { Verdict::Fine };
    let also = if astray > 0 { format!("; others came astray on {}", astray_text(evidence)) } else { String::new() };
    step(is, odd, format!("{has}; pass_no_socket +{no_socket}{also}"), "")
}

/// On which queues frames came that are wanted on others, and whose those are.
fn astray_text(evidence: &Evidence) -> String {
    let claims = evidence.look.pins.as_ref().ok().map(|pins| &pins.claims);
    let one = |(queue, added): (&u32, &u64)| {
        let place =
            if *queue == COUNTERS_OF_NOBODY { "a queue beyond the last".to_owned() } else { format!("queue {queue}") };
        match claims.and_then(|claims| claims.get(queue)) {
            Some(owner) => format!("{place} of {} (+{})", owner.display(), grouped(*added)),
            None => format!("{place}, which is nobody's (+{})", grouped(*added)),
        }
    };
    evidence.astray.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn sockets(evidence: &Evidence) -> Step {
    let is = "rings";
    let added = |name| evidence.added("xdp_statistics", name);
    let Some(dropped) = added("rx_dropped") else {
        let why = evidence.after.sockets.as_ref().err().cloned().unwrap_or_default();
        return step(is, Verdict::Unknown, why, "");
    };
    let (full, empty) = (added("rx_ring_full").unwrap_or(0), added("rx_fill_ring_empty_descs").unwrap_or(0));
    let said = format!("rx_dropped +{dropped}, rx_ring_full +{full}, rx_fill_ring_empty_descs +{empty}");
    let todo =
        "the loop does not come in time: see its core (`tern latency outliers`, isolation), and port.ring_frames";
    let verdict = |name| if evidence.line().is_none() { Verdict::Cause(name) } else { Verdict::Odd };
    match (empty > 0 || full > 0, dropped > 0) {
        (true, _) if empty > 0 => step(is, verdict("fill_ring_empty"), said, todo),
        (true, _) => step(is, verdict("rx_ring_full"), said, todo),
        (false, true) => step(is, verdict("rx_dropped"), said, "frames longer than a buffer: see the MTU"),
        (false, false) => fine(is, said),
    }
}

/// Whether the loop takes what its sockets hold, and knows the stream.
fn looping(evidence: &Evidence) -> Step {
    let is = "loop";
    match evidence.look.beat_age_ns {
        _ if evidence.look.data_plane.is_none() => {
            return step(is, Verdict::Cause("no_data_plane"), "no data plane runs", "`tern status`; ternd starts it");
        }
        Some(age) if age > STUCK_NS => {
            let what = format!("the loop gave no sign of life for {}", crate::table::duration(age));
            return step(is, Verdict::Cause("loop_stuck"), what, "see what its core does; `tern status`");
        }
        _ => {}
    }
    let unknown = evidence.of_loop(LoopCounter::DroppedUnknownStream);
    if unknown > 0 && evidence.line().is_none() {
        return step(
            is,
            Verdict::Cause("unknown_stream"),
            format!("dropped_unknown_stream +{unknown}: no feed reads this stream"),
            "the data plane runs with another configuration than the map: restart both",
        );
    }
    let bad: u64 = [
        LoopCounter::DroppedNoRecord,
        LoopCounter::DroppedRecordVersion,
        LoopCounter::DroppedRecordBad,
        LoopCounter::DroppedOversized,
    ]
    .into_iter()
    .map(|counter| evidence.of_loop(counter))
    .sum();
    if bad > 0 && evidence.line().is_none() {
        let todo = "`tern counters` says which; of a steering record of another version: restart ternd";
        return step(is, Verdict::Cause("bad_frames"), format!("the loop dropped {bad} frames"), todo);
    }
    let took = evidence.of_loop(LoopCounter::FramesReceived);
    fine(is, format!("took {} frames in {:.1} s", grouped(took), evidence.seconds))
}

/// Whether anything arrives at all; where not, whether it was asked for.
fn arrival(evidence: &Evidence) -> Step {
    let is = "arrival";
    let joined = evidence.look.joined.as_ref().map(|joined| joined.contains(&evidence.group));
    let is_multicast = evidence.group.is_multicast();
    let of_kernel = evidence.kernel_got(|_| true);
    if let Some(line) = evidence.line() {
        let what = format!("{} datagrams in {:.1} s", grouped(line.datagrams), evidence.seconds);
        return match joined {
            Ok(false) if is_multicast => {
                let what = format!("{what}, though the group is not joined");
                step(is, Verdict::Odd, what, "the switch floods it; it may stop: restart the data plane, which joins")
            }
            _ => fine(is, what),
        };
    }
    match joined {
        Ok(false) if is_multicast => {
            return step(
                is,
                Verdict::Cause("not_joined"),
                format!("nothing came, and the kernel has not joined the group on `{}`", evidence.look.interface),
                "the data plane joins at its start: restart it, and look for an error of the join in dataplane.log",
            );
        }
        _ => {}
    }
    if let Err(why) = &evidence.recorded {
        return step(is, Verdict::Unknown, why, "");
    }
    if evidence.shed > 0 {
        let what = format!("the capture ring sheds ({} datagrams): the journal cannot tell", evidence.shed);
        return step(is, Verdict::Unknown, what, "see the journal's disk and `tern status`");
    }
    let others: u64 = evidence.added("link", "rx_packets").unwrap_or(0);
    let vlans: Vec<String> = evidence.vlans.iter().map(|(vlan, count)| format!("{vlan}: {count}")).collect();
    let tags = if vlans.is_empty() { String::new() } else { format!("; VLANs {}", vlans.join(", ")) };
    let igmp = if is_multicast { ", the group is joined" } else { "" };
    let (what, todo) = match others {
        0 => ("nothing at all came to the interface", "look at the switch's port, then ask the source"),
        _ => (
            "other packets come, none of this group",
            "ask the source; then the network: IGMP snooping and its querier, the VLAN of the port, ACLs",
        ),
    };
    step(
        is,
        Verdict::Cause("source_silent"),
        format!(
            "{what}{igmp} ({} packets in {:.1} s, {of_kernel} of the group to the kernel{tags})",
            grouped(others),
            evidence.seconds
        ),
        todo,
    )
}

fn session(evidence: &Evidence) -> Step {
    let is = "session";
    let wrong = evidence.of_loop(LoopCounter::DroppedWrongSession);
    let sessions = evidence.line().map(|line| line.sessions.iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let said = format!("sessions {sessions:?} in its packets; dropped_wrong_session +{wrong}");
    let arrived = evidence.line().map_or(0, |line| line.datagrams);
    // Counted of all streams together, and not over the very same while: half as many as came of this one are this one's.
    match wrong > 0 && wrong.saturating_mul(2) >= arrived {
        true => step(
            is,
            Verdict::Cause("wrong_session"),
            said,
            "the source changed its session in the day, or another source sends to this group: ask the venue",
        ),
        false => fine(is, said),
    }
}

fn sequence(evidence: &Evidence) -> Step {
    let is = "sequence";
    let stream = evidence.configured.map(|(stream, _)| stream);
    match stream.and_then(|stream| evidence.look.distrusted.get(&stream)) {
        Some((reason, help)) => step(
            is,
            Verdict::Cause("not_trusted"),
            format!("it arrives, and its books are not trusted: {reason} ({})", help.trim_end_matches('.')),
            "trust does not come back in the session: `tern status` says since when, `tern counters` how much is missing",
        ),
        None => fine(is, format!("gaps +{}", evidence.of_loop(LoopCounter::Gaps))),
    }
}
