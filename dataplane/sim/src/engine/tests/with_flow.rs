//! Clients in the flow: who trades first, and what the feed says.

use super::*;

#[test]
fn flow_alone_is_published_byte_for_byte() {
    let mut floor = Floor::new();
    floor.add(1, Side::Buy, 100, 100_000);
    floor.execute(1, 40, 5);
    floor.reduce(1, 10);
    floor.replace_flow(1, 2, 70, 100_100);
    floor.hidden_trade(5, 100_050, 6);
    floor.delete(2);
    floor.delete(99);
    assert_eq!(floor.feed(), "A(1,B100@100000) E(1,40,5) X(1,10) U(1,2,70@100100) P(5@100050) D(2) D(99)");
    assert_eq!(floor.engine.tally.flow_unknown, 1);
    assert_eq!(floor.engine.book.live(), 0);
}

#[test]
fn a_client_ahead_in_the_queue_trades_first() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 60, 100_000));
    floor.add(1, Side::Buy, 100, 100_000);
    floor.feed();
    floor.execute(1, 100, 5);
    // 60 to the client, 40 to the flow's order, whose other 60 the flow believes gone.
    assert_eq!(floor.feed(), "E(c1,60,c1) E(1,40,5) D(1)");
    assert_eq!(floor.engine.book.live(), 0);
}

#[test]
fn a_client_behind_waits_for_its_turn() {
    let mut floor = Floor::new();
    floor.add(1, Side::Buy, 100, 100_000);
    floor.enter(0, entry(1, b'B', 60, 100_000));
    floor.add(2, Side::Buy, 100, 100_000);
    floor.feed();
    floor.execute(1, 100, 5);
    assert_eq!(floor.feed(), "E(1,100,5)");
    floor.execute(2, 30, 6);
    assert_eq!(floor.feed(), "E(c1,30,c1) X(2,30)");
    assert_eq!(floor.holding(0), (30, -30 * 100_000));
}

#[test]
fn a_better_price_trades_first_whatever_the_time() {
    let mut floor = Floor::new();
    floor.add(1, Side::Sell, 100, 100_000);
    floor.enter(0, entry(1, b'S', 100, 99_900));
    floor.feed();
    floor.execute(1, 50, 5);
    assert_eq!(floor.feed(), "E(c1,50,c1) X(1,50)");
    assert_eq!(floor.holding(0), (-50, 50 * 99_900));
}

#[test]
fn flow_that_crosses_a_client_trades_with_it_before_it_rests() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 60, 100_000));
    floor.feed();
    floor.add(1, Side::Sell, 100, 99_900);
    assert_eq!(floor.feed(), "E(c1,60,c1) A(1,S40@99900)");
    floor.enter(0, entry(2, b'B', 100, 99_800));
    floor.feed();
    floor.replace_flow(1, 2, 100, 99_800);
    assert_eq!(floor.feed(), "D(1) E(c2,100,c2)");
    assert_eq!(floor.engine.book.live(), 0);
    floor.replace_flow(2, 3, 80, 101_000);
    assert_eq!(floor.feed(), "A(3,S80@101000)", "what was taken whole comes back as a new order");
}

#[test]
fn messages_about_what_clients_took_are_not_repeated() {
    let mut floor = Floor::new();
    floor.add(1, Side::Sell, 100, 100_000);
    floor.add(2, Side::Sell, 100, 100_100);
    floor.enter(0, Entry { time_in_force: b'3', ..entry(1, b'B', 130, 100_100) });
    floor.feed();
    floor.delete(1);
    assert_eq!(floor.feed(), "", "the client took it whole");
    floor.reduce(2, 20);
    assert_eq!(floor.feed(), "", "70 are left of the 80 that the flow believes in");
    floor.reduce(2, 20);
    assert_eq!(floor.feed(), "X(2,10)");
    floor.execute(2, 60, 8);
    assert_eq!(floor.feed(), "E(2,60,8)");
    assert_eq!(floor.engine.book.live(), 0);
}

