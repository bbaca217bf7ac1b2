//! `memory_wait`: what one wait for memory costs on this host, which is what figures of large books are made of: a load whose address
//! the load before it brought, from a table as large as the real day's books on the same pages, against the same loads in eight chains
//! that do not wait for one another.

use std::hint::black_box;

use tern_core::book::Memory;
use tern_dataplane::arenas::Arenas;

use crate::harness::{Plan, Row, RowBuilder, interleave, ns_each};

/// Bytes of the table: those of the books of `book_real_day`.
const TABLE_BYTES: usize = 591 << 20;
/// Loads of a run.
const LOADS: usize = 400_000;
/// Chains of the peer.
const CHAINS: usize = 8;

/// A line of the cache; its first word is the number of the next one.
type Line = [u64; 8];

/// Lines in one circle, in an order that nobody can foresee (Sattolo's shuffle).
fn circle(lines: &mut [Line]) {
    for (at, line) in lines.iter_mut().enumerate() {
        line[0] = at as u64;
    }
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for last in (1..lines.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = (state % last as u64) as usize;
        let swapped = lines[last][0];
        lines[last][0] = lines[other][0];
        lines[other][0] = swapped;
    }
}

/// Follows so many chains at once, `loads` lines in all; where they end.
fn follow<const N: usize>(lines: &[Line], starts: &mut [u64; N], loads: usize) -> u64 {
    for _ in 0..loads / N {
        for at in starts.iter_mut() {
            *at = lines[*at as usize % lines.len()][0];
        }
    }
    (loads / N * N) as u64
}

/// Runs it.
pub fn memory_wait(plan: Plan) -> Vec<Row> {
    let mut memory = Arenas::new(true);
    let mut lines = memory.arena::<Line>(TABLE_BYTES / size_of::<Line>());
    circle(&mut lines);
    let lines = &lines[..];
    let loads = LOADS * plan.scale;
    let mut one = [0_u64];
    let mut several: [u64; CHAINS] = std::array::from_fn(|chain| (lines.len() / CHAINS * chain) as u64);
    let (ours, peer) = interleave(
        plan,
        || ns_each(|| follow(lines, black_box(&mut one), loads)),
        || ns_each(|| follow(lines, black_box(&mut several), loads)),
    );
    let pages = if memory.is_huge() { "huge pages" } else { "ordinary or transparent pages" };
    let row = RowBuilder::new("memory_wait", "ns/load", ours)
        .peer("the same loads in eight chains", peer)
        .note(format!("{} MiB on {pages}; no target: what a host is like", TABLE_BYTES >> 20));
    vec![row.build()]
}
