//! The smallest market that makes a strategy send an order when we want it: one symbol, a bid and an ask of the same
//! size, and a trigger, a bid so large that the taker takes the ask. Taking the trigger back makes the market as before.

use tern_venues::itch_ouch::wire::itch::{AddOrder, ItchMessage, OrderDelete, StockDirectory, StockTradingAction};
use tern_venues::itch_ouch::wire::{Alpha, mold};
use zerocopy::{FromZeros, IntoBytes};

use crate::flow::SESSION;

const SYMBOL: Alpha<8> = Alpha(*b"TRIG    ");
const LOCATE: u16 = 1;
const BID: u32 = 100_000;
const ASK: u32 = 100_100;
const SHARES: u32 = 100;

/// Writes the market's datagrams.
#[derive(Debug)]
pub struct Market {
    next_sequence: u64,
    next_reference: u64,
    payload: [u8; 256],
}

impl Default for Market {
    fn default() -> Self {
        Self { next_sequence: 1, next_reference: 1, payload: [0; 256] }
    }
}

impl Market {
    /// Directory, trading state, and an order on each side.
    pub fn opening(&mut self) -> &[u8] {
        let directory = StockDirectory { stock: SYMBOL, ..with_head(|it: &mut StockDirectory, head| it.head = head) };
        let trading = StockTradingAction {
            stock: SYMBOL,
            trading_state: b'T',
            ..with_head(|it: &mut StockTradingAction, head| it.head = head)
        };
        let (bid, ask) = (self.add(b'B', SHARES, BID), self.add(b'S', SHARES, ASK));
        self.datagram(&[directory.as_bytes(), trading.as_bytes(), bid.as_bytes(), ask.as_bytes()])
    }

    /// The bid that makes the taker buy.
    pub fn trigger(&mut self) -> &[u8] {
        let add = self.add(b'B', 50 * SHARES, BID);
        self.datagram(&[add.as_bytes()])
    }

    /// Takes the trigger back.
    pub fn reset(&mut self) -> &[u8] {
        let reference = self.next_reference - 1;
        let delete = OrderDelete {
            order_reference_number: reference.into(),
            ..with_head(|it: &mut OrderDelete, head| it.head = head)
        };
        self.datagram(&[delete.as_bytes()])
    }

    /// A heartbeat.
    pub fn heartbeat(&mut self) -> &[u8] {
        let length = mold::write_heartbeat(&mut self.payload, SESSION, self.next_sequence).expect("a header fits");
        &self.payload[..length]
    }

    fn add(&mut self, side: u8, shares: u32, price: u32) -> AddOrder {
        self.next_reference += 1;
        AddOrder {
            order_reference_number: (self.next_reference - 1).into(),
            buy_sell_indicator: side,
            shares: shares.into(),
            stock: SYMBOL,
            price: price.into(),
            ..with_head(|it: &mut AddOrder, head| it.head = head)
        }
    }

    fn datagram(&mut self, messages: &[&[u8]]) -> &[u8] {
        let mut packet =
            mold::PacketBuilder::new(&mut self.payload, SESSION, self.next_sequence).expect("a header fits");
        messages.iter().for_each(|message| packet.push(message).expect("four messages fit"));
        self.next_sequence += messages.len() as u64;
        packet.finish()
    }
}

/// A message with its header and nothing else.
fn with_head<M: ItchMessage + FromZeros>(set: impl FnOnce(&mut M, tern_venues::itch_ouch::wire::itch::Header)) -> M {
    let mut message = M::new_zeroed();
    set(&mut message, M::header(LOCATE, 0, 34_200_000_000_000));
    message
}
