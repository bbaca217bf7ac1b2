//! A full disk: trading stops, nothing is lost, and it goes on when there is room again. Needs root, for a tmpfs.

use std::path::Path;
use std::process::Command;

use tern_journal::day_log;

use crate::bench::Bench;
use crate::day::{managed, step, waiver};

/// A small tmpfs, unmounted at the end.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(folder: &'a Path, options: &str) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tern-test"]).arg(folder).status();
        assert!(done.is_ok_and(|status| status.success()), "root mounts a tmpfs");
        Self(folder)
    }

    fn grow(&self, options: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "the disk grows");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_stops_trading_and_loses_no_record() {
    let mut bench =
        Bench::new("disk", "", &(managed("") + "[day]\nmanaged = true\n[journal]\nsegment_bytes = 1048576\n"));
    let folder = bench.config.paths.journal.clone();
    if !tern_hw::testnet::privileged("a_full_disk_stops_trading_and_loses_no_record") {
        return;
    }
    let disk = Disk::mount(&folder, "size=512k");
    bench.start();
    bench.until("trouble with the journal", || bench.facts().journal.trouble.contains("No space left"));
    let view = bench.view();
    let words = view.segment().expect("a segment");
    assert!(words.kill.state().killed(), "trading stopped");
    bench.until("the data plane heeds it", || !words.trading.get().0);
    let published = words.next_seq.get();
    let kills = words.kill.state().kills();
    let resume = format!(r#"{{"version":7,"ask":{{"resume":{{"kills":{kills}}}}}}}"#);
    let answer = bench.ask(&resume);
    assert!(answer.contains("the journal takes no records: ") && words.kill.state().killed(), "{answer}");

    // A step of the day is refused at once, not handed over: it must not count once there is room again.
    let refused = step(&bench, &waiver("reference"));
    assert!(
        !refused.0 && refused.2.contains("the journal cannot be written") && refused.2.contains("nothing was changed")
    );

    disk.grow("size=64m");
    bench.until("the journal goes on", || words.journaled_seq.get() >= published - 1);
    bench.until("no trouble any more", || bench.facts().journal.trouble.is_empty());
    assert!(words.kill.state().killed(), "nobody but an operator lets it go on");
    let answer = bench.ask(&resume);
    assert!(answer.contains("taken\":true") && !words.kill.state().killed(), "{answer}");
    bench.stop();
    assert!(bench.verified().last_seq >= published - 1);
    let log = day_log(&folder).expect("readable");
    let steps: Vec<&str> = log.entries.iter().map(|entry| entry.step.name()).collect();
    assert!(steps.contains(&"refused") && !steps.contains(&"waived"), "{steps:?}");
    drop(disk);
}
