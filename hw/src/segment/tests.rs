//! Segments as files, with roles that come, go and are killed.

use super::*;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tern_abi::record::{Kind, Recorder};
use tern_abi::segment::SegmentError;

const SIZES: SegmentSizes =
    SegmentSizes { order_slots: 1024, order_reserve_slots: 64, capture_bytes: 1 << 16, command_slots: 16 };

/// One test at a time: a child that one starts has the locks of all the others, until it is another program.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A segment of its own for each test, in a directory that goes with it.
struct Place(PathBuf, #[expect(dead_code, reason = "held until the test is over")] MutexGuard<'static, ()>);

impl Place {
    fn new(name: &str) -> (Self, SegmentSpec) {
        let directory = Path::new("/dev/shm").join(format!("tern-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let path = Some(directory.join("segment"));
        (Self(directory, alone()), SegmentSpec { path, sizes: SIZES, ..SegmentSpec::new("test") })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("nothing else is in there");
    }
}

#[test]
fn what_the_data_plane_records_the_daemon_drains_after_both_came_back() {
    let (_place, mut spec) = Place::new("roles");
    spec.first_seq = 7;
    let mut data_plane = DataPlaneSegment::open(&spec).expect("made");
    let mut ends = data_plane.ends().expect("sound");
    ends.recorder.record(1, Kind::State, &[b"one"]).expect("room");
    drop(data_plane);
    let mut data_plane = DataPlaneSegment::open(&spec).expect("there");
    let mut ends = data_plane.ends().expect("sound");
    assert_eq!(ends.runs.get(), 2);
    assert_eq!(ends.recorder.next_seq(), 8);
    ends.recorder.record(2, Kind::Datagram, &[b"two"]).expect("room");

    let mut daemon = DaemonSegment::open(&spec).expect("there");
    assert_eq!(daemon.data_plane().expect("asked"), Some(std::process::id()));
    let mut ends = daemon.ends().expect("sound");
    for (seq, body) in [(7, &b"one"[..]), (8, b"two")] {
        let record = ends.drain.next().expect("sound").expect("published");
        assert_eq!((record.header.seq, record.body), (seq, body));
    }
    drop(data_plane);
    assert_eq!(daemon.data_plane().expect("asked"), None);
}

#[test]
fn who_stands_in_for_a_dead_data_plane_keeps_another_out_and_goes_on_with_its_records() {
    let (_place, spec) = Place::new("stand-in");
    let mut data_plane = DataPlaneSegment::open(&spec).expect("made");
    assert!(matches!(StandInSegment::open(&spec), Err(SegmentFileError::Held { .. })), "a data plane runs");
    data_plane.ends().expect("sound").recorder.record(1, Kind::State, &[b"one"]).expect("room");
    drop(data_plane);
    let mut stand_in = StandInSegment::open(&spec).expect("nobody has the role");
    assert!(matches!(DataPlaneSegment::open(&spec), Err(SegmentFileError::Held { .. })));
    let (segment, mut recorder) = stand_in.ends().expect("sound");
    recorder.record(2, Kind::Rescue, &[b"two"]).expect("room");
    assert_eq!((segment.runs.get(), recorder.next_seq()), (1, 3), "it is no run");
    drop(stand_in);
    let mut data_plane = DataPlaneSegment::open(&spec).expect("the role is free again");
    data_plane.ends().expect("sound").recorder.record(3, Kind::State, &[b"three"]).expect("room");
    let mut daemon = DaemonSegment::open(&spec).expect("there");
    let mut ends = daemon.ends().expect("sound");
    for (seq, body) in [(1, &b"one"[..]), (2, b"two"), (3, b"three")] {
        let record = ends.drain.next().expect("sound").expect("published");
        assert_eq!((record.header.seq, record.body), (seq, body));
    }
}

#[test]
fn a_second_one_of_each_is_refused_with_the_pid_of_the_first() {
    let (_place, spec) = Place::new("held");
    let path = spec.path.clone();
    let data_plane = DataPlaneSegment::open(&spec).expect("made");
    let daemon = DaemonSegment::open(&spec).expect("there");
    let refused = DataPlaneSegment::open(&spec).err().expect("held").to_string();
    assert!(refused.contains(&format!("another data plane is running (pid {})", std::process::id())), "{refused}");
    assert!(matches!(DaemonSegment::open(&spec), Err(SegmentFileError::Held { role: "daemon", .. })));
    assert!(matches!(remove("test", path.as_deref()), Err(SegmentFileError::Held { .. })));
    drop(data_plane);
    assert!(matches!(remove("test", path.as_deref()), Err(SegmentFileError::Held { role: "daemon", .. })));
    drop(daemon);
    assert!(remove("test", path.as_deref()).expect("free"));
    assert!(!remove("test", path.as_deref()).expect("gone"));
}

#[test]
fn a_new_segment_goes_on_where_the_journal_is() {
    let (_place, spec) = Place::new("journaled");
    let daemon = DaemonSegment::open(&spec).expect("made");
    daemon.set_journaled(70).expect("no data plane");
    let mut data_plane = DataPlaneSegment::open(&spec).expect("there");
    assert_eq!(data_plane.ends().expect("sound").recorder.next_seq(), 71);
    daemon.set_journaled(70).expect("it numbers from there");
    assert!(matches!(daemon.set_journaled(80), Err(SegmentFileError::Held { role: "data plane", .. })));
    assert_eq!(data_plane.ends().expect("sound").recorder.next_seq(), 81);
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let (_place, mut spec) = Place::new("wrong");
    let path = spec.path.clone().expect("set");
    assert!(matches!(SegmentView::open("test", Some(&path)), Err(SegmentFileError::Absent { .. })));
    assert!(matches!(SegmentView::open("a/b", None), Err(SegmentFileError::Name(_))));
    drop(DaemonSegment::open(&spec).expect("made"));
    spec.sizes.order_slots = 2048;
    let refused = DaemonSegment::open(&spec).err().expect("other sizes").to_string();
    assert!(refused.contains("order_slots: 1024") && refused.contains("order_slots: 2048"), "{refused}");
    spec.sizes = SIZES;
    let mut bytes = fs::read(&path).expect("there");
    bytes[0] = 99;
    fs::write(&path, &bytes).expect("ours");
    let refused = DataPlaneSegment::open(&spec).err().expect("other version").to_string();
    assert!(refused.contains("layout version 99, this build has"), "{refused}");
    fs::write(&path, b"").expect("ours");
    assert!(matches!(
        SegmentView::open("test", Some(&path)),
        Err(SegmentFileError::Unusable { error: SegmentError::Unfinished, .. })
    ));
    fs::write(&path, b"short").expect("ours");
    assert!(matches!(DataPlaneSegment::open(&spec), Err(SegmentFileError::Unusable { .. })));
}

#[test]
fn many_may_make_it_at_once_and_one_does() {
    let (place, spec) = Place::new("race");
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| DataPlaneSegment::open(&spec))).collect();
        let opened: Vec<_> = opened.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        assert_eq!(opened.iter().filter(|one| one.is_ok()).count(), 1);
        for error in opened.iter().flat_map(|one| one.as_ref().err()) {
            assert!(matches!(error, SegmentFileError::Held { .. }), "{error:?}");
        }
    });
    let left: Vec<_> = fs::read_dir(&place.0).expect("there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["segment"]);
}

