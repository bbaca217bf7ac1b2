//! Deleting the first days of a journal: which may go, what holds them back, and how they go.
//!
//! A day may go once it ended with a segment and has its seal, the next one begins with a run of its own, so many later days
//! are sealed as are to be kept, and every follower is past it. Days are counted as the journal has them: no clock is asked,
//! so that none that runs ahead deletes anything. The last day with a run always stays: recovery and replay need all of it.

use crate::beginning::{Beginning, Deletion, beginning, beginning_path, open_segment};
use crate::follower::{Follower, followers};
use crate::format::segment_path;
use crate::index::{self, Index};
use crate::recover::{last_footer, segment_span, segments_there};
use crate::recovered::{day_begin_of, run_value, start_text};
use crate::scan::{Scan, Step};
use crate::seal::Seal;
use crate::storage::{Storage, write_all};
use crate::verify::Damage;
use crate::{Chain, JournalError, io_error};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tern_abi::record::Kind;

/// What is due and does not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A follower still needs it.
    Follower(Follower),
    /// A segment of it is not what its neighbours say: it is kept as it is.
    Damage(Damage),
    /// No end of a day is there at which it could be cut: a seal is missing, or a run goes on beyond the end of its day.
    NoEnd,
}

/// What is to be deleted of a journal, and what holds back more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the journal begins now.
    pub beginning: Beginning,
    /// `seq` of the first record, and its time, TAI ns; zeros when there is none.
    pub first: (u64, u64),
    /// Its trading day as the first seal says, days since 1970-01-01; `None` when no day of the journal is sealed.
    pub first_day: Option<u32>,
    /// The day that is open: of the last run; `None` also where nothing can be due, which is not asked for then.
    pub open_day: Option<u32>,
    /// Days to be kept.
    pub retain_days: u32,
    /// Days before those, oldest first.
    pub due_days: Vec<u32>,
    /// Seal of the last day that may go now; `None` when none may.
    pub delete: Option<Seal>,
    /// Segments that go with it, and bytes of their files.
    pub segments: u64,
    /// See [`segments`](Self::segments).
    pub bytes: u64,
    /// Why not all that is due goes.
    pub held_by: Vec<Hold>,
    /// Segments that were deleted already and are still there: the deletion was cut.
    pub leftovers: Vec<u64>,
}

/// What may be deleted of the journal in `folder` when the last `retain_days` days that ended are to be kept, besides the one that
/// is open; 0 keeps everything.
///
/// # Errors
/// `Missing`, `Damaged`, `Version`, `Io`.
pub fn plan(folder: &Path, retain_days: u32) -> Result<Plan, JournalError> {
    let beginning = beginning(folder)?;
    let span = segment_span(folder)?;
    let leftovers = segments_there(folder)?.range(..beginning.segment).copied().collect();
    let mut plan = Plan {
        first: (0, 0),
        first_day: None,
        open_day: None,
        retain_days,
        due_days: Vec::new(),
        delete: None,
        segments: 0,
        bytes: 0,
        held_by: Vec::new(),
        leftovers,
        beginning,
    };
    if span.is_empty() {
        return Ok(plan);
    }
    let first = open_segment(folder, *span.start(), &plan.beginning)?;
    plan.first = (first.header().first_seq, first.header().created_tai_ns);
    let instance = first.header().instance();
    let seals: Vec<Seal> = (seals(folder)?.into_iter())
        .filter(|seal| seal.instance == instance && span.contains(&seal.head.segment))
        .collect();
    plan.first_day = seals.first().map(|seal| seal.day);
    let distinct: BTreeSet<u32> = seals.iter().map(|seal| seal.day).collect();
    if retain_days > 0 && distinct.len() <= retain_days as usize {
        // Most looks end here, before anything of a segment is read but its header.
        return Ok(plan);
    }
    let begins = index::last_day_begins(folder)?;
    if begins == 0 {
        return Ok(plan);
    }
    plan.open_day = day_of_run(folder, begins)?;
    let Some(open_day) = plan.open_day.filter(|_| retain_days > 0) else { return Ok(plan) };
    let days: BTreeSet<u32> = seals.iter().map(|seal| seal.day).filter(|day| *day < open_day).collect();
    let kept: BTreeSet<u32> = days.iter().rev().take(retain_days as usize).copied().collect();
    plan.due_days = days.difference(&kept).copied().collect();
    if plan.due_days.is_empty() {
        return Ok(plan);
    }
    // Nothing of a day that is kept, in whatever order days came, nor of the open one.
    let open_segment = crate::reader::segment_near(folder, begins)?;
    let is_kept = |day: u32| day == open_day || kept.contains(&day);
    let kept_from = seals.iter().position(|seal| is_kept(seal.day)).unwrap_or(seals.len());
    let before = seals[..kept_from].iter().filter(|seal| seal.head.segment < open_segment);
    let mut ends = Vec::new();
    for seal in before {
        if is_end_of_day(folder, seal)? {
            ends.push(seal.clone());
        }
    }
    let last_due = plan.due_days.last().copied();
    if ends.last().map(|seal| seal.day) != last_due {
        plan.held_by.push(Hold::NoEnd);
    }
    let Some(wanted) = ends.last() else { return Ok(plan) };
    let last_wanted = wanted.head.last_seq;
    let needing = followers(folder)?.into_iter().filter(|follower| follower.needs_seq <= last_wanted);
    let needing: Vec<Follower> = needing.collect();
    let needed = needing.iter().map(|follower| follower.needs_seq).min().unwrap_or(u64::MAX);
    plan.held_by.extend(needing.into_iter().map(Hold::Follower));
    let Some(seal) = ends.into_iter().rfind(|seal| seal.head.last_seq < needed) else { return Ok(plan) };
    match is_linked(folder, &plan.beginning, &seal, is_kept) {
        Ok(None) if plan.held_by.contains(&Hold::NoEnd) => {}
        Ok(None) => plan.held_by.push(Hold::NoEnd),
        Ok(Some(bytes)) => {
            plan.segments = seal.head.segment + 1 - plan.beginning.segment;
            (plan.bytes, plan.delete) = (bytes, Some(seal));
        }
        Err(JournalError::Damaged(damage)) => plan.held_by.push(Hold::Damage(damage)),
        Err(error) => return Err(error),
    }
    Ok(plan)
}