#[test]
fn a_hidden_trade_goes_to_clients_that_are_as_good() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 60, 100_000));
    floor.feed();
    floor.hidden_trade(100, 100_000, 9);
    assert_eq!(floor.feed(), "E(c1,60,c1) P(40@100000)");
    floor.hidden_trade(100, 100_000, 9);
    assert_eq!(floor.feed(), "P(100@100000)");
}

#[test]
fn halts_reject_and_nothing_trades_in_them() {
    let mut floor = Floor::new();
    floor.enter(0, entry(1, b'B', 60, 100_000));
    floor.trading(b'H');
    floor.told();
    floor.feed();
    floor.enter(0, entry(2, b'B', 60, 100_000));
    assert_eq!(floor.told(), "0:J(2,7)");
    floor.add(1, Side::Sell, 10, 99_000);
    assert_eq!(floor.feed(), "A(1,S10@99000)");
    floor.cancel(0, 1, 0);
    assert_eq!(floor.told(), "0:C(1,60,U)", "cancels pass");
    floor.trading(b'T');
    floor.enter(0, entry(3, b'B', 60, 98_000));
    assert_eq!(floor.told(), "0:A(3,60)");
}

/// Random flow and random clients: what is published must make sense to a receiver that knows nothing else, and its book
/// must be the exchange's.
#[test]
fn receivers_can_follow_whatever_clients_do() {
    use std::collections::BTreeMap;
    for seed in 0..60 {
        let mut rng = crate::rng::Rng::new(seed);
        let mut config = crate::generate::Config::day(crate::generate::Shape::Small, 6_000, seed);
        config.symbols = Some(3);
        config.opening_orders = Some(120);
        let mut flow = crate::generate::Generator::new(config).expect("enough messages");
        let rules = Rules { seed, break_share: 2_000, ..Rules::default() };
        let mut engine = Engine::new(rules, ["ONE".to_owned(), "TWO".to_owned()]);
        let mut seen: BTreeMap<u64, (u16, u8, u32, u32)> = BTreeMap::new();
        let mut user_ref = 0;
        let mut quotes = Vec::new();
        while let Some(message) = flow.next_message() {
            engine.apply_flow(message);
            if let Ok(Message::AddOrder(add)) = Message::decode(message) {
                quotes.push((add.stock, add.buy_sell_indicator, add.price.get()));
            }
            let account = (rng.bits() & 1) as u16;
            if rng.chance(9_000) && !quotes.is_empty() {
                let (symbol, side, price) = quotes[quotes.len() - 1 - rng.below(quotes.len().min(8) as u32) as usize];
                user_ref += 1;
                let order = ouch::EnterOrder {
                    kind: b'O',
                    user_ref_num: U32::new(user_ref),
                    side: if rng.chance(20_000) { b'B' + b'S' - side } else { side },
                    quantity: U32::new(1 + rng.below(300)),
                    symbol,
                    price: U64::new(u64::from(price)),
                    time_in_force: [b'0', b'3', b'5'][rng.below(3) as usize],
                    display: if rng.chance(8_000) { b'N' } else { b'Y' },
                    capacity: b'P',
                    intermarket_sweep_eligibility: b'N',
                    cross_type: if rng.chance(4_000) { b'C' } else { b'N' },
                    cl_ord_id: Alpha::BLANK,
                };
                engine.on_client_message(account, order.as_bytes());
            }
            if rng.chance(6_000) && user_ref > 0 {
                let target = 1 + rng.below(user_ref);
                if rng.chance(32_768) {
                    engine.on_client_message(account, ouch::CancelOrder::new(target, rng.below(100)).as_bytes());
                } else {
                    user_ref += 1;
                    let price = quotes.last().map_or(0, |quote| quote.2);
                    let replace = ouch::ReplaceOrder {
                        kind: b'U',
                        orig_user_ref_num: U32::new(target),
                        user_ref_num: U32::new(user_ref),
                        quantity: U32::new(1 + rng.below(400)),
                        price: U64::new(u64::from(price)),
                        time_in_force: b'0',
                        display: b'Y',
                        intermarket_sweep_eligibility: b'N',
                        cl_ord_id: Alpha::BLANK,
                    };
                    engine.on_client_message(account, replace.as_bytes());
                }
            }
            receive(&mut engine, &mut seen);
        }
        engine.end_day();
        receive(&mut engine, &mut seen);
        let told: i64 = engine.accounts.iter().flat_map(|account| account.holdings.values()).map(|h| h.position).sum();
        assert!(engine.tally.executions > 50, "seed {seed}: {} executions, sum {told}", engine.tally.executions);
        assert!(engine.accounts.iter().all(|account| account.orders.is_empty()));
        let live: usize = (1..=3)
            .map(|l| [Side::Buy, Side::Sell].map(|s| engine.book.side(l, s, false).len()).iter().sum::<usize>())
            .sum();
        assert_eq!(live, seen.len(), "seed {seed}");
        for locate in 1..=3 {
            for side in [Side::Buy, Side::Sell] {
                for order in engine.book.side(locate, side, false) {
                    let expected = (locate, side.byte(), order.price, order.shares);
                    assert_eq!(seen.get(&order.reference), Some(&expected), "seed {seed}");
                }
            }
            let (bid, ask) =
                (engine.book.best_displayed(locate, Side::Buy), engine.book.best_displayed(locate, Side::Sell));
            assert!(bid.is_none() || ask.is_none() || bid < ask, "seed {seed}: {bid:?} {ask:?}");
        }
    }
}

