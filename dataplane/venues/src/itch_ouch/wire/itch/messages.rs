//! The structs of every message, and the decode by type byte.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::DecodeError;
use super::codes::{
    CrossType, EventCode, ImbalanceDirection, InterestFlag, MarketCategory, OperationalHaltAction, RegShoAction, Side,
    TradingState,
};
use crate::itch_ouch::wire::{Alpha, Stamp48};

/// The eleven bytes that every message starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Offset 0: type byte.
    pub kind: u8,
    /// Offset 1: day's code of the security, an array index from 1; 0 where no security is meant.
    pub stock_locate: U16,
    /// Offset 3: Nasdaq's internal tracking number.
    pub tracking_number: U16,
    /// Offset 5: nanoseconds since midnight.
    pub timestamp: Stamp48,
}

/// What all messages have in common. Implemented by the structs of this module alone.
pub trait ItchMessage: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {
    /// Type byte.
    const TYPE: u8;

    /// The header of a message of this type.
    fn header(stock_locate: u16, tracking_number: u16, timestamp_ns: u64) -> Header {
        Header {
            kind: Self::TYPE,
            stock_locate: U16::new(stock_locate),
            tracking_number: U16::new(tracking_number),
            timestamp: Stamp48::new(timestamp_ns),
        }
    }
}

