//! The flow that the benchmarks run on: the exchange's generator, packed into datagrams as a venue packs them.

use tern_sim::generate::{Config, Generator, Shape};
use tern_venues::itch_ouch::wire::itch::Message;
use tern_venues::itch_ouch::wire::{Alpha, mold};

/// The feed session of all benchmark flow.
pub const SESSION: mold::Session = Alpha(*b"BENCH     ");

/// Seed of all benchmark flow; printed with the figures.
pub const SEED: u64 = 7;

/// Messages of the steady part a second, mean: about three times the mean of a busy whole day (847 million messages in
/// 6.5 hours), as in the minutes after the opening.
pub const OPENING_RATE: u64 = 100_000;

/// Messages whose venue stamps lie this close to the first one's share a datagram in [`Packing::Recorded`], ns.
const PACKING_NS: u64 = 2_000;

/// Most bytes of a datagram.
const PAYLOAD_BYTES_MAX: usize = 1400;

/// How many messages share a datagram of the steady part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// 8 to 20, spread by a fixed rule: a venue that never rests.
    Busy,
    /// Those of the same moment, at [`OPENING_RATE`].
    Recorded,
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Mix and number of symbols.
    pub shape: Shape,
    /// Orders that are live before the open.
    pub opening_orders: u32,
    /// Messages after it.
    pub steady: u64,
    /// How they share datagrams.
    pub packing: Packing,
    /// Whether the published peak (20,490 messages in 10 ms) lies in the middle.
    pub burst: bool,
}

/// Messages in datagrams.
#[derive(Debug, Default)]
pub struct Flow {
    /// MoldUDP64 payloads, in sequence from 1.
    pub datagrams: Vec<Vec<u8>>,
    /// Messages in each datagram.
    pub messages: Vec<u32>,
    /// Venue time of the last message of each datagram, ns since midnight: the datagram is sent then.
    pub sent_ns: Vec<u64>,
    /// Index of the first datagram of the steady part: what comes before fills the books and opens the market.
    pub steady_from: usize,
}

impl Flow {
    /// Messages from datagram `from` on.
    pub fn messages_from(&self, from: usize) -> u64 {
        self.messages.iter().skip(from).map(|count| u64::from(*count)).sum()
    }

    /// The same messages with 2-byte length prefixes, end to end, as the venue publishes its files: the blocks of
    /// MoldUDP64 without their headers.
    pub fn prefixed(&self) -> Vec<u8> {
        self.datagrams.iter().flat_map(|datagram| &datagram[mold::HEADER_BYTES..]).copied().collect()
    }

    /// The symbol of the first stock directory message: the busiest.
    pub fn busiest_symbol(&self) -> Option<String> {
        let packets = self.datagrams.iter().filter_map(|datagram| mold::Downstream::parse(datagram).ok());
        packets.flat_map(|packet| packet.blocks().flatten()).find_map(|block| match Message::decode(block) {
            Ok(Message::StockDirectory(directory)) => Some(directory.stock.to_string()),
            _ => None,
        })
    }

    fn push(&mut self, builder: mold::PacketBuilder<'_>, sent_ns: u64) {
        self.messages.push(u32::from(builder.count()));
        self.sent_ns.push(sent_ns);
        self.datagrams.push(builder.finish().to_vec());
    }
}

/// How many messages share the datagram with this number in [`Packing::Busy`], and before the steady part.
fn busy_messages(number: usize) -> u32 {
    8 + (number * 7 % 13) as u32
}

/// Venue stamp of an ITCH message: 6 bytes from offset 5 in every type (ITCH 5.0, 1.1).
fn stamp_ns(message: &[u8]) -> u64 {
    message.get(5..11).unwrap_or_default().iter().fold(0, |ns, byte| ns << 8 | u64::from(*byte))
}

/// Generates a day.
///
/// # Panics
/// Never: the messages of a day are counted generously.
pub fn generate(plan: Plan) -> Flow {
    // directory, opening, crosses and ending of every symbol
    let overhead = u64::from(plan.shape.symbols()) * 8 + 64;
    let day = Config::day(plan.shape, overhead + u64::from(plan.opening_orders) + plan.steady, SEED);
    let mut generator = Generator::new(Config {
        opening_orders: Some(plan.opening_orders),
        close_ns: day.open_ns + plan.steady * 1_000_000_000 / OPENING_RATE + 1_000_000_000,
        burst: plan.burst,
        ..day
    })
    .expect("room for the preamble was counted");
    let mut flow = Flow::default();
    let mut crosses_left = u32::from(plan.shape.symbols());
    let mut sequence = 1;
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let mut packet = mold::PacketBuilder::new(&mut payload, SESSION, sequence).expect("a header fits");
    let (mut first_ns, mut last_ns) = (0, 0);
    while let Some(message) = generator.next_message() {
        let at_ns = stamp_ns(message);
        let is_full = match plan.packing {
            Packing::Recorded if flow.steady_from > 0 => at_ns - first_ns > PACKING_NS,
            _ => u32::from(packet.count()) == busy_messages(flow.datagrams.len()),
        };
        let count = u64::from(packet.count());
        if count > 0 && (is_full || packet.push(message).is_err()) {
            sequence += count;
            flow.push(packet, last_ns);
            packet = mold::PacketBuilder::new(&mut payload, SESSION, sequence).expect("a header fits");
            packet.push(message).expect("one message fits");
            first_ns = at_ns;
        } else if count == 0 {
            packet.push(message).expect("one message fits");
            first_ns = at_ns;
        }
        last_ns = at_ns;
        // The opening crosses are the last of what happens once a symbol.
        if message[0] == b'Q' && flow.steady_from == 0 {
            crosses_left -= 1;
            if crosses_left == 0 {
                flow.steady_from = flow.datagrams.len() + 1;
            }
        }
    }
    if packet.count() > 0 {
        flow.push(packet, last_ns);
    }
    flow
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_part_is_packed_as_asked_and_nothing_is_lost() {
        for packing in [Packing::Busy, Packing::Recorded] {
            let plan = Plan { shape: Shape::Small, opening_orders: 2_000, steady: 20_000, packing, burst: false };
            let flow = generate(plan);
            let steady = flow.messages_from(flow.steady_from);
            assert!((19_000..22_000).contains(&steady), "{steady}");
            let mean = steady as f64 / (flow.datagrams.len() - flow.steady_from) as f64;
            let expected = if packing == Packing::Busy { 13.0..15.0 } else { 1.0..4.0 };
            assert!(expected.contains(&mean), "{packing:?}: {mean} messages a datagram");
            let mut next = 1;
            for (datagram, messages) in flow.datagrams.iter().zip(&flow.messages) {
                let downstream = mold::Downstream::parse(datagram).expect("a header");
                assert_eq!(downstream.header.sequence_number.get(), next);
                assert_eq!(downstream.blocks().count(), *messages as usize);
                next += u64::from(*messages);
            }
            let prefixed: usize = flow.datagrams.iter().map(|datagram| datagram.len() - mold::HEADER_BYTES).sum();
            assert_eq!(flow.prefixed().len(), prefixed);
        }
    }
}
