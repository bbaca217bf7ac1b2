use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use tern_abi::record::{Kind, Recorder};
use tern_abi::segment::SegmentSizes;
use tern_hw::segment::{DaemonSegment, DataPlaneSegment, SegmentSpec};
use zerocopy::IntoBytes;

use super::*;

/// A journal that can be made to refuse.
#[derive(Clone, Default)]
struct FakeJournal(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    taken: Vec<u64>,
    safe: usize,
    durable: u64,
    refuse_sync: bool,
    refuse_append: bool,
    refuse_flush: bool,
    sealed: bool,
}

impl Sink for FakeJournal {
    type Error = &'static str;
    fn append(&mut self, header: &RecordHeader, _: &[u8]) -> Result<(), Self::Error> {
        let mut state = self.0.borrow_mut();
        if state.refuse_append {
            return Err("No space left on device");
        }
        state.taken.push(header.seq);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), Self::Error> {
        let mut state = self.0.borrow_mut();
        if state.refuse_flush {
            return Err("Input/output error");
        }
        state.safe = state.taken.len();
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Self::Error> {
        if self.0.borrow().refuse_sync {
            return Err("Input/output error");
        }
        let last_seq = self.last_seq();
        self.0.borrow_mut().durable = last_seq;
        Ok(())
    }
    fn seal(&mut self) -> Result<(), Self::Error> {
        self.sync()?;
        self.0.borrow_mut().sealed = true;
        Ok(())
    }
    fn last_seq(&self) -> u64 {
        self.0.borrow().taken.last().copied().unwrap_or(0)
    }
    fn durable_seq(&self) -> u64 {
        self.0.borrow().durable
    }
    fn head(&self) -> HeadFact {
        HeadFact { segment: 3, last_seq: self.durable_seq(), ..HeadFact::default() }
    }
}

/// A segment in a folder of its own, removed at the end.
struct Bench {
    folder: PathBuf,
    config: Config,
    spec: SegmentSpec,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tern-drain-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let text = "[instance]\nname = \"drain\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n";
        let config = Config::parse(&folder.join("c.toml"), text).unwrap_or_else(|problems| panic!("{problems}"));
        let sizes = SegmentSizes { order_slots: 64, order_reserve_slots: 8, capture_bytes: 4096, command_slots: 16 };
        let spec = SegmentSpec { path: Some(folder.join("segment")), sizes, ..SegmentSpec::new("drain") };
        Self { folder, config, spec }
    }
}

