//! The pins of the XDP program, read without libbpf: whose queues are whose, what this instance is subscribed to, what was counted.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use tern_abi::steer::{
    CLAIM_BYTES, COUNTERS_OF_NOBODY, QueueClaim, STEER_QUEUES, STEER_VERSION, SteerCounter, SteerFacts,
    SubscriptionKey, SubscriptionValue, names,
};
use tern_config::Paths;
use zerocopy::FromBytes;

/// An entry of the subscription map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subscription {
    pub(crate) group: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) stream: u16,
    pub(crate) line: u8,
}

/// Counts by the name of the outcome.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What was counted at a moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    /// On this instance's queues and on those that are nobody's.
    pub(crate) own: Counts,
    /// Frames by the queue that they came in on while they were wanted on another one, whosever it is.
    pub(crate) astray: BTreeMap<u32, u64>,
}

/// What the pins of an interface say to one instance.
#[derive(Debug)]
pub(crate) struct Pins {
    dir: PathBuf,
    pub(crate) facts: SteerFacts,
    /// The queues that somebody has, with the run folder of whoever it is.
    pub(crate) claims: BTreeMap<u32, PathBuf>,
    /// Those of this instance.
    pub(crate) queues: Vec<u32>,
    /// What is wanted on them.
    pub(crate) subscriptions: Vec<Subscription>,
}

impl Pins {
    /// Whether there are pins for the interface, readable or not.
    pub(crate) fn exist(paths: &Paths, interface: &str) -> bool {
        paths.pins(interface).join(names::FACTS).exists()
    }

    /// # Errors
    /// In words: what could not be read.
    pub(crate) fn read(paths: &Paths, interface: &str) -> Result<Self, String> {
        let dir = paths.pins(interface);
        let wrong = |name: &'static str| move |error| text(&paths.pins(interface), name, &error);
        let facts = Array::<_, [u8; size_of::<SteerFacts>()]>::try_from(Map::Array(open(&dir, names::FACTS)?))
            .and_then(|map| map.get(&0, 0))
            .map_err(wrong(names::FACTS))?;
        let facts = SteerFacts::read_from_bytes(&facts).map_err(|error| text(&dir, names::FACTS, &error))?;
        if facts.version != STEER_VERSION {
            let what = format!("layout version {}, this tern knows {STEER_VERSION}", facts.version);
            return Err(text(&dir, names::FACTS, &what));
        }
        let claims = Array::<_, [u8; CLAIM_BYTES]>::try_from(Map::Array(open(&dir, names::CLAIMS)?))
            .map_err(wrong(names::CLAIMS))?;
        let owner = |queue: u32| {
            let claim = QueueClaim { owner: claims.get(&queue, 0).ok()? };
            let name = claim.name().to_vec();
            (!name.is_empty()).then(|| (queue, PathBuf::from(std::ffi::OsString::from_vec(name))))
        };
        let claims: BTreeMap<u32, PathBuf> = (0..STEER_QUEUES as u32).filter_map(owner).collect();
        let queues: Vec<u32> =
            claims.iter().filter(|(_, owner)| **owner == paths.run).map(|(queue, _)| *queue).collect();
        let subscriptions = subscriptions(&dir, &queues)?;
        Ok(Self { dir, facts, claims, queues, subscriptions })
    }

    /// What the program counted until now, summed over the CPUs.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn counted(&self) -> Result<Counted, String> {
        let name = names::COUNTERS;
        let data = Map::PerCpuArray(open(&self.dir, name)?);
        let map = PerCpuArray::<_, [u64; SteerCounter::COUNT]>::try_from(data)
            .map_err(|error| text(&self.dir, name, &error))?;
        let mut sum = [0; SteerCounter::COUNT];
        let mut astray = BTreeMap::new();
        for row in 0..=COUNTERS_OF_NOBODY {
            let values = map.get(&row, 0).map_err(|error| text(&self.dir, name, &error))?;
            let is_anothers = self.claims.contains_key(&row) && !self.queues.contains(&row);
            for counts in values.iter() {
                let strays = counts[SteerCounter::PassOtherQueue.index()];
                if strays > 0 {
                    *astray.entry(row).or_default() += strays;
                }
                if !is_anothers {
                    sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                }
            }
        }
        let own = SteerCounter::ALL.iter().map(|counter| (counter.name().to_owned(), sum[counter.index()])).collect();
        Ok(Counted { own, astray })
    }
}

fn open(dir: &Path, name: &'static str) -> Result<MapData, String> {
    MapData::from_pin(dir.join(name)).map_err(|error| text(dir, name, &error))
}

fn text(dir: &Path, name: &str, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", dir.join(name).display())
}

fn subscriptions(dir: &Path, queues: &[u32]) -> Result<Vec<Subscription>, String> {
    const PLACE: usize = size_of::<SubscriptionValue>();
    let name = names::SUBSCRIPTIONS;
    let map = HashMap::<_, [u8; size_of::<SubscriptionKey>()], [u8; PLACE * STEER_QUEUES]>::try_from(Map::HashMap(
        open(dir, name)?,
    ))
    .map_err(|error| text(dir, name, &error))?;
    // An entry that goes while they are read is not subscribed any more.
    let entry = |(key, value): ([u8; 8], [u8; PLACE * STEER_QUEUES])| {
        let key = SubscriptionKey::read_from_bytes(&key).ok()?;
        let on = |queue: &u32| {
            let place = value.chunks_exact(PLACE).nth(*queue as usize)?;
            SubscriptionValue::read_from_bytes(place).ok().filter(|value| value.wanted != 0)
        };
        let value = queues.iter().find_map(on)?;
        let port = u16::from_be_bytes(key.port);
        Some(Subscription { group: key.group.into(), port, stream: value.stream, line: value.line })
    };
    let mut found: Vec<Subscription> = map.iter().filter_map(Result::ok).filter_map(entry).collect();
    found.sort_unstable();
    Ok(found)
}
