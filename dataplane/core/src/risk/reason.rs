//! Why the gate refuses, and why trading stops.

use tern_abi::counter_enum;

counter_enum! {
    /// Why an intent was refused. Values are part of the journal's layout.
    pub enum Reason {
        Killed = "killed": "Trading is halted: killed by an operator.",
        Halted = "halted": "Trading is halted by the system; only an operator resumes.",
        StrategyDisabled = "strategy_disabled": "Its strategy panicked and is not called; an operator has to let it go on.",
        SessionNotReady = "session_not_ready": "The order session is not logged in, or the venue's log is not replayed yet.",
        WindowClosed = "window_closed": "The venue does not take more bytes now; nothing is queued for it.",
        OutboxFull = "outbox_full": "As many messages as may wait are waiting for TCP.",
        RingReserve = "ring_reserve": "The order ring has only the slots left that cancels need.",
        UnknownInstrument = "unknown_instrument": "No such instrument.",
        BookUntrusted = "book_untrusted": "The book of the instrument cannot be trusted.",
        NotTrading = "not_trading": "The venue does not say that the instrument trades.",
        TooOld = "too_old": "The market data behind the intent is older than the limit.",
        Quantity = "quantity": "No shares, or more than an order may have.",
        Price = "price": "A price that no order may have.",
        Notional = "notional": "Price times shares is above the limit.",
        NoReference = "no_reference": "Neither a trade of others nor a two-sided book of theirs, near enough, to compare the price with.",
        Collar = "collar": "The price is too far from the reference.",
        Position = "position": "With every open order of that side filled, the position would be beyond the limit.",
        OpenOrders = "open_orders": "As many orders as may be open are open.",
        Duplicate = "duplicate": "The same order was sent a moment ago.",
        Rate = "rate": "Too many messages a second.",
        UnknownOrder = "unknown_order": "The strategy has no such open order.",
        OrderBusy = "order_busy": "A replace or cancel of the order is on its way.",
        ShortMark = "short_mark": "The replace would sell short under an order that was marked long.",
        IdsExhausted = "ids_exhausted": "The account has no order id left today.",
        RecordFailed = "record_failed": "The order could not be recorded, so it was not sent.",
        EncodeFailed = "encode_failed": "The session could not write the order; it was not sent.",
        MarketHalted = "market_halted": "Our market does not trade the instrument for now: an operational halt.",
        Gross = "gross": "All open orders filled, positions of all symbols could come to be further from flat than the limit.",
        Net = "net": "With every open order of that side filled, all longs, or all shorts, would be above the limit.",
        SelfTrade = "self_trade": "It would trade with another open order of the account.",
        ReduceOnly = "reduce_only": "Its strategy, symbol, venue or firm may only reduce positions, and it could do more.",
        CancelOnly = "cancel_only": "Its strategy, symbol, venue or firm may only cancel.",
        ScopeHalted = "scope_halted": "Its strategy, symbol, venue or firm is halted by an operator.",
        MessagesPerDay = "messages_per_day": "As many messages as a day may have were sent to the venue.",
        StrategyPosition = "strategy_position": "With its strategy's open orders of that side filled, its position would be beyond the limit.",
        RepeatedExecutions = "repeated_executions": "Its strategy traded as often as it may in a while; an operator has to let it go on.",
        Volume = "volume": "More shares than the limit's part of what others traded in the instrument lately.",
        Restricted = "restricted": "The symbol is on the firm's restricted list of the day.",
        NotLocated = "not_located": "More shares would be sold short than may be: the symbol is not easy to borrow.",
        ShortSalePrice = "short_sale_price": "A short sale at or below the best bid, in a symbol that is under Rule 201.",
        OutOfHours = "out_of_hours": "Before or after the hours of the day in which orders may be sent.",
        Leverage = "leverage": "All open orders filled, positions could be more than the leverage allows on what the account is worth.",
        DaemonSilent = "daemon_silent": "The daemon's heartbeat is missed: nobody drains, restarts or watches; only cancels leave.",
        Terms = "terms": "Terms that do not go together, or that the venue would reject or could understand in two ways.",
        StrategyGross = "strategy_gross": "As gross, of its strategy alone.",
        StrategyNet = "strategy_net": "As net, of its strategy alone.",
        StrategyLoss = "strategy_loss": "Its strategy lost more today than its limit; an operator has to let it go on.",
        StrategySlow = "strategy_slow": "Its strategy's calls took longer than their budget too often; an operator has to let it go on.",
        PriceBand = "price_band": "A price outside of the bounds of its symbol, or a market order in a symbol that has bounds.",
    }
}

counter_enum! {
    /// Why the system stopped a strategy; an operator lets it go on.
    pub enum StrategyStop {
        Panic = "panic": "It panicked.",
        Executions = "executions": "It traded as often as it may in a while.",
        Loss = "loss": "It lost more today than its limit.",
        Slow = "slow": "Its calls took longer than their budget too often.",
    }
}

counter_enum! {
    /// Why trading stopped, or goes on. Values are part of the journal's layout.
    pub enum HaltReason {
        NotHalted = "not_halted": "Trading.",
        Killed = "killed": "The kill command.",
        Shutdown = "shutdown": "The run is ending.",
        RingFull = "ring_full": "A record that must not be lost did not fit.",
        Overfill = "overfill": "More shares traded than were open.",
        UnknownExecution = "unknown_execution": "An execution, or the break of one, that cannot be attributed.",
        OrderTableFull = "order_table_full": "The venue knows more open orders than the table holds.",
        EventOverflow = "event_overflow": "More events came at once than the buffer holds.",
        LogChanged = "log_changed": "The venue's log is another one than before; what the old one said last is unknown.",
        UnknownOrder = "unknown_order": "The venue has a live order on the account that cannot be taken in.",
        DailyLoss = "daily_loss": "The day's loss, realized and unrealized, is above the limit.",
        Drawdown = "drawdown": "Profit fell further below its best of the day than the limit.",
        Reconciling = "reconciling": "A restart: the venue's log has not been compared with the journal yet.",
        ReconcileMismatch = "reconcile_mismatch": "A restart: the venue's log and the journal differ; an operator accepts it or not.",
        Restarted = "restarted": "A restart: the venue's log and the journal agree; an operator lets trading go on.",
        DaemonSilent = "daemon_silent": "The daemon's heartbeat is missed: only cancels leave until it is back.",
        DaemonLost = "daemon_lost": "The daemon's heartbeat was missed for so long that trading stopped and every order was cancelled.",
        NoAnswer = "no_answer": "The venue did not answer an order, a replace or a cancel, nor the cancel that followed: what is open is in doubt.",
        OverAccepted = "over_accepted": "The venue accepted more shares, or a worse price, than were asked for.",
    }
}

impl HaltReason {
    /// Whether it is a restart that asks for it, and not something that happened.
    pub const fn is_of_restart(self) -> bool {
        matches!(self, Self::Reconciling | Self::ReconcileMismatch | Self::Restarted)
    }

    /// Whether it gives way to whatever else stops trading: it is lifted by something else than an operator's resume alone.
    pub const fn gives_way(self) -> bool {
        self.is_of_restart() || matches!(self, Self::DaemonSilent)
    }
}
