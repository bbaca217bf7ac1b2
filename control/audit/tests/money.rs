//! Money on the edge of every limit, and what is no lie about it.

mod common;

use common::money::*;
use common::*;
use tern_abi::command::CommandKind;
use tern_abi::reconcile::Difference;
use tern_abi::record::{OrderRecord, PositionRecord};
use tern_abi::segment::{ScopeKind, TradingState};
use tern_audit::{Audit, Disagreement, Finding};

fn found(day: &Day) -> Vec<Finding> {
    day.audited().1
}

#[test]
fn to_the_share_of_every_limit_of_money_it_agrees() {
    let mut day = day();
    day.live(of(new(1, BUY, 600), 1, b"TERN    "));
    day.live(of(new(2, SELL, 400), 1, b"OTHER   "));
    refused(&mut day, GROSS, 100, 100_000_000, 110_000_000);
    // The highest reference from which the collar lets 10.0000 be.
    refused(&mut day, GROSS, 100, 100_000_000, 115_000_000);
    refused(&mut day, POSITION, 1000, 1500, 1600);
    // Beyond a limit that was lowered, what closes or is made smaller leaves.
    day.said(&executed_at(1, 600, (10_0000, b'A'), 1));
    day.command(CommandKind::SetLimit, 10, 1);
    day.order_with(of(new(3, SELL, 600), 1, b"TERN    "), |order| order.limits_epoch = 1);
    day.order_with(of(replace(2, 4, SELL, 300), 1, b"OTHER   "), |order| order.limits_epoch = 1);
    assert_eq!(found(&day), []);
}

#[test]
fn two_strategies_against_one_another_count_once() {
    let mut day = day();
    day.live(of(new(1, BUY, 500), 2, b"TERN    ").with_price(8_0000));
    day.live(of(new(2, SELL, 800), 1, b"TERN    "));
    day.live(of(new(3, BUY, 200), 1, b"OTHER   "));
    assert_eq!(found(&day), []);
}

trait WithPrice {
    fn with_price(self, price: i64) -> Self;
}

impl WithPrice for OrderRecord {
    fn with_price(self, price: i64) -> Self {
        Self { price, ..self }
    }
}

#[test]
fn money_of_trades_fees_and_breaks_is_what_is_recorded() {
    let mut day = day();
    day.live(new(1, BUY, 100));
    day.said(&executed_at(1, 100, (10_0000, b'R'), 1));
    day.live(new(2, SELL, 40));
    day.said(&executed_at(2, 40, (11_0000, b'A'), 2));
    day.position_of(part_sold());
    // The sale is broken: as if it never were, its fee included.
    day.said(&broken(2, 2));
    let bought = PositionRecord { shares: 100, cash: -100 * 10_0000, cost: 100 * 10_0000, fees: 3000, ..part_sold() };
    day.position_of(PositionRecord { realized: -3000, ..bought });
    assert_eq!(found(&day), []);
    // Or traded back, by a data plane that forgot trades: it keeps its fee, and what it realized.
    let mut day = self::day();
    day.live(new(1, BUY, 100));
    day.said(&executed_at(1, 100, (10_0000, b'R'), 1));
    day.live(new(2, SELL, 40));
    day.said(&executed_at(2, 40, (11_0000, b'A'), 2));
    day.said(&broken(2, 2));
    let cost = 60 * 10_0000 + 40 * 11_0000;
    let back = PositionRecord { shares: 100, cash: -100 * 10_0000, cost, fees: 2200, ..part_sold() };
    day.position_of(PositionRecord { realized: back.cash + back.cost - back.fees, ..back });
    assert_eq!(found(&day), []);
}

