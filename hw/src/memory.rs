//! A port over plain memory: what is submitted can be taken out, what is put in can be received.
//!
//! For tests and simulations of everything above the port. All memory is taken when the port is made; nothing is
//! allocated after that, so that it can stand in for the real ports when allocations are counted.

use crate::port::{Frame, FrameBatch, Port, PortFacts, PortStatistics};
use std::collections::VecDeque;
use std::io;
use tern_abi::steer::{FRAME_RECORD_BYTES, FrameRecord};
use zerocopy::IntoBytes;

/// Bytes of a frame, the record in front included.
pub const FRAME_BYTES: usize = 2048;

/// A port whose wire is two queues in memory.
#[derive(Debug)]
pub struct MemoryPort {
    memory: Box<[[u8; FRAME_BYTES]]>,
    free: Vec<u32>,
    receivable: VecDeque<Frame>,
    submitted: VecDeque<Frame>,
    submitted_max: usize,
    statistics: PortStatistics,
}

impl MemoryPort {
    /// A port with `frames` buffers, shared by both directions.
    pub fn new(frames: u32) -> Self {
        Self {
            memory: vec![[0; FRAME_BYTES]; frames as usize].into_boxed_slice(),
            free: (0..frames).rev().collect(),
            receivable: VecDeque::with_capacity(frames as usize),
            submitted: VecDeque::with_capacity(frames as usize),
            submitted_max: usize::MAX,
            statistics: PortStatistics::default(),
        }
    }

    /// Makes a frame receivable; `false` when no buffer is free or it is too long.
    pub fn put(&mut self, record: &FrameRecord, bytes: &[u8]) -> bool {
        if bytes.len() > FRAME_BYTES - FRAME_RECORD_BYTES {
            return false;
        }
        let Some(index) = self.free.pop() else {
            self.statistics.rx_fill_ring_empty_descs += 1;
            return false;
        };
        let length = FRAME_RECORD_BYTES + bytes.len();
        let memory = &mut self.memory[index as usize];
        memory[..FRAME_RECORD_BYTES].copy_from_slice(record.as_bytes());
        memory[FRAME_RECORD_BYTES..length].copy_from_slice(bytes);
        self.receivable.push_back(Frame { index, length_bytes: length as u32 });
        true
    }

    /// Takes the oldest submitted frame off the wire: copies it to `to` and returns its length.
    pub fn take(&mut self, to: &mut [u8; FRAME_BYTES]) -> Option<usize> {
        let frame = self.submitted.pop_front()?;
        let length = frame.len();
        to[..length].copy_from_slice(&self.memory[frame.index as usize][..length]);
        self.free.push(frame.index);
        Some(length)
    }

    /// From now on at most `frames` submitted frames wait: a full TX ring.
    pub fn limit_submitted(&mut self, frames: usize) {
        self.submitted_max = frames;
    }

    /// Buffers that nobody holds: all of them once every frame was given back.
    pub fn free_frames(&self) -> usize {
        self.free.len()
    }
}

impl Port for MemoryPort {
    fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        let before = batch.len();
        while batch.room() > 0
            && let Some(frame) = self.receivable.pop_front()
        {
            if let Err(frame) = batch.push(frame) {
                self.receivable.push_front(frame);
                break;
            }
        }
        let count = batch.len() - before;
        self.statistics.rx_frames += count as u64;
        count
    }

    fn backlog(&self) -> usize {
        self.receivable.len()
    }

    fn bytes(&self, frame: &Frame) -> &[u8] {
        &self.memory[frame.index as usize][..frame.len()]
    }

    fn release(&mut self, frame: Frame) {
        self.free.push(frame.index);
    }

    fn allocate(&mut self) -> Option<Frame> {
        let index = self.free.pop()?;
        Some(Frame { index, length_bytes: FRAME_BYTES as u32 })
    }

    fn bytes_mut<'a>(&'a mut self, frame: &'a mut Frame) -> &'a mut [u8] {
        &mut self.memory[frame.index as usize][..]
    }

    fn submit(&mut self, mut frame: Frame, length_bytes: usize) -> Result<(), Frame> {
        if self.submitted.len() >= self.submitted_max {
            return Err(frame);
        }
        frame.length_bytes = length_bytes.min(FRAME_BYTES) as u32;
        self.submitted.push_back(frame);
        self.statistics.tx_frames += 1;
        Ok(())
    }

    fn kick(&mut self) -> io::Result<()> {
        self.statistics.kicks += 1;
        Ok(())
    }

    fn wait(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn statistics(&self) -> PortStatistics {
        self.statistics
    }

    fn facts(&self) -> PortFacts {
        PortFacts {
            kind: "memory",
            attach_mode: "none",
            zero_copy: false,
            interface: String::new(),
            queue: 0,
            huge_pages: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_in_and_out_and_every_buffer_comes_back() {
        let mut port = MemoryPort::new(4);
        assert!(port.put(&FrameRecord { stream: 7, ..FrameRecord::default() }, b"abc"));
        let mut batch = FrameBatch::default();
        assert_eq!(port.receive(&mut batch), 1);
        let frame = batch.take(0).expect("one frame came");
        batch.reset();
        assert_eq!(&port.bytes(&frame)[FRAME_RECORD_BYTES..], b"abc");
        port.release(frame);

        let mut frame = port.allocate().expect("a free frame");
        port.bytes_mut(&mut frame)[..2].copy_from_slice(b"xy");
        port.submit(frame, 2).expect("room");
        let mut out = [0; FRAME_BYTES];
        assert_eq!(port.take(&mut out), Some(2));
        assert_eq!(&out[..2], b"xy");
        assert_eq!(port.free_frames(), 4);
        assert_eq!(port.take(&mut out), None);

        port.limit_submitted(0);
        let frame = port.allocate().expect("a free frame");
        let frame = port.submit(frame, 2).expect_err("the ring is full");
        port.limit_submitted(1);
        port.submit(frame, 2).expect("room");
    }

    #[test]
    fn an_exhausted_port_refuses_and_counts() {
        let mut port = MemoryPort::new(1);
        let frame = port.allocate().expect("a free frame");
        assert!(port.allocate().is_none());
        assert!(!port.put(&FrameRecord::default(), b"x"));
        assert_eq!(port.statistics().rx_fill_ring_empty_descs, 1);
        port.release(frame);
        assert_eq!(port.free_frames(), 1);
    }
}