macro_rules! messages {
    ($(
        $(#[$meta:meta])*
        $name:ident $kind:literal $len:literal {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    )+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
            #[repr(C)]
            pub struct $name {
                /// Type, locate, tracking number, time.
                pub head: Header,
                $($(#[$field_meta])* pub $field: $type,)*
            }

            impl ItchMessage for $name {
                const TYPE: u8 = $kind;
            }

            const _: () = assert!(size_of::<$name>() == $len);
        )+

        /// A decoded message, borrowed from the input.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Message<'a> {
            $($(#[$meta])* $name(&'a $name),)+
        }

        impl<'a> Message<'a> {
            /// Decodes one message that fills `bytes`. Bytes behind the message's own are accepted (a later version of
            /// the protocol may append fields); [`Message::len_bytes`] tells how many were used.
            ///
            /// # Errors
            /// [`DecodeError`] when the type is unknown or bytes are missing.
            #[inline(always)]
            pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
                let Some(&kind) = bytes.first() else {
                    return Err(DecodeError::Empty);
                };
                match kind {
                    $($kind => match $name::ref_from_prefix(bytes) {
                        Ok((message, _)) => Ok(Self::$name(message)),
                        Err(_) => Err(truncated(kind, $len, bytes.len())),
                    },)+
                    _ => Err(DecodeError::Unknown { kind }),
                }
            }

            /// The message's own bytes.
            pub fn as_bytes(&self) -> &'a [u8] {
                match *self {
                    $(Self::$name(message) => IntoBytes::as_bytes(message),)+
                }
            }

            /// Bytes of the message's table in the specification.
            #[inline]
            pub const fn len_bytes(&self) -> usize {
                match self {
                    $(Self::$name(_) => $len,)+
                }
            }

            /// The fields that every message starts with.
            #[inline]
            pub const fn header(&self) -> &'a Header {
                match self {
                    $(Self::$name(message) => &message.head,)+
                }
            }
        }

        /// Every type byte of the specification, in its order.
        pub const TYPES: &[u8] = &[$($kind),+];

        pub(super) const fn lengths() -> [u8; 256] {
            let mut table = [0; 256];
            $(table[$kind as usize] = $len;)+
            table
        }
    };
}

#[cold]
fn truncated(kind: u8, need_bytes: u16, have: usize) -> DecodeError {
    // A truncated message has fewer bytes than its table, so its length fits.
    DecodeError::Truncated { kind, need_bytes, have_bytes: have as u16 }
}

messages! {
    /// 1.1 System Event.
    SystemEvent b'S' 12 {
        /// Offset 11: see [`EventCode`].
        event_code: u8,
    }

    /// 1.2.1 Stock Directory.
    StockDirectory b'R' 39 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: see [`MarketCategory`].
        market_category: u8,
        /// Offset 20: compliance of a Nasdaq-listed issuer, `N` when normal.
        financial_status_indicator: u8,
        /// Offset 21: shares of a round lot.
        round_lot_size: U32,
        /// Offset 25: `Y` when only round lots are accepted.
        round_lots_only: u8,
        /// Offset 26: appendix D.
        issue_classification: u8,
        /// Offset 27: appendix E.
        issue_sub_type: Alpha<2>,
        /// Offset 29: `P` live, `T` test.
        authenticity: u8,
        /// Offset 30: SEC rule 203(b)(3), `Y`, `N` or space.
        short_sale_threshold_indicator: u8,
        /// Offset 31: `Y`, `N`, `Z` or space.
        ipo_flag: u8,
        /// Offset 32: `1`, `2` or space.
        luld_reference_price_tier: u8,
        /// Offset 33: exchange traded product, `Y`, `N` or space.
        etp_flag: u8,
        /// Offset 34: leverage of the product, rounded down.
        etp_leverage_factor: U32,
        /// Offset 38: `Y` when the product moves against its index.
        inverse_indicator: u8,
    }

    /// 1.2.2 Stock Trading Action.
    StockTradingAction b'H' 25 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: see [`TradingState`].
        trading_state: u8,
        /// Offset 20: reserved.
        reserved: u8,
        /// Offset 21: appendix C.
        reason: Alpha<4>,
    }

    /// 1.2.3 Reg SHO Short Sale Price Test Restricted Indicator.
    RegShoRestriction b'Y' 20 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: see [`RegShoAction`].
        reg_sho_action: u8,
    }

    /// 1.2.4 Market Participant Position.
    MarketParticipantPosition b'L' 26 {
        /// Offset 11: market participant.
        mpid: Alpha<4>,
        /// Offset 15: symbol.
        stock: Alpha<8>,
        /// Offset 23: `Y` when a primary market maker.
        primary_market_maker: u8,
        /// Offset 24: `N` normal, `P` passive, `S` syndicate, `R` pre-syndicate, `L` penalty.
        market_maker_mode: u8,
        /// Offset 25: `A` active, `E` excused, `W` withdrawn, `S` suspended, `D` deleted.
        market_participant_state: u8,
    }

    /// 1.2.5.1 Market-Wide Circuit Breaker Decline Level. Prices have eight decimals.
    MwcbDeclineLevel b'V' 35 {
        /// Offset 11: first level.
        level_1: U64,
        /// Offset 19: second level.
        level_2: U64,
        /// Offset 27: third level.
        level_3: U64,
    }

    /// 1.2.5.2 Market-Wide Circuit Breaker Status.
    MwcbStatus b'W' 12 {
        /// Offset 11: `1`, `2` or `3`.
        breached_level: u8,
    }

    /// 1.2.6 IPO Quoting Period Update.
    IpoQuotingPeriodUpdate b'K' 28 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: seconds since midnight; 0 when canceled or postponed.
        ipo_quotation_release_time: U32,
        /// Offset 23: `A` anticipated, `C` canceled or postponed.
        ipo_quotation_release_qualifier: u8,
        /// Offset 24: price (4); 0 when canceled or postponed.
        ipo_price: U32,
    }

    /// 1.2.7 Limit Up - Limit Down Auction Collar.
    LuldAuctionCollar b'J' 35 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: price (4).
        auction_collar_reference_price: U32,
        /// Offset 23: price (4).
        upper_auction_collar_price: U32,
        /// Offset 27: price (4).
        lower_auction_collar_price: U32,
        /// Offset 31: number of extensions.
        auction_collar_extension: U32,
    }

    /// 1.2.8 Operational Halt.
    OperationalHalt b'h' 21 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: `Q` Nasdaq, `B` Nasdaq Texas, `X` PSX.
        market_code: u8,
        /// Offset 20: see [`OperationalHaltAction`].
        operational_halt_action: u8,
    }

    /// 1.3.1 Add Order without attribution.
    AddOrder b'A' 36 {
        /// Offset 11: day-unique reference.
        order_reference_number: U64,
        /// Offset 19: see [`Side`].
        buy_sell_indicator: u8,
        /// Offset 20: shares added to the book.
        shares: U32,
        /// Offset 24: symbol.
        stock: Alpha<8>,
        /// Offset 32: price (4).
        price: U32,
    }

    /// 1.3.2 Add Order with MPID attribution.
    AddOrderMpid b'F' 40 {
        /// Offset 11: day-unique reference.
        order_reference_number: U64,
        /// Offset 19: see [`Side`].
        buy_sell_indicator: u8,
        /// Offset 20: shares added to the book.
        shares: U32,
        /// Offset 24: symbol.
        stock: Alpha<8>,
        /// Offset 32: price (4).
        price: U32,
        /// Offset 36: market participant.
        attribution: Alpha<4>,
    }

    /// 1.4.1 Order Executed at its display price.
    OrderExecuted b'E' 31 {
        /// Offset 11: reference of the order.
        order_reference_number: U64,
        /// Offset 19: shares executed, not cumulative.
        executed_shares: U32,
        /// Offset 23: day-unique number of the match.
        match_number: U64,
    }

    /// 1.4.2 Order Executed With Price.
    OrderExecutedWithPrice b'C' 36 {
        /// Offset 11: reference of the order.
        order_reference_number: U64,
        /// Offset 19: shares executed, not cumulative.
        executed_shares: U32,
        /// Offset 23: day-unique number of the match.
        match_number: U64,
        /// Offset 31: `Y` counts in volume, `N` does not (a bulk print follows).
        printable: u8,
        /// Offset 32: price (4).
        execution_price: U32,
    }

    /// 1.4.3 Order Cancel, in part.
    OrderCancel b'X' 23 {
        /// Offset 11: reference of the order.
        order_reference_number: U64,
        /// Offset 19: shares taken off the display size.
        cancelled_shares: U32,
    }

    /// 1.4.4 Order Delete, in full.
    OrderDelete b'D' 19 {
        /// Offset 11: reference of the order.
        order_reference_number: U64,
    }

    /// 1.4.5 Order Replace: side, symbol and attribution stay, priority is lost.
    OrderReplace b'U' 35 {
        /// Offset 11: reference that ends.
        original_order_reference_number: U64,
        /// Offset 19: reference from now on.
        new_order_reference_number: U64,
        /// Offset 27: new display size.
        shares: U32,
        /// Offset 31: price (4).
        price: U32,
    }

    /// 1.5.1 Trade of non-displayed orders. Does not touch the book.
    Trade b'P' 44 {
        /// Offset 11: 0 since 2010.
        order_reference_number: U64,
        /// Offset 19: `B` since 2014, whichever side rested.
        buy_sell_indicator: u8,
        /// Offset 20: shares matched.
        shares: U32,
        /// Offset 24: symbol.
        stock: Alpha<8>,
        /// Offset 32: price (4).
        price: U32,
        /// Offset 36: number of the match.
        match_number: U64,
    }

    /// 1.5.2 Cross Trade.
    CrossTrade b'Q' 40 {
        /// Offset 11: shares matched, 0 when no cross took place.
        shares: U64,
        /// Offset 19: symbol.
        stock: Alpha<8>,
        /// Offset 27: price (4).
        cross_price: U32,
        /// Offset 31: number of the match.
        match_number: U64,
        /// Offset 39: see [`CrossType`].
        cross_type: u8,
    }

    /// 1.5.3 Broken Trade. Does not touch the book.
    BrokenTrade b'B' 19 {
        /// Offset 11: number of the match that is broken.
        match_number: U64,
    }

    /// 1.6 Net Order Imbalance Indicator.
    NetOrderImbalance b'I' 50 {
        /// Offset 11: shares that would match at the reference price.
        paired_shares: U64,
        /// Offset 19: shares that would not.
        imbalance_shares: U64,
        /// Offset 27: see [`ImbalanceDirection`].
        imbalance_direction: u8,
        /// Offset 28: symbol.
        stock: Alpha<8>,
        /// Offset 36: price (4), cross orders alone.
        far_price: U32,
        /// Offset 40: price (4), cross and continuous orders.
        near_price: U32,
        /// Offset 44: price (4) of the calculation.
        current_reference_price: U32,
        /// Offset 48: see [`CrossType`].
        cross_type: u8,
        /// Offset 49: deviation of near from reference price, a code.
        price_variation_indicator: u8,
    }

    /// 1.7 Retail Price Improvement Indicator.
    RetailInterest b'N' 20 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: see [`InterestFlag`].
        interest_flag: u8,
    }

    /// 1.8 Direct Listing with Capital Raise Price Discovery.
    DirectListingPriceDiscovery b'O' 48 {
        /// Offset 11: symbol.
        stock: Alpha<8>,
        /// Offset 19: `Y` when eligible to be released for trading.
        open_eligibility_status: u8,
        /// Offset 20: price (4).
        minimum_allowable_price: U32,
        /// Offset 24: price (4).
        maximum_allowable_price: U32,
        /// Offset 28: price (4).
        near_execution_price: U32,
        /// Offset 32: when the near execution price was set, nanoseconds since midnight.
        near_execution_time: U64,
        /// Offset 40: price (4).
        lower_price_range_collar: U32,
        /// Offset 44: price (4).
        upper_price_range_collar: U32,
    }
}

