//! What can be known of the way of a packet to the loop: read from the kernel, the pins and the segment, with the loop left
//! alone.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Instant, UNIX_EPOCH};

use aya::programs::links::LinkType;
use aya::programs::{loaded_links, loaded_programs};
use tern_abi::counters::LoopCounter;
use tern_abi::segment::{DISTRUSTED, STREAMS, TRUSTED};
use tern_config::PortKind;
use tern_config::facts::name_at;
use tern_hw::interface;
use tern_hw::link::{Link, link};
use tern_hw::xdp::{SocketLook, sockets_of};

use crate::pins::{Counted, Pins};
use crate::status::tai_ns;
use crate::target::Target;

/// A loop that gave no sign of life for so long, ns, is stuck.
pub(crate) const STUCK_NS: u64 = 2_000_000_000;

/// An XDP program that the interface carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) id: u32,
    pub(crate) hook: &'static str,
    pub(crate) name: String,
    pub(crate) tag: String,
    /// Seconds since 1970, UTC.
    pub(crate) loaded_s: Option<u64>,
    pub(crate) uid: Option<u32>,
    /// Of the link that keeps it attached; none where it was attached without one.
    pub(crate) link: Option<u32>,
    /// It is the one on which this instance has its queues.
    pub(crate) is_ours: bool,
}

/// What moves: looked at twice, it gives rates.
#[derive(Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) link: Result<Link, String>,
    pub(crate) steer: Result<Counted, String>,
    pub(crate) sockets: Result<Vec<SocketLook>, String>,
    /// By index of [`LoopCounter`]; none without a segment.
    pub(crate) counters: Option<[u64; LoopCounter::COUNT]>,
}

/// What stays.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) interface: String,
    pub(crate) is_xdp: bool,
    pub(crate) pins: Result<Pins, String>,
    /// There are pins for the interface, readable or not.
    pub(crate) has_pins: bool,
    pub(crate) programs: Result<Vec<Program>, String>,
    /// RX queues in use.
    pub(crate) rx_queues: Option<u32>,
    /// Queues on which the data plane has its sockets.
    pub(crate) queues: Vec<u32>,
    /// The data plane's process.
    pub(crate) data_plane: Option<u32>,
    /// Age of its last sign of life, ns.
    pub(crate) beat_age_ns: Option<u64>,
    /// Groups that the kernel has joined on the interface.
    pub(crate) joined: Result<Vec<Ipv4Addr>, String>,
    /// Streams that are not trusted, with the reason and what it means.
    pub(crate) distrusted: BTreeMap<u16, (String, String)>,
    /// Streams that are.
    pub(crate) trusted: Vec<u16>,
}

impl Look {
    /// # Errors
    /// In words: no interface is known.
    pub(crate) fn take(target: &Target) -> Result<Self, String> {
        let interface = target.interface_name()?;
        let facts = target.dataplane_facts();
        let is_xdp = match &target.port_wanted {
            Some(port) => port.kind == PortKind::Xdp,
            None => facts.ports.iter().any(|port| port.kind == "xdp"),
        };
        let pins = Pins::read(&target.paths, &interface);
        let ours = pins.as_ref().ok().filter(|pins| !pins.queues.is_empty()).map(|pins| pins.facts.program_id);
        let mut look = Self {
            is_xdp,
            programs: link(&interface)
                .map_err(|error| no_interface(&interface, &error))
                .map(|link| link.programs.iter().map(|(hook, id)| program(id, hook, Some(id) == ours)).collect()),
            has_pins: Pins::exist(&target.paths, &interface),
            pins,
            rx_queues: interface::rx_queues(&interface).ok(),
            queues: Vec::new(),
            data_plane: None,
            beat_age_ns: None,
            joined: joined(&interface),
            distrusted: BTreeMap::new(),
            trusted: Vec::new(),
            interface,
        };
        if let Ok(view) = target.segment()
            && let Ok(words) = view.segment()
            && let Ok(Some(pid)) = view.data_plane()
        {
            look.data_plane = Some(pid);
            // The facts of one that ended are no news.
            if facts.pid == pid && !facts.ports.is_empty() {
                look.queues = facts.ports.iter().map(|port| port.queue).collect();
            } else if let Some(port) = &target.port_wanted {
                look.queues.clone_from(&port.queues);
            }
            let beat = words.data_plane_beat.last().0;
            look.beat_age_ns = Some(beat).filter(|ns| *ns != 0).map(|ns| tai_ns().saturating_sub(ns));
            for stream in 0..STREAMS as u16 {
                match words.trust.get(stream.into()).0 {
                    TRUSTED => look.trusted.push(stream),
                    code if code >= DISTRUSTED => {
                        let index = (code - DISTRUSTED) as usize;
                        let help =
                            facts.names.distrusts.get(index).map_or_else(String::new, |named| named.help.clone());
                        look.distrusted.insert(stream, (name_at(&facts.names.distrusts, index), help));
                    }
                    _ => {}
                }
            }
        }
        Ok(look)
    }
}

