//! `itch_decode`: the feed as it ships (MoldUDP64, sequence, locate table, normalized events) against crate itchy, which
//! parses the bare messages.

use std::hint::black_box;

use tern_abi::arena::Arena;
use tern_abi::event::{BookEvent, EventKind};
use tern_core::feed::{EventSink, Feed, FeedState};
use tern_core::units::{InstrumentId, LineId, StreamId, Symbol, TaiNs};
use tern_sim::generate::Shape;
use tern_venues::itch_ouch::ItchFeed;

use crate::flow::{self, Flow, Packing, generate};
use crate::harness::{Plan, Row, RowBuilder, interleave, ns_each};

/// Takes events as the pipeline does: into a buffer of fixed size.
pub(crate) struct Events {
    pub(crate) buffer: Vec<BookEvent>,
    pub(crate) used: usize,
    symbols: std::collections::HashMap<Symbol, u32>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![BookEvent::new(EventKind::Other); 256], used: 0, symbols: Default::default() }
    }
}

impl EventSink for Events {
    #[inline]
    fn event(&mut self, event: BookEvent) {
        if let Some(slot) = self.buffer.get_mut(self.used) {
            *slot = event;
            self.used += 1;
        }
    }
    fn instrument(&mut self, symbol: Symbol) -> Option<InstrumentId> {
        let next = self.symbols.len() as u32;
        Some(InstrumentId(*self.symbols.entry(symbol).or_insert(next)))
    }
}

pub(crate) fn feed() -> ItchFeed {
    ItchFeed::new(StreamId(0), Arena::from_fn(ItchFeed::locates_len(1), |_| 0))
}

/// Decodes the whole flow; the number of messages.
fn ours(flow: &Flow, sink: &mut Events) -> u64 {
    let mut feed = feed();
    let mut events = 0;
    for datagram in &flow.datagrams {
        sink.used = 0;
        let state = feed.on_payload(TaiNs(1), StreamId(0), LineId(0), black_box(datagram), sink);
        events += sink.used as u64;
        black_box(&sink.buffer);
        assert!(matches!(state, FeedState::InSequence), "the flow has no gap");
    }
    events
}

fn peer(file: &[u8]) -> u64 {
    let mut messages = 0;
    for message in itchy::MessageStream::from_reader(black_box(file)) {
        black_box(message.expect("the peer knows every message of the flow"));
        messages += 1;
    }
    messages
}

/// See the module.
pub fn itch_decode(plan: Plan) -> Vec<Row> {
    let flow = generate(flow::Plan {
        shape: Shape::Small,
        opening_orders: 20_000,
        steady: 200_000 * plan.scale as u64,
        packing: Packing::Busy,
        burst: false,
    });
    let file = flow.prefixed();
    let total = flow.messages_from(0);
    let mut sink = Events::new();
    let run_peer = || {
        ns_each(|| {
            let messages = peer(&file);
            assert_eq!(messages, total, "both sides read every message");
            messages
        })
    };
    let run_ours = || {
        ns_each(|| {
            let events = ours(&flow, &mut sink);
            assert_eq!(events, total, "both sides read every message");
            events
        })
    };
    let (all_ours, all_peer) = interleave(plan, run_ours, run_peer);
    vec![
        RowBuilder::new("itch_decode", "ns/message", all_ours)
            .peer("itchy 0.3.4, bare messages without MoldUDP64 and without normalizing", all_peer)
            .target(12.0)
            .note(format!("{total} messages of the small shape, ours from MoldUDP64 payload to normalized event"))
            .build(),
    ]
}
