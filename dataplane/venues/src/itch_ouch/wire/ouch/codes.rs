//! Codes of OUCH 5.0 fields.

use crate::itch_ouch::wire::codes;

codes! {
    /// 2.1: side of an order.
    pub enum Side {
        /// Buy.
        Buy = b'B',
        /// Sell.
        Sell = b'S',
        /// Sell short.
        SellShort = b'T',
        /// Sell short exempt.
        SellShortExempt = b'E',
    }
}

codes! {
    /// 2.1: how long an order lives.
    pub enum TimeInForce {
        /// Day, market hours.
        Day = b'0',
        /// Immediate or cancel.
        Ioc = b'3',
        /// Extended hours.
        Gtx = b'5',
        /// Until the ExpireTime of the appendage.
        Gtt = b'6',
        /// After hours.
        AfterHours = b'E',
    }
}

codes! {
    /// 2.1, 3.2 and 3.11: how an order is shown.
    pub enum Display {
        /// Visible; in a priority update anonymous, price to comply.
        Visible = b'Y',
        /// Hidden.
        Hidden = b'N',
        /// Attributable.
        Attributable = b'A',
        /// Conformant; outbound alone.
        Conformant = b'Z',
    }
}

codes! {
    /// 2.1: in which capacity an order is entered.
    pub enum Capacity {
        /// Agency.
        Agency = b'A',
        /// Principal.
        Principal = b'P',
        /// Riskless principal.
        Riskless = b'R',
        /// Other.
        Other = b'O',
    }
}

codes! {
    /// 2.1: which market an order is for.
    pub enum CrossType {
        /// Continuous market.
        Continuous = b'N',
        /// Opening cross.
        Opening = b'O',
        /// Closing cross.
        Closing = b'C',
        /// Halt or IPO cross.
        HaltIpo = b'H',
        /// Supplemental.
        Supplemental = b'S',
        /// Retail (BX).
        Retail = b'R',
        /// Extended life.
        ExtendedLife = b'E',
        /// After hours close.
        AfterHoursClose = b'A',
    }
}

codes! {
    /// 3.1: what a System Event says.
    pub enum SystemEventCode {
        /// The venue accepts orders.
        StartOfDay = b'S',
        /// It accepts no more; breaks and cancels can still follow.
        EndOfDay = b'E',
    }
}

codes! {
    /// 3.2: whether an accepted order lives.
    pub enum OrderState {
        /// Live.
        Live = b'L',
        /// Accepted and canceled at once; nothing follows.
        Dead = b'D',
    }
}

codes! {
    /// Appendix C: why an order was reduced or canceled.
    pub enum CancelReason {
        /// Regulatory restriction.
        Regulatory = b'D',
        /// Received after the closing cross.
        Closed = b'E',
        /// Post only, would have been price slid for NMS.
        PostOnlyNms = b'F',
        /// Post only, would have been price slid by a displayed order.
        PostOnlyContra = b'G',
        /// Still halted after the opening cross.
        Halted = b'H',
        /// Immediate or cancel.
        ImmediateOrCancel = b'I',
        /// Market collars.
        MarketCollars = b'K',
        /// Self match prevention.
        SelfMatchPrevention = b'Q',
        /// By a supervisory terminal.
        Supervisory = b'S',
        /// Time in force expired.
        Timeout = b'T',
        /// The user asked for it.
        UserRequested = b'U',
        /// Opening price protection.
        OpenProtection = b'X',
        /// By the system.
        System = b'Z',
        /// Direct listing: above the shares offered.
        DirectListing = b'e',
    }
}

codes! {
    /// 3.7: why a trade was broken.
    pub enum BrokenTradeReason {
        /// Clearly erroneous.
        Erroneous = b'E',
        /// Both parties agreed.
        Consent = b'C',
        /// By supervisory.
        Supervisory = b'S',
        /// By a third party.
        External = b'X',
    }
}

codes! {
    /// 3.13: why an order was restated.
    pub enum RestatedReason {
        /// Refresh of display of an order with reserves.
        RefreshOfDisplay = b'R',
        /// Update of the displayed price.
        DisplayedPrice = b'P',
    }
}

