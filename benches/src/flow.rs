//! The flow that the benchmarks run on: the exchange's generator, packed into datagrams as a venue packs them.

use tern_sim::generate::{Config, Generator, Shape};
use tern_venues::itch_ouch::wire::{Alpha, mold};

/// The feed session of all benchmark flow.
pub const SESSION: mold::Session = Alpha(*b"BENCH     ");

/// Seed of all benchmark flow; printed with the figures.
pub const SEED: u64 = 7;

/// Messages in datagrams and, for peers that read files, with length prefixes.
#[derive(Debug, Default)]
pub struct Flow {
    /// MoldUDP64 payloads, in sequence from 1.
    pub datagrams: Vec<Vec<u8>>,
    /// The same messages with 2-byte length prefixes, one buffer a datagram.
    pub prefixed: Vec<Vec<u8>>,
    /// Messages in each datagram.
    pub messages: Vec<u32>,
    /// Index of the first datagram of the steady part: what comes before fills the books.
    pub steady_from: usize,
}

impl Flow {
    /// Messages from `from` on.
    pub fn messages_from(&self, from: usize) -> u64 {
        self.messages.iter().skip(from).map(|count| u64::from(*count)).sum()
    }
}

/// How many messages share a datagram: 8 to 20, as in busy minutes, spread by a fixed rule.
fn datagram_messages(number: usize) -> usize {
    8 + number * 7 % 13
}

/// Flow of `shape` with `opening_orders` live before the open and `steady` messages after it.
pub fn generate(shape: Shape, opening_orders: u32, steady: u64) -> Flow {
    // directory, opening, crosses and ending of every symbol, generously
    let overhead = u64::from(shape.symbols()) * 8 + 64;
    let config = Config {
        opening_orders: Some(opening_orders),
        ..Config::day(shape, overhead + u64::from(opening_orders) + steady, SEED)
    };
    let mut generator = Generator::new(config).expect("room for the preamble was counted");
    let mut flow = Flow::default();
    let mut sequence = 1;
    let mut ended = false;
    while !ended {
        let mut payload = [0; 1472];
        let mut packet = mold::PacketBuilder::new(&mut payload, SESSION, sequence).expect("a header fits");
        let mut prefixed = Vec::with_capacity(1024);
        for _ in 0..datagram_messages(flow.datagrams.len()) {
            let Some(message) = generator.next_message() else {
                ended = true;
                break;
            };
            packet.push(message).expect("20 messages fit");
            prefixed.extend_from_slice(&(message.len() as u16).to_be_bytes());
            prefixed.extend_from_slice(message);
        }
        let count = packet.count();
        if count == 0 {
            break;
        }
        if flow.steady_from == 0 && u64::from(generator.live_orders()) >= u64::from(opening_orders) {
            flow.steady_from = flow.datagrams.len() + 1;
        }
        sequence += u64::from(count);
        flow.messages.push(u32::from(count));
        flow.datagrams.push(packet.finish().to_vec());
        flow.prefixed.push(prefixed);
    }
    flow
}
