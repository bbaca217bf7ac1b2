//! What is gathered of one stream over a while: who got its frames, and what was counted meanwhile.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use tern_abi::counters::LoopCounter;
use tern_hw::tap::Tap;

use super::counters::{self, Group};
use super::frame::{Shape, shape};
use super::look::{Look, Moment};
use super::tail::{Line, Tail};
use crate::status::tai_ns;
use crate::target::Target;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// What is known of one stream.
pub(crate) struct Evidence {
    pub(crate) group: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) look: Look,
    pub(crate) after: Moment,
    pub(crate) seconds: f64,
    pub(crate) groups: [Group; 3],
    /// Frames by the queue that they came in on while they were wanted on another.
    pub(crate) astray: BTreeMap<u32, u64>,
    /// What the loop counted meanwhile; none without a segment.
    pub(crate) counted: Option<Vec<u64>>,
    /// Frames to the group that the kernel got, by shape; or why that is not known.
    pub(crate) kernel: Result<BTreeMap<Shape, u64>, String>,
    /// Frames to this group behind VLAN tags that the kernel took off, by VLAN.
    pub(crate) vlans: BTreeMap<u16, u64>,
    /// What the loop recorded, by stream and line; or why that is not known.
    pub(crate) recorded: Result<BTreeMap<(u16, u16), Line>, String>,
    pub(crate) shed: u64,
    /// Stream and line that the configuration gives it.
    pub(crate) configured: Option<(u16, u8)>,
    /// Ports of this group in the configuration.
    pub(crate) other_ports: Vec<u16>,
}

impl Evidence {
    /// Looks for `seconds`.
    ///
    /// # Errors
    /// In words: no interface is known.
    pub(crate) fn gather(target: &Target, group: Ipv4Addr, port: u16, seconds: f64) -> Result<Self, String> {
        let look = Look::take(target)?;
        let mut tap = Tap::open(&look.interface)
            .map_err(|error| format!("frames that the kernel gets: {error} (needs CAP_NET_RAW)"));
        let mut kernel = Ok(BTreeMap::new());
        let mut vlans = BTreeMap::new();
        // What the journal's end has of before is another moment's.
        let since_ns = tai_ns();
        let mut tail = Tail::open(&target.paths.journal);
        let before = Moment::take(target, &look);
        let mut last_round = false;
        loop {
            if let Ok(open) = &mut tap
                && let Err(error) = drain(open, group, &mut kernel, &mut vlans)
            {
                kernel = Err(format!("frames that the kernel gets: {error}"));
            }
            if let Ok(open) = &mut tail
                && let Err(why) = open.read(since_ns, |_| true)
            {
                tail = Err(why);
            }
            if last_round {
                break;
            }
            last_round = before.at.elapsed().as_secs_f64() >= seconds;
            if !last_round {
                sleep(LOOK);
            }
        }
        let after = Moment::take(target, &look);
        if let Err(why) = tap {
            kernel = Err(why);
        }
        let feeds = || target.feeds.iter().filter(|feed| feed.group == group);
        let of_map = look.pins.iter().flat_map(|pins| &pins.subscriptions);
        let counted = (before.counters.zip(after.counters))
            .map(|(then, now)| now.iter().zip(then).map(|(now, then)| now.saturating_sub(then)).collect());
        let strays =
            |moment: &Moment| moment.steer.as_ref().map_or_else(|_| BTreeMap::new(), |found| found.astray.clone());
        let then = strays(&before);
        let astray = (strays(&after).into_iter())
            .map(|(queue, now)| (queue, now.saturating_sub(then.get(&queue).copied().unwrap_or(0))))
            .filter(|(_, added)| *added > 0)
            .collect();
        Ok(Self {
            group,
            port,
            astray,
            seconds: (after.at - before.at).as_secs_f64(),
            groups: counters::groups(&before, &after),
            counted,
            kernel,
            vlans,
            shed: tail.as_ref().map_or(0, |tail| tail.shed),
            recorded: tail.map(|tail| tail.lines),
            configured: feeds().find(|feed| feed.port == port).map(|feed| (feed.stream, feed.line.index())).or_else(
                || {
                    let is_it = |known: &&crate::pins::Subscription| (known.group, known.port) == (group, port);
                    // Without a file the map says what was wanted.
                    of_map
                        .clone()
                        .find(is_it)
                        .filter(|_| target.feeds.is_empty())
                        .map(|known| (known.stream, known.line))
                },
            ),
            other_ports: feeds().map(|feed| feed.port).filter(|other| *other != port).collect(),
            after,
            look,
        })
    }

    /// What was added to a counter of the XDP program, the sockets or the link; none where it could not be read.
    pub(crate) fn added(&self, group: &str, name: &str) -> Option<u64> {
        let rows = self.groups.iter().find(|found| found.name == group)?.rows.as_ref().ok()?;
        rows.iter().find(|row| row.name == name).map(|row| row.added)
    }

    /// What the loop counted meanwhile.
    pub(crate) fn of_loop(&self, counter: LoopCounter) -> u64 {
        self.counted.as_ref().and_then(|counted| counted.get(counter.index()).copied()).unwrap_or(0)
    }

    /// What the loop recorded of this stream and line.
    pub(crate) fn line(&self) -> Option<&Line> {
        let (stream, line) = self.configured?;
        self.recorded.as_ref().ok()?.get(&(stream, line.into()))
    }

    /// Frames to the group that the kernel got, of shapes that `is_it` says.
    pub(crate) fn kernel_got(&self, is_it: impl Fn(&Shape) -> bool) -> u64 {
        self.kernel.iter().flatten().filter(|(shape, _)| is_it(shape)).map(|(_, count)| count).sum()
    }
}

/// Takes what waits in the tap.
fn drain(
    tap: &mut Tap,
    group: Ipv4Addr,
    kernel: &mut Result<BTreeMap<Shape, u64>, String>,
    vlans: &mut BTreeMap<u16, u64>,
) -> std::io::Result<()> {
    /// Of a host whose kernel gets more than can be looked at, a part is looked at.
    const FRAMES_MAX: usize = 4096;
    let Ok(kernel) = kernel else { return Ok(()) };
    for _ in 0..FRAMES_MAX {
        let Some(frame) = tap.take()? else { break };
        if let Some((to, shape)) = shape(frame.bytes, frame.outer_tag.is_some())
            && to == group
        {
            *kernel.entry(shape).or_default() += 1;
            if let Some(tag) = frame.outer_tag {
                *vlans.entry(tag & 0xfff).or_default() += 1;
            }
        }
    }
    Ok(())
}
