//! Whose the queues of an interface are, and what of the maps goes with a queue.

use std::collections::BTreeMap;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use tern_abi::steer::{QueueClaim, STEER_QUEUES, names};
use zerocopy::{FromBytes, IntoBytes};

use crate::error::SteerError;
use crate::pins::open_map;

/// The pinned claims of an interface.
#[derive(Debug)]
pub(crate) struct Claims {
    map: MapHandle,
}

impl Claims {
    /// # Errors
    /// [`SteerError::Pin`].
    pub(crate) fn open(dir: &Path) -> Result<Self, SteerError> {
        Ok(Self { map: open_map(dir, names::CLAIMS)? })
    }

    /// The queues that somebody has, with whose they are.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub(crate) fn all(&self) -> Result<BTreeMap<u32, PathBuf>, SteerError> {
        let mut owners = BTreeMap::new();
        for queue in 0..STEER_QUEUES as u32 {
            let value = self.map.lookup(&queue.to_ne_bytes(), MapFlags::ANY).map_err(reading)?;
            let claim = value.and_then(|value| QueueClaim::read_from_bytes(&value).ok());
            if let Some(claim) = claim.filter(|claim| !claim.name().is_empty()) {
                owners.insert(queue, PathBuf::from(std::ffi::OsString::from_vec(claim.name().to_vec())));
            }
        }
        Ok(owners)
    }

    /// Gives a queue to an owner, or to nobody.
    ///
    /// # Errors
    /// [`SteerError::Map`].
    pub(crate) fn set(&self, queue: u32, owner: Option<&Path>) -> Result<(), SteerError> {
        let claim = QueueClaim::of(owner.map_or(&[], |owner| owner.as_os_str().as_bytes()));
        let written = self.map.update(&queue.to_ne_bytes(), claim.as_bytes(), MapFlags::ANY);
        written.map_err(|error| SteerError::Map { operation: format!("claiming queue {queue}"), error })
    }
}

fn reading(error: libbpf_rs::Error) -> SteerError {
    SteerError::Map { operation: "reading whose the queues are".into(), error }
}
