//! The exchange's own book: every order of every symbol, in price-time priority.
//!
//! Written to be obviously right, not fast: a sorted map of price levels a side, a queue of references a level, one map
//! of orders. A removed order leaves its reference in the queue until the level is tidied, so that removal from the
//! middle is cheap; the front of a queue is always live.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Side of an order on the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Buy.
    Buy,
    /// Sell.
    Sell,
}

impl Side {
    /// The other side.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// ITCH's letter.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Buy => b'B',
            Self::Sell => b'S',
        }
    }

    /// From ITCH's letter; anything but `B` sells.
    pub const fn of_itch(byte: u8) -> Self {
        if byte == b'B' { Self::Buy } else { Self::Sell }
    }

    /// Whether an order of this side with `limit` may trade at `price`.
    pub const fn accepts(self, limit: u32, price: u32) -> bool {
        match self {
            Self::Buy => price <= limit,
            Self::Sell => price >= limit,
        }
    }

    /// Whether `price` is strictly better for its owner's place in the queue than `than`.
    pub const fn is_better(self, price: u32, than: u32) -> bool {
        match self {
            Self::Buy => price > than,
            Self::Sell => price < than,
        }
    }
}

/// Whose order it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The flow's (generator or file). `told` is what the flow believes to be open; the order never has more.
    Flow {
        /// Shares in the flow's own account of the order.
        told: u32,
    },
    /// A client's.
    Client {
        /// Index of the account.
        account: u16,
        /// The client's number.
        user_ref: u32,
    },
}

/// An order on the book. With 0 shares it is a shadow: a flow order that clients took whole, but that the flow will
/// still name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Day-unique reference, as on the feed.
    pub reference: u64,
    /// Stock locate.
    pub locate: u16,
    /// Side.
    pub side: Side,
    /// Limit in 1/10000 dollars.
    pub price: u32,
    /// Shares open.
    pub shares: u32,
    /// Whose.
    pub owner: Owner,
    /// Not on the feed; behind displayed orders of its price.
    pub hidden: bool,
}

impl Order {
    const fn is_client(&self) -> bool {
        matches!(self.owner, Owner::Client { .. })
    }
}

/// References are unique and mostly sequential, so a multiplication spreads them well enough.
#[derive(Default)]
pub struct ReferenceHasher(u64);

impl Hasher for ReferenceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

type Orders = HashMap<u64, Order, BuildHasherDefault<ReferenceHasher>>;

#[derive(Default, Debug)]
struct Level {
    queue: VecDeque<u64>,
    live: u32,
    clients: u32,
}

#[derive(Default, Debug)]
struct Half {
    displayed: BTreeMap<u32, Level>,
    hidden: BTreeMap<u32, Level>,
    clients: u32,
}

impl Half {
    fn levels(&mut self, hidden: bool) -> &mut BTreeMap<u32, Level> {
        if hidden { &mut self.hidden } else { &mut self.displayed }
    }
}

/// Levels of one side from the best price on.
fn from_best(levels: &BTreeMap<u32, Level>, side: Side) -> Box<dyn Iterator<Item = (u32, &Level)> + '_> {
    match side {
        Side::Buy => Box::new(levels.iter().rev().map(|(&price, level)| (price, level))),
        Side::Sell => Box::new(levels.iter().map(|(&price, level)| (price, level))),
    }
}

fn best(levels: &BTreeMap<u32, Level>, side: Side) -> Option<(u32, &Level)> {
    let entry = match side {
        Side::Buy => levels.last_key_value(),
        Side::Sell => levels.first_key_value(),
    };
    entry.map(|(&price, level)| (price, level))
}

/// The books of all symbols.
#[derive(Default, Debug)]
pub struct Book {
    orders: Orders,
    halves: Vec<[Half; 2]>,
    live: usize,
}

impl Book {
    fn half(&self, locate: u16, side: Side) -> Option<&Half> {
        self.halves.get(usize::from(locate)).map(|halves| &halves[side as usize])
    }

    /// The order of a reference, a shadow too.
    pub fn get(&self, reference: u64) -> Option<&Order> {
        self.orders.get(&reference)
    }

    /// Orders with shares.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether clients have orders on a side: the cheap question in front of the dearer ones below.
    pub fn has_clients(&self, locate: u16, side: Side) -> bool {
        self.half(locate, side).is_some_and(|half| half.clients > 0)
    }

    /// Adds an order behind all others of its price. A reference that is there already is replaced, which no valid flow
    /// asks for.
    pub fn add(&mut self, order: Order) {
        self.remove(order.reference);
        let index = usize::from(order.locate);
        if self.halves.len() <= index {
            self.halves.resize_with(index + 1, Default::default);
        }
        self.orders.insert(order.reference, order);
        if order.shares == 0 {
            return;
        }
        self.live += 1;
        let half = &mut self.halves[index][order.side as usize];
        let clients = u32::from(order.is_client());
        half.clients += clients;
        let level = half.levels(order.hidden).entry(order.price).or_default();
        level.queue.push_back(order.reference);
        level.live += 1;
        level.clients += clients;
    }