impl Bench {
    fn day(&self) -> DayEnd<'_> {
        DayEnd::new(&self.config, || 0, 0, None)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_journal_that_refuses_stops_trading_and_loses_nothing() {
    let bench = Bench::new("refuse");
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let ends = daemon.ends().expect("its ends");
    let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
    let journal = FakeJournal::default();
    let mut drainer = Drainer::new(&bench.config, ends.drain, journal.clone(), bench.day());

    plane.recorder.record(1, Kind::Timer, &[]).expect("room");
    assert_eq!(drainer.turn(&shared), Turn::Moved);
    assert!(!plane.kill.state().killed());

    journal.0.borrow_mut().refuse_append = true;
    let mut published = 1;
    while plane.recorder.record(2, Kind::State, &[&[0; 16]]).is_ok() {
        published += 1;
        assert!(published < 1000, "the ring is never full");
    }
    assert_eq!(drainer.turn(&shared), Turn::Trouble);
    assert_eq!(drainer.turn(&shared), Turn::Trouble);
    assert_eq!((plane.kill.state().killed(), plane.kill.state().kills()), (true, 1), "said once");
    assert_eq!(plane.kill.state().uid(), tern_abi::command::SYSTEM_UID);
    assert_eq!(shared.facts().journal.trouble, "No space left on device");
    assert!(plane.recorder.record(3, Kind::State, &[&[0; 16]]).is_err(), "no space was given back");

    (journal.0.borrow_mut().refuse_append, journal.0.borrow_mut().refuse_flush) = (false, true);
    assert_eq!(drainer.turn(&shared), Turn::Trouble);
    assert!(plane.recorder.record(3, Kind::State, &[&[0; 16]]).is_err(), "taken is not safe");

    journal.0.borrow_mut().refuse_flush = false;
    while drainer.turn(&shared) == Turn::Moved {}
    assert_eq!(shared.facts().journal.trouble, "");
    assert!(plane.recorder.record(4, Kind::State, &[&[0; 16]]).is_ok());
    assert_eq!(drainer.turn(&shared), Turn::Moved);
    let state = journal.0.borrow();
    assert_eq!(state.taken, (1..=published + 1).collect::<Vec<u64>>(), "each once and in order");
    assert_eq!(plane.journaled_seq.get(), published + 1);
}

#[test]
fn what_is_not_on_the_disk_is_not_said_to_be_and_its_ring_space_is_not_given_back() {
    let mut bench = Bench::new("sync");
    bench.config.journal.fsync = Fsync::Batch;
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let ends = daemon.ends().expect("its ends");
    let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
    let journal = FakeJournal::default();
    let mut drainer = Drainer::new(&bench.config, ends.drain, journal.clone(), bench.day());
    plane.recorder.record(1, Kind::Timer, &[]).expect("room");
    assert_eq!(drainer.turn(&shared), Turn::Moved);
    let said =
        |plane: u64| (plane, shared.facts().journal.durable_seq, shared.facts().journal.head.map(|head| head.last_seq));
    assert_eq!(said(plane.durable_seq.get()), (1, 1, Some(1)));

    journal.0.borrow_mut().refuse_sync = true;
    let mut published = 1;
    while plane.recorder.record(2, Kind::State, &[&[0; 16]]).is_ok() {
        published += 1;
        assert!(published < 1000, "the ring is never full");
    }
    for _ in 0..3 {
        assert_eq!(drainer.turn(&shared), Turn::Trouble);
        assert_eq!(said(plane.durable_seq.get()), (1, 1, Some(1)));
        assert!(plane.recorder.record(3, Kind::State, &[&[0; 16]]).is_err(), "no space was given back");
    }
    assert_eq!((plane.kill.state().killed(), plane.kill.state().kills()), (true, 1), "trading is stopped, said once");
    assert_eq!(shared.facts().journal.trouble, "Input/output error");

    journal.0.borrow_mut().refuse_sync = false;
    while drainer.turn(&shared) == Turn::Moved {}
    assert_eq!(said(plane.durable_seq.get()), (published, published, Some(published)));
    assert_eq!(journal.0.borrow().taken, (1..=published).collect::<Vec<u64>>(), "each once and in order");
}

#[test]
fn the_end_takes_what_is_left_and_seals() {
    let bench = Bench::new("end");
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    for seq in 0..20 {
        plane.recorder.record(seq, Kind::Timer, &[]).expect("room");
    }
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let ends = daemon.ends().expect("its ends");
    let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
    shared.stop_draining();
    let journal = FakeJournal::default();
    assert!(Drainer::new(&bench.config, ends.drain, journal.clone(), bench.day()).run(&shared));
    let state = journal.0.borrow();
    assert_eq!((state.taken.len(), state.safe, state.sealed), (20, 20, true));
    assert_eq!((plane.durable_seq.get(), shared.facts().journal.records), (20, 20));
    assert!(plane.daemon_beat.last().1 > 0);
}

#[test]
fn stage_records_are_counted_as_they_pass() {
    let bench = Bench::new("stages");
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let ends = daemon.ends().expect("its ends");
    let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
    let mut drainer = Drainer::new(&bench.config, ends.drain, FakeJournal::default(), bench.day());
    let stages = StageRecord { arrival_ns: 50, stage_ns: [100, 0, 0, 0, 0, 1100, 0], order: 1, ..Default::default() };
    plane.recorder.record(1, Kind::Timer, &[]).expect("room");
    plane.recorder.record(2, Kind::Stages, &[stages.as_bytes()]).expect("room");
    assert_eq!(drainer.turn(&shared), Turn::Moved);
    drainer.shed_due = Instant::now();
    drainer.turn(&shared);
    let latency = shared.latency();
    let counts: Vec<(&str, u64)> =
        latency.spans.iter().map(|span| (span.name.as_str(), span.counts.iter().sum())).collect();
    assert_eq!(counts[..3], [("tick_to_order", 1), ("arrival_to_order", 1), ("arrival_to_seen", 1)]);
    assert_eq!(latency.spans[0].sum_ns, 1000);
}

#[test]
fn what_was_taken_before_trouble_is_forced_to_the_disk_while_it_lasts() {
    let mut bench = Bench::new("during");
    bench.config.journal.fsync = Fsync::Interval;
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let ends = daemon.ends().expect("its ends");
    let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
    let journal = FakeJournal::default();
    let mut drainer = Drainer::new(&bench.config, ends.drain, journal.clone(), bench.day());
    drainer.fsync_every = Duration::from_secs(3600);
    plane.recorder.record(1, Kind::Timer, &[]).expect("room");
    assert_eq!(drainer.turn(&shared), Turn::Moved);

    journal.0.borrow_mut().refuse_append = true;
    plane.recorder.record(2, Kind::Timer, &[]).expect("room");
    assert_eq!(drainer.turn(&shared), Turn::Trouble);
    assert_eq!((journal.0.borrow().durable, plane.durable_seq.get()), (0, 0), "it is not due yet");
    drainer.fsync_every = Duration::ZERO;
    journal.0.borrow_mut().refuse_sync = true;
    assert_eq!(drainer.turn(&shared), Turn::Trouble);
    assert_eq!((journal.0.borrow().durable, plane.durable_seq.get()), (0, 0), "nothing is said that is not so");
    journal.0.borrow_mut().refuse_sync = false;
    assert_eq!(drainer.turn(&shared), Turn::Trouble);
    assert_eq!((journal.0.borrow().durable, plane.durable_seq.get()), (1, 1));
    assert_eq!(shared.facts().journal.trouble, "No space left on device", "the trouble lasts");
    assert_eq!((plane.kill.state().killed(), plane.kill.state().kills()), (true, 1), "said once");
}

#[test]
fn what_lies_before_a_corrupt_record_is_on_the_disk_while_and_after_it_stops_the_drain() {
    // The capture ring may shed, and is no other for it: what was damaged there was neither shed nor counted.
    for (at_once, kind) in [(false, Kind::State), (true, Kind::State), (true, Kind::Datagram)] {
        let mut bench = Bench::new("corrupt");
        bench.config.journal.fsync = Fsync::Interval;
        let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
        let mut plane = plane.ends().expect("its ends");
        let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
        let ends = daemon.ends().expect("its ends");
        let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
        let journal = FakeJournal::default();
        let mut drainer = Drainer::new(&bench.config, ends.drain, journal.clone(), bench.day());
        drainer.fsync_every = Duration::from_secs(if at_once { 0 } else { 3600 });
        plane.recorder.record(1, kind, &[&[0; 16]]).expect("room");
        let time = 0x7E57_0000_7E57_u64;
        plane.recorder.record(time, kind, &[&[0; 16]]).expect("room");
        plane.recorder.record(3, kind, &[&[0; 16]]).expect("room");
        lengthen(&bench.folder.join("segment"), time);

        assert_eq!((drainer.turn(&shared), drainer.turn(&shared)), (Turn::Corrupt, Turn::Corrupt));
        assert!(plane.kill.state().killed());
        let trouble = shared.facts().journal.trouble;
        assert!(trouble.contains("header disagree on its length"), "{trouble}");
        assert_eq!(plane.durable_seq.get(), u64::from(at_once), "as soon as it is due");
        shared.stop_draining();
        assert!(!drainer.run(&shared), "not all of it is in the journal");
        let state = journal.0.borrow();
        assert_eq!((&state.taken[..], state.durable, state.sealed), (&[1][..], 1, false));
        assert_eq!(plane.durable_seq.get(), 1);
    }
}

/// Has the record of this time say that it is longer than its place in the ring.
fn lengthen(segment: &std::path::Path, time: u64) {
    let bytes = std::fs::read(segment).expect("a segment");
    let at = bytes.windows(8).position(|word| word == time.to_ne_bytes()).expect("the record");
    let body_bytes = std::mem::offset_of!(RecordHeader, body_bytes) - std::mem::offset_of!(RecordHeader, tai_ns);
    let file = std::fs::File::options().write(true).open(segment).expect("a segment");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xFF; 2], (at + body_bytes) as u64).expect("room");
}

