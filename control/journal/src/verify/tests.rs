//! One segment, in memory.

use super::segment::Progress;
use super::{Claim, Verified};
use crate::beginning::Beginning;
use crate::chain::Block;
use crate::format::{Chain, FOOTER_BYTES, HEADER_BYTES, segment_path};
use crate::scan::Scan;
use crate::{Head, Options, Writer};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use tern_abi::record::{Kind, RecordHeader};

/// What the largest part of a record takes in the file: a 64-byte body and what stands before it.
const RECORD_BYTES: usize = 96;
const SEGMENT_BYTES: usize = 64 << 10;
const BEGINNING: Beginning = Beginning { segment: 1, deletion: None };

/// A finished segment of exactly 64 KiB, where its records begin, and its head.
fn segment() -> (Vec<u8>, Vec<usize>, Head) {
    let folder = std::env::temp_dir().join(format!("tern-journal-bits-{}", std::process::id()));
    let (mut writer, _) = Writer::open(&folder, Options::new("bits")).expect("an empty folder");
    let (mut starts, mut at, mut seq) = (Vec::new(), HEADER_BYTES, 0);
    while at + FOOTER_BYTES < SEGMENT_BYTES {
        let body_bytes = (SEGMENT_BYTES - FOOTER_BYTES - at).min(RECORD_BYTES) - 32;
        seq += 1;
        let body: Vec<u8> = (0..body_bytes).map(|index| (seq * 7 + index as u64) as u8).collect();
        let header =
            RecordHeader { seq, tai_ns: 1000 + seq, kind: Kind::State as u16, flags: 0, body_bytes: body_bytes as u32 };
        writer.append(&header, &body).expect("room");
        starts.push(at);
        at += 32 + body_bytes;
    }
    writer.seal().expect("a disk");
    let bytes = std::fs::read(segment_path(&folder, 1)).expect("there");
    let head = writer.head();
    std::fs::remove_dir_all(&folder).expect("ours");
    assert_eq!(bytes.len(), SEGMENT_BYTES);
    (bytes, starts, head)
}

#[test]
fn a_segment_that_grows_while_its_end_is_looked_at_is_not_damaged() {
    let (bytes, starts, head) = segment();
    // What is noted of it lies before the part that grows.
    let early = Head { bytes: starts[0] as u64, records: 0, last_seq: 0, chain: chain_of_header(&bytes), ..head };
    for end in starts[300]..starts[302] {
        let scan = Scan::growing(bytes.clone(), end, Path::new("00000001.journal"), 1).expect("a header");
        let mut progress = Progress::new(vec![Claim::of_head(early)], true, Some(BEGINNING));
        progress.segment(scan, true).expect("memory can be read");
        let found = progress.finish();
        assert!(found.is_whole(), "{end}: {:?}", found.damages);
        // At the end of a record there is nothing to look at twice.
        let (all, until) = (starts.len() as u64, starts.iter().filter(|start| **start < end).count() as u64);
        let is_between = starts.contains(&end);
        assert_eq!((found.records, found.torn_bytes), (if is_between { until } else { all }, 0), "{end}");
    }
    // What was not written on stays what it is.
    let mut torn = bytes.clone();
    torn[starts[301] + 40] ^= 1;
    let scan = Scan::growing(torn, starts[301] + 50, Path::new("00000001.journal"), 1).expect("a header");
    let mut progress = Progress::new(vec![Claim::of_head(early)], true, Some(BEGINNING));
    progress.segment(scan, true).expect("memory can be read");
    assert_eq!(progress.finish().damages.first().map(|damage| damage.offset), Some(starts[301] as u64));
}

fn chain_of_header(bytes: &[u8]) -> Chain {
    Block::beginning_with(&bytes[..HEADER_BYTES]).chain()
}

/// What is found in the segment with these bytes; `None` when its header cannot be read.
fn found(bytes: &Rc<[u8]>, head: Head) -> Option<Verified> {
    let scan = Scan::of_bytes(Rc::clone(bytes), Path::new("00000001.journal"), 1).ok()?;
    let mut progress = Progress::new(vec![Claim::of_head(head)], true, Some(BEGINNING));
    progress.segment(scan, true).expect("memory can be read");
    Some(progress.finish())
}

#[test]
fn all_524288_flipped_bits_of_a_segment_are_found_and_named() {
    let (bytes, starts, head) = segment();
    let whole = found(&bytes.clone().into(), head).expect("a header");
    assert!(whole.is_whole() && whole.stretches.len() == 1, "{whole:?}");
    assert_eq!(whole.stretches[0].proven_by.as_deref(), Some("the head"));
    let halves = [0..bytes.len() * 2 / 3, bytes.len() * 2 / 3..bytes.len()];
    let flips: u32 = std::thread::scope(|scope| {
        let flip = |range| {
            scope.spawn({
                let (bytes, starts) = (&bytes, &starts);
                move || flip_all(bytes, starts, head, range)
            })
        };
        halves.map(flip).map(|half| half.join().expect("all were found")).iter().sum()
    });
    assert_eq!(flips, 524_288);
}

/// Flips each bit of the bytes in `range`; how many were flipped and found.
fn flip_all(bytes: &[u8], starts: &[usize], head: Head, range: Range<usize>) -> u32 {
    let mut bytes: Rc<[u8]> = bytes.into();
    let mut flips = 0;
    for byte in range {
        // The record that the byte belongs to; behind the last one, the footer.
        let record = starts.partition_point(|start| *start <= byte);
        let (place, before) = match record {
            0 => (0, 0),
            _ if byte >= SEGMENT_BYTES - FOOTER_BYTES => (SEGMENT_BYTES - FOOTER_BYTES, starts.len()),
            _ => (starts[record - 1], record - 1),
        };
        for bit in 0..8 {
            Rc::get_mut(&mut bytes).expect("no other reader")[byte] ^= 1 << bit;
            match found(&bytes, head) {
                // The header: refused before anything is read.
                None => assert!(byte < HEADER_BYTES, "byte {byte} bit {bit}"),
                Some(found) => {
                    let damage = found.damages.first().unwrap_or_else(|| panic!("byte {byte} bit {bit} was not found"));
                    assert_eq!(damage.offset as usize, place, "byte {byte} bit {bit}: {damage}");
                    assert_eq!(
                        damage.after.map_or(0, |after| after.seq),
                        before as u64,
                        "byte {byte} bit {bit}: {damage}"
                    );
                    assert!(damage.after.is_none_or(|after| after.tai_ns == 1000 + after.seq));
                }
            }
            Rc::get_mut(&mut bytes).expect("no other reader")[byte] ^= 1 << bit;
            flips += 1;
        }
    }
    flips
}
