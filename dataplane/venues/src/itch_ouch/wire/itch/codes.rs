//! One-character codes of the fields that Tern or its exchange acts on.

use crate::itch_ouch::wire::codes;

codes! {
    /// Section 1.1: what a System Event says.
    pub enum EventCode {
        /// First message of a day.
        StartOfMessages = b'O',
        /// Orders are accepted.
        StartOfSystemHours = b'S',
        /// Market Hours orders can be executed.
        StartOfMarketHours = b'Q',
        /// Market Hours orders can no longer be executed.
        EndOfMarketHours = b'M',
        /// No new order is accepted; breaks and deletes can still follow.
        EndOfSystemHours = b'E',
        /// Last message of a day.
        EndOfMessages = b'C',
    }
}

codes! {
    /// Section 1.2.2: whether a security trades.
    pub enum TradingState {
        /// Halted across all U.S. equity markets.
        Halted = b'H',
        /// Paused across all U.S. equity markets (Nasdaq-listed only).
        Paused = b'P',
        /// Quotation only.
        QuotationOnly = b'Q',
        /// Trading on Nasdaq.
        Trading = b'T',
    }
}

codes! {
    /// Side of a displayed order (1.3) or of the order on the book (1.5.1).
    pub enum Side {
        /// Buy.
        Buy = b'B',
        /// Sell.
        Sell = b'S',
    }
}

codes! {
    /// Sections 1.5.2 and 1.6: which cross.
    pub enum CrossType {
        /// Opening cross.
        Opening = b'O',
        /// Closing cross.
        Closing = b'C',
        /// Cross of an IPO or of a halted or paused security.
        HaltIpo = b'H',
        /// Extended trading close (imbalance indicator only).
        ExtendedTradingClose = b'A',
    }
}

codes! {
    /// Section 1.6: side of an imbalance.
    pub enum ImbalanceDirection {
        /// More to buy.
        Buy = b'B',
        /// More to sell.
        Sell = b'S',
        /// Balanced.
        None = b'N',
        /// Too few orders to calculate.
        Insufficient = b'O',
        /// Paused.
        Paused = b'P',
    }
}

codes! {
    /// Section 1.2.3: short sale price test.
    pub enum RegShoAction {
        /// No price test.
        None = b'0',
        /// Restricted, by a price drop within the day.
        IntradayDrop = b'1',
        /// Restriction remains in effect.
        Remains = b'2',
    }
}

codes! {
    /// Section 1.7: sides with retail price improvement interest.
    pub enum InterestFlag {
        /// Buy side.
        Buy = b'B',
        /// Sell side.
        Sell = b'S',
        /// Both sides.
        Both = b'A',
        /// None.
        None = b'N',
    }
}

codes! {
    /// Section 1.2.8: operational halt of one market.
    pub enum OperationalHaltAction {
        /// Halted on the identified market.
        Halted = b'H',
        /// Lifted, trading resumed.
        Resumed = b'T',
    }
}

codes! {
    /// Section 1.2.1: listing market or tier.
    pub enum MarketCategory {
        /// Nasdaq Global Select Market.
        NasdaqGlobalSelect = b'Q',
        /// Nasdaq Global Market.
        NasdaqGlobal = b'G',
        /// Nasdaq Capital Market.
        NasdaqCapital = b'S',
        /// New York Stock Exchange.
        Nyse = b'N',
        /// NYSE American.
        NyseAmerican = b'A',
        /// NYSE Arca.
        NyseArca = b'P',
        /// NYSE Texas.
        NyseTexas = b'M',
        /// BATS Z Exchange.
        BatsZ = b'Z',
        /// Investors' Exchange.
        Iex = b'V',
        /// Not available.
        NotAvailable = b' ',
    }
}
