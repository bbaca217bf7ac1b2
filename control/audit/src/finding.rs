//! What the second opinion can find.

use serde_json::{Value, json};
use tern_abi::counter_enum;

counter_enum! {
    /// In what the gate, the records and the venue do not agree.
    pub enum Disagreement {
        OrderQuantity = "order_quantity": "An order of no shares, or of more than `order_quantity_max`.",
        OrderNotional = "order_notional": "An order worth more than `order_notional_max`.",
        OrderPrice = "order_price": "An order at a price that no order may have.",
        OrderSide = "order_side": "An order that is neither buy nor sell.",
        Position = "position": "With every open order of its side filled, the position is beyond `position_max`.",
        OpenOrders = "open_orders": "More open orders than `open_orders_max`.",
        Rate = "rate": "More orders within a second than `orders_per_second_max` and `order_burst_max` allow.",
        IdReused = "id_reused": "An order id that is not above all before it.",
        AfterKill = "after_kill": "An order after a kill and before an operator's resume.",
        AfterHalt = "after_halt": "An order although the data plane said that trading had stopped.",
        UntrustedStream = "untrusted_stream": "An order while no stream's books were trusted.",
        UntrustedBook = "untrusted_book": "An order in an instrument whose book was not trusted.",
        Cause = "cause": "An order whose cause does not come before it, or is no input.",
        LimitsEpoch = "limits_epoch": "An order under other limits than the commands had set.",
        NoLimits = "no_limits": "An order before any start record said which limits are in force.",
        ReplaceUnknown = "replace_unknown": "A replace or cancel of an order that is unknown or over.",
        ReplaceUnlike = "replace_unlike": "A replace with another symbol or side than the order has.",
        NoRecord = "no_record": "The venue speaks of an order that no record has.",
        EchoQuantity = "echo_quantity": "The venue has other shares than the record.",
        EchoPrice = "echo_price": "The venue has a worse price than the record.",
        EchoSide = "echo_side": "The venue has another side than the record.",
        EchoSymbol = "echo_symbol": "The venue has another symbol than the record.",
        ReplaceTotal = "replace_total": "Executed and open shares of a replaced order are not the total of its record.",
        ReplaceChain = "replace_chain": "The venue replaced another order than the record says.",
        OverExecution = "over_execution": "More shares traded than were open.",
        UnknownBreak = "unknown_break": "A trade was broken that was never told.",
        LeftAfterAll = "left_after_all": "An order that is said not to have left was answered on the same connection.",
        PositionClaim = "position_claim": "The position recorded is not the sum of the trades that the venue told.",
        LeavesClaim = "leaves_claim": "The open shares recorded of an order are not those that the venue's answers leave.",
        ScopeStopped = "scope_stopped": "An order although an operator had stopped its strategy, symbol, venue or the firm.",
        Unreconciled = "unreconciled": "An order of a restarted run whose venue log differs from the journal, or was not compared with it.",
        EchoCross = "echo_cross": "The venue has the order in another cross than the record, or in none.",
        StrategyPosition = "strategy_position": "With its open orders of that side filled, the strategy's position is beyond `strategy_position_max`.",
        Gross = "gross": "With every open order filled, positions could come to be further from flat than `gross_max`.",
        Net = "net": "With every open order of its side filled, all longs, or all shorts, are above `net_max`.",
        Leverage = "leverage": "All open orders filled, positions could be more than the leverage allows on equity and profit.",
        StrategyGross = "strategy_gross": "As gross, of its strategy alone.",
        StrategyNet = "strategy_net": "As net, of its strategy alone.",
        DailyLoss = "daily_loss": "An order although the day's loss is above `daily_loss_max`, whatever a share is worth.",
        Drawdown = "drawdown": "An order although profit fell further below its best than `drawdown_max`, whatever a share is worth.",
        StrategyLoss = "strategy_loss": "An order of a strategy that lost more than its limit, whatever a share is worth.",
        CashClaim = "cash_claim": "The cash recorded is not what the trades that the venue told come to.",
        CostClaim = "cost_claim": "The cost recorded of a position is not what its shares cost on average.",
        FeesClaim = "fees_claim": "The fees recorded are not what the venue charges for the trades that it told.",
        ProfitClaim = "profit_claim": "The profit recorded is not cash and cost less fees.",
        RefusalLimit = "refusal_limit": "An order was refused for another limit than the one in force.",
        RefusalValue = "refusal_value": "An order was refused for a sum that it would not have made.",
        PriceBand = "price_band": "An order at a price outside of the bounds of its symbol, or at any price where it has bounds.",
        ByHand = "by_hand": "An order by hand that nobody wanted, or another than was wanted.",
        FlattenTurns = "flatten_turns": "An order of a flatten that could take a position through zero.",
        RecordUnreadable = "record_unreadable": "A record that is shorter than its layout says.",
    }
}

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In what.
    pub what: Disagreement,
    /// `seq` of the record at which it was found.
    pub seq: u64,
    /// The loop's time of that record, TAI ns.
    pub tai_ns: u64,
    /// The order it is about, or 0.
    pub order: u32,
    /// The strategy and the symbol it is about, where it is about a position.
    pub of: Option<(u16, [u8; 8])>,
    /// The bound, or what ought to have been, in the unit of the check; 0 where there is none.
    pub expected: i128,
    /// What was found instead.
    pub found: i128,
}

impl Finding {
    /// For programs: one object. Numbers beyond 64 bits saturate.
    pub fn json(&self) -> Value {
        let narrow = |wide: i128| wide.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        let (strategy, symbol) = (self.of.map(|of| of.0), self.of.map(|of| name(of.1)));
        json!({ "disagreement": self.what.name(), "seq": self.seq, "tai_ns": self.tai_ns, "order": self.order,
            "strategy": strategy, "symbol": symbol, "expected": narrow(self.expected), "found": narrow(self.found) })
    }

    /// For people, in one line.
    pub fn text(&self) -> String {
        let of = match self.of {
            Some((strategy, symbol)) => format!("strategy {strategy}, {}", name(symbol)),
            None => format!("order {}", self.order),
        };
        format!("record {}: {} ({of}): expected {}, found {}", self.seq, self.what.name(), self.expected, self.found)
    }
}

fn name(symbol: [u8; 8]) -> String {
    String::from_utf8_lossy(&symbol).trim_end().to_owned()
}
