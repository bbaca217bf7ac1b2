//! The table of our orders: fixed capacity, found by id, listed in the order in which they were opened.

use super::{Life, Order};
use crate::book::Memory;
use crate::index::Index;
use crate::session::TimeInForce;
use crate::units::{InstrumentId, OrderId, Price, Side, StrategyId, TaiNs, TraderId};
use tern_abi::arena::Arena;
use tern_abi::prefetch::{prefetch_read, prefetch_slice, prefetch_whole};

/// Place of an order in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// No slot.
const NONE: u32 = u32::MAX;

/// Neighbours in a list.
#[derive(Clone, Copy, Debug)]
struct Links {
    previous: u32,
    next: u32,
}

const UNLINKED: Links = Links { previous: NONE, next: NONE };

/// The lists an order is in: by age (open or dead), and with the open ones of its strategy and instrument.
#[derive(Clone, Copy)]
enum List {
    Age = 0,
    Own = 1,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

const NO_ENDS: Ends = Ends { first: NONE, last: NONE };

/// On lines of its own: whoever looks at an order asks for these three before.
#[repr(align(64))]
#[derive(Clone, Debug)]
struct Row {
    order: Order,
    links: [Links; 2],
}

/// Our orders, open and recently dead.
///
/// A dead order stays known until its slot is needed, so that what the venue says late still finds it.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Orders {
    rows: Arena<Row>,
    index: Index,
    own: Arena<Ends>,
    open: Ends,
    dead: Ends,
    used: u32,
    open_count: u32,
    instruments: usize,
}

impl Orders {
    /// A table of `capacity` orders of `owners` strategies in `instruments` instruments.
    pub(crate) fn new(capacity: usize, owners: usize, instruments: usize, memory: &mut impl Memory) -> Self {
        let capacity = capacity.min(NONE as usize / 4);
        Self {
            rows: memory.arena_of(capacity, &Row { order: BLANK, links: [UNLINKED; 2] }),
            // Two ids an order: its own and its replacement's.
            index: Index::new(capacity * 2, memory),
            own: memory.arena_of(owners * instruments, &NO_ENDS),
            open: NO_ENDS,
            dead: NO_ENDS,
            used: 0,
            open_count: 0,
            instruments,
        }
    }

    /// Open orders.
    #[inline]
    pub fn open_count(&self) -> u32 {
        self.open_count
    }

    /// The order that has, or will have, this id, open or recently dead.
    #[inline]
    pub fn find(&self, id: OrderId) -> Option<&Order> {
        self.slot(id).and_then(|slot| self.get(slot))
    }

