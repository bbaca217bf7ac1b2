//! The venue's side on memory: the simulator's engine, its order gateway without TCP, and the flow that trades with us.

use std::collections::BTreeSet;
use tern_sim::engine::{Engine, Rules};
use tern_sim::log::{Line, Outcome};
use tern_sim::rng::Rng;
use tern_venues::itch_ouch::wire::itch::{self, ItchMessage};
use tern_venues::itch_ouch::wire::mold::PacketBuilder;
use tern_venues::itch_ouch::wire::soup::{self, AsciiNumber, Deframer, LoginAccepted, Packet, Session as SoupSession};
use tern_venues::itch_ouch::wire::{Alpha, Stamp48};
use zerocopy::big_endian::{U32, U64};

pub(crate) const SYMBOLS: [&[u8]; 2] = [b"AAAA", b"BBBB"];
/// About where everything trades, 1/10000.
pub(crate) const MIDDLE: u32 = 100_0000;
const SESSION: &[u8] = b"DAY1";

/// An order of the flow: reference, locate, shares that the flow believes open.
struct FlowOrder {
    reference: u64,
    locate: u16,
    shares: u32,
}

/// The venue: engine, stream of the account, messages of the feed, and one connection.
pub(crate) struct Exchange {
    pub(crate) engine: Engine,
    /// Sequenced messages of the account.
    pub(crate) stream: Vec<Vec<u8>>,
    /// Messages of the feed.
    pub(crate) feed: Vec<Vec<u8>>,
    /// What came of each order message: type, id, outcome.
    pub(crate) received: Vec<(char, u32, Outcome)>,
    deframer: Deframer<4096>,
    /// Messages of the stream that this connection was given, once it logged in.
    given: Option<usize>,
    /// Bytes on their way to the client.
    pub(crate) out: Vec<u8>,
    flow: Vec<FlowOrder>,
    next_reference: u64,
    now_ns: u64,
    rng: Rng,
}

impl Exchange {
    pub(crate) fn new(seed: u64) -> Self {
        let rules = Rules { seed, break_share: 16_000, ..Rules::default() };
        let mut exchange = Self {
            engine: Engine::new(rules, ["TERN".to_owned()]),
            stream: Vec::new(),
            feed: Vec::new(),
            received: Vec::new(),
            deframer: Deframer::new(),
            given: None,
            out: Vec::new(),
            flow: Vec::new(),
            next_reference: 1,
            now_ns: 1_000,
            rng: Rng::new(seed ^ 0xF10F),
        };
        for locate in 1..=SYMBOLS.len() as u16 {
            let (head, stock) = exchange.head::<itch::StockTradingAction>(locate);
            exchange.apply(&itch::StockTradingAction {
                head,
                stock,
                trading_state: b'T',
                reserved: b' ',
                reason: Alpha::BLANK,
            });
            // The collar's first reference.
            let (head, stock) = exchange.head::<itch::Trade>(locate);
            exchange.apply(&itch::Trade {
                head,
                order_reference_number: U64::new(0),
                buy_sell_indicator: b'B',
                shares: U32::new(1),
                stock,
                price: U32::new(MIDDLE),
                match_number: U64::new(u64::from(locate)),
            });
        }
        exchange
    }

    fn head<M: ItchMessage>(&mut self, locate: u16) -> (itch::Header, Alpha<8>) {
        self.now_ns += 1;
        let head = itch::Header { timestamp: Stamp48::new(self.now_ns), ..M::header(locate, 0, 0) };
        (head, Alpha::new(SYMBOLS[usize::from(locate) - 1]))
    }

    fn apply(&mut self, message: &impl ItchMessage) {
        self.engine.apply_flow(message.as_bytes());
        self.collect();
    }