#[test]
fn it_lies_on_huge_pages_where_there_are_some_and_says_why_not_elsewhere() {
    let _alone = alone();
    let instance = format!("test-huge-{}", std::process::id());
    let spec = SegmentSpec { sizes: SIZES, ..SegmentSpec::new(instance.clone()) };
    let data_plane = DataPlaneSegment::open(&spec).expect("made");
    let on_shm = data_plane.path().starts_with("/dev/shm");
    match data_plane.backing() {
        Backing::HugeTlb { page_bytes } => assert!(!on_shm && *page_bytes >= 2 << 20),
        Backing::Ordinary { why } => {
            eprintln!("SKIP: huge pages for the segment: {why}");
            assert!(on_shm && !why.is_empty());
        }
    }
    drop(data_plane);
    assert!(remove(&instance, None).expect("free"));
    let ordinary = SegmentSpec { huge_pages: false, ..spec };
    let data_plane = DataPlaneSegment::open(&ordinary).expect("made");
    assert_eq!(data_plane.backing(), &Backing::Ordinary { why: String::new() });
    drop(data_plane);
    assert!(remove(&instance, None).expect("free"));
}

#[test]
fn the_kill_word_is_written_by_a_view() {
    let (_place, spec) = Place::new("kill");
    let mut data_plane = DataPlaneSegment::open(&spec).expect("made");
    let ends = data_plane.ends().expect("sound");
    let view = SegmentView::open("test", spec.path.as_deref()).expect("there");
    assert!(!ends.kill.state().killed());
    let state = view.kill(1234, 77).expect("writable");
    assert_eq!(ends.kill.state(), state);
    assert_eq!((state.killed(), state.uid()), (true, 1234));
    assert_eq!(view.data_plane().expect("asked"), Some(std::process::id()));
    assert_eq!(view.daemon().expect("asked"), None);
}