impl Moment {
    pub(crate) fn take(target: &Target, look: &Look) -> Self {
        let sockets = match look.data_plane {
            Some(pid) if pid != 0 => sockets_of(pid).map_err(|error| {
                format!("the sockets of process {pid}: {error} (needs the right to trace it: root or CAP_SYS_PTRACE)")
            }),
            _ => Err("no data plane runs".into()),
        };
        let counters = target.segment().ok().and_then(|view| Some(view.segment().ok()?.counters.snapshot()));
        Self {
            link: link(&look.interface).map_err(|error| no_interface(&look.interface, &error)),
            steer: look.pins.as_ref().map_err(Clone::clone).and_then(Pins::counted),
            sockets,
            counters,
            at: Instant::now(),
        }
    }
}

fn no_interface(interface: &str, error: &std::io::Error) -> String {
    format!(
        "interface `{interface}`: {error}; `ip link` lists those of this network namespace, `nsenter --net=/proc/PID/ns/net tern \
         ...` looks in that of process PID"
    )
}

fn program(id: u32, hook: &'static str, is_ours: bool) -> Program {
    let mut found = Program { id, hook, is_ours, ..Program::default() };
    // One that is gone meanwhile, or that we may not ask for, keeps its id.
    if let Some(info) = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id) {
        found.name = info.name_as_str().unwrap_or_default().into();
        found.tag = format!("{:016x}", info.tag());
        found.loaded_s = info.loaded_at().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|age| age.as_secs());
        found.uid = info.created_by_uid();
    }
    let is_its = |info: &aya::programs::links::LinkInfo| {
        info.program_id() == id && info.link_type().is_ok_and(|kind| kind == LinkType::Xdp)
    };
    found.link = loaded_links().filter_map(Result::ok).find(is_its).map(|info| info.id());
    found
}

/// The groups of an interface in `/proc/net/igmp` of the calling thread's network namespace.
fn joined(interface: &str) -> Result<Vec<Ipv4Addr>, String> {
    let path = "/proc/thread-self/net/igmp";
    fs::read_to_string(path).map(|text| parse_igmp(&text, interface)).map_err(|error| format!("{path}: {error}"))
}

fn parse_igmp(text: &str, interface: &str) -> Vec<Ipv4Addr> {
    let mut groups = Vec::new();
    let mut is_its = false;
    for line in text.lines() {
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            is_its = line.split_ascii_whitespace().nth(1) == Some(interface);
        } else if is_its && let Some(word) = line.split_ascii_whitespace().next() {
            // The address as it stands in the packet, read as a number of this host.
            groups.extend(u32::from_str_radix(word, 16).ok().map(|address| Ipv4Addr::from(address.to_ne_bytes())));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_of_the_interface() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                    2\ttern0     :     2      V3\n\t\t\t\t01014DEF     1 0:00000000\t\t0\n\
                    \t\t\t\t010000E0     1 0:00000000\t\t0\n";
        assert_eq!(parse_igmp(text, "tern0"), [Ipv4Addr::new(239, 77, 1, 1), Ipv4Addr::new(224, 0, 0, 1)]);
        assert_eq!(parse_igmp(text, "lo"), [Ipv4Addr::new(224, 0, 0, 1)]);
        assert_eq!(parse_igmp(text, "eth0"), [] as [Ipv4Addr; 0]);
    }
}
