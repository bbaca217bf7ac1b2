//! The pinned maps: what may be changed and read while the program runs, from any process that may open them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use tern_abi::steer::{
    COUNTERS_OF_NOBODY, STEER_VERSION, SteerCounter, SteerFacts, SubscriptionKey, SubscriptionValue, names,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::claims::Claims;
use crate::error::SteerError;
use crate::lock::SteerLock;
use crate::sys;

/// One entry of the subscription map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscription {
    /// Destination address of the datagrams.
    pub group: Ipv4Addr,
    /// Destination UDP port.
    pub port: u16,
    /// The stream id that their records carry.
    pub stream: u16,
    /// The line of the stream that their records carry: 0 = A, 1 = B.
    pub line: u8,
}

/// Counters of the XDP program, summed over the CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteerCounts([u64; SteerCounter::COUNT]);

impl SteerCounts {
    /// Frames with this outcome.
    pub fn get(&self, counter: SteerCounter) -> u64 {
        self.0[counter.index()]
    }
    /// Every counter with its value, in index order.
    pub fn iter(&self) -> impl Iterator<Item = (SteerCounter, u64)> {
        SteerCounter::ALL.iter().map(|&counter| (counter, self.get(counter)))
    }
    /// What was added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index].wrapping_sub(earlier.0[index])))
    }
    /// All frames that the program saw: each has exactly one outcome.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The maps of an attached program, opened through their pins, as the instance with certain queues sees them: what it subscribes and
/// adds counts on its queues, and of the rest it sees what is nobody's.
#[derive(Debug)]
pub struct SteerPins {
    dir: PathBuf,
    queues: Vec<u32>,
    subscriptions: MapHandle,
    own_addresses: MapHandle,
    counters: MapHandle,
    claims: Claims,
    facts: SteerFacts,
}

impl SteerPins {
    /// Opens the pins in `dir` (one folder an interface, as [`crate::SteerConfig::pins_dir`] names it) for the instance that has
    /// `queues`.
    ///
    /// # Errors
    /// [`SteerError::Pin`] when a pin is missing or may not be opened, [`SteerError::Version`] when another version
    /// made them, [`SteerError::Map`] when the facts cannot be read.
    pub fn open(dir: &Path, queues: &[u32]) -> Result<Self, SteerError> {
        let facts = read_facts(&open_map(dir, names::FACTS)?)?;
        if facts.version != STEER_VERSION {
            return Err(SteerError::Version { dir: dir.into(), found: facts.version, expected: STEER_VERSION });
        }
        Ok(Self {
            dir: dir.into(),
            queues: queues.to_vec(),
            subscriptions: open_map(dir, names::SUBSCRIPTIONS)?,
            own_addresses: open_map(dir, names::OWN_ADDRESSES)?,
            counters: open_map(dir, names::COUNTERS)?,
            claims: Claims::open(dir)?,
            facts,
        })
    }

    /// Where the pins are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the loader chose.
    pub fn facts(&self) -> SteerFacts {
        self.facts
    }

    /// Whether the pinned link still holds the program on its interface; `false` when the link was detached or the
    /// interface is gone.
    ///
    /// # Errors
    /// [`SteerError::Path`] when the pin cannot be opened or read.
    pub fn is_attached(&self) -> Result<bool, SteerError> {
        let path = self.dir.join(names::LINK);
        sys::open_pin(&path)
            .and_then(|link| sys::link_interface(link.as_fd()))
            .map(|index| index != 0 && index == self.facts.interface_index)
            .map_err(|error| SteerError::Path { operation: "reading the link pin", path, error })
    }

