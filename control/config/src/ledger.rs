//! The ledger of a firm: what each instance may use of each allotted limit now. One file, written whole under a lock.
//!
//! At every moment the sum of what instances may use is no more than the firm's total, also when whoever writes dies between
//! two writes. A move takes from one instance and gives to another in three steps: the ledger says that it began, and
//! from then on the one may set no more than what will be left to it; its daemon tightens the limit in force, and
//! sees it confirmed; the ledger gives the amount to the other, in one write. A move that stops half way is finished, or
//! undone: then nothing was given.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::firm::{ALLOTTED, Firm};

/// Layout of the file.
const VERSION: u32 = 1;
/// How long the lock is waited for: a holder has it as long as a data plane takes to take a command.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// What each instance has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    version: u32,
    /// Whose it is.
    pub firm: String,
    /// By instance and limit, in the limit's unit.
    pub held: BTreeMap<String, BTreeMap<String, i64>>,
    /// What was begun and is neither finished nor undone.
    pub moving: Option<Move>,
}

/// A move of an allotment, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// One of [`ALLOTTED`].
    pub limit: String,
    /// The instance that it is taken from.
    pub from: String,
    /// The instance that it is given to.
    pub to: String,
    /// How much, in the limit's unit.
    pub amount: i64,
    /// Why.
    pub why: String,
    /// Who began it.
    pub uid: u32,
}

impl Ledger {
    /// That of a firm whose instances have their first allotments.
    pub fn first(firm: &Firm) -> Self {
        let held = firm.instance.iter().map(|member| (member.name.clone(), member.allotment.clone()));
        Self { version: VERSION, firm: firm.firm.name.clone(), held: held.collect(), moving: None }
    }

    /// Whether it fits the firm: the same instances, every limit, and no sum above the total.
    ///
    /// # Errors
    /// What does not, by how much, and what to do.
    pub fn check(&self, firm: &Firm) -> Result<(), String> {
        let to_do = "put the firm file right, or with every instance of the firm stopped remove the ledger: then the first \
                     allotments count again";
        if self.version != VERSION || self.firm != firm.firm.name {
            return Err(format!(
                "it is version {} of `{}`, and not {VERSION} of `{}`; {to_do}",
                self.version, self.firm, firm.firm.name
            ));
        }
        let mut known: Vec<&String> = firm.instance.iter().map(|member| &member.name).collect();
        known.sort();
        if !self.held.keys().eq(known.iter().copied()) {
            let held: Vec<&String> = self.held.keys().collect();
            return Err(format!("it is of the instances {held:?}, and the firm file of {known:?}; {to_do}"));
        }
        for limit in ALLOTTED {
            let mut sum = 0_i128;
            for (instance, held) in &self.held {
                match held.get(limit) {
                    Some(amount) if *amount >= 0 => sum += i128::from(*amount),
                    _ => return Err(format!("it has no {limit} for {instance}; {to_do}")),
                }
            }
            let total = i128::from(firm.total_of(limit));
            if sum > total {
                return Err(format!(
                    "{limit}: the instances have {sum} together, {} more than the total {total}; {to_do}",
                    sum - total
                ));
            }
        }
        match &self.moving {
            Some(moving) => self.fits(moving),
            None => Ok(()),
        }
    }

    /// The highest value of `limit` that `instance` may set; `None` for what is not allotted, or not to it.
    pub fn ceiling(&self, instance: &str, limit: &str) -> Option<i64> {
        let held = *self.held.get(instance)?.get(limit)?;
        let leaving = self.moving.as_ref().filter(|moving| moving.from == instance && moving.limit == limit);
        Some(held - leaving.map_or(0, |moving| moving.amount))
    }

    /// What of `limit` no instance has.
    pub fn left(&self, firm: &Firm, limit: &str) -> i64 {
        let held = self.held.values().filter_map(|held| held.get(limit));
        held.fold(firm.total_of(limit), |left, held| left.saturating_sub(*held))
    }

    fn fits(&self, moving: &Move) -> Result<(), String> {
        let Move { limit, from, to, amount, .. } = moving;
        if !ALLOTTED.contains(&limit.as_str()) {
            return Err(format!("`{limit}` is not allotted; these are: {}", ALLOTTED.join(", ")));
        }
        let held = |instance: &str| {
            let held = self.held.get(instance).and_then(|held| held.get(limit));
            held.copied().ok_or_else(|| format!("the firm has no instance `{instance}`"))
        };
        let (has, gets) = (held(from)?, held(to)?);
        if from == to {
            return Err(format!("from {from} to itself is no move"));
        }
        // One at least stays: no limit is 0.
        if *amount < 1 || *amount >= has {
            return Err(format!(
                "{amount} of {limit} cannot be taken from {from}, which has {has}: 1 to {} can",
                has - 1
            ));
        }
        gets.checked_add(*amount).map(drop).ok_or_else(|| format!("{to} would have more than can be counted"))
    }

