//! Message files of LOBSTER (one symbol, CSV) as ITCH.
//!
//! Submission becomes A, partial cancellation X, deletion D, execution of a visible order E, of a hidden one P, halts H.
//! A file starts in the middle of a day and covers a range of prices, so orders that were there before, or that were
//! submitted out of its range, are named without ever having been added. What their events take off them in all is the
//! least they had; with [`UnknownOrders::Seed`] they are added with just that. Numbers were given in time order, so such
//! an order is added where its number belongs: up front if it is below that of the first submission, else before the
//! first submission with a higher one. So the top of the book is right wherever it is touched later; what is never named
//! stays unknown.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::itch::{self, ItchMessage};
use zerocopy::big_endian::{U32, U64};

/// What to do with events that name orders which were never added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum UnknownOrders {
    /// Add those orders where their numbers belong.
    #[default]
    Seed,
    /// Leave the events out.
    Drop,
    /// Keep the events: the file then has references that do not resolve.
    Keep,
}

/// What a conversion came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines read.
    pub events: u64,
    /// ITCH messages written, the preamble included.
    pub messages: u64,
    /// Orders that were named without having been added.
    pub unknown_orders: u64,
    /// Events that named them.
    pub unknown_events: u64,
    /// Events of a type that has no counterpart, left out.
    pub skipped: u64,
}

#[derive(Clone, Copy)]
struct Event {
    at_ns: u64,
    kind: u8,
    order: u64,
    shares: u32,
    price: i64,
    buys: bool,
}

/// Seconds with a fraction, as nanoseconds. Some lines have more digits, left over from a conversion through floats.
fn nanoseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction_ns: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction_ns)
}

fn parse(line: &str) -> Option<Event> {
    let mut columns = line.trim_end().split(',');
    let event = Event {
        at_ns: nanoseconds(columns.next()?)?,
        kind: columns.next()?.parse().ok()?,
        order: columns.next()?.parse().ok()?,
        shares: columns.next()?.parse().ok()?,
        price: columns.next()?.parse().ok()?,
        buys: columns.next()?.parse::<i8>().ok()? > 0,
    };
    Some(event)
}

struct Writer<'a, W: Write> {
    out: W,
    stock: Alpha<8>,
    matches: u64,
    summary: &'a mut Summary,
}

impl<W: Write> Writer<'_, W> {
    fn put(&mut self, message: &impl ItchMessage) -> Result<()> {
        let bytes = message.as_bytes();
        // At most 50 bytes.
        self.out.write_all(&(bytes.len() as u16).to_be_bytes()).context("write the ITCH file")?;
        self.out.write_all(bytes).context("write the ITCH file")?;
        self.summary.messages += 1;
        Ok(())
    }

    fn preamble(&mut self, at_ns: u64) -> Result<()> {
        let system = |event_code| itch::SystemEvent { head: itch::SystemEvent::header(0, 0, at_ns), event_code };
        self.put(&system(b'O'))?;
        self.put(&itch::StockDirectory {
            head: itch::StockDirectory::header(1, 0, at_ns),
            stock: self.stock,
            market_category: b'Q',
            financial_status_indicator: b'N',
            round_lot_size: U32::new(100),
            round_lots_only: b'N',
            issue_classification: b'C',
            issue_sub_type: Alpha::new(b"Z"),
            authenticity: b'P',
            short_sale_threshold_indicator: b'N',
            ipo_flag: b'N',
            luld_reference_price_tier: b'1',
            etp_flag: b'N',
            etp_leverage_factor: U32::new(0),
            inverse_indicator: b'N',
        })?;
        self.trading_action(at_ns, b'T')?;
        self.put(&system(b'S'))?;
        self.put(&system(b'Q'))
    }

    fn trading_action(&mut self, at_ns: u64, trading_state: u8) -> Result<()> {
        self.put(&itch::StockTradingAction {
            head: itch::StockTradingAction::header(1, 0, at_ns),
            stock: self.stock,
            trading_state,
            reserved: b' ',
            reason: Alpha::BLANK,
        })
    }

    fn add(&mut self, event: &Event, shares: u32) -> Result<()> {
        self.put(&itch::AddOrder {
            head: itch::AddOrder::header(1, 0, event.at_ns),
            order_reference_number: U64::new(event.order),
            buy_sell_indicator: if event.buys { b'B' } else { b'S' },
            shares: U32::new(shares),
            stock: self.stock,
            price: U32::new(event.price as u32),
        })
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        let reference = U64::new(event.order);
        match event.kind {
            1 => self.add(event, event.shares),
            2 => self.put(&itch::OrderCancel {
                head: itch::OrderCancel::header(1, 0, event.at_ns),
                order_reference_number: reference,
                cancelled_shares: U32::new(event.shares),
            }),
            3 => self.put(&itch::OrderDelete {
                head: itch::OrderDelete::header(1, 0, event.at_ns),
                order_reference_number: reference,
            }),
            4 => {
                self.matches += 1;
                self.put(&itch::OrderExecuted {
                    head: itch::OrderExecuted::header(1, 0, event.at_ns),
                    order_reference_number: reference,
                    executed_shares: U32::new(event.shares),
                    match_number: U64::new(self.matches),
                })
            }
            5 => {
                self.matches += 1;
                self.put(&itch::Trade {
                    head: itch::Trade::header(1, 0, event.at_ns),
                    order_reference_number: U64::new(0),
                    buy_sell_indicator: b'B',
                    shares: U32::new(event.shares),
                    stock: self.stock,
                    price: U32::new(event.price as u32),
                    match_number: U64::new(self.matches),
                })
            }
            // The price column says which: -1 halted, 0 quoting again, 1 trading again.
            7 => self.trading_action(event.at_ns, [b'H', b'Q', b'T'][(event.price.clamp(-1, 1) + 1) as usize]),
            _ => {
                self.summary.skipped += 1;
                Ok(())
            }
        }
    }
}

