use super::*;
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::manual::AdjustmentRecord;
use tern_abi::record::{STAGES, Stage, VenueEventKind};
use zerocopy::IntoBytes;

#[derive(Default)]
struct Feeder {
    fold: Fold,
    seq: u64,
}

impl Feeder {
    fn add(&mut self, kind: Kind, body: &[u8]) {
        self.seq += 1;
        let header = RecordHeader {
            seq: self.seq,
            tai_ns: self.seq * 1000,
            kind: kind as u16,
            flags: 0,
            body_bytes: body.len() as u32,
        };
        self.fold.apply(&header, body);
    }

    fn order(&mut self, action: u8, order: u32, replaces: u32, side: u8, price: i64, quantity: u32) {
        let symbol = *b"AAPL    ";
        let record = OrderRecord {
            action,
            order,
            replaces,
            side,
            price,
            quantity,
            symbol,
            instrument: 4,
            account: 1,
            ..OrderRecord::default()
        };
        self.add(Kind::Order, record.as_bytes());
    }

    fn event(
        &mut self,
        kind: VenueEventKind,
        order: u32,
        previous: u32,
        quantity: u32,
        leaves: u32,
        change: impl FnOnce(&mut OrderEventRecord),
    ) {
        let mut record = OrderEventRecord {
            kind: kind as u8,
            order,
            previous,
            quantity,
            leaves,
            side: SIDE_BUY,
            instrument: 4,
            account: 1,
            ..OrderEventRecord::default()
        };
        change(&mut record);
        self.add(Kind::OrderEvent, record.as_bytes());
    }
}

#[test]
fn an_order_is_followed_through_replace_fill_break_and_cancel() {
    let mut feed = Feeder::default();
    feed.order(ACTION_NEW, 1, 0, SIDE_BUY, 100_0000, 100);
    assert_eq!(feed.fold.orders.open().count(), 1, "sent and not answered is open");
    feed.event(VenueEventKind::Accepted, 1, 0, 100, 100, |_| {});
    feed.event(VenueEventKind::Executed, 1, 0, 30, 70, |event| (event.price, event.match_number) = (99_0000, 7));
    feed.order(ACTION_REPLACE, 2, 1, SIDE_BUY, 101_0000, 100);
    assert_eq!(feed.fold.orders.open().map(|row| row.order).collect::<Vec<_>>(), [1], "counted once while pending");
    feed.event(VenueEventKind::Replaced, 2, 1, 100, 70, |event| event.price = 101_0000);
    assert_eq!(feed.fold.orders.open().map(|row| (row.order, row.leaves)).collect::<Vec<_>>(), [(2, 70)]);
    feed.event(VenueEventKind::Executed, 2, 0, 20, 50, |event| (event.price, event.match_number) = (101_0000, 8));
    // The same execution again, as after a session's resume, counts once.
    feed.event(VenueEventKind::Executed, 2, 0, 20, 50, |event| (event.price, event.match_number) = (101_0000, 8));
    // The break names the order by its present id.
    feed.event(VenueEventKind::Broken, 2, 0, 0, 50, |event| event.match_number = 7);
    feed.order(ACTION_CANCEL, 2, 0, SIDE_BUY, 0, 0);
    assert_eq!(feed.fold.orders.open().map(|row| row.life).collect::<Vec<_>>(), [orders::Life::Canceling]);
    feed.event(VenueEventKind::Canceled, 2, 0, 50, 0, |_| {});
    assert_eq!(feed.fold.orders.open().count(), 0);

    let fold = &feed.fold;
    assert_eq!((fold.sent.new, fold.sent.replace, fold.sent.cancel), (1, 1, 1));
    assert_eq!((fold.trades.repeated, fold.trades.unknown_breaks), (1, 0));
    let traded = fold.trades.traded()[&(1, "AAPL".to_owned())];
    assert_eq!((traded.shares, traded.cash, traded.fills, traded.broken), (20, -20 * 101_0000, 1, 1));
}

#[test]
fn an_order_without_an_answer_is_named_until_the_venue_says_something() {
    let mut feed = Feeder::default();
    feed.order(ACTION_NEW, 1, 0, SIDE_BUY, 100_0000, 100);
    feed.event(VenueEventKind::Unanswered, 1, 0, 0, 100, |event| event.reason = 1);
    let open = |feed: &Feeder| feed.fold.orders.open().map(|row| (row.life, row.unanswered)).collect::<Vec<_>>();
    assert_eq!(open(&feed), [(orders::Life::Pending, true)]);
    feed.event(VenueEventKind::Accepted, 1, 0, 100, 100, |_| {});
    assert_eq!(open(&feed), [(orders::Life::Open, false)]);
}

#[test]
fn a_sell_raises_cash() {
    let mut feed = Feeder::default();
    feed.order(ACTION_NEW, 1, 0, SIDE_SELL, 5_0000, 10);
    feed.event(VenueEventKind::Executed, 1, 0, 10, 0, |event| {
        (event.price, event.match_number, event.side) = (5_0100, 1, SIDE_SELL);
    });
    let traded = feed.fold.trades.traded()[&(1, "AAPL".to_owned())];
    assert_eq!((traded.shares, traded.cash, traded.sold), (-10, 501_000, 10));
}