/// A receiver that insists: references resolve, no order loses more than it has.
fn receive(engine: &mut Engine, seen: &mut std::collections::BTreeMap<u64, (u16, u8, u32, u32)>) {
    let bytes = std::mem::take(&mut engine.out.feed);
    engine.out.clients.clear();
    engine.out.log.clear();
    let mut rest = bytes.as_slice();
    while let Some((length, body)) = rest.split_first_chunk::<2>() {
        let (message, behind) = body.split_at(usize::from(u16::from_be_bytes(*length)));
        rest = behind;
        let message = Message::decode(message).expect("valid");
        let locate = message.header().stock_locate.get();
        let mut take = |reference: u64, shares: u32, all: bool| {
            let order = seen.get_mut(&reference).unwrap_or_else(|| panic!("{} unknown", short(reference)));
            assert!(order.3 > shares || (all && order.3 == shares), "{} loses too much", short(reference));
            order.3 -= shares;
            if order.3 == 0 {
                seen.remove(&reference);
            }
        };
        match message {
            Message::AddOrder(m) => {
                let order = (locate, m.buy_sell_indicator, m.price.get(), m.shares.get());
                assert!(m.shares.get() > 0 && seen.insert(m.order_reference_number.get(), order).is_none());
            }
            Message::AddOrderMpid(m) => {
                let order = (locate, m.buy_sell_indicator, m.price.get(), m.shares.get());
                assert!(m.shares.get() > 0 && seen.insert(m.order_reference_number.get(), order).is_none());
            }
            Message::OrderExecuted(m) => take(m.order_reference_number.get(), m.executed_shares.get(), true),
            Message::OrderExecutedWithPrice(m) => take(m.order_reference_number.get(), m.executed_shares.get(), true),
            Message::OrderCancel(m) => take(m.order_reference_number.get(), m.cancelled_shares.get(), false),
            Message::OrderDelete(m) => assert!(seen.remove(&m.order_reference_number.get()).is_some()),
            Message::OrderReplace(m) => {
                let old = seen.remove(&m.original_order_reference_number.get()).expect("known");
                let new = (old.0, old.1, m.price.get(), m.shares.get());
                assert!(m.shares.get() > 0 && seen.insert(m.new_order_reference_number.get(), new).is_none());
            }
            _ => {}
        }
    }
}
