//! The inputs of the loop around a sample.

use std::collections::VecDeque;

use tern_abi::record::{DatagramHead, Kind, RecordHeader, Stage, StageRecord};

/// Inputs that are kept to find a sample's cause and what the loop did before it: a stage record follows its input soon.
const INPUTS_KEPT: usize = 8192;

/// An input of the loop, as far as a sample's cause may be seen from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    pub(super) seq: u64,
    pub(super) kind: u16,
    /// When the loop began with it.
    tai_ns: u64,
    /// When it was through with it, if that is known.
    end_ns: u64,
    pub(super) bytes: u32,
}

/// What the loop did between a datagram's arrival and its taking of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    /// The datagram itself.
    pub(super) input: Option<Input>,
    /// Inputs that the loop was at meanwhile, the one that it was at longest, and for how long.
    pub(super) count: usize,
    pub(super) longest: Option<(Input, u64)>,
    /// For how long it was at them, all together.
    pub(super) total_ns: u64,
}

/// The last inputs.
#[derive(Default)]
pub(super) struct Inputs(VecDeque<Input>);

impl Inputs {
    pub(super) fn push(&mut self, header: &RecordHeader, body: &[u8]) {
        let head = if header.kind == Kind::Datagram as u16 { size_of::<DatagramHead>() } else { 0 };
        let bytes = (body.len() - head.min(body.len())) as u32;
        if self.0.len() == INPUTS_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Input { seq: header.seq, kind: header.kind, tai_ns: header.tai_ns, end_ns: 0, bytes });
    }

    fn place(&self, seq: u64) -> Option<usize> {
        self.0.binary_search_by_key(&seq, |input| input.seq).ok()
    }

    /// The stamps of an input say when the loop was through with it.
    pub(super) fn ended(&mut self, stages: &StageRecord) {
        if let Some(place) = self.place(stages.cause_seq)
            && let Some(input) = self.0.get_mut(place)
        {
            input.end_ns = stages.stage_ns.iter().fold(0, |last, stamp| last.max(*stamp));
        }
    }

    /// The inputs around a sample.
    pub(super) fn around(&self, stages: &StageRecord) -> Around {
        let Some(place) = self.place(stages.cause_seq) else { return Around::default() };
        let mut around = Around { input: self.0.get(place).copied(), ..Around::default() };
        // One that began while the datagram waited ended when the next one began at the latest.
        let mut next_ns = stages.stage_ns[Stage::FrameSeen as usize];
        for input in self.0.range(..place).rev() {
            let began_before = input.tai_ns < stages.arrival_ns;
            let end_ns = if input.end_ns != 0 { input.end_ns.min(next_ns) } else { next_ns };
            // Of one that began before it is known only from its stamps how long it went on.
            if began_before && (input.end_ns == 0 || end_ns <= stages.arrival_ns) {
                break;
            }
            let took_ns = end_ns.saturating_sub(input.tai_ns.max(stages.arrival_ns));
            around.count += 1;
            around.total_ns += took_ns;
            if around.longest.is_none_or(|(_, longest_ns)| took_ns > longest_ns) {
                around.longest = Some((*input, took_ns));
            }
            if began_before {
                break;
            }
            next_ns = input.tai_ns;
        }
        around
    }
}