#[test]
fn a_restart_counts_the_day_anew_with_the_fees_of_its_file() {
    let mut day = day();
    day.live(of(new(1, BUY, 100), 1, b"TERN    ").with_price(12_0000));
    day.said(&executed_at(1, 100, (10_0000, b'R'), 1));
    day.start_under(2, &MONEY.replace("R = 3000", "R = 5000"));
    day.trust(true);
    day.log_in(b"SESSION001", 1);
    for message in [accepted(&new(1, BUY, 100).with_price(12_0000)), executed_at(1, 100, (10_0000, b'R'), 1)] {
        day.said(&message);
    }
    day.query();
    day.query();
    day.reconciled(Difference::Done, 0);
    let cash = -100 * 10_0000;
    let bought = PositionRecord { shares: 100, cash, cost: -cash, fees: 5000, ..PositionRecord::default() };
    day.position_of(PositionRecord { realized: -5000, ..bought });
    // Still at the price of the order: 880 at 10.0000 make gross_max with 100 at 12.0000.
    day.live(of(new(3, SELL, 780), 1, b"OTHER   "));
    day.live(of(new(4, BUY, 100), 1, b"THIRD   "));
    assert_eq!(found(&day), []);
    day.order(of(new(5, SELL, 1), 1, b"OTHER   "));
    assert_eq!(found(&day).iter().map(|finding| finding.what).collect::<Vec<_>>(), [Disagreement::Gross]);
}

#[test]
fn a_loss_that_an_operator_saw_or_that_a_price_may_undo_stops_nothing() {
    let mut day = day();
    round_trip(&mut day, 1, 1, 9_0000);
    day.command(CommandKind::Kill, 0, 0);
    day.command(CommandKind::Resume, 0, 0);
    day.order(new(3, BUY, 1));
    assert_eq!(found(&day), []);

    let mut day = self::day();
    round_trip(&mut day, 1, 2, 9_5000);
    day.scope(ScopeKind::Strategy, 2, TradingState::CancelOnly);
    day.scope(ScopeKind::Strategy, 2, TradingState::Running);
    day.order(of(new(3, BUY, 1), 2, b"TERN    "));
    assert_eq!(found(&day), []);

    // A long may be worth anything.
    let mut day = self::day();
    day.live(of(new(1, BUY, 1), 1, b"OTHER   "));
    day.said(&executed_at(1, 1, (10_0000, b'A'), 1));
    round_trip(&mut day, 2, 1, 5_0000);
    day.order(new(4, BUY, 1));
    assert_eq!(found(&day), []);
}

#[test]
fn an_order_that_left_no_record_widens_what_a_refusal_may_say() {
    let mut day = day();
    day.live(of(new(1, BUY, 600), 1, b"TERN    "));
    refused(&mut day, 7, 10, 0, 0);
    refused(&mut day, GROSS, 500, 100_000_000, 130_000_000);
    assert_eq!(found(&day), []);
}

#[test]
fn a_strategy_that_acts_on_the_first_of_several_answers_is_no_liar_about_money() {
    let mut day = day();
    day.live(of(new(1, BUY, 400), 1, b"TERN    "));
    day.live(of(new(2, SELL, 400), 2, b"TERN    ").with_price(9_0000));
    // After the fill of the buy, the sell is canceled; in between somebody bought at more.
    let cause = day.bytes(&[said(&executed_at(1, 400, (10_0000, b'A'), 1)), said(&canceled(2, 400))].concat());
    day.output_order(OrderRecord { cause_seq: cause, ..of(new(3, BUY, 10), 1, b"TERN    ").with_price(10_4000) });
    // At most at 10.0000 so far as is known: 410 of them and 590.
    day.live(of(new(4, SELL, 590), 1, b"OTHER   "));
    assert_eq!(found(&day), []);
}

#[test]
fn figures_say_what_was_recomputed() {
    let mut day = day();
    round_trip(&mut day, 1, 2, 11_0000);
    day.live(of(new(3, BUY, 100), 1, b"OTHER   "));
    let mut audit = Audit::new();
    day.records().iter().for_each(|(header, body)| audit.record(header, body));
    audit.finish();
    let money = audit.money();
    let firm = &money["firm"];
    assert_eq!((&firm["gross_at_least"], &firm["net_buy_at_least"]), (&10_000_000.into(), &10_000_000.into()));
    assert_eq!((&firm["realized"], &firm["fees"]), (&994_000.into(), &6000.into()));
    assert_eq!((&firm["profit_at_least"], &firm["profit_at_most"]), (&994_000.into(), &994_000.into()));
    let own = money["strategies"].as_array().expect("strategies");
    assert_eq!(own.iter().find(|own| own["strategy"] == 2).expect("strategy 2")["realized"], 994_000);
}