    /// All open orders, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Order> {
        self.walk(self.open.first, List::Age)
    }

    /// Places that orders have lain in so far, for [`open_at`](Self::open_at).
    pub fn places(&self) -> usize {
        self.used as usize
    }

    /// The order in a place, if it is open: who looks at a few places at a time has seen every order that was open all the
    /// while.
    pub fn open_at(&self, place: usize) -> Option<&Order> {
        let order = &self.rows.get(place).filter(|_| place < self.places())?.order;
        (!matches!(order.life, Life::Dead(_))).then_some(order)
    }

    /// Open orders of one strategy in one instrument, oldest first.
    #[inline]
    pub fn own(&self, owner: usize, instrument: InstrumentId) -> impl Iterator<Item = &Order> {
        let first = self.own_index(owner, instrument).and_then(|index| self.own.get(index)).map_or(NONE, |e| e.first);
        self.walk(first, List::Own)
    }

    /// Open orders of all strategies in one instrument, strategy by strategy, oldest first.
    pub(crate) fn in_instrument(&self, instrument: InstrumentId) -> impl Iterator<Item = &Order> {
        (0..self.own.len() / self.instruments.max(1)).flat_map(move |owner| self.own(owner, instrument))
    }

    /// Asks for the place where the list of [`own`](Self::own) begins.
    #[inline]
    pub(crate) fn prefetch_own(&self, owner: usize, instrument: InstrumentId) {
        if let Some(index) = self.own_index(owner, instrument) {
            prefetch_slice(&self.own, index);
        }
    }

    /// Asks for the first and the last order of [`own`](Self::own): a strategy has one or two in most instruments.
    #[inline]
    pub(crate) fn prefetch_own_orders(&self, owner: usize, instrument: InstrumentId) {
        let Some(ends) = self.own_index(owner, instrument).and_then(|index| self.own.get(index)) else { return };
        for row in [ends.first, ends.last].into_iter().filter_map(|place| self.rows.get(place as usize)) {
            prefetch_whole(row);
        }
    }

    /// Asks for what the next order, with this id, will be written to.
    #[inline]
    pub(crate) fn prefetch_next(&self, id: u32) {
        let place = if (self.used as usize) < self.rows.len() { self.used } else { self.dead.first };
        if let Some(row) = self.rows.get(place as usize) {
            prefetch_whole(row);
        }
        if let Some(last) = self.rows.get(self.open.last as usize) {
            prefetch_read(&last.links);
        }
        self.index.prefetch(id);
    }

    fn walk(&self, first: u32, list: List) -> impl Iterator<Item = &Order> {
        let mut at = first;
        core::iter::from_fn(move || {
            let row = self.rows.get(at as usize)?;
            at = row.links[list as usize].next;
            Some(&row.order)
        })
    }

    #[inline]
    pub(crate) fn slot(&self, id: OrderId) -> Option<Slot> {
        let is_it =
            |place: u32| self.rows.get(place as usize).is_some_and(|r| r.order.id == id || r.order.pending == id);
        if id.0 == 0 { None } else { self.index.find(id.0, is_it).map(Slot) }
    }

    /// [`slot`](Self::slot), of an order that is most likely the oldest or the newest one of a strategy in an instrument: there
    /// the strategy has just looked, and the way by the id leads to lines that no near cache has.
    #[inline]
    pub(crate) fn slot_near(&self, id: OrderId, owner: usize, instrument: InstrumentId) -> Option<Slot> {
        let ends = self.own_index(owner, instrument).and_then(|index| self.own.get(index)).copied().unwrap_or(NO_ENDS);
        let is_it = |place: &u32| {
            let order = self.rows.get(*place as usize).map(|row| &row.order);
            order.is_some_and(|order| id.0 != 0 && (order.id == id || order.pending == id))
        };
        let found = [ends.first, ends.last].into_iter().find(is_it).map(Slot);
        debug_assert!(found.is_none() || found == self.slot(id), "an id names one order");
        found.or_else(|| self.slot(id))
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Order> {
        self.rows.get(slot.0 as usize).map(|row| &row.order)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Order> {
        self.rows.get_mut(slot.0 as usize).map(|row| &mut row.order)
    }

    /// The oldest open order and the one after a given one: a cursor that allows changes on the way.
    pub(crate) fn first_open(&self) -> Option<Slot> {
        (self.open.first != NONE).then_some(Slot(self.open.first))
    }

    pub(crate) fn next_open(&self, slot: Slot) -> Option<Slot> {
        let next = self.rows.get(slot.0 as usize)?.links[List::Age as usize].next;
        (next != NONE).then_some(Slot(next))
    }

    /// Whether another order fits.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        (self.used as usize) < self.rows.len() || self.dead.first != NONE
    }

    /// Takes an order in; `None` when every slot holds an open order.
    pub(crate) fn insert(&mut self, order: Order) -> Option<Slot> {
        let place = if (self.used as usize) < self.rows.len() {
            self.used += 1;
            self.used - 1
        } else {
            let oldest = self.dead.first;
            let id = self.rows.get(oldest as usize)?.order.id;
            self.unlink(List::Age, oldest, false);
            self.index.remove(id.0, oldest);
            oldest
        };
        self.rows.get_mut(place as usize)?.order = order;
        self.index.insert(order.id.0, place);
        self.link_open(place);
        Some(Slot(place))
    }

    /// A replacement with id `pending` is on its way.
    pub(crate) fn set_pending(&mut self, slot: Slot, pending: OrderId) {
        if let Some(order) = self.get_mut(slot) {
            let old = core::mem::replace(&mut order.pending, pending);
            if old.0 != 0 {
                self.index.remove(old.0, slot.0);
            }
            if pending.0 != 0 {
                self.index.insert(pending.0, slot.0);
            }
        }
    }

    /// The order's id is `id` from now on, and no replacement is on its way.
    pub(crate) fn set_id(&mut self, slot: Slot, id: OrderId) {
        self.set_pending(slot, OrderId(0));
        if let Some(order) = self.get_mut(slot) {
            let old = core::mem::replace(&mut order.id, id);
            self.index.remove(old.0, slot.0);
            self.index.insert(id.0, slot.0);
        }
    }

    /// The order is over.
    pub(crate) fn bury(&mut self, slot: Slot, how: super::OrderState) {
        self.set_pending(slot, OrderId(0));
        let Some(order) = self.get_mut(slot) else { return };
        if matches!(order.life, Life::Dead(_)) {
            return;
        }
        order.life = Life::Dead(how);
        order.leaves = 0;
        order.pending_total = 0;
        order.reduce_to = 0;
        order.cancel_sent = OrderId(0);
        order.answer_due = TaiNs(0);
        order.cancel_waits = false;
        order.cancel_wanted = false;
        order.doubtful = false;
        order.old_log = false;
        order.forget_refused_cancels();
        self.unlink(List::Age, slot.0, true);
        self.unlink(List::Own, slot.0, true);
        self.open_count -= 1;
        self.link(List::Age, slot.0, false);
    }

    /// A dead order turns out to be alive.
    pub(crate) fn revive(&mut self, slot: Slot) {
        let Some(order) = self.get_mut(slot) else { return };
        if !matches!(order.life, Life::Dead(_)) {
            return;
        }
        order.life = Life::Live;
        self.unlink(List::Age, slot.0, false);
        self.link_open(slot.0);
    }

    fn link_open(&mut self, place: u32) {
        self.link(List::Age, place, true);
        self.link(List::Own, place, true);
        self.open_count += 1;
    }

    #[inline]
    fn own_index(&self, owner: usize, instrument: InstrumentId) -> Option<usize> {
        (instrument.index() < self.instruments).then_some(owner * self.instruments + instrument.index())
    }

    fn ends(&mut self, list: List, place: u32, open: bool) -> Option<&mut Ends> {
        match list {
            List::Age if open => Some(&mut self.open),
            List::Age => Some(&mut self.dead),
            List::Own => {
                let order = &self.rows.get(place as usize)?.order;
                let index = self.own_index(usize::from(order.owner), order.instrument)?;
                self.own.get_mut(index)
            }
        }
    }

    fn link(&mut self, list: List, place: u32, open: bool) {
        let Some(ends) = self.ends(list, place, open) else { return };
        let last = core::mem::replace(&mut ends.last, place);
        if last == NONE {
            ends.first = place;
        }
        if let Some(row) = self.rows.get_mut(last as usize) {
            row.links[list as usize].next = place;
        }
        if let Some(row) = self.rows.get_mut(place as usize) {
            row.links[list as usize] = Links { previous: last, next: NONE };
        }
    }

    fn unlink(&mut self, list: List, place: u32, open: bool) {
        let Some(row) = self.rows.get_mut(place as usize) else { return };
        let Links { previous, next } = core::mem::replace(&mut row.links[list as usize], UNLINKED);
        if let Some(row) = self.rows.get_mut(previous as usize) {
            row.links[list as usize].next = next;
        }
        if let Some(row) = self.rows.get_mut(next as usize) {
            row.links[list as usize].previous = previous;
        }
        if let Some(ends) = self.ends(list, place, open) {
            if previous == NONE {
                ends.first = next;
            }
            if next == NONE {
                ends.last = previous;
            }
        }
    }
}