    /// Takes an order off the book and forgets it.
    pub fn remove(&mut self, reference: u64) -> Option<Order> {
        let order = self.orders.remove(&reference)?;
        if order.shares > 0 {
            self.leave(&order);
        }
        Some(order)
    }

    /// Takes shares off an order; at 0 it leaves the book, a flow order that the flow still knows as a shadow. Returns
    /// the shares left.
    pub fn reduce(&mut self, reference: u64, shares: u32) -> Option<u32> {
        let order = self.orders.get_mut(&reference)?;
        let had = order.shares;
        order.shares = had.saturating_sub(shares);
        let after = *order;
        if after.shares == 0 {
            if !matches!(after.owner, Owner::Flow { told } if told > 0) {
                self.orders.remove(&reference);
            }
            if had > 0 {
                self.leave(&after);
            }
        }
        Some(after.shares)
    }

    /// Notes that the flow took `shares` off its own account of an order. Returns what it believes to be left.
    pub fn tell(&mut self, reference: u64, shares: u32) -> Option<u32> {
        let order = self.orders.get_mut(&reference)?;
        let Owner::Flow { told } = &mut order.owner else { return None };
        *told = told.saturating_sub(shares);
        let left = *told;
        if left == 0 && order.shares == 0 {
            self.orders.remove(&reference);
        }
        Some(left)
    }

    fn leave(&mut self, order: &Order) {
        self.live -= 1;
        let half = &mut self.halves[usize::from(order.locate)][order.side as usize];
        let clients = u32::from(order.is_client());
        half.clients -= clients;
        let levels = half.levels(order.hidden);
        let Some(level) = levels.get_mut(&order.price) else { return };
        level.live -= 1;
        level.clients -= clients;
        if level.live == 0 {
            levels.remove(&order.price);
            return;
        }
        let orders = &self.orders;
        let is_live = |reference: &u64| orders.get(reference).is_some_and(|order| order.shares > 0);
        if level.queue.len() > 2 * level.live as usize + 32 {
            level.queue.retain(is_live);
        }
        while level.queue.front().is_some_and(|reference| !is_live(reference)) {
            level.queue.pop_front();
        }
    }

    /// The best displayed price of a side.
    pub fn best_displayed(&self, locate: u16, side: Side) -> Option<u32> {
        best(&self.half(locate, side)?.displayed, side).map(|(price, _)| price)
    }

    /// The order that is next to trade on a side: best price, displayed before hidden, oldest first.
    pub fn front(&self, locate: u16, side: Side) -> Option<&Order> {
        let half = self.half(locate, side)?;
        let displayed = best(&half.displayed, side);
        let hidden = best(&half.hidden, side);
        let level = match (displayed, hidden) {
            (Some((shown, level)), Some((dark, dark_level))) => {
                if side.is_better(dark, shown) {
                    dark_level
                } else {
                    level
                }
            }
            (Some((_, level)), None) | (None, Some((_, level))) => level,
            (None, None) => return None,
        };
        self.orders.get(level.queue.front()?)
    }

    fn first_client(&self, level: &Level) -> Option<&Order> {
        level.queue.iter().filter_map(|reference| self.orders.get(reference)).find(|o| o.shares > 0 && o.is_client())
    }

    /// The best client order of a side, whatever flow orders are ahead of it.
    pub fn best_client(&self, locate: u16, side: Side) -> Option<&Order> {
        let half = self.half(locate, side)?;
        if half.clients == 0 {
            return None;
        }
        let shown = from_best(&half.displayed, side).find(|(_, level)| level.clients > 0);
        let dark = from_best(&half.hidden, side).find(|(_, level)| level.clients > 0);
        let level = match (shown, dark) {
            (Some((shown, level)), Some((dark, dark_level))) => {
                if side.is_better(dark, shown) {
                    dark_level
                } else {
                    level
                }
            }
            (Some((_, level)), None) | (None, Some((_, level))) => level,
            (None, None) => return None,
        };
        self.first_client(level)
    }

    /// The first client order that has priority over a flow order: at a better price, or ahead of it at its price.
    pub fn client_ahead_of(&self, order: &Order) -> Option<&Order> {
        let client = self.best_client(order.locate, order.side)?;
        if order.side.is_better(client.price, order.price) {
            return Some(client);
        }
        let level = self.half(order.locate, order.side)?.displayed.get(&order.price)?;
        if client.price != order.price || level.clients == 0 {
            return None;
        }
        level
            .queue
            .iter()
            .take_while(|&&reference| reference != order.reference)
            .filter_map(|reference| self.orders.get(reference))
            .find(|ahead| ahead.shares > 0 && ahead.is_client())
    }