/// Runs in a process of its own, below: records until it is killed, saying each `seq` once it is published.
#[test]
fn recording_process() {
    let Some(path) = std::env::var_os("TERN_TEST_RECORDING") else { return };
    let spec = SegmentSpec { path: Some(path.into()), sizes: SIZES, ..SegmentSpec::new("test") };
    let mut data_plane = DataPlaneSegment::open(&spec).expect("there");
    let mut ends = data_plane.ends().expect("sound");
    let said = ends.segment.limits_epoch.get();
    let mut count = said;
    loop {
        count += 1;
        let body = [count as u8; 200];
        let kind = if count.is_multiple_of(3) { Kind::Datagram } else { Kind::OrderEvent };
        while ends.recorder.record(count, kind, &[&body[..count as usize % 200]]).is_err() {
            std::thread::yield_now();
        }
        ends.segment.limits_epoch.set(count);
    }
}

/// Killed when it is dropped.
struct RecordingProcess(Child);

impl RecordingProcess {
    fn start(path: &Path) -> Self {
        let this = std::env::current_exe().expect("this test");
        let mut command = Command::new(this);
        command.args(["--exact", "segment::tests::recording_process"]).env("TERN_TEST_RECORDING", path);
        Self(command.stdout(Stdio::null()).spawn().expect("a process"))
    }
}

impl Drop for RecordingProcess {
    fn drop(&mut self) {
        self.0.kill().expect("running");
        self.0.wait().expect("killed");
    }
}

#[test]
fn a_killed_recorder_loses_and_tears_no_published_record() {
    let (_place, spec) = Place::new("sigkill");
    let mut daemon = DaemonSegment::open(&spec).expect("made");
    let path = spec.path.clone().expect("set");
    let (mut last, mut orders, mut gaps) = (0, 0_u64, 0);
    for round in 0..10 {
        let mut child = Some(RecordingProcess::start(&path));
        let mut ends = daemon.ends().expect("sound");
        let stop_at = orders + 2000 + 137 * round;
        loop {
            match ends.drain.next().expect("sound rings") {
                Some(record) => {
                    let header = record.header;
                    assert!(header.seq > last, "{} after {last}", header.seq);
                    gaps += header.seq - last - 1;
                    last = header.seq;
                    if header.kind == Kind::OrderEvent as u16 {
                        orders += 1;
                        assert_eq!(record.body.len(), header.tai_ns as usize % 200);
                        assert!(record.body.iter().all(|byte| *byte == header.tai_ns as u8), "torn");
                    }
                    ends.drain.commit(ends.drain.mark());
                }
                None if child.is_none() => break,
                None => std::thread::yield_now(),
            }
            if orders >= stop_at {
                child.take();
            }
        }
        // Every order record said to be published came out: two of every three counts.
        let said = ends.segment.limits_epoch.get();
        let published = said - said / 3;
        assert!(orders >= published && orders <= published + 20, "{orders} of {published}");
    }
    let shed = daemon.ends().expect("sound").drain.shed_total().datagrams;
    // A run that was killed between taking a seq and publishing leaves a gap of one.
    assert!(gaps >= shed && gaps <= shed + 10, "{gaps} missing, {shed} shed");
}