/// Seconds since 1970 UTC, as a test says.
static CLOCK_S: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_day_that_begins_in_the_middle_finishes_the_segment_once_and_says_so() {
    let bench = Bench::new("day");
    let (told, ended) = mpsc::channel();
    CLOCK_S.store(86_400 * 7 - 1, Ordering::Relaxed);
    let mut day = DayEnd::new(&bench.config, || CLOCK_S.load(Ordering::Relaxed), 0, Some(told));
    let mut journal = FakeJournal::default();
    let mut turn = |clock_s: u64, journal: &mut FakeJournal| {
        CLOCK_S.store(clock_s, Ordering::Relaxed);
        day.look_now();
        let outcome = day.turn(journal);
        (outcome, std::mem::take(&mut journal.0.borrow_mut().sealed))
    };
    assert_eq!(turn(86_400 * 7 - 1, &mut journal), (Ok(false), false));
    // A disk that refuses: it is tried again.
    journal.0.borrow_mut().refuse_sync = true;
    assert_eq!(turn(86_400 * 7, &mut journal), (Err("Input/output error"), false));
    assert!(ended.try_recv().is_err());
    journal.0.borrow_mut().refuse_sync = false;
    assert_eq!(turn(86_400 * 7, &mut journal), (Ok(true), true));
    assert_eq!(ended.try_recv(), Ok(3));
    // Once, and a clock that is set back begins no day.
    for clock_s in [86_400 * 7 + 5, 86_400 * 6, 86_400 * 7 + 5] {
        assert_eq!(turn(clock_s, &mut journal), (Ok(false), false));
    }
    assert_eq!(turn(86_400 * 9, &mut journal), (Ok(true), true));
}