    /// Every order of a side in priority order; hidden ones only when asked for.
    pub fn side(&self, locate: u16, side: Side, hidden: bool) -> Vec<Order> {
        let Some(half) = self.half(locate, side) else { return Vec::new() };
        let orders_of = |levels| {
            from_best(levels, side).flat_map(|(_, level): (u32, &Level)| {
                level.queue.iter().filter_map(|r| self.orders.get(r)).filter(|o| o.shares > 0).copied()
            })
        };
        let mut all: Vec<Order> = orders_of(&half.displayed).collect();
        if hidden {
            all.extend(orders_of(&half.hidden));
            all.sort_by(|a, b| match side {
                Side::Buy => b.price.cmp(&a.price),
                Side::Sell => a.price.cmp(&b.price),
            });
        }
        all
    }

    /// Displayed levels of a side from the best on: price and its orders' references and shares in priority order.
    pub fn levels(&self, locate: u16, side: Side) -> impl Iterator<Item = (u32, Vec<(u64, u32)>)> + '_ {
        self.half(locate, side).into_iter().flat_map(move |half| {
            from_best(&half.displayed, side).map(|(price, level)| {
                let live = level.queue.iter().filter_map(|r| self.orders.get(r)).filter(|o| o.shares > 0);
                (price, live.map(|order| (order.reference, order.shares)).collect())
            })
        })
    }

    /// One more than the highest locate that ever had an order.
    pub fn locates(&self) -> u16 {
        u16::try_from(self.halves.len()).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(reference: u64, side: Side, price: u32, shares: u32) -> Order {
        Order { reference, locate: 1, side, price, shares, owner: Owner::Flow { told: shares }, hidden: false }
    }

    fn client(reference: u64, side: Side, price: u32, shares: u32) -> Order {
        let owner = Owner::Client { account: 0, user_ref: reference as u32 };
        Order { reference, locate: 1, side, price, shares, owner, hidden: false }
    }

    #[test]
    fn price_comes_before_time_and_display_before_hidden() {
        let mut book = Book::default();
        book.add(flow(1, Side::Buy, 100, 10));
        book.add(flow(2, Side::Buy, 101, 10));
        book.add(Order { hidden: true, ..client(3, Side::Buy, 101, 10) });
        book.add(flow(4, Side::Buy, 101, 10));
        let order: Vec<u64> = book.side(1, Side::Buy, true).iter().map(|order| order.reference).collect();
        assert_eq!(order, [2, 4, 3, 1]);
        let mut taken = Vec::new();
        while let Some(front) = book.front(1, Side::Buy).copied() {
            taken.push(front.reference);
            book.remove(front.reference);
        }
        assert_eq!(taken, [2, 4, 3, 1]);
        assert_eq!(book.live(), 0);
    }

    #[test]
    fn reduction_keeps_the_place_and_removal_from_the_middle_keeps_the_rest() {
        let mut book = Book::default();
        for reference in 1..=100 {
            book.add(flow(reference, Side::Sell, 50, 10));
        }
        assert_eq!(book.reduce(1, 4), Some(6));
        for reference in 2..=90 {
            book.remove(reference);
        }
        let left: Vec<(u64, u32)> = book.levels(1, Side::Sell).next().expect("a level").1;
        assert_eq!(left.len(), 11);
        assert_eq!(left[0], (1, 6));
        assert_eq!(left[1], (91, 10));
    }

    #[test]
    fn a_flow_order_taken_by_clients_stays_as_a_shadow_until_the_flow_lets_go() {
        let mut book = Book::default();
        book.add(flow(1, Side::Buy, 100, 10));
        assert_eq!(book.reduce(1, 10), Some(0));
        assert_eq!(book.best_displayed(1, Side::Buy), None);
        assert_eq!(book.get(1).map(|order| order.shares), Some(0));
        assert_eq!(book.tell(1, 4), Some(6));
        assert_eq!(book.tell(1, 6), Some(0));
        assert_eq!(book.get(1), None);
    }

    #[test]
    fn clients_ahead_are_found_by_price_then_by_place() {
        let mut book = Book::default();
        book.add(client(1, Side::Buy, 100, 10));
        book.add(flow(2, Side::Buy, 100, 10));
        book.add(client(3, Side::Buy, 100, 10));
        book.add(flow(4, Side::Buy, 99, 10));
        let ahead = |book: &Book, reference| {
            book.client_ahead_of(book.get(reference).expect("there")).map(|order| order.reference)
        };
        assert_eq!(ahead(&book, 2), Some(1));
        assert_eq!(ahead(&book, 4), Some(1));
        book.remove(1);
        assert_eq!(ahead(&book, 2), None, "the other client is behind");
        assert_eq!(ahead(&book, 4), Some(3), "at a better price");
        assert!(!book.has_clients(1, Side::Sell));
    }
}
