//! Lies about money: sums, profit and fees, each wrong by a share or a ten-thousandth.

use super::*;
use tern_abi::command::CommandKind;
use tern_audit::Disagreement as Lie;

/// Gross of 1,000 shares at 10.0000, net of 800; strategy 2 half of that. Fees of 0.0030 a share taken, 0.0020 back.
pub(crate) const MONEY: &str = "[limits]\norder_quantity_max = 1000\norder_notional_max = 100_000_0000\n\
    position_max = 1500\nopen_orders_max = 9\norders_per_second_max = 100\norder_burst_max = 50\n\
    gross_max = 100_000_000\nnet_max = 80_000_000\ndaily_loss_max = 1_000_000\ndrawdown_max = 1_500_000\n\
    leverage_percent_max = 100\nprice_collar_percent = 5\n\
    [[limits.strategy]]\nid = 2\ngross_max = 50_000_000\nnet_max = 40_000_000\ndaily_loss_max = 500_000\n\
    [[limits.symbol]]\nsymbol = \"BAND\"\nprice_max = 110000\n[session]\naccount = 1\nfees = { R = 3000, A = -2000 }\n\
    #names {\"refusals\":[{\"name\":\"killed\"},{\"name\":\"gross\"},{\"name\":\"net\"},{\"name\":\"position\"},\
    {\"name\":\"strategy_gross\"},{\"name\":\"strategy_net\"},{\"name\":\"strategy_position\"},{\"name\":\"record_failed\"},\
    {\"name\":\"price_band\"}]}\n";

pub(crate) const GROSS: u32 = 1;
pub(crate) const POSITION: u32 = 3;
pub(crate) const PRICE_BAND: u32 = 8;
const SET_EQUITY: u32 = 24;
const SET_GROSS: u32 = 10;

/// A day under [`MONEY`].
pub(crate) fn day() -> Day {
    Day::under(MONEY)
}

/// An order of a strategy in a symbol of its own.
pub(crate) fn of(order: OrderRecord, strategy: u16, symbol: &[u8; 8]) -> OrderRecord {
    OrderRecord { strategy, symbol: *symbol, instrument: u32::from(symbol[0]), ..order }
}

/// Bought and sold again, so that nothing is held; the price of the sale decides.
pub(crate) fn round_trip(day: &mut Day, first: u32, strategy: u16, sold_at: u64) {
    day.live(of(new(first, BUY, 100), strategy, b"TERN    "));
    day.said(&executed_at(first, 100, (10_0000, b'R'), u64::from(first)));
    day.live(of(new(first + 1, SELL, 100), strategy, b"TERN    "));
    day.said(&executed_at(first + 1, 100, (sold_at, b'R'), u64::from(first + 1)));
}

/// What strategy 1 has after 100 bought at 10.0000 and 40 of them sold at 11.0000.
pub(crate) fn part_sold() -> PositionRecord {
    let (cash, cost, fees) = (-100 * 10_0000 + 40 * 11_0000, 60 * 10_0000, 3000 - 800);
    PositionRecord { shares: 60, cash, cost, fees, realized: cash + cost - fees, ..PositionRecord::default() }
}

/// The trades of [`part_sold`], and a record of them with something else in it.
fn part_sold_but(day: &mut Day, lie: impl FnOnce(&mut PositionRecord)) {
    *day = self::day();
    day.live(new(1, BUY, 100));
    day.said(&executed_at(1, 100, (10_0000, b'R'), 1));
    day.live(new(2, SELL, 40));
    day.said(&executed_at(2, 40, (11_0000, b'A'), 2));
    let mut position = part_sold();
    lie(&mut position);
    day.position_of(position);
}

/// An order refused after another was sent in its instrument, which tells the symbol.
pub(crate) fn refused(day: &mut Day, reason: u32, quantity: u32, limit: i64, value: i64) {
    refused_with(day, (reason, limit, value), |refusal| refusal.quantity = quantity);
}

/// A refusal, with what `change` makes of it.
pub(crate) fn refused_with(
    day: &mut Day,
    (reason, limit, value): (u32, i64, i64),
    change: impl FnOnce(&mut RefusalRecord),
) {
    day.record(Kind::Timer, &[]);
    let mut refusal = RefusalRecord {
        reason,
        limit,
        value,
        price: 10_0000,
        account: 1,
        strategy: 1,
        instrument: u32::from(b'T'),
        action: ACTION_NEW,
        side: BUY,
        ..RefusalRecord::default()
    };
    change(&mut refusal);
    day.record(Kind::Refusal, &[refusal.as_bytes()]);
}

/// An order in BAND refused at a price, for this bound.
pub(crate) fn refused_at(day: &mut Day, price: i64, bound: i64) {
    day.live(of(new(1, BUY, 10), 1, b"BAND    "));
    refused_with(day, (PRICE_BAND, bound, price), |refusal| {
        (refusal.price, refusal.instrument) = (price, u32::from(b'B'));
    });
}