/// Appendix D: why an order was rejected. A new code is kept as a number, so every value is representable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RejectReason(pub u16);

macro_rules! reject_reasons {
    ($($name:ident = $code:literal $text:literal,)+) => {
        impl RejectReason {
            $(#[doc = $text] pub const $name: Self = Self($code);)+

            /// Every reason of the appendix.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The appendix's explanation; `None` for codes that it does not list.
            pub const fn text(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($text),)+
                    _ => None,
                }
            }
        }
    };
}

reject_reasons! {
    QUOTE_UNAVAILABLE = 0x0001 "Quote Unavailable",
    DESTINATION_CLOSED = 0x0002 "Destination Closed",
    INVALID_DISPLAY = 0x0003 "Invalid Display",
    INVALID_MAX_FLOOR = 0x0004 "Invalid Max Floor",
    INVALID_PEG_TYPE = 0x0005 "Invalid Peg Type",
    FAT_FINGER = 0x0006 "Fat Finger",
    HALTED = 0x0007 "Halted",
    ISO_NOT_ALLOWED = 0x0008 "ISO Not Allowed",
    INVALID_SIDE = 0x0009 "Invalid Side",
    PROCESSING_ERROR = 0x000A "Processing Error",
    CANCEL_PENDING = 0x000B "Cancel Pending",
    FIRM_NOT_AUTHORIZED = 0x000C "Firm Not Authorized",
    INVALID_MIN_QUANTITY = 0x000D "Invalid Min Quantity",
    NO_CLOSING_REFERENCE_PRICE = 0x000E "No Closing Reference Price",
    OTHER = 0x000F "Other",
    CANCEL_NOT_ALLOWED = 0x0010 "Cancel Not Allowed",
    PEGGING_NOT_ALLOWED = 0x0011 "Pegging Not Allowed",
    CROSSED_MARKET = 0x0012 "Crossed Market",
    INVALID_QUANTITY = 0x0013 "Invalid Quantity",
    INVALID_CROSS_ORDER = 0x0014 "Invalid Cross Order",
    REPLACE_NOT_ALLOWED = 0x0015 "Replace Not Allowed",
    ROUTING_NOT_ALLOWED = 0x0016 "Routing Not Allowed",
    INVALID_SYMBOL = 0x0017 "Invalid Symbol",
    TEST = 0x0018 "Test",
    LATE_LOC_TOO_AGGRESSIVE = 0x0019 "Late LOC Too Aggressive",
    RETAIL_NOT_ALLOWED = 0x001A "Retail Not Allowed",
    INVALID_MIDPOINT_POST_ONLY_PRICE = 0x001B "Invalid Midpoint Post Only Price",
    INVALID_DESTINATION = 0x001C "Invalid Destination",
    INVALID_PRICE = 0x001D "Invalid Price",
    SHARES_EXCEED_THRESHOLD = 0x001E "Shares Exceed Threshold",
    EXCEEDS_MAXIMUM_NOTIONAL = 0x001F "Exceeds Maximum Allowed Notional Value",
    RISK_AGGREGATE_EXPOSURE = 0x0020 "Risk: Aggregate Exposure Exceeded",
    RISK_MARKET_IMPACT = 0x0021 "Risk: Market Impact",
    RISK_RESTRICTED_STOCK = 0x0022 "Risk: Restricted Stock",
    RISK_SHORT_SELL_RESTRICTED = 0x0023 "Risk: Short Sell Restricted",
    RISK_ORDER_TYPE_RESTRICTED = 0x0024 "Risk: Order Type Restricted",
    RISK_EXCEEDS_ADV_LIMIT = 0x0025 "Risk: Exceeds ADV Limit",
    RISK_FAT_FINGER = 0x0026 "Risk: Fat Finger",
    RISK_LOCATE_REQUIRED = 0x0027 "Risk: Locate Required",
    RISK_SYMBOL_MESSAGE_RATE = 0x0028 "Risk: Symbol Message Rate Restriction",
    RISK_PORT_MESSAGE_RATE = 0x0029 "Risk: Port Message Rate Restriction",
    RISK_DUPLICATE_MESSAGE_RATE = 0x002A "Risk: Duplicate Message Rate Restriction",
}
