//! The pinned maps: what may be changed and read while the program runs, from any process that may open them.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use tern_abi::steer::{STEER_VERSION, SteerCounter, SteerFacts, SubscriptionKey, SubscriptionValue, names};
use zerocopy::{FromBytes, IntoBytes};

use crate::error::SteerError;
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

/// The counters of the XDP program, summed over the CPUs.
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

/// The maps of an attached program, opened through their pins.
#[derive(Debug)]
pub struct SteerPins {
    dir: PathBuf,
    subscriptions: MapHandle,
    own_addresses: MapHandle,
    counters: MapHandle,
    facts: SteerFacts,
}

impl SteerPins {
    /// Opens the pins in `dir` (one folder an interface, as [`crate::SteerConfig::pins_dir`] names it).
    ///
    /// # Errors
    /// [`SteerError::Pin`] when a pin is missing or may not be opened, [`SteerError::Version`] when another version
    /// made them, [`SteerError::Map`] when the facts cannot be read.
    pub fn open(dir: &Path) -> Result<Self, SteerError> {
        let facts = read_facts(&open_map(dir, names::FACTS)?)?;
        if facts.version != STEER_VERSION {
            return Err(SteerError::Version { dir: dir.into(), found: facts.version, expected: STEER_VERSION });
        }
        Ok(Self {
            dir: dir.into(),
            subscriptions: open_map(dir, names::SUBSCRIPTIONS)?,
            own_addresses: open_map(dir, names::OWN_ADDRESSES)?,
            counters: open_map(dir, names::COUNTERS)?,
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
            .map_err(|source| SteerError::Path { operation: "reading the link pin", path, source })
    }

    /// Redirects the datagrams to `group` and `port` from now on, with this stream id and line; replaces earlier ones.
    ///
    /// # Errors
    /// [`SteerError::Map`]; ENOSPC or E2BIG mean that the map is full.
    pub fn subscribe(&self, subscription: Subscription) -> Result<(), SteerError> {
        let key = key_of(subscription.group, subscription.port);
        let value = SubscriptionValue { stream: subscription.stream, line: subscription.line, reserved: 0 };
        self.subscriptions.update(key.as_bytes(), value.as_bytes(), MapFlags::ANY).map_err(|source| SteerError::Map {
            operation: format!("subscribing to {}:{}", subscription.group, subscription.port),
            source,
        })
    }

    /// Passes the datagrams to `group` and `port` to the kernel from now on. Returns whether they were subscribed.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn unsubscribe(&self, group: Ipv4Addr, port: u16) -> Result<bool, SteerError> {
        delete(&self.subscriptions, key_of(group, port).as_bytes(), || format!("unsubscribing from {group}:{port}"))
    }

    /// All subscriptions, sorted.
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
                .map_err(|source| SteerError::Map { operation: "reading the subscriptions".into(), source })?;
            // Gone between the two calls: not subscribed any more.
            let Some(value) = value.and_then(|value| SubscriptionValue::read_from_bytes(&value).ok()) else { continue };
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
        self.own_addresses
            .update(&address.octets(), 1u32.as_bytes(), MapFlags::ANY)
            .map_err(|source| SteerError::Map { operation: format!("adding our address {address}"), source })
    }

    /// Leaves `address` to the kernel from now on. Returns whether it was ours.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn remove_address(&self, address: Ipv4Addr) -> Result<bool, SteerError> {
        delete(&self.own_addresses, &address.octets(), || format!("removing our address {address}"))
    }

    /// The counters, summed over the CPUs.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub fn counters(&self) -> Result<SteerCounts, SteerError> {
        let mut counts = SteerCounts::default();
        for &counter in SteerCounter::ALL {
            let key = (counter.index() as u32).to_ne_bytes();
            let values = self.counters.lookup_percpu(&key, MapFlags::ANY).map_err(|source| SteerError::Map {
                operation: format!("reading the counter {}", counter.name()),
                source,
            })?;
            counts.0[counter.index()] =
                values.iter().flatten().filter_map(|value| u64::read_from_bytes(value).ok()).sum();
        }
        Ok(counts)
    }
}

fn key_of(group: Ipv4Addr, port: u16) -> SubscriptionKey {
    SubscriptionKey { group: group.octets(), port: port.to_be_bytes(), padding: [0; 2] }
}

fn delete(map: &MapHandle, key: &[u8], operation: impl FnOnce() -> String) -> Result<bool, SteerError> {
    match map.delete(key) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == libbpf_rs::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(SteerError::Map { operation: operation(), source }),
    }
}

fn open_map(dir: &Path, name: &str) -> Result<MapHandle, SteerError> {
    let path = dir.join(name);
    MapHandle::from_pinned_path(&path).map_err(|source| SteerError::Pin { path, source })
}

fn read_facts(map: &MapHandle) -> Result<SteerFacts, SteerError> {
    let value = map
        .lookup(&0u32.to_ne_bytes(), MapFlags::ANY)
        .map_err(|source| SteerError::Map { operation: "reading the steering facts".into(), source })?;
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