/// The seals in the folder of the journal that can be read, in its order.
fn seals(folder: &Path) -> Result<Vec<Seal>, JournalError> {
    let folder = folder.join("seals");
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_error(&folder, "list it"))?,
    };
    let mut seals = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error(&folder, "list it"))?.path();
        if path.extension().is_some_and(|extension| extension == "seal") {
            match Seal::read(&path) {
                Ok(seal) => seals.push(seal),
                // One that was changed proves nothing: its day has no end here.
                Err(JournalError::Seal { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    seals.sort_by_key(|seal| (seal.head.segment, seal.head.bytes));
    Ok(seals)
}

/// The day that the body of a start record says.
fn day_in(body: &[u8]) -> Option<u32> {
    run_value(start_text(body)?, "day")?.parse().ok()
}

/// The day of the run that begins with record `seq`, as its start record says.
fn day_of_run(folder: &Path, seq: u64) -> Result<Option<u32>, JournalError> {
    let mut reader = crate::Reader::open_near(folder, seq)?;
    while let Some(record) = reader.next()? {
        if record.header.seq >= seq {
            return Ok(day_in(record.body).filter(|_| record.header.kind == Kind::Start as u16));
        }
    }
    Ok(None)
}

/// Whether the journal, as it is, ends a day where the seal says: with a finished segment that has its chain, and a run behind it
/// with which a later day begins.
fn is_end_of_day(folder: &Path, seal: &Seal) -> Result<bool, JournalError> {
    let head = &seal.head;
    let (path, next) = (segment_path(folder, head.segment), segment_path(folder, head.segment + 1));
    if !path.exists() || !next.exists() {
        return Ok(false);
    }
    let unless_damaged = |outcome: Result<bool, JournalError>| match outcome {
        Err(JournalError::Damaged(_)) => Ok(false),
        other => other,
    };
    unless_damaged((|| {
        let mut scan = Scan::open(&path, head.segment)?;
        let bytes = scan.file_bytes()?;
        let footer = last_footer(&mut scan)?;
        let mut next = Scan::open(&next, head.segment + 1)?;
        let header = *next.header();
        let is_it = (bytes, footer.chain, footer.last_seq) == (head.bytes, head.chain, head.last_seq)
            && (header.previous, header.records_before) == (head.chain, head.records)
            && header.first_seq > head.last_seq;
        let Step::Record { header, body, .. } = next.step()? else { return Ok(false) };
        if !is_it || header.kind != Kind::Start as u16 {
            return Ok(false);
        }
        let body = next.bytes(body);
        Ok(day_begin_of(body, header.seq) == header.seq && day_in(body).is_some_and(|day| day > seal.day))
    })())
}

/// Bytes of the segments up to the seal, which lead from the beginning to it one after the other; `None` when a run of a day that is
/// kept lies among them, of which no seal tells.
fn is_linked(
    folder: &Path,
    beginning: &Beginning,
    seal: &Seal,
    is_kept: impl Fn(u32) -> bool,
) -> Result<Option<u64>, JournalError> {
    let (mut previous, mut bytes): (Chain, u64) = (beginning.previous(), 0);
    for number in beginning.segment..=seal.head.segment {
        let mut scan = open_segment(folder, number, beginning)?;
        if scan.header().previous != previous {
            return Err(JournalError::Damaged(scan.damage("it does not follow the segment before it")));
        }
        previous = last_footer(&mut scan)?.chain;
        let mut index = Index::open(folder, number)?;
        for at in index.starts().collect::<Vec<_>>() {
            let (record, _) = index.record_at(at)?;
            if day_in(record.body).is_some_and(&is_kept) {
                return Ok(None);
            }
        }
        let path = segment_path(folder, number);
        bytes += fs::metadata(&path).map_err(io_error(&path, "look at it"))?.len();
    }
    Ok(Some(bytes))
}

/// Deletes what `plan` says, at `now_tai_ns`; `None` when that is nothing. What an earlier call could not remove goes too.
///
/// One process at a time may do this to a journal. From the moment the file `beginning` has its name the days are no part of the
/// journal; the call can be repeated after an error, with a plan made anew.
///
/// # Errors
/// `Io`: before that moment nothing is changed.
pub fn delete_on<S: Storage>(
    storage: &mut S,
    folder: &Path,
    plan: &Plan,
    now_tai_ns: u64,
) -> Result<Option<Deletion>, JournalError> {
    settle_on(storage, folder)?;
    let Some(seal) = &plan.delete else { return Ok(None) };
    let deletion = Deletion {
        at_tai_ns: now_tai_ns,
        retain_days: plan.retain_days,
        first_segment: plan.beginning.segment,
        first_seq: plan.first.0,
        first_tai_ns: plan.first.1,
        before: plan.beginning.deletion.as_ref().map_or_else(|| "0".repeat(64), Deletion::digest),
        seal: seal.clone(),
    };
    put(storage, folder, &beginning_path(folder), &deletion)?;
    settle_on(storage, folder)?;
    Ok(Some(deletion))
}

/// As [`delete_on`], on the disk of the host.
///
/// # Errors
/// As [`delete_on`].
pub fn delete(folder: &Path, plan: &Plan, now_tai_ns: u64) -> Result<Option<Deletion>, JournalError> {
    delete_on(&mut crate::storage::Disk, folder, plan, now_tai_ns)
}

/// Ends a deletion that was cut: its file among the seals, and then what is left of its segments, oldest first; how many.
///
/// # Errors
/// `Damaged` where the beginning was changed; `Io`.
pub fn settle_on<S: Storage>(storage: &mut S, folder: &Path) -> Result<u64, JournalError> {
    let beginning = beginning(folder)?;
    let Some(deletion) = &beginning.deletion else { return Ok(0) };
    let seals = folder.join("seals");
    let kept = seals.join(deletion.file_name());
    // Before anything is removed: who asks later what went finds it.
    if fs::read(&kept).ok().as_deref() != Some(deletion.to_text().as_bytes()) {
        fs::create_dir_all(&seals).map_err(io_error(&seals, "make it"))?;
        put(storage, &seals, &kept, deletion)?;
    }
    let there = segments_there(folder)?;
    let mut removed = 0;
    for number in there.range(..beginning.segment) {
        if removed == 0 {
            // The name of the beginning is on the disk before the first one goes: who wrote it may not have had the time.
            storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
        }
        let path = segment_path(folder, *number);
        // What was made of it first: a segment that is there leads to it again.
        for made in ["index", "journal.packing"] {
            let made = folder.join(format!("{number:08}.{made}"));
            if made.exists() {
                storage.remove(&made).map_err(io_error(&made, "remove it"))?;
            }
        }
        storage.remove(&path).map_err(io_error(&path, "remove it"))?;
        removed += 1;
    }
    if removed > 0 {
        storage.sync_folder(folder).map_err(io_error(folder, "sync it"))?;
    }
    Ok(removed)
}

/// As [`settle_on`], on the disk of the host.
///
/// # Errors
/// As [`settle_on`].
pub fn settle(folder: &Path) -> Result<u64, JournalError> {
    settle_on(&mut crate::storage::Disk, folder)
}

/// Writes a deletion to `path`, whole or not at all.
fn put<S: Storage>(storage: &mut S, folder: &Path, path: &Path, deletion: &Deletion) -> Result<(), JournalError> {
    let new = path.with_added_extension("new");
    let mut file = storage.create(&new).map_err(io_error(&new, "make it"))?;
    write_all(storage, &mut file, deletion.to_text().as_bytes(), 0)
        .map_err(|(_, error)| io_error(&new, "write it")(error))?;
    storage.sync(&mut file).map_err(io_error(&new, "sync it"))?;
    storage.rename(&new, path).map_err(io_error(&new, "rename it"))?;
    storage.sync_folder(folder).map_err(io_error(folder, "sync it"))
}