/// An order that was named without having been added.
struct Unknown {
    /// The first event that named it.
    first: Event,
    /// What its events take off it.
    shares: u32,
    /// It is added before the event of this index.
    place: usize,
}

fn read(input: impl BufRead) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for (index, line) in input.lines().enumerate() {
        let line = line.context("read the message file")?;
        let event = parse(&line).with_context(|| {
            format!("line {}: {line:?} is not time,type,order,size,price,direction of LOBSTER", index + 1)
        })?;
        if event.kind != 7 && !(0..=i64::from(itch::PRICE_MAX)).contains(&event.price) {
            bail!("line {}: price {} is out of range", index + 1, event.price);
        }
        events.push(event);
    }
    Ok(events)
}

/// Orders named before they were added, by number.
fn unknown_orders(events: &[Event], summary: &mut Summary) -> BTreeMap<u64, Unknown> {
    let mut added = HashSet::new();
    // Submissions with a number above all before them, with their index. Some come a little out of order.
    let mut newest: Vec<(u64, usize)> = Vec::new();
    let mut unknown: BTreeMap<u64, Unknown> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        if event.kind == 1 {
            added.insert(event.order);
            if newest.last().is_none_or(|(number, _)| *number < event.order) {
                newest.push((event.order, index));
            }
        } else if matches!(event.kind, 2..=4) && !added.contains(&event.order) {
            summary.unknown_events += 1;
            let order = unknown.entry(event.order).or_insert(Unknown { first: *event, shares: 0, place: index });
            order.shares = order.shares.saturating_add(event.shares);
        }
    }
    for (number, order) in &mut unknown {
        order.place = match newest.partition_point(|(newest, _)| newest < number) {
            0 => 0,
            after => newest.get(after).map_or(order.place, |(_, index)| order.place.min(*index)),
        };
    }
    summary.unknown_orders = unknown.len() as u64;
    unknown
}