    /// The queues that somebody has, with whose they are: what [`crate::SteerConfig::owner`] says.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn claims(&self) -> Result<BTreeMap<u32, PathBuf>, SteerError> {
        self.claims.all()
    }

    /// Redirects the datagrams to `group` and `port` from now on, with this stream id and line; replaces earlier ones.
    ///
    /// # Errors
    /// [`SteerError::Map`]; ENOSPC or E2BIG mean that the map is full.
    pub fn subscribe(&self, subscription: Subscription) -> Result<(), SteerError> {
        let _lock = self.lock()?;
        let key = key_of(subscription.group, subscription.port);
        let value = SubscriptionValue { stream: subscription.stream, line: subscription.line, wanted: 1 };
        let operation = || format!("subscribing to {}:{}", subscription.group, subscription.port);
        set_on(&self.subscriptions, key.as_bytes(), &self.queues, value.as_bytes(), operation).map(drop)
    }

    /// Passes the datagrams to `group` and `port` to the kernel from now on. Returns whether they were subscribed.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn unsubscribe(&self, group: Ipv4Addr, port: u16) -> Result<bool, SteerError> {
        let _lock = self.lock()?;
        let operation = || format!("unsubscribing from {group}:{port}");
        let nothing = SubscriptionValue::default();
        set_on(&self.subscriptions, key_of(group, port).as_bytes(), &self.queues, nothing.as_bytes(), operation)
    }

    /// All subscriptions of ours, sorted.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, SteerError> {
        let mut found = Vec::new();
        for bytes in self.subscriptions.keys() {
            let Ok(key) = SubscriptionKey::read_from_bytes(&bytes) else { continue };
            let value = self
                .subscriptions
                .lookup(&bytes, MapFlags::ANY)
                .map_err(|error| SteerError::Map { operation: "reading the subscriptions".into(), error })?;
            // Gone between the two calls: not subscribed any more.
            let Some(value) = value else { continue };
            let of = |queue: &u32| {
                let place = value.chunks_exact(size_of::<SubscriptionValue>()).nth(*queue as usize)?;
                SubscriptionValue::read_from_bytes(place).ok().filter(|value| value.wanted != 0)
            };
            let Some(value) = self.queues.iter().find_map(of) else { continue };
            found.push(Subscription {
                group: key.group.into(),
                port: u16::from_be_bytes(key.port),
                stream: value.stream,
                line: value.line,
            });
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Redirects TCP to `address`, and the ARP that names it as its target, from now on.
    ///
    /// # Errors
    /// [`SteerError::Map`]; ENOSPC or E2BIG mean that the map is full.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<(), SteerError> {
        let _lock = self.lock()?;
        let operation = || format!("adding our address {address}");
        set_on(&self.own_addresses, &address.octets(), &self.queues, &[1], operation).map(drop)
    }

    /// Leaves `address` to the kernel from now on. Returns whether it was ours.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn remove_address(&self, address: Ipv4Addr) -> Result<bool, SteerError> {
        let _lock = self.lock()?;
        let operation = || format!("removing our address {address}");
        set_on(&self.own_addresses, &address.octets(), &self.queues, &[0], operation)
    }

    /// The counters of our queues and of those that are nobody's, summed over the CPUs. What came in on the queue of another instance
    /// is that one's. They never go down: see [`tern_abi::steer::COUNTERS_OF_NOBODY`].
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn counters(&self) -> Result<SteerCounts, SteerError> {
        let claims = self.claims.all()?;
        let mut sum = SteerCounts::default();
        for row in 0..=COUNTERS_OF_NOBODY {
            if claims.contains_key(&row) && !self.queues.contains(&row) {
                continue;
            }
            for value in self.row(row)? {
                sum.0.iter_mut().zip(counts_in(&value)).for_each(|(sum, count)| *sum += count);
            }
        }
        Ok(sum)
    }

    /// The counters of a row, by CPU.
    fn row(&self, row: u32) -> Result<Vec<Vec<u8>>, SteerError> {
        let found = self.counters.lookup_percpu(&row.to_ne_bytes(), MapFlags::ANY);
        found
            .map(Option::unwrap_or_default)
            .map_err(|error| SteerError::Map { operation: format!("reading the counters of row {row}"), error })
    }

    fn set_row(&self, row: u32, values: &[Vec<u8>]) -> Result<(), SteerError> {
        let written = self.counters.update_percpu(&row.to_ne_bytes(), values, MapFlags::ANY);
        written.map_err(|error| SteerError::Map { operation: format!("writing the counters of row {row}"), error })
    }

    /// Gives our queues to `owner`, with their counters at zero and nothing wanted: what they counted while they were nobody's stays
    /// nobody's, and what they counted for an owner that is gone goes with it. Such a queue passes from hand to hand: were it nobody's
    /// in between, what comes in then would count for everybody. The caller has the lock.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub(crate) fn claim(&self, owner: &Path) -> Result<(), SteerError> {
        self.forget(&self.queues)?;
        let claims = self.claims.all()?;
        let mut nobodys = self.row(COUNTERS_OF_NOBODY)?;
        for queue in &self.queues {
            let counted = self.row(*queue)?;
            if !claims.contains_key(queue) {
                for (sum, value) in nobodys.iter_mut().zip(&counted) {
                    let sums = counts_in(sum).zip(counts_in(value));
                    *sum = sums.flat_map(|(sum, count)| (sum + count).to_ne_bytes()).collect();
                }
            }
            self.set_row(*queue, &zeroed(&counted))?;
            self.claims.set(*queue, Some(owner))?;
        }
        self.set_row(COUNTERS_OF_NOBODY, &nobodys)
    }

    /// Takes everything of some queues out of the maps, and then their claims. The caller has the lock.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub(crate) fn clear(&self, queues: &[u32]) -> Result<(), SteerError> {
        self.forget(queues)?;
        for queue in queues {
            // It counts for everybody as soon as it is nobody's.
            self.set_row(*queue, &zeroed(&self.row(*queue)?))?;
            self.claims.set(*queue, None)?;
        }
        Ok(())
    }

    /// Takes what some queues want out of the maps.
    fn forget(&self, queues: &[u32]) -> Result<(), SteerError> {
        for (map, place) in [(&self.subscriptions, size_of::<SubscriptionValue>()), (&self.own_addresses, 1)] {
            let keys: Vec<Vec<u8>> = map.keys().collect();
            for key in keys {
                set_on(map, &key, queues, &vec![0; place], || "clearing what a queue wanted".into())?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<SteerLock, SteerError> {
        SteerLock::take(self.dir.parent().unwrap_or(&self.dir))
    }
}

fn counts_in(value: &[u8]) -> impl Iterator<Item = u64> {
    value.chunks_exact(size_of::<u64>()).filter_map(|bytes| u64::read_from_bytes(bytes).ok())
}

fn zeroed(values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    values.iter().map(|value| vec![0; value.len()]).collect()
}

/// Writes `place` into the places of `queues` of the value at `key`, which is made where it is missing and goes when no place wants
/// anything. Returns whether one of the places had something.
fn set_on(
    map: &MapHandle,
    key: &[u8],
    queues: &[u32],
    place: &[u8],
    operation: impl Fn() -> String,
) -> Result<bool, SteerError> {
    let failed = |error| SteerError::Map { operation: operation(), error };
    let old = map.lookup(key, MapFlags::ANY).map_err(failed)?;
    let mut value = old.clone().unwrap_or_else(|| vec![0; map.value_size() as usize]);
    let mut had = false;
    for queue in queues {
        let begin = *queue as usize * place.len();
        let Some(at) = value.get_mut(begin..begin + place.len()) else { continue };
        had |= at.iter().any(|byte| *byte != 0);
        at.copy_from_slice(place);
    }
    match value.iter().any(|byte| *byte != 0) {
        true if old.as_ref() != Some(&value) => map.update(key, &value, MapFlags::ANY).map_err(failed)?,
        false if old.is_some() => delete(map, key, operation)?,
        _ => {}
    }
    Ok(had)
}

fn key_of(group: Ipv4Addr, port: u16) -> SubscriptionKey {
    SubscriptionKey { group: group.octets(), port: port.to_be_bytes(), padding: [0; 2] }
}

fn delete(map: &MapHandle, key: &[u8], operation: impl FnOnce() -> String) -> Result<(), SteerError> {
    match map.delete(key) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == libbpf_rs::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(SteerError::Map { operation: operation(), error }),
    }
}

pub(crate) fn open_map(dir: &Path, name: &str) -> Result<MapHandle, SteerError> {
    let path = dir.join(name);
    MapHandle::from_pinned_path(&path).map_err(|error| SteerError::Pin { path, error })
}

fn read_facts(map: &MapHandle) -> Result<SteerFacts, SteerError> {
    let value = map
        .lookup(&0u32.to_ne_bytes(), MapFlags::ANY)
        .map_err(|error| SteerError::Map { operation: "reading the steering facts".into(), error })?;
    // A value of another length is another version's.
    Ok(value.and_then(|value| SteerFacts::read_from_bytes(&value).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_apart_and_added_up() {
        let mut earlier = SteerCounts::default();
        earlier.0[SteerCounter::PassNotIp.index()] = 3;
        let mut later = earlier;
        later.0[SteerCounter::PassNotIp.index()] = 10;
        later.0[SteerCounter::RedirectUdp.index()] = 5;
        let added = later.since(&earlier);
        assert_eq!((added.get(SteerCounter::PassNotIp), added.get(SteerCounter::RedirectUdp)), (7, 5));
        assert_eq!((added.total(), later.total()), (12, 15));
        assert_eq!(added.iter().filter(|(_, count)| *count > 0).count(), 2);
    }

    #[test]
    fn keys_are_in_network_byte_order() {
        let key = key_of(Ipv4Addr::new(233, 54, 12, 111), 26_477);
        assert_eq!(key.as_bytes(), [233, 54, 12, 111, 0x67, 0x6d, 0, 0]);
    }
}