#[test]
fn gaps_are_explained_by_shed_markers_and_restarts_or_counted_as_lost() {
    let mut feed = Feeder::default();
    feed.add(Kind::Timer, &[]);
    feed.seq += 3;
    feed.add(Kind::Shed, ShedRecord { datagrams: 3, bytes: 300 }.as_bytes());
    feed.seq += 1;
    feed.add(Kind::Start, StartRecord { run: 2, ..StartRecord::default() }.as_bytes());
    assert_eq!((feed.fold.missing, feed.fold.unexplained(), feed.fold.runs), (4, 0, 1));
    feed.seq += 2;
    feed.add(Kind::Timer, &[]);
    assert_eq!(feed.fold.unexplained(), 2);
}

#[test]
fn stages_become_spans() {
    let mut feed = Feeder::default();
    let mut stage_ns = [0; STAGES];
    for (stage, ns) in [(Stage::FrameSeen, 1000), (Stage::Decoded, 1100), (Stage::Book, 1300), (Stage::Encoded, 2000)] {
        stage_ns[stage as usize] = ns;
    }
    let mut record = StageRecord { arrival_ns: 500, stage_ns, order: 9, ..StageRecord::default() };
    feed.add(Kind::Stages, record.as_bytes());
    record.order = 0;
    feed.add(Kind::Stages, record.as_bytes());
    let latencies = &feed.fold.latencies;
    let close = |span: &Span, ns: u64| {
        assert!(span.percentiles().p50.abs_diff(ns) <= 1, "{}: {:?}", span.name, span.percentiles())
    };
    close(&latencies.tick_to_order, 1000);
    close(&latencies.arrival_to_order, 1500);
    close(&latencies.arrival_to_seen, 500);
    close(&latencies.stages[Stage::Book as usize], 200);
    close(&latencies.stages[Stage::Encoded as usize], 700);
    assert_eq!((latencies.tick_to_order.percentiles().n, latencies.arrival_to_seen.percentiles().n), (1, 2));
    assert_eq!(latencies.tick_to_order.shape(8).iter().map(|(_, count)| count).sum::<u64>(), 1);
}

#[test]
fn short_bodies_and_unknown_kinds_are_counted() {
    let mut feed = Feeder::default();
    feed.add(Kind::Order, &[0; 3]);
    feed.fold.apply(&RecordHeader { seq: 2, kind: 999, ..RecordHeader::default() }, &[]);
    assert_eq!(feed.fold.unreadable, 2);
}

#[test]
fn names_come_from_the_start_record() {
    let mut feed = Feeder::default();
    let names = Names { refusals: vec![tern_config::facts::Named::new("collar", "")], ..Names::default() };
    let mut body = StartRecord::default().as_bytes().to_vec();
    body.extend_from_slice(names.start_text("x = 1\n").as_bytes());
    feed.add(Kind::Start, &body);
    feed.add(Kind::Refusal, RefusalRecord::default().as_bytes());
    assert_eq!((feed.fold.refusal_name(0).as_str(), feed.fold.refused[&0]), ("collar", 1));
}

#[test]
fn positions_are_those_of_the_last_day_with_what_it_began_with() {
    let held = |shares| Opening { account: 1, strategy: 0, symbol: *b"AAPL    ", shares, cost: shares * 9_0000 };
    let mut feed = Feeder::default();
    // Both days have the match number 7, and the second begins with what the first ended with.
    for (day, began, ends) in [(5, 10, 40), (6, 40, 70)] {
        let text = format!("#run day={day}\n{}", held(began).to_line());
        feed.add(Kind::Start, &[StartRecord::default().as_bytes(), text.as_bytes()].concat());
        let key = (1, 0, "AAPL".to_owned());
        assert_eq!(feed.fold.positions.get(&key).map(|position| position.shares), Some(began));
        feed.order(ACTION_NEW, 1, 0, SIDE_BUY, 10_0000, 30);
        feed.event(VenueEventKind::Executed, 1, 0, 30, 0, |event| (event.price, event.match_number) = (9_0000, 7));
        let traded = feed.fold.trades.traded()[&(1, "AAPL".to_owned())];
        assert_eq!((traded.shares, traded.cash, traded.fills), (ends, -9_0000 * i128::from(ends), 1), "day {day}");
    }
    assert_eq!((feed.fold.trades.repeated, feed.fold.trades.iter().count()), (0, 2));
}

#[test]
fn a_trade_that_people_told_is_part_of_the_sums_until_the_day_ends() {
    let mut feed = Feeder::default();
    let start = |feed: &mut Feeder, day: u32| {
        feed.add(Kind::Start, &[StartRecord::default().as_bytes(), format!("#run day={day}\n").as_bytes()].concat());
    };
    start(&mut feed, 5);
    let told = AdjustmentRecord {
        account: 1,
        symbol: *b"AAPL    ",
        quantity: 40,
        price: 9_0000,
        side: SIDE_SELL,
        ..AdjustmentRecord::default()
    };
    feed.add(Kind::Adjustment, told.as_bytes());
    start(&mut feed, 5);
    let traded = feed.fold.trades.traded()[&(1, "AAPL".to_owned())];
    assert_eq!((traded.shares, traded.cash, traded.fills), (-40, 40 * 9_0000, 0), "a restart does not tell it again");
    assert_eq!((feed.fold.trades.told().len(), feed.fold.unreadable), (1, 0));
    start(&mut feed, 6);
    assert!(feed.fold.trades.traded().is_empty());
}