/// Converts a message file. With what it came to comes the ITCH sequence number of each line's message, counted from 1;
/// 0 where a line was left out.
///
/// # Errors
/// When a line is not of the six columns, or reading or writing fails.
pub fn convert(
    input: impl BufRead,
    out: impl Write,
    symbol: &str,
    unknown: UnknownOrders,
) -> Result<(Summary, Vec<u64>)> {
    if symbol.is_empty() || symbol.len() > 8 || !symbol.is_ascii() {
        bail!("symbol {symbol:?}: give 1 to 8 ASCII characters");
    }
    let events = read(input)?;
    let Some(first) = events.first() else { bail!("the message file is empty") };
    let mut summary = Summary { events: events.len() as u64, ..Summary::default() };
    let before = unknown_orders(&events, &mut summary);
    let mut seeds: Vec<&Unknown> = match unknown {
        UnknownOrders::Seed => before.values().collect(),
        UnknownOrders::Drop | UnknownOrders::Keep => Vec::new(),
    };
    // Stable: those of one place stay in the order of their numbers.
    seeds.sort_by_key(|seed| seed.place);
    let mut seeds = seeds.into_iter().peekable();
    let mut sequences = Vec::with_capacity(events.len());
    let mut writer = Writer { out, stock: Alpha::new(symbol.as_bytes()), matches: 0, summary: &mut summary };
    writer.preamble(first.at_ns)?;
    for (index, event) in events.iter().enumerate() {
        while let Some(seed) = seeds.next_if(|seed| seed.place <= index) {
            writer.add(&Event { at_ns: event.at_ns, ..seed.first }, seed.shares)?;
        }
        let written = writer.summary.messages;
        let is_left_out = unknown == UnknownOrders::Drop && before.contains_key(&event.order);
        if !(is_left_out && matches!(event.kind, 2..=4)) {
            writer.event(event)?;
        }
        let now = writer.summary.messages;
        sequences.push(if now == written { 0 } else { now });
    }
    writer.out.flush().context("write the ITCH file")?;
    Ok((summary, sequences))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_venues::itch_ouch::itch_file::ItchFile;

    const LINES: &str = "34200.5,1,10,100,5853300,1\n34200.500000001,4,7,20,5859400,-1\n34201,2,10,40,5853300,1\n\
        34201.25,5,0,30,5856000,1\n34202,3,7,5,5859400,-1\n34203,7,0,0,-1,-1\n34204,3,10,60,5853300,1\n";

    fn kinds(unknown: UnknownOrders) -> (String, Summary, Vec<u8>) {
        let mut out = Vec::new();
        let (summary, _) = convert(LINES.as_bytes(), &mut out, "AAPL", unknown).expect("converts");
        let kinds = ItchFile::new(&out).map(|m| m.expect("valid")[0] as char).collect();
        (kinds, summary, out)
    }

    #[test]
    fn events_become_messages_and_unknown_orders_are_seeded_with_what_they_lose() {
        let (letters, summary, out) = kinds(UnknownOrders::Seed);
        assert_eq!(letters, "SRHSSAAEXPDHD");
        assert_eq!((summary.unknown_orders, summary.unknown_events, summary.skipped), (1, 2, 0));
        let messages: Vec<&[u8]> = ItchFile::new(&out).map(|message| message.expect("valid")).collect();
        let Ok(itch::Message::AddOrder(seeded)) = itch::Message::decode(messages[5]) else { panic!("an add") };
        assert_eq!((seeded.order_reference_number.get(), seeded.shares.get()), (7, 25));
        let Ok(itch::Message::OrderExecuted(executed)) = itch::Message::decode(messages[7]) else { panic!("an E") };
        assert_eq!(executed.head.timestamp.get(), 34_200_500_000_001);
    }

    #[test]
    fn unknown_orders_can_be_left_out_or_kept() {
        assert_eq!(kinds(UnknownOrders::Drop).0, "SRHSSAXPHD");
        assert_eq!(kinds(UnknownOrders::Keep).0, "SRHSSAEXPDHD");
    }

    #[test]
    fn an_unknown_order_is_added_where_its_number_belongs() {
        // 15 was submitted between 10 and 20, out of the file's range of prices; 25 after 20, but before it was named.
        let lines = "34200.5,1,10,100,100,1\n34201,1,20,100,101,1\n34202,3,15,40,99,1\n34202,6,0,1,1,1\n\
            34203,3,25,7,98,1\n34204,1,30,1,97,1\n";
        let mut out = Vec::new();
        let (summary, sequences) = convert(lines.as_bytes(), &mut out, "AAPL", UnknownOrders::Seed).expect("converts");
        assert_eq!((summary.unknown_orders, summary.skipped), (2, 1));
        assert_eq!(sequences, [6, 8, 9, 0, 11, 12]);
        let adds = ItchFile::new(&out).filter_map(|message| match itch::Message::decode(message.expect("valid")) {
            Ok(itch::Message::AddOrder(add)) => Some((add.order_reference_number.get(), add.head.timestamp.get())),
            _ => None,
        });
        assert_eq!(
            adds.collect::<Vec<_>>(),
            [
                (10, 34_200_500_000_000),
                (15, 34_201_000_000_000),
                (20, 34_201_000_000_000),
                (25, 34_203_000_000_000),
                (30, 34_204_000_000_000)
            ]
        );
    }

    #[test]
    fn bad_lines_are_named() {
        let error = convert("34200.1,1,5\n".as_bytes(), Vec::new(), "AAPL", UnknownOrders::Seed).expect_err("short");
        assert!(format!("{error:#}").contains("line 1"), "{error:#}");
        assert!(convert("".as_bytes(), Vec::new(), "AAPL", UnknownOrders::Seed).is_err());
        assert!(convert(LINES.as_bytes(), Vec::new(), "TOOLONGSYM", UnknownOrders::Seed).is_err());
        assert_eq!(nanoseconds("34200.-1"), None);
        assert_eq!(nanoseconds("35821.088778456004"), Some(35_821_088_778_456));
    }
}
