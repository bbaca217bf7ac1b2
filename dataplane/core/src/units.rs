//! Units and identifiers. Prices and money are integers, never floats.

use core::fmt;

/// One currency unit (a dollar) in [`Price`] and [`Cash`] increments.
pub const UNIT: i64 = 10_000;

/// A price in 1/10000 of the currency unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub i64);

impl Price {
    /// In the place of a limit: whatever the cross pays (OUCH 5.0, 1.2: 7FFFFFFF). Only orders for a cross have it.
    pub const MARKET: Self = Self(0x7FFF_FFFF);

    /// Whether it says "market" and is no limit.
    #[inline]
    pub const fn is_market(self) -> bool {
        self.0 == Self::MARKET.0
    }
}

/// Money in 1/10000 of the currency unit, signed.
pub type Cash = i64;

/// A number of shares.
pub type Quantity = u32;

/// Nanoseconds of International Atomic Time since 1970. The zero value means "never".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaiNs(pub u64);

impl TaiNs {
    /// Later than any time that occurs: no deadline.
    pub const NEVER: TaiNs = TaiNs(u64::MAX);

    /// Nanoseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: TaiNs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `ns`.
    #[inline]
    pub const fn plus(self, ns: u64) -> TaiNs {
        TaiNs(self.0.saturating_add(ns))
    }
}

/// The three stamps of a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// When the loop took it.
    pub seen: TaiNs,
    /// When the XDP program or the kernel socket saw it.
    pub arrival: TaiNs,
    /// When the NIC saw it, if it says so.
    pub nic: Option<TaiNs>,
}

/// Side of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Buy.
    Buy = 1,
    /// Sell (long or short: the gate decides which marking the venue gets).
    Sell = 2,
}

impl Side {
    /// The other side.
    #[inline]
    pub const fn opposite(self) -> Self {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }
    /// 0 for buy, 1 for sell: for arrays of two.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize - 1
    }
    /// +1 for buy, -1 for sell.
    #[inline]
    pub const fn sign(self) -> i64 {
        match self {
            Side::Buy => 1,
            Side::Sell => -1,
        }
    }
    /// From the record's byte (`tern_abi::event::SIDE_BUY` ...).
    #[inline]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Side::Buy),
            2 => Some(Side::Sell),
            _ => None,
        }
    }
}

/// A symbol: eight bytes, left justified, space padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub [u8; 8]);

impl Symbol {
    /// From text of at most eight bytes.
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() > 8 || bytes.is_empty() {
            return None;
        }
        let mut symbol = [b' '; 8];
        symbol.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Some(Self(symbol))
    }
    /// The symbol without its padding; `"?"` when it is not ASCII.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).map_or("?", str::trim_end)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:04}", value / UNIT.unsigned_abs(), value % UNIT.unsigned_abs())
    }
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
        impl $name {
            /// As an array index.
            #[inline]
            pub const fn index(self) -> usize { self.0 as usize }
        }
    };
}
id!(
    /// An instrument of this host: dense, in the order in which symbols were first seen.
    InstrumentId(u32)
);
id!(
    /// A multicast stream (all lines of it).
    StreamId(u16)
);
id!(
    /// A line of a stream: 0 = A, 1 = B.
    LineId(u16)
);
id!(
    /// An order connection.
    ConnId(u32)
);
id!(
    /// An account at a venue.
    AccountId(u16)
);
id!(
    /// A strategy of this host.
    StrategyId(u16)
);
id!(
    /// A trader.
    TraderId(u16)
);
id!(
    /// A venue.
    VenueId(u16)
);
id!(
    /// Our id of an order, unique an account and day; for OUCH the UserRefNum.
    OrderId(u32)
);

impl InstrumentId {
    /// Venue-wide: no instrument.
    pub const NONE: InstrumentId = InstrumentId(u32::MAX);
}
