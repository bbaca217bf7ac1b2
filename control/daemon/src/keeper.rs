//! Looks after what lies on the disk already, in a thread of its own that runs when nothing else wants to: it seals
//! days that ended while the daemon ran on, makes the index of each segment that is finished, and now and then of the one that is being written, compresses those of days
//! before the last one, and deletes those that are not to be kept (`retain.rs`). Whatever it cannot do is said once and costs no record: queries read what has no index. Nobody waits for it: what it was doing when the daemon ends is begun anew by the next.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tern_config::Config;
use tern_config::facts::RetentionFact;
use tern_journal::index::{SoFar, last_day_begins};
use tern_journal::{Index, JournalError, compress, segments_from};

use crate::DaemonError;
use crate::journal;
use crate::retain::Retain;

/// Pause between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether another day has begun: that may read the last segment.
const COLD_EVERY: Duration = Duration::from_secs(20);
/// Pause before a seal that could not be made is tried again: the last day is read for it.
const SEAL_AGAIN: Duration = Duration::from_secs(20);
/// Room that compressing leaves.
const SPARE_BYTES: u64 = 64 << 20;
/// How often it is asked whether the daemon ends.
const TURN: Duration = Duration::from_millis(20);

pub(crate) struct Keeper {
    config: Config,
    stop: &'static AtomicBool,
    /// Numbers of segments with which a day ended.
    days: Receiver<u64>,
    /// Segments up to here have their index.
    indexed: u64,
    so_far: SoFar,
    /// Segments up to here were looked at for compression.
    compressed: u64,
    cold_due: Instant,
    /// Of those numbers, the ones whose day has no seal yet.
    unsealed: VecDeque<u64>,
    seal_due: Instant,
    retain: Retain,
    /// What was said last, of each step.
    troubles: Troubles,
}

#[derive(Default)]
struct Troubles {
    seal: String,
    index: String,
    compress: String,
}

/// What came of a step.
enum Step {
    Done,
    /// Nothing was due: whether it can be done again is not known.
    NotDue,
}

/// Whether a segment of so many bytes can be compressed, or indexed, beside itself with room left for what is written meanwhile.
fn has_room(free: u64, segment_bytes: u64) -> bool {
    free >= segment_bytes.saturating_mul(2).saturating_add(SPARE_BYTES)
}

/// Bytes free where `folder` is, if the system says.
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(found.blocks_available() as u64 * found.fragment_size() as u64)
}

/// Says it, unless it was what was said last.
pub(crate) fn say(trouble: &mut String, text: String) {
    if text != *trouble {
        tracing::warn!("{text}");
    }
    *trouble = text;
}

impl Keeper {
    /// Begins to look after the journal of `config`, until `stop` is set.
    pub(crate) fn start(
        config: &Config,
        days: Receiver<u64>,
        retention: Arc<Mutex<Option<RetentionFact>>>,
        stop: &'static AtomicBool,
    ) -> Result<(), DaemonError> {
        let keeper = Self {
            config: config.clone(),
            stop,
            days,
            indexed: 0,
            so_far: SoFar::default(),
            compressed: 0,
            cold_due: Instant::now(),
            unsealed: VecDeque::new(),
            seal_due: Instant::now(),
            retain: Retain::new(config, retention),
            troubles: Troubles::default(),
        };
        let thread = thread::Builder::new().name("keeper".into());
        thread
            .spawn(|| keeper.run())
            .map(drop)
            .map_err(DaemonError::io("starting the thread that looks after the journal"))
    }

    fn run(mut self) {
        if let Err(why) = tern_hw::pin::when_idle() {
            tracing::warn!("what looks after the journal competes with everything else: {why}");
        }
        let mut due = Instant::now();
        while !self.ends() {
            if Instant::now() >= due {
                self.turn();
                due = Instant::now() + LOOK_EVERY;
            }
            thread::sleep(TURN);
        }
    }