/// What a slot holds before its first order.
const BLANK: Order = Order {
    id: OrderId(0),
    pending: OrderId(0),
    cancel_sent: OrderId(0),
    instrument: InstrumentId::NONE,
    price: Price(0),
    pending_price: Price(0),
    venue_order: 0,
    leaves: 0,
    executed: 0,
    pending_total: 0,
    executed_before: 0,
    reduce_to: 0,
    valued_at: Price(0),
    counted: 0,
    strategy: StrategyId(0),
    trader: TraderId(0),
    owner: 0,
    side: Side::Buy,
    life: Life::New,
    time_in_force: TimeInForce::Day,
    post_only: false,
    reduce_refused: false,
    short: false,
    cancel_wanted: false,
    doubtful: false,
    cancels_refused: 0,
    cancel_due: TaiNs(0),
    answer_due: TaiNs(0),
    late: 0,
    cancel_waits: false,
    adopted: false,
    old_log: false,
};

impl Order {
    /// An order just sent, or just heard of.
    pub(crate) const fn new(id: OrderId, instrument: InstrumentId, side: Side, price: Price, leaves: u32) -> Self {
        Self { id, instrument, side, price, leaves, ..BLANK }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Heap;

    #[test]
    fn an_order_is_found_near_where_a_strategy_looked_and_everywhere_else() {
        let mut orders = Orders::new(8, 2, 2, &mut Heap);
        let [here, there] = [InstrumentId(0), InstrumentId(1)];
        let mut insert = |id: u32, owner: u8, instrument| {
            let order = Order { owner, ..Order::new(OrderId(id), instrument, Side::Buy, Price(100), 10) };
            orders.insert(order).expect("there is room")
        };
        let slots =
            [insert(1, 0, here), insert(2, 0, here), insert(3, 0, here), insert(4, 1, here), insert(5, 0, there)];
        orders.set_pending(slots[2], OrderId(9));
        for (id, slot) in [(1, 0), (2, 1), (3, 2), (9, 2), (4, 3), (5, 4)] {
            for owner in 0..3 {
                for instrument in [here, there, InstrumentId::NONE] {
                    let found = orders.slot_near(OrderId(id), owner, instrument);
                    assert_eq!(found, Some(slots[slot]), "{id}, looked at {instrument:?} of {owner}");
                }
            }
        }
        orders.bury(slots[0], crate::orders::OrderState::Filled);
        assert_eq!(orders.slot_near(OrderId(1), 0, here), Some(slots[0]), "a dead one stays known");
        assert_eq!((orders.slot_near(OrderId(0), 0, here), orders.slot_near(OrderId(7), 0, here)), (None, None));
    }
}