    /// Takes what the engine wants sent.
    fn collect(&mut self) {
        let out = std::mem::take(&mut self.engine.out);
        let mut feed = out.feed.as_slice();
        while let Some((length, rest)) = feed.split_first_chunk::<2>() {
            let (message, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
            self.feed.push(message.to_vec());
            feed = rest;
        }
        self.stream.extend(out.clients.into_iter().map(|(_, message)| message));
        for line in out.log {
            if let Line::Received { fields, outcome, .. } = line {
                let kind = fields.kind.chars().next().unwrap_or('?');
                self.received.push((kind, fields.user_ref.unwrap_or(0), outcome));
            }
        }
        self.give();
    }

    /// One thing that the rest of the market does.
    pub(crate) fn move_on(&mut self) {
        self.now_ns += u64::from(self.rng.below(400_000_000));
        self.engine.advance(self.now_ns);
        self.collect();
        let locate = 1 + self.rng.below(SYMBOLS.len() as u32) as u16;
        match self.rng.below(6) {
            0..3 => {
                let is_buy = self.rng.below(2) == 0;
                let away = 100 * (1 + self.rng.below(5));
                let shares = 100 * (1 + self.rng.below(4));
                let (head, stock) = self.head::<itch::AddOrder>(locate);
                let reference = self.next_reference;
                self.next_reference += 1;
                self.flow.push(FlowOrder { reference, locate, shares });
                self.apply(&itch::AddOrder {
                    head,
                    order_reference_number: U64::new(reference),
                    buy_sell_indicator: if is_buy { b'B' } else { b'S' },
                    shares: U32::new(shares),
                    stock,
                    price: U32::new(if is_buy { MIDDLE - away } else { MIDDLE + away }),
                });
            }
            3..5 if !self.flow.is_empty() => {
                let at = self.rng.below(self.flow.len() as u32) as usize;
                let shares = self.flow[at].shares.min(100 * (1 + self.rng.below(3)));
                self.flow[at].shares -= shares;
                let (reference, locate) = (self.flow[at].reference, self.flow[at].locate);
                if self.flow[at].shares == 0 {
                    self.flow.remove(at);
                }
                let (head, _) = self.head::<itch::OrderExecuted>(locate);
                self.apply(&itch::OrderExecuted {
                    head,
                    order_reference_number: U64::new(reference),
                    executed_shares: U32::new(shares),
                    match_number: U64::new(1_000_000 + self.now_ns),
                });
            }
            _ if !self.flow.is_empty() => {
                let at = self.rng.below(self.flow.len() as u32) as usize;
                let FlowOrder { reference, locate, .. } = self.flow.remove(at);
                let (head, _) = self.head::<itch::OrderDelete>(locate);
                self.apply(&itch::OrderDelete { head, order_reference_number: U64::new(reference) });
            }
            _ => {}
        }
    }

    /// A connection is there.
    pub(crate) fn connected(&mut self) {
        self.deframer.reset();
        self.given = None;
        self.out.clear();
    }

    /// The connection is gone, and what was on its way to the client.
    pub(crate) fn disconnected(&mut self) {
        self.engine.on_disconnect(0);
        self.given = None;
        self.collect();
        self.out.clear();
    }

    /// Bytes of the client.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        let mut deframer = std::mem::take(&mut self.deframer);
        while let Some(frame) = deframer.next(&mut bytes).expect("the client speaks SoupBinTCP") {
            match frame.packet().expect("a packet of the protocol") {
                Packet::LoginRequest(login) => {
                    let next = self.stream.len() as u64 + 1;
                    let sequence = match login.requested_sequence_number.get() {
                        Some(0) => next,
                        Some(wanted) => wanted.min(next),
                        None => 1,
                    };
                    let session = SoupSession::right_justified(SESSION);
                    let accepted = LoginAccepted { session, sequence_number: AsciiNumber::new(sequence) };
                    self.put(&Packet::LoginAccepted(&accepted));
                    self.given = Some(sequence as usize - 1);
                    self.engine.on_login(0);
                    self.collect();
                }
                Packet::UnsequencedData(message) => {
                    self.engine.on_client_message(0, message);
                    self.collect();
                }
                _ => {}
            }
        }
        self.deframer = deframer;
    }

    fn put(&mut self, packet: &Packet<'_>) {
        let mut buf = [0; 1100];
        let length = soup::write(&mut buf, packet).expect("it fits");
        self.out.extend_from_slice(&buf[..length]);
    }

    /// Gives the connection what is new in the stream.
    fn give(&mut self) {
        let Some(given) = self.given else { return };
        for at in given..self.stream.len() {
            let message = std::mem::take(&mut self.stream[at]);
            self.put(&Packet::SequencedData(&message));
            self.stream[at] = message;
        }
        self.given = Some(self.stream.len());
    }

    /// Order ids that it took, by what it said: OUCH 5.0, 3.2 (`A`) and 3.3 (`U`), the id of the order or of its replacement.
    pub(crate) fn taken(&self) -> BTreeSet<u32> {
        let id_at = |message: &[u8], at: usize| {
            let bytes = message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_be_bytes(bytes.expect("a whole message"))
        };
        let id_of = |message: &Vec<u8>| match message[0] {
            b'A' => Some(id_at(message, 9)),
            b'U' => Some(id_at(message, 13)),
            _ => None,
        };
        self.stream.iter().filter_map(id_of).collect()
    }

    /// Loses the end of the account's stream: a venue that came back without its last messages.
    pub(crate) fn forget(&mut self, messages: usize) {
        self.stream.truncate(self.stream.len() - messages);
    }

    /// Message `at` of the feed, as a datagram.
    pub(crate) fn datagram(&self, at: usize) -> Vec<u8> {
        let mut buf = [0; 1400];
        let mut packet = PacketBuilder::new(&mut buf, Alpha::new(SESSION), at as u64 + 1).expect("room for the header");
        packet.push(&self.feed[at]).expect("room for a message");
        packet.finish().to_vec()
    }
}