    fn ends(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn turn(&mut self) {
        self.seal();
        match self.index() {
            Ok(()) => self.troubles.index.clear(),
            Err(error) => say(&mut self.troubles.index, format!("a segment has no index yet: {error}")),
        }
        match self.compress() {
            Ok(Step::Done) => self.troubles.compress.clear(),
            Ok(Step::NotDue) => {}
            Err(error) => say(&mut self.troubles.compress, format!("a finished segment is not compressed: {error}")),
        }
        self.retain.turn();
    }

    /// Seals the days that ended, and tries again those whose seal could not be written.
    fn seal(&mut self) {
        let before = self.unsealed.len();
        self.unsealed.extend(self.days.try_iter());
        // One that ended just now does not wait for the others.
        if self.unsealed.len() == before && Instant::now() < self.seal_due {
            return;
        }
        let folder = &self.config.paths.journal;
        let mut again = VecDeque::new();
        for segment in std::mem::take(&mut self.unsealed) {
            match journal::try_keep_seal(folder, tern_journal::seal_through(folder, segment)) {
                Ok(_) => self.troubles.seal.clear(),
                Err(error) => {
                    let text = error.to_string();
                    if text != self.troubles.seal {
                        journal::not_sealed(&error);
                    }
                    self.troubles.seal = text;
                    // A full disk has room again some day; what is damaged stays so.
                    if matches!(error, JournalError::Io { .. }) {
                        again.push_back(segment);
                    }
                }
            }
        }
        self.unsealed = again;
        self.seal_due = Instant::now() + SEAL_AGAIN;
    }

    /// Segments of days before the last one: what a data plane reads that starts again is left as it is.
    fn compress(&mut self) -> Result<Step, JournalError> {
        // Only what is indexed: both read all of the segment, and queries come first.
        let is_due = Instant::now() >= self.cold_due && self.compressed < self.indexed;
        if !self.config.journal.compress || !is_due {
            return Ok(Step::NotDue);
        }
        self.cold_due = Instant::now() + COLD_EVERY;
        let folder = self.config.paths.journal.clone();
        let begins = last_day_begins(&folder)?;
        let day = if begins == 0 { 1 } else { *segments_from(&folder, begins)?.start() };
        let first = *segments_from(&folder, 0)?.start();
        for number in (self.compressed + 1).max(first)..day.min(self.indexed + 1) {
            self.seal();
            if self.ends() {
                return Ok(Step::NotDue);
            }
            let bytes = segment_bytes(&folder, number);
            if free_bytes(&folder).is_some_and(|free| !has_room(free, bytes)) {
                let text = "compressing waits for room on the disk: twice a segment and 64 MiB";
                say(&mut self.troubles.compress, text.into());
                return Ok(Step::NotDue);
            }
            let outcome = compress(&folder, number);
            // What cannot be compressed is tried again by the next daemon; those behind it are not to wait.
            self.compressed = number;
            match outcome {
                Ok(Some(done)) => {
                    tracing::info!(segment = number, before = done.before, after = done.after, "compressed");
                }
                Ok(None) => {}
                Err(JournalError::Damaged(damage)) => {
                    tracing::warn!("a finished segment is never compressed, as it is damaged: {damage}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Step::Done)
    }

    fn index(&mut self) -> Result<(), JournalError> {
        let folder = self.config.paths.journal.clone();
        let segments = segments_from(&folder, 0)?;
        // The last one is being written.
        let last = *segments.end();
        for number in (self.indexed + 1).max(*segments.start())..last {
            self.seal();
            if self.ends() {
                return Ok(());
            }
            match Index::open(&folder, number) {
                Ok(index) if !index.is_kept() => {
                    index.write()?;
                    tracing::debug!(segment = number, records = index.records(), "indexed");
                }
                Ok(_) => {}
                // Those behind it are not to wait, and this one is not read again.
                Err(JournalError::Damaged(damage)) => {
                    tracing::warn!("a finished segment has no index, as it is damaged: {damage}");
                }
                Err(error) => return Err(error),
            }
            self.indexed = number;
        }
        // Records come first where there is little room.
        let bytes = segment_bytes(&folder, last);
        if free_bytes(&folder).is_none_or(|free| has_room(free, bytes)) && self.so_far.turn(&folder, last)? {
            tracing::debug!(segment = last, bytes, "indexed so far");
        }
        Ok(())
    }
}

fn segment_bytes(folder: &Path, number: u64) -> u64 {
    std::fs::metadata(folder.join(segment_name(number))).map_or(0, |facts| facts.len())
}

/// The name of a segment's file.
fn segment_name(number: u64) -> String {
    format!("{number:08}.journal")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::sync::mpsc;
    use tern_abi::record::{Kind, RecordHeader};
    use tern_journal::{Options, Writer};

    #[test]
    fn compressing_leaves_room_for_what_is_written_meanwhile() {
        assert!(has_room(SPARE_BYTES + 20, 10));
        assert!(!has_room(SPARE_BYTES + 19, 10));
        assert!(!has_room(1 << 40, u64::MAX));
    }

    /// A journal of three days' ends in a folder of its own, and its keeper.
    fn keeper(name: &str) -> (Keeper, mpsc::Sender<u64>) {
        static STOP: AtomicBool = AtomicBool::new(false);
        let folder = std::env::temp_dir().join(format!("tern-keeper-{name}-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).expect("a temporary folder");
        let text = "[instance]\nname = \"keeper\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n";
        let mut config = Config::parse(&folder.join("c.toml"), text).unwrap_or_else(|problems| panic!("{problems}"));
        config.paths.journal = folder;
        let (mut writer, _) = Writer::open(&config.paths.journal, Options::new("keeper")).expect("empty");
        for seq in 1..=4 {
            let body = [seq as u8; 64];
            let header = RecordHeader { seq, tai_ns: seq, kind: Kind::State as u16, flags: 0, body_bytes: 64 };
            writer.append(&header, &body).expect("room");
            writer.seal().expect("a disk");
        }
        let (told, days) = mpsc::channel();
        let now = Instant::now();
        let retain = Retain::new(&config, Arc::default());
        let keeper = Keeper {
            config,
            stop: &STOP,
            days,
            indexed: 0,
            so_far: SoFar::default(),
            compressed: 0,
            cold_due: now,
            unsealed: VecDeque::new(),
            seal_due: now,
            retain,
            troubles: Troubles::default(),
        };
        (keeper, told)
    }

    #[test]
    fn a_damaged_segment_keeps_none_behind_it_from_its_index() {
        let (mut keeper, _told) = keeper("damaged");
        let folder = keeper.config.paths.journal.clone();
        let path = folder.join(segment_name(2));
        let mut bytes = fs::read(&path).expect("there");
        let at = bytes.windows(64).position(|body| body == [2; 64]).expect("the record");
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("ours");
        keeper.turn();
        let has_index = |number: u64| folder.join(format!("{number:08}.index")).exists();
        assert_eq!([1, 2, 3].map(has_index), [true, false, true]);
        assert_eq!(keeper.indexed, 3, "it is not read again");
        fs::remove_dir_all(&folder).ok();
    }

    #[test]
    fn the_segment_that_is_being_written_has_its_index_once_it_has_grown_and_another_when_it_is_finished() {
        let (mut keeper, _told) = keeper("so-far");
        let folder = keeper.config.paths.journal.clone();
        let (mut writer, _) = Writer::open(&folder, Options::new("keeper")).expect("whole");
        let body = [0; 4096];
        let mut seq = 4;
        let mut write = |writer: &mut Writer, records: u64| {
            for _ in 0..records {
                seq += 1;
                let header = RecordHeader { seq, tai_ns: seq, kind: Kind::Datagram as u16, flags: 0, body_bytes: 4096 };
                writer.append(&header, &body).expect("room");
            }
            writer.flush().expect("a disk");
        };
        let known = || Index::open(&folder, 5).expect("whole").is_kept();
        let index = || fs::metadata(folder.join("00000005.index")).ok().map(|facts| facts.ino());
        write(&mut writer, 2000);
        keeper.turn();
        assert_eq!(index(), None, "8 MiB are not there yet");
        write(&mut writer, 100);
        keeper.turn();
        let first = index();
        assert!(first.is_some() && !known(), "what lies behind the last mark is not in it");
        write(&mut writer, 1000);
        keeper.turn();
        assert_eq!(index(), first, "it has not grown by enough");
        write(&mut writer, 1100);
        keeper.turn();
        let second = index();
        assert_ne!(second, first);
        writer.seal().expect("a disk");
        write(&mut writer, 1);
        keeper.turn();
        assert!(index() != second && known());
        assert_eq!(Index::check(&folder, 5).expect("whole"), Some(true));
        fs::remove_dir_all(&folder).ok();
    }

    #[test]
    fn a_seal_that_cannot_be_written_is_tried_again_and_one_that_is_there_is_left() {
        let (mut keeper, told) = keeper("seal");
        let folder = keeper.config.paths.journal.clone();
        // A file where the folder is to be: nothing can be written there.
        fs::write(folder.join("seals"), "").expect("ours");
        told.send(2).expect("heard");
        keeper.turn();
        assert_eq!(keeper.unsealed, [2]);
        assert!(!keeper.troubles.seal.is_empty());
        fs::remove_file(folder.join("seals")).expect("ours");
        keeper.turn();
        assert_eq!(keeper.unsealed, [2], "not at once");
        keeper.seal_due = Instant::now();
        keeper.turn();
        assert!(keeper.unsealed.is_empty() && keeper.troubles.seal.is_empty());
        let seals = || -> Vec<_> {
            let files = fs::read_dir(folder.join("seals")).expect("made").map(|file| file.expect("there").path());
            files.collect()
        };
        assert_eq!(seals().len(), 1);
        let file = || fs::metadata(&seals()[0]).expect("there").ino();
        let before = file();
        told.send(2).expect("heard");
        keeper.turn();
        assert_eq!((seals().len(), file()), (1, before), "no other is put in its place");
        fs::remove_dir_all(&folder).ok();
    }
}