pub(crate) const LIES: &[Planted] = &[
    ("a share beyond gross_max, over two symbols and sides", Lie::Gross, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 600), 1, b"TERN    "));
        day.order(of(new(2, SELL, 401), 1, b"OTHER   "));
    }),
    ("a share beyond gross_max, with what was filled at a lower price", Lie::Gross, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 600), 1, b"TERN    "));
        day.said(&executed_at(1, 600, (1_0000, b'A'), 1));
        day.order(of(new(2, SELL, 401), 1, b"OTHER   "));
    }),
    ("a replace beyond gross_max by its price alone", Lie::Gross, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 500), 1, b"TERN    "));
        day.live(of(new(2, SELL, 500), 1, b"OTHER   "));
        // Above every reference with which the collar let the first be.
        let dearer = OrderRecord { price: 11_0000, ..of(replace(1, 3, BUY, 500), 1, b"TERN    ") };
        day.order(dearer);
    }),
    ("beyond gross_max as a command set it", Lie::Gross, |day| {
        *day = self::day();
        day.command(CommandKind::SetLimit, SET_GROSS, 9_999_999);
        day.order_with(new(1, BUY, 100), |order| order.limits_epoch = 1);
    }),
    ("a share beyond net_max", Lie::Net, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 400), 1, b"TERN    "));
        day.order(of(new(2, BUY, 401), 1, b"OTHER   "));
    }),
    ("a share beyond what leverage allows", Lie::Leverage, |day| {
        *day = self::day();
        day.command(CommandKind::SetLimit, SET_EQUITY, 50_000_000);
        day.order_with(new(1, BUY, 501), |order| order.limits_epoch = 1);
    }),
    ("a share beyond its strategy's gross", Lie::StrategyGross, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 300), 2, b"TERN    "));
        day.order(of(new(2, SELL, 201), 2, b"OTHER   "));
    }),
    ("a share beyond its strategy's net", Lie::StrategyNet, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 200), 2, b"TERN    "));
        day.order(of(new(2, BUY, 201), 2, b"OTHER   "));
    }),
    ("after a loss beyond that of the day, flat", Lie::DailyLoss, |day| {
        *day = self::day();
        round_trip(day, 1, 1, 9_0000);
        day.order(new(3, BUY, 1));
    }),
    ("after a loss that no price of its short can undo", Lie::DailyLoss, |day| {
        *day = self::day();
        round_trip(day, 1, 1, 8_9000);
        day.live(of(new(3, SELL, 1), 1, b"OTHER   "));
        day.said(&executed_at(3, 1, (100, b'A'), 3));
        day.order(new(4, BUY, 1));
    }),
    ("after a fall beyond drawdown_max", Lie::Drawdown, |day| {
        *day = self::day();
        round_trip(day, 1, 1, 11_0000);
        round_trip(day, 3, 1, 8_5000);
        day.order(new(5, BUY, 1));
    }),
    ("of a strategy that lost more than it may", Lie::StrategyLoss, |day| {
        *day = self::day();
        round_trip(day, 1, 2, 9_5000);
        day.order(of(new(3, BUY, 1), 2, b"TERN    "));
    }),
    ("cash that the trades do not make", Lie::CashClaim, |day| {
        part_sold_but(day, |position| {
            position.cash += 1;
            position.realized += 1;
        });
    }),
    ("a cost that is not the average", Lie::CostClaim, |day| {
        part_sold_but(day, |position| {
            position.cost -= 1;
            position.realized -= 1;
        });
    }),
    ("a fee that the venue does not charge", Lie::FeesClaim, |day| {
        part_sold_but(day, |position| {
            position.fees -= 1;
            position.realized += 1;
        });
    }),
    ("a profit without the fees", Lie::ProfitClaim, |day| {
        part_sold_but(day, |position| position.realized += position.fees);
    }),
    ("refused for a limit that is not in force", Lie::RefusalLimit, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 600), 1, b"TERN    "));
        refused(day, GROSS, 500, 100_000_001, 110_000_000);
    }),
    ("refused for a bound of the price that the symbol does not have", Lie::RefusalLimit, |day| {
        *day = self::day();
        refused_at(day, 11_0001, 10_9999);
    }),
    ("refused for a bound of the price that it keeps", Lie::RefusalLimit, |day| {
        *day = self::day();
        refused_at(day, 11_0000, 11_0000);
    }),
    ("a wrong gross: less than is open", Lie::RefusalValue, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 600), 1, b"TERN    "));
        refused(day, GROSS, 500, 100_000_000, 109_999_999);
    }),
    ("a wrong gross: more than the collar allows", Lie::RefusalValue, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 600), 1, b"TERN    "));
        refused(day, GROSS, 500, 100_000_000, 130_000_000);
    }),
    ("a position beyond its limit by another number of shares", Lie::RefusalValue, |day| {
        *day = self::day();
        day.live(of(new(1, BUY, 600), 1, b"TERN    "));
        refused(day, POSITION, 1000, 1500, 1601);
    }),
];