    fn begin(&mut self, wanted: Move) -> Result<(), String> {
        if let Some(moving) = &self.moving {
            return Err(format!(
                "a move of {} {} from {} to {} is half done: `tern firm finish` or `tern firm undo` first",
                moving.amount, moving.limit, moving.from, moving.to
            ));
        }
        self.fits(&wanted)?;
        self.moving = Some(wanted);
        Ok(())
    }

    fn finish(&mut self) {
        let Some(moving) = self.moving.take() else { return };
        for (instance, amount) in [(&moving.from, -moving.amount), (&moving.to, moving.amount)] {
            if let Some(held) = self.held.get_mut(instance).and_then(|held| held.get_mut(&moving.limit)) {
                *held += amount;
            }
        }
    }
}

/// Where a ledger is kept.
pub trait Store {
    /// What was written last.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&mut self) -> io::Result<Option<Ledger>>;
    /// Puts `ledger` in its place, whole or not at all, so that it survives whoever writes.
    ///
    /// # Errors
    /// Why it cannot be written; it may be there all the same.
    fn write(&mut self, ledger: &Ledger) -> io::Result<()>;
}

/// Why a move was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// Nothing was done.
    Refused(String),
    /// It stopped half way: the ledger says whether it was begun, and then it can be finished or undone.
    Half(String),
}

/// Moves what `wanted` says, or without it what was begun. `tighten` brings the limit in force of the one it is taken from to
/// no more than it is given, and returns when that is confirmed.
///
/// # Errors
/// Where it stopped, and why.
pub fn carry_out(
    store: &mut impl Store,
    firm: &Firm,
    wanted: Option<Move>,
    tighten: impl FnOnce(&Move, i64) -> Result<(), String>,
) -> Result<Ledger, MoveError> {
    let mut ledger = read_checked(store, firm).map_err(MoveError::Refused)?;
    if let Some(wanted) = wanted {
        ledger.begin(wanted).map_err(MoveError::Refused)?;
        store.write(&ledger).map_err(|error| MoveError::Half(format!("the ledger cannot be written: {error}")))?;
    }
    let Some(moving) = ledger.moving.clone() else {
        return Err(MoveError::Refused("no move is half done".into()));
    };
    let ceiling = ledger.ceiling(&moving.from, &moving.limit).unwrap_or(0);
    tighten(&moving, ceiling).map_err(MoveError::Half)?;
    ledger.finish();
    store.write(&ledger).map_err(|error| MoveError::Half(format!("the ledger cannot be written: {error}")))?;
    Ok(ledger)
}

/// Forgets a move that is half done: nothing was given yet. What was tightened stays so until somebody loosens it.
///
/// # Errors
/// There is none, or the ledger cannot be read or written.
pub fn undo(store: &mut impl Store, firm: &Firm) -> Result<Move, String> {
    let mut ledger = read_checked(store, firm)?;
    let moving = ledger.moving.take().ok_or("no move is half done")?;
    store.write(&ledger).map_err(|error| format!("the ledger cannot be written: {error}"))?;
    Ok(moving)
}

/// The ledger, if it is there and fits the firm.
///
/// # Errors
/// That it is not, or does not.
pub fn read_checked(store: &mut impl Store, firm: &Firm) -> Result<Ledger, String> {
    let ledger = store.read().map_err(|error| format!("the ledger cannot be read: {error}"))?;
    let ledger = ledger.ok_or("there is no ledger: no ternd of the firm runs, or somebody removed it")?;
    ledger.check(firm).map(|()| ledger)
}

/// Reads the ledger at `path` without its lock, to look at; `None` when there is none.
///
/// # Errors
/// What the file system reported, or that the file holds something else.
pub fn look(path: &Path) -> io::Result<Option<Ledger>> {
    crate::facts::read(path)
}

/// The ledger's file, with its lock held.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    _lock: File,
}

impl Locked {
    /// Takes the lock of the ledger at `path`; its folder is made where there is none.
    ///
    /// # Errors
    /// What the file system reported, or that another process has held it for too long.
    pub fn take(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Beside it: the ledger itself is another file with every write.
        let lock = OpenOptions::new().create(true).write(true).truncate(false).open(path.with_extension("lock"))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_path_buf(), _lock: lock }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "another ternd of the firm holds its lock"));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Store for Locked {
    fn read(&mut self) -> io::Result<Option<Ledger>> {
        look(&self.path)
    }

    fn write(&mut self, ledger: &Ledger) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(ledger)?;
        text.push(b'\n');
        let fresh = self.path.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
