//! The likely cause of a sample that took long.

use tern_abi::outlier::OutlierRecord;

use super::{Part, Sample};
use crate::history::kind_name;
use crate::table::{duration, grouped};

/// No code between two stamps takes that long by itself: the loop was not running.
const TAKEN_NS: u64 = 20_000;

/// What most likely took the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No part is longer than usual.
    None,
    /// The kernel's clock was set.
    ClockStep,
    /// The kernel gave the core to another thread.
    CoreTaken,
    /// Other datagrams came with it or before it.
    Burst,
    /// The loop was at one other input.
    Busy,
    /// The order ring had no room.
    RingFull,
    /// Memory that was not there.
    PageFault,
    /// The loop turned and the frame was not there yet.
    Delivery,
    /// A strategy.
    Strategy,
    /// TCP and the system call that kicks the port.
    Transmission,
    /// Lines of memory that no near cache had.
    Memory,
    /// Something took the core that the kernel does not count: an interrupt, the host.
    Host,
}

impl Cause {
    pub(crate) const ALL: [Self; 12] = [
        Self::None,
        Self::ClockStep,
        Self::CoreTaken,
        Self::Burst,
        Self::Busy,
        Self::RingFull,
        Self::PageFault,
        Self::Delivery,
        Self::Strategy,
        Self::Transmission,
        Self::Memory,
        Self::Host,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClockStep => "clock_step",
            Self::CoreTaken => "core_taken",
            Self::Burst => "burst",
            Self::Busy => "busy",
            Self::RingFull => "ring_full",
            Self::PageFault => "page_fault",
            Self::Delivery => "delivery",
            Self::Strategy => "strategy",
            Self::Transmission => "transmission",
            Self::Memory => "memory",
            Self::Host => "host",
        }
    }
}

/// The cause, from what the part says, what the loop did meanwhile, and how things stood; and that for people.
pub(super) fn of(part: Option<&Part>, sample: &Sample) -> (Cause, String) {
    let Some(part) = part else { return (Cause::None, "no part of it is longer than usual".into()) };
    if is_step(part.ns, sample.apart_ns) {
        return (Cause::ClockStep, format!("the kernel's clock was set by {}", duration(sample.apart_ns)));
    }
    if let Some(kept) = &sample.kept
        && let Some(told) = of_kernel(part, sample, kept)
    {
        return told;
    }
    match part.name {
        "wait" => of_wait(part, sample),
        "strategy" => (Cause::Strategy, "the strategy's own time".into()),
        "submitted" => (Cause::Transmission, "TCP, and the system call that kicks the port".into()),
        name => of_work(name, part, sample),
    }
}

/// Whether clocks that are so far apart explain what took so long: a span between stamps of both is longer by just that. Not by
/// what is beyond the median: where clocks stay apart, the median has it as well.
const fn is_step(took_ns: u64, apart_ns: u64) -> bool {
    took_ns > TAKEN_NS && apart_ns >= took_ns / 2 && apart_ns / 2 <= took_ns
}

/// What the kernel is known to have done around it, if that explains it.
fn of_kernel(part: &Part, sample: &Sample, kept: &OutlierRecord) -> Option<(Cause, String)> {
    let excess = part.excess();
    // Many short inputs explain a wait; one long one may have been interrupted itself.
    let is_burst = part.name == "wait" && is_explained(part, sample) && !is_one(part, sample);
    if kept.stood_ns >= excess - excess / 4 && kept.switches > 0 && excess > TAKEN_NS && !is_burst {
        let text = format!(
            "the kernel gave the core to another thread: {} involuntary switches within {}, {} without a core",
            grouped(kept.switches),
            duration(kept.window_ns),
            duration(kept.stood_ns)
        );
        return Some((Cause::CoreTaken, text));
    }
    let is_own = matches!(part.name, "strategy" | "submitted") || part.name == "wait" && is_explained(part, sample);
    // Orders are refused once a quarter of the ring is all that is left, and everything is tried again and again.
    if !is_own && kept.order_slots > 0 && kept.order_used >= kept.order_slots - kept.order_slots / 4 {
        let (used, of) = (grouped(kept.order_used), grouped(kept.order_slots));
        return Some((
            Cause::RingFull,
            format!("{used} of {of} slots of the order ring were in use: ternd did not drain"),
        ));
    }
    if kept.faults > 0 && !is_own && (part.name != "wait" || kept.turn_ns >= excess / 2) {
        let (faults, window) = (grouped(kept.faults), duration(kept.window_ns));
        return Some((Cause::PageFault, format!("{faults} page faults of the loop within {window}")));
    }
    None
}

/// Whether the loop was at other inputs for the better part of a wait: else they came late as well.
fn is_explained(part: &Part, sample: &Sample) -> bool {
    sample.around.total_ns >= part.excess() / 2
}

/// Whether it was one of them above all.
fn is_one(part: &Part, sample: &Sample) -> bool {
    sample.around.longest.is_some_and(|(_, ns)| sample.around.count == 1 || ns >= part.excess() / 2)
}

fn of_wait(part: &Part, sample: &Sample) -> (Cause, String) {
    if let Some((input, took_ns)) = sample.around.longest.filter(|_| is_explained(part, sample)) {
        let (count, kind) = (sample.around.count, kind_name(input.kind));
        if !is_one(part, sample) {
            return (
                Cause::Burst,
                format!("behind a burst: {} inputs were worked off before it", grouped(count as u64)),
            );
        }
        let text = format!("the loop was at {kind} {} ({} bytes) for {}", input.seq, input.bytes, duration(took_ns));
        return (Cause::Busy, text);
    }
    let is_late = sample.around.count > 0;
    let behind = sample.stages.backlog.max(sample.kept.map_or(0, |kept| kept.waiting));
    if let Some(kept) = sample.kept.filter(|kept| kept.place > 0 && !is_late) {
        return (
            Cause::Burst,
            format!("behind a burst: {} frames of its batch of {} came first", kept.place, kept.batch),
        );
    }
    if behind > 0 && !is_late {
        return (Cause::Burst, format!("a burst: {behind} came behind it"));
    }
    match sample.kept {
        Some(kept) if kept.turn_ns < part.excess() / 2 => {
            (Cause::Delivery, "the loop turned meanwhile: the kernel or the card brought the frame late".into())
        }
        _ => (Cause::Host, "the loop was not running: its core was taken, or it slept".into()),
    }
}

fn of_work(name: &str, part: &Part, sample: &Sample) -> (Cause, String) {
    if part.excess() > TAKEN_NS {
        let text = match sample.kept {
            Some(kept) if kept.window_ns > 0 => {
                "the core was taken from the loop, by no thread of this kernel (interrupt, host)"
            }
            _ => "the core was taken from the loop (interrupt, host, page fault)",
        };
        return (Cause::Host, text.into());
    }
    let text = match (name, sample.around.input) {
        ("decoded" | "book", Some(input)) => {
            format!("{} bytes of messages on lines that no near cache had", input.bytes)
        }
        _ => "lines that no near cache had".into(),
    };
    (Cause::Memory, text)
}
