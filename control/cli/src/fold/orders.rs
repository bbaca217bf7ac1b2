//! Our orders, followed through the records.

use std::collections::BTreeMap;

use serde::Serialize;
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::record::{ACTION_CANCEL, ACTION_REPLACE, OrderEventRecord, OrderRecord, VenueEventKind};

use super::symbol_text;

/// One order id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrderRow {
    /// Account.
    pub account: u16,
    /// Our id.
    pub order: u32,
    /// The id that it replaces, or 0.
    pub replaces: u32,
    /// The venue's reference, 0 until it said one.
    pub venue_order: u64,
    /// Strategy.
    pub strategy: u16,
    /// Symbol.
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// 1/10000 of the currency unit.
    pub price: i64,
    /// Shares, as the venue counts them.
    pub quantity: u32,
    /// Shares open.
    pub leaves: u32,
    /// Shares executed under this id.
    pub executed: u64,
    /// What is known of it.
    pub life: Life,
    /// An answer of the venue is late: to the order, a replace or a cancel of it.
    pub unanswered: bool,
    /// When it was sent, TAI ns; 0 if not by us.
    pub sent_ns: u64,
    /// When it last changed, TAI ns.
    pub changed_ns: u64,
    /// Who sent it by hand, if somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<ByHand>,
}

/// Who had an order sent by hand, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByHand {
    /// Unix user id of who asked.
    pub uid: u32,
    /// Of who confirmed it, if somebody had to.
    pub confirmed_by: Option<u32>,
    /// `order` or `flatten`.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

/// What is known of an order id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// Sent, the venue has not answered.
    #[default]
    Pending,
    /// Open at the venue.
    Open,
    /// Open, a cancel is on its way.
    Canceling,
    /// Over.
    Closed,
    /// Another id took its place.
    Replaced,
}

impl OrderRow {
    /// Whether shares may still trade under this id. A replacement that is not acknowledged is not counted: the order
    /// that it replaces is.
    pub const fn is_open(&self) -> bool {
        match self.life {
            Life::Pending => self.replaces == 0 && self.leaves > 0,
            Life::Open | Life::Canceling => self.leaves > 0,
            Life::Closed | Life::Replaced => false,
        }
    }
}

/// All orders, by account and id.
#[derive(Debug, Default)]
pub struct Orders {
    rows: BTreeMap<(u16, u32), OrderRow>,
}

impl Orders {
    /// Every order id, in the order of account and id.
    pub fn iter(&self) -> impl Iterator<Item = &OrderRow> {
        self.rows.values()
    }

    /// Says of an order that somebody had it sent.
    pub(super) fn sent_by_hand(&mut self, order: u32, by_hand: &ByHand) {
        // Ids ascend: of several accounts or days the order that was sent last.
        let row = self.rows.values_mut().filter(|row| row.order == order).max_by_key(|row| row.sent_ns);
        if let Some(row) = row {
            row.by_hand = Some(by_hand.clone());
        }
    }

    /// Those that may still trade.
    pub fn open(&self) -> impl Iterator<Item = &OrderRow> {
        self.iter().filter(|row| row.is_open())
    }

    pub(super) fn sent(&mut self, now_ns: u64, order: &OrderRecord) {
        if order.action == ACTION_CANCEL {
            if let Some(row) = self.rows.get_mut(&(order.account, order.order))
                && row.is_open()
                // Of a partial one something stays.
                && order.quantity == 0
            {
                (row.life, row.changed_ns) = (Life::Canceling, now_ns);
            }
            return;
        }
        let row = OrderRow {
            account: order.account,
            order: order.order,
            replaces: if order.action == ACTION_REPLACE { order.replaces } else { 0 },
            venue_order: 0,
            strategy: order.strategy,
            symbol: symbol_text(&order.symbol),
            side: side_name(order.side),
            price: order.price,
            quantity: order.quantity,
            leaves: order.quantity,
            executed: 0,
            life: Life::Pending,
            unanswered: false,
            sent_ns: now_ns,
            changed_ns: now_ns,
            by_hand: None,
        };
        self.rows.insert((order.account, order.order), row);
    }

    /// Follows what the venue said and returns the order, if the event is about one.
    pub(super) fn event(&mut self, now_ns: u64, event: &OrderEventRecord, symbol: &str) -> Option<&OrderRow> {
        let kind = VenueEventKind::from_index(event.kind.into())?;
        if event.order == 0 || !concerns_an_order(kind) {
            return None;
        }
        let replaced = event.previous != 0 && event.previous != event.order;
        if replaced
            && kind == VenueEventKind::Replaced
            && let Some(old) = self.rows.get_mut(&(event.account, event.previous))
        {
            (old.life, old.leaves, old.unanswered, old.changed_ns) = (Life::Replaced, 0, false, now_ns);
        }
        // Orders of a run whose records are not here are learned from what the venue says of them.
        let row = self.rows.entry((event.account, event.order)).or_insert_with(|| OrderRow {
            account: event.account,
            order: event.order,
            strategy: event.strategy,
            symbol: symbol.to_owned(),
            side: side_name(event.side),
            price: event.price,
            quantity: event.quantity,
            ..OrderRow::default()
        });
        row.changed_ns = now_ns;
        row.unanswered = kind == VenueEventKind::Unanswered;
        if row.unanswered {
            return Some(row);
        }
        if event.venue_order != 0 {
            row.venue_order = event.venue_order;
        }
        match kind {
            VenueEventKind::Executed => row.executed += u64::from(event.quantity),
            VenueEventKind::Replaced | VenueEventKind::PriorityUpdated if event.price != 0 => row.price = event.price,
            _ => {}
        }
        row.leaves = event.leaves;
        row.life = match (kind, event.leaves) {
            (_, 0) => Life::Closed,
            // The cancel was refused, or the venue works on it: the order is open in either case.
            (VenueEventKind::CancelRejected, _) => Life::Open,
            (VenueEventKind::CancelPending, _) => Life::Canceling,
            _ if row.life == Life::Canceling => Life::Canceling,
            _ => Life::Open,
        };
        Some(row)
    }
}

/// Whether an event says something of the order that it names.
const fn concerns_an_order(kind: VenueEventKind) -> bool {
    !matches!(
        kind,
        VenueEventKind::SystemEvent
            | VenueEventKind::NextOrderId
            | VenueEventKind::LoggedIn
            | VenueEventKind::LoginRejected
            | VenueEventKind::EndOfSession
            | VenueEventKind::CaughtUp
            // Names the trade; how many shares are open does not change.
            | VenueEventKind::Broken
            // The replacement never was; the order before it is as it was.
            | VenueEventKind::ReplaceRejected
    )
}

/// `buy`, `sell`, or `?` where a record does not say.
pub(crate) fn side_name(side: u8) -> &'static str {
    match side {
        SIDE_BUY => "buy",
        SIDE_SELL => "sell",
        _ => "?",
    }
}
