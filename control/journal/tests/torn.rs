//! Ends as a killed writer and a power cut leave them, 100,000 and more: what was on the disk is there, what was not is cut,
//! also when recovery itself is cut.

mod common;

use common::{Fault, Faulty, Folder, append, records};
use std::fs;
use tern_journal::{Options, Writer, verify};

/// What a power cut leaves of a sector that was never synced.
const SECTOR: usize = 64;

fn options(boot: u8) -> Options {
    Options { segment_bytes: 1 << 20, boot: [boot; 16], ..Options::new("test") }
}

/// A journal that was synced at record `synced` and handed to the kernel up to `last`, its folder as it was then.
fn journal(synced: u64, last: u64) -> (Folder, usize, Vec<u8>) {
    let folder = Folder::new();
    let (mut writer, _) = Writer::open(&folder.0, options(1)).expect("an empty folder");
    append(&mut writer, 1..=synced).expect("room");
    writer.sync().expect("a disk");
    let durable = fs::metadata(folder.segment(1)).expect("there").len() as usize;
    append(&mut writer, synced + 1..=last).expect("room");
    writer.flush().expect("a disk");
    let bytes = fs::read(folder.segment(1)).expect("there");
    (folder, durable, bytes)
}

/// How many whole records the first `len` bytes have.
fn whole_records(bytes: &[u8], len: usize) -> u64 {
    let (mut offset, mut count) = (128, 0);
    while offset + 32 <= len {
        let body = u32::from_le_bytes(bytes[offset + 20..offset + 24].try_into().expect("four")) as usize;
        offset += 32 + body.next_multiple_of(8);
        count += u64::from(offset <= len);
    }
    count
}

/// A small generator of numbers, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn a_hundred_thousand_torn_ends_are_recovered_also_when_recovery_is_cut() {
    let (folder, durable, bytes) = journal(20, 60);
    let before = folder.save();
    let mut numbers = Numbers(0x7E21);
    let (mut states, mut cuts, mut out_of_order) = (0, 0, 0);
    while states < 100_000 {
        // The file is as long as anything between the last sync and what was written last, and of each sector behind the sync there is
        // what was written, what was there before (nothing), or rubbish.
        let len = durable + numbers.below(bytes.len() - durable + 1);
        let mut torn = bytes[..len].to_vec();
        let is_in_parts = states % 4 != 0;
        if is_in_parts {
            for _ in 0..1 + numbers.below(3) {
                let sector = numbers.below(len / SECTOR + 1) * SECTOR;
                let range = sector.clamp(durable, len)..(sector + SECTOR).clamp(durable, len);
                let byte = [0, 0xFF, numbers.below(256) as u8][numbers.below(3)];
                torn[range].fill(byte);
            }
        }
        let same = torn.iter().zip(&bytes).take_while(|(torn, bytes)| torn == bytes).count();
        let expected = whole_records(&bytes, same);
        out_of_order += u32::from(whole_records(&bytes, same) + 1 < whole_records(&bytes, len));
        folder.restore(&before);
        fs::write(folder.segment(1), &torn).expect("ours");

        // Every seventh time recovery itself is cut, at one of its calls, and the host with it.
        if states % 7 == 0 {
            let disk = Faulty::default();
            disk.0.borrow_mut().at = Some((1 + numbers.below(6) as u32, u32::MAX / 2, Fault::Io));
            assert!(Writer::open_on(disk, &folder.0, options(2)).is_err(), "state {states}");
        }
        let boot = if states % 2 == 0 { 2 } else { 3 };
        let (writer, recovered) =
            Writer::open(&folder.0, options(boot)).unwrap_or_else(|error| panic!("state {states}: {error}"));
        assert_eq!(recovered.last_seq, expected, "state {states}");
        assert_eq!((writer.head().last_seq, writer.durable_seq()), (expected, expected), "state {states}");
        cuts += u32::from(recovered.cut.is_some());
        drop(writer);
        if states % 500 == 0 {
            let (mut writer, _) = Writer::open(&folder.0, options(boot)).expect("recovered before");
            append(&mut writer, expected + 1..=70).expect("room");
            writer.seal().expect("a disk");
            assert_eq!(folder.read().expect("whole"), records(1..=70), "state {states}");
            assert!(verify(&folder.0).expect("readable").is_whole(), "state {states}");
        }
        states += 1;
    }
    assert!(cuts > 50_000 && out_of_order > 10_000, "{cuts} cut, {out_of_order} with whole records behind");
}

#[test]
fn what_was_synced_is_never_taken_for_torn() {
    let (folder, durable, bytes) = journal(20, 60);
    let before = folder.save();
    for boot in [1, 2] {
        for len in 128..durable {
            folder.restore(&before);
            fs::write(folder.segment(1), &bytes[..len]).expect("ours");
            assert!(Writer::open(&folder.0, options(boot)).is_err(), "cut to {len}");
            assert_eq!(fs::metadata(folder.segment(1)).expect("there").len(), len as u64, "nothing was cut");
            assert!(!verify(&folder.0).expect("readable").is_whole(), "cut to {len}");
        }
        for byte in 0..durable {
            folder.restore(&before);
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1 << (byte % 8);
            fs::write(folder.segment(1), &flipped).expect("ours");
            assert!(Writer::open(&folder.0, options(boot)).is_err(), "byte {byte}");
            assert!(!verify(&folder.0).expect("readable").is_whole(), "byte {byte}");
        }
    }
}