#[test]
fn a_day_that_ended_without_anybody_ends_once_what_waits_in_the_rings_is_taken() {
    let bench = Bench::new("before");
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let ends = daemon.ends().expect("its ends");
    let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
    let (told, ended) = mpsc::channel();
    let day = DayEnd::new(&bench.config, || 86_400 * 7, (86_400 * 7 + 37 - 1) * 1_000_000_000, Some(told));
    let journal = FakeJournal::default();
    let mut drainer = Drainer::new(&bench.config, ends.drain, journal.clone(), day);
    plane.recorder.record(1, Kind::Timer, &[]).expect("room");
    assert_eq!(drainer.turn(&shared), Turn::Moved);
    assert_eq!((ended.try_recv(), &journal.0.borrow().taken[..]), (Ok(3), &[1][..]), "the record went first");
    drainer.day.look_now();
    drainer.turn(&shared);
    assert!(ended.try_recv().is_err(), "once");
}

#[test]
fn a_last_record_of_today_of_tomorrow_or_without_a_time_ends_no_day() {
    let bench = Bench::new("today");
    let mut journal = FakeJournal::default();
    for last_tai_ns in [0, (86_400 * 7 + 37) * 1_000_000_000, 86_400 * 9 * 1_000_000_000, u64::MAX] {
        let mut day = DayEnd::new(&bench.config, || 86_400 * 7 + 5, last_tai_ns, None);
        assert_eq!(day.turn(&mut journal), Ok(false), "{last_tai_ns}");
    }
    assert!(!journal.0.borrow().sealed);
}

#[test]
fn a_run_begins_with_a_segment_of_its_own_and_what_lies_before_it_is_sealed() {
    let bench = Bench::new("run");
    let mut plane = DataPlaneSegment::open(&bench.spec).expect("a segment");
    let mut plane = plane.ends().expect("its ends");
    let mut daemon = DaemonSegment::open(&bench.spec).expect("the segment");
    let ends = daemon.ends().expect("its ends");
    let shared = Shared::new(&bench.config, None, ends.segment, ends.commands);
    let (told, ended) = mpsc::channel();
    let day = DayEnd::new(&bench.config, || 86_400 * 7, 0, Some(told));
    let journal = FakeJournal::default();
    let mut drainer = Drainer::new(&bench.config, ends.drain, journal.clone(), day);
    plane.recorder.record(1, Kind::Timer, &[]).expect("room");
    assert_eq!(drainer.turn(&shared), Turn::Moved);
    assert!(ended.try_recv().is_err() && !journal.0.borrow().sealed);
    plane.recorder.record(2, Kind::Start, &[&[0; 64]]).expect("room");
    // A disk that refuses: the record waits, and nothing is lost or doubled.
    journal.0.borrow_mut().refuse_sync = true;
    assert_eq!(drainer.turn(&shared), Turn::Trouble);
    assert_eq!((&journal.0.borrow().taken[..], ended.try_recv().is_err()), (&[1][..], true));
    journal.0.borrow_mut().refuse_sync = false;
    assert_eq!(drainer.turn(&shared), Turn::Moved);
    assert_eq!((&journal.0.borrow().taken[..], journal.0.borrow().sealed), (&[1, 2][..], true));
    assert_eq!((ended.try_recv(), ended.try_recv().is_err()), (Ok(3), true), "once");
}