/// Adds typed accessors for code fields.
macro_rules! code_accessors {
    ($($name:ident::$accessor:ident = $field:ident as $code:ident;)+) => {
        $(impl $name {
            #[doc = concat!("`", stringify!($field), "` as a code, `None` when the specification does not list it.")]
            #[inline]
            pub const fn $accessor(&self) -> Option<$code> {
                $code::from_byte(self.$field)
            }
        })+
    };
}

code_accessors! {
    SystemEvent::event = event_code as EventCode;
    StockDirectory::category = market_category as MarketCategory;
    StockTradingAction::state = trading_state as TradingState;
    RegShoRestriction::action = reg_sho_action as RegShoAction;
    OperationalHalt::action = operational_halt_action as OperationalHaltAction;
    AddOrder::side = buy_sell_indicator as Side;
    AddOrderMpid::side = buy_sell_indicator as Side;
    Trade::side = buy_sell_indicator as Side;
    CrossTrade::cross = cross_type as CrossType;
    NetOrderImbalance::cross = cross_type as CrossType;
    NetOrderImbalance::direction = imbalance_direction as ImbalanceDirection;
    RetailInterest::interest = interest_flag as InterestFlag;
}

impl OrderExecutedWithPrice {
    /// Whether the execution counts in volume. Anything but `N` does: leaving a print out is the rarer case.
    #[inline]
    pub const fn is_printable(&self) -> bool {
        self.printable != b'N'
    }
}
