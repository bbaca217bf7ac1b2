//! What the pipeline counts beside refusals, feed and session counters.

use tern_abi::counter_enum;

counter_enum! {
    /// What the pipeline counts.
    pub enum PipelineCounter {
        Inputs = "inputs": "Inputs taken.",
        InputsRefused = "inputs_refused": "Inputs that could not be recorded when they were offered first.",
        InputsRetried = "inputs_retried": "Further attempts at inputs that could not be recorded, in vain.",
        Datagrams = "datagrams": "Datagrams taken.",
        Events = "events": "Market-data events applied to the books.",
        EventErrors = "event_errors": "Market-data events that did not fit the books.",
        EventOverflow = "event_overflow": "Events that did not fit the buffer of one input; trading stops.",
        TrustLost = "trust_lost": "Times that a stream lost trust.",
        TrustGained = "trust_gained": "Times that a stream gained trust.",
        MarketHalts = "market_halts": "Operational halts: our market stopped trading an instrument.",
        InstrumentsDistrusted = "instruments_distrusted": "Times that the book of one instrument lost trust, its stream not.",
        Intents = "intents": "Intents of strategies.",
        IntentsDropped = "intents_dropped": "Intents beyond what a call may give.",
        OrdersNew = "orders_new": "New orders written.",
        OrdersReplace = "orders_replace": "Replaces written.",
        OrdersCancel = "orders_cancel": "Cancels of strategies written.",
        SystemCancels = "system_cancels": "Cancels of the system written.",
        CancelsRepeated = "cancels_repeated": "Cancels due again after the venue refused one.",
        CancelsGivenUp = "cancels_given_up": "Orders that the venue refused to cancel so often that no more cancels are sent.",
        Recalled = "recalled": "Messages taken back before TCP had them.",
        VenueEvents = "venue_events": "Events of the order session.",
        VenueDuplicates = "venue_duplicates": "Events of the order session seen before, by sequence number.",
        VenueAccepted = "venue_accepted": "Orders that the venue accepted.",
        VenueReplaced = "venue_replaced": "Replaces that the venue accepted.",
        VenueCanceled = "venue_canceled": "Orders or parts of orders that the venue canceled.",
        VenueRejected = "venue_rejected": "Orders and replaces that the venue rejected.",
        VenueCancelRejected = "venue_cancel_rejected": "Cancels that the venue rejected.",
        VenueOther = "venue_other": "Other messages of the venue about orders.",
        ConnectionsLost = "connections_lost": "Times that the order connection went, by whoever's doing.",
        Fills = "fills": "Executions counted.",
        FilledShares = "filled_shares": "Shares of those.",
        Broken = "broken": "Executions broken.",
        OrdersLost = "orders_lost": "Orders sent that the venue's log does not know.",
        StrategyPanics = "strategy_panics": "Strategies disabled because they panicked.",
        RecordsLost = "records_lost": "Output records that did not fit; their input is recorded.",
        Halts = "halts": "Times that trading stopped.",
        Commands = "commands": "Commands taken.",
        CommandsRefused = "commands_refused": "Commands that are unknown or out of range.",
        OtherConn = "other_conn": "Inputs of a connection that is not ours.",
        StrategiesThrottled = "strategies_throttled": "Strategies stopped because they traded as often as they may in a while.",
    }
}
