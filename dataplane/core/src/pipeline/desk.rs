//! The desk: everything of the pipeline that is neither feed nor session nor strategy.

use super::adjust::ADJUSTMENTS_MAX;
use super::config::{Config, ConfigError, HOUSE, STRATEGIES_MAX, SYMBOL_LIMITS_MAX, StrategyConfig};
use super::flatten::Flatten;
use super::recovery::Recovery;
use super::strategies::Lives;
use super::{PipelineCounter, Turn, output};
use crate::book::{Books, Instruments, Memory, STREAMS_MAX};
use crate::opening;
use crate::orders::{Executions, OrderIds, OrderNote, OrderState, Orders, Slot};
use crate::outbox::Outbox;
use crate::portfolio::{self, Portfolio};
use crate::probe::Probe;
use crate::risk::{Gate, HaltReason, Market, Moment, Owner, Reason, StrategyLimits};
use crate::session::{OrderSession, VenueEvent, VenueEventKind};
use crate::strategy::OrderEvent;
use crate::units::{InstrumentId, Price, StrategyId, TaiNs, TraderId};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use tern_abi::record::{Kind, OrderEventRecord, PositionRecord, Recorder, StateRecord};
use tern_abi::segment::ScopeKind;
use zerocopy::IntoBytes;

/// Books, orders, positions, gate, outbox and counters of one venue account.
#[derive(Debug)]
pub struct Desk {
    pub(crate) config: Config,
    pub(crate) instruments: Instruments,
    pub(crate) books: Books,
    pub(crate) orders: Orders,
    pub(crate) executions: Executions,
    pub(crate) portfolio: Portfolio,
    pub(crate) gate: Gate,
    pub(crate) outbox: Outbox,
    pub(crate) ids: OrderIds,
    pub(super) owners: [Owner; STRATEGIES_MAX + 1],
    pub(super) owner_count: usize,
    pub(super) lives: Lives,
    counters: [u64; PipelineCounter::COUNT],
    refusals: [u64; Reason::COUNT],
    notes: [u64; OrderNote::COUNT],
    /// The session was ready when last asked; strategies may look.
    pub(crate) session_ready: bool,
    /// The venue's log was told up to now on this connection.
    pub(crate) caught_up: bool,
    /// The recorder has room for orders.
    pub(crate) ring_room: bool,
    /// Sorts of input of which one was refused and not taken since, a bit each.
    pub(crate) refused_inputs: u32,
    /// Some order may need a cancel that was not sent yet.
    pub(crate) sweep_due: bool,
    /// When to look for orders whose refused cancel is to be repeated, at the latest.
    pub(crate) cancels_due: TaiNs,
    /// When to look for messages that the venue has not answered, at the latest.
    pub(crate) answers_due: TaiNs,
    /// Orders of which an answer is late.
    pub(crate) unanswered: u32,
    pub(crate) last_session_seq: u64,
    pub(crate) shutting_down: bool,
    pub(crate) logged_out: bool,
    /// Trading stopped because a record did not fit, and no record says so yet.
    pub(crate) loss_untold: bool,
    /// The journal says of this instrument that it is not trusted.
    pub(crate) distrust_told: Box<[bool]>,
    /// When each stream was last heard.
    pub(crate) heard: [TaiNs; STREAMS_MAX],
    /// When to look for silent streams, at the latest.
    pub(crate) silence_due: TaiNs,
    /// What a restart still asks for before trading goes on.
    pub(crate) recovery: Recovery,
    /// The daemon's heartbeat is missed.
    pub(crate) daemon_silent: bool,
    pub(super) flatten: Flatten,
    /// Where a book changed last, and so where a strategy most likely acts. Decides nothing.
    pub(super) looked_at: InstrumentId,
}

impl Desk {
    pub(crate) fn new(
        config: Config,
        strategies: &[StrategyConfig],
        mut instruments: Instruments,
        mut books: Books,
        memory: &mut impl Memory,
    ) -> Result<Self, ConfigError> {
        config.limits.validate().map_err(ConfigError::Limit)?;
        for (index, symbol) in config.symbols.iter().enumerate() {
            let limit = symbol.out_of_range();
            let is_again = config.symbols.iter().take(index).any(|earlier| earlier.symbol == symbol.symbol);
            if limit.is_some() || is_again || index >= SYMBOL_LIMITS_MAX {
                return Err(ConfigError::Symbol { symbol: symbol.symbol, limit });
            }
            if let Some((lowest, highest)) = symbol.wrong_band() {
                return Err(ConfigError::PriceBand { symbol: symbol.symbol, lowest, highest });
            }
        }
        if strategies.len() > STRATEGIES_MAX {
            return Err(ConfigError::Strategies { strategies: strategies.len(), configurations: strategies.len() });
        }
        if config.orders_max == 0 || config.orders_max < config.limits.open_orders_max as usize {
            return Err(ConfigError::Orders {
                orders_max: config.orders_max,
                open_orders_max: config.limits.open_orders_max,
            });
        }
        let mut owners = [Owner { index: 0, strategy: HOUSE, trader: TraderId(0) }; STRATEGIES_MAX + 1];
        for (index, strategy) in strategies.iter().enumerate() {
            let taken = owners.iter().take(index).any(|owner| owner.strategy == strategy.id);
            if taken || strategy.id == HOUSE {
                return Err(ConfigError::StrategyId(strategy.id));
            }
            owners[index] = Owner { index: index as u8, strategy: strategy.id, trader: strategy.trader };
        }
        // The last one keeps what belongs to no strategy of this host.
        owners[strategies.len()].index = strategies.len() as u8;
        let owner_count = strategies.len() + 1;
        let count = books.instrument_capacity();
        if config.restarted {
            for stream in 0..STREAMS_MAX as u16 {
                books.set_stream_distrust(crate::units::StreamId(stream), Some(crate::feed::Distrust::Restarted));
            }
        }
        let own_limits = strategy_limits(&config, strategies)?;
        let all = (&config.symbols[..], config.short_max);
        let mut gate = Gate::new(config.limits, all, (owner_count, &own_limits), count, memory);
        gate.messages_at_least(config.messages_sent);
        gate.high_water_at_least(config.high_water);
        gate.set_hours(config.hours);
        gate.set_closes(&config.closes);
        let mut portfolio = Portfolio::new(owner_count, count, config.fees.clone(), ADJUSTMENTS_MAX, memory);
        let opened = opening::place(&config.opening, strategies, &mut instruments)?;
        gate.heed_instruments(&instruments);
        opening::count(&config.opening, &opened, &mut gate);
        portfolio.open(opened);
        Ok(Self {
            orders: Orders::new(config.orders_max, owner_count, count, memory),
            executions: Executions::new(config.executions_max, memory),
            portfolio,
            gate,
            outbox: Outbox::default(),
            ids: OrderIds::starting_at(config.next_order_id),
            config,
            instruments,
            books,
            owners,
            owner_count,
            lives: Lives::new(strategies.len()),
            counters: [0; PipelineCounter::COUNT],
            refusals: [0; Reason::COUNT],
            notes: [0; OrderNote::COUNT],
            session_ready: false,
            caught_up: false,
            ring_room: true,
            refused_inputs: 0,
            sweep_due: false,
            cancels_due: TaiNs::NEVER,
            answers_due: TaiNs::NEVER,
            unanswered: 0,
            last_session_seq: 0,
            shutting_down: false,
            logged_out: false,
            loss_untold: false,
            distrust_told: vec![false; count].into_boxed_slice(),
            heard: [TaiNs(0); STREAMS_MAX],
            silence_due: TaiNs::NEVER,
            recovery: Recovery::Over,
            daemon_silent: false,
            flatten: Flatten::default(),
            looked_at: InstrumentId::NONE,
        })
    }

    /// Configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// All books.
    pub fn books(&self) -> &Books {
        &self.books
    }
    /// All instruments.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }
    /// Our orders.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }
    /// Open orders with an id below `next_id`: those of then, of a moment at which `next_id` was the next. Walks all open
    /// orders. A replace gives an order a later id, but none that a cancel is wanted for is replaced.
    /// Only those in a scope; none in one that there is not.
    pub fn open_orders_of_then(&self, next_id: u32, kind: ScopeKind, key: u64) -> u64 {
        let Some(part) = self.part_of(kind, key) else { return 0 };
        self.orders.open().filter(|order| order.id.0 < next_id && self.is_part(part, order)).count() as u64
    }
    /// The executions of the day.
    pub fn executions(&self) -> &Executions {
        &self.executions
    }
    /// Our positions.
    pub fn portfolio(&self) -> &Portfolio {
        &self.portfolio
    }
    /// The gate, with limits and exposures.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
    /// Strategies by index; the last, [`HOUSE`], keeps what belongs to none of this host.
    pub fn owners(&self) -> &[Owner] {
        self.owners.get(..self.owner_count).unwrap_or_default()
    }
    /// Counters, in [`PipelineCounter`] order.
    pub fn counters(&self) -> &[u64; PipelineCounter::COUNT] {
        &self.counters
    }
    /// One counter.
    pub fn counter(&self, counter: PipelineCounter) -> u64 {
        self.counters[counter.index()]
    }
    /// Refusals, in [`Reason`] order.
    pub fn refusals(&self) -> &[u64; Reason::COUNT] {
        &self.refusals
    }
    /// How the venue's events fitted, in [`OrderNote`] order.
    pub fn notes(&self) -> &[u64; OrderNote::COUNT] {
        &self.notes
    }
    /// Whether the strategy with this index panicked and is disabled.
    #[inline]
    pub fn is_disabled(&self, index: usize) -> bool {
        self.lives.is_disabled(index)
    }
    /// Whether orders could be sent: not halted, session ready.
    #[inline]
    pub const fn can_trade(&self) -> bool {
        self.session_ready && self.gate_is_open()
    }
    #[inline]
    const fn gate_is_open(&self) -> bool {
        !self.shutting_down && self.gate.is_open()
    }

    #[inline]
    pub(crate) fn count(&mut self, counter: PipelineCounter, by: u64) {
        self.counters[counter.index()] += by;
    }
    pub(crate) fn count_refusal(&mut self, reason: Reason) {
        self.refusals[reason.index()] += 1;
    }
    pub(crate) fn count_note(&mut self, note: OrderNote) {
        self.notes[note.index()] += 1;
    }

    #[inline]
    pub(crate) fn owner(&self, index: usize) -> Owner {
        self.owners().get(index).copied().unwrap_or(self.owners[self.owner_count - 1])
    }
    /// The owner of a strategy id that the venue echoed.
    pub(crate) fn owner_of(&self, strategy: Option<StrategyId>) -> Owner {
        let house = self.owners[self.owner_count - 1];
        let Some(id) = strategy else { return house };
        self.owners().iter().find(|owner| owner.strategy == id).copied().unwrap_or(Owner { strategy: id, ..house })
    }

    #[inline]
    pub(crate) fn market(&self) -> Market<'_> {
        Market { instruments: &self.instruments, books: &self.books, orders: &self.orders }
    }
    #[inline]
    pub(crate) fn moment(&self, now: TaiNs, age_ns: u64, session: &impl OrderSession) -> Moment {
        Moment {
            now,
            age_ns,
            session_ready: session.is_ready(),
            window_open: self.outbox.window_open(),
            outbox_room: self.outbox.has_slot(),
            ring_room: self.ring_room,
        }
    }
    pub(crate) fn can_send(&self, session: &impl OrderSession) -> bool {
        session.is_ready() && self.outbox.window_open() && self.outbox.has_slot()
    }

    /// Brings the exposure up to date after the order in `slot` changed.
    #[inline]
    pub(crate) fn settle(&mut self, slot: Slot) {
        if let Some(order) = self.orders.get_mut(slot) {
            self.gate.settle(order);
            if order.answer_due.0 | u64::from(order.late) != 0 && !order.awaits_answer() {
                self.unanswered = self.unanswered.saturating_sub(order.answered(TaiNs(0)).into());
            }
            self.sweep_due |= order.needs_cancel();
        }
    }

    /// Stops trading. The first reason stays, but a kill or shutdown takes its place, and any reason that of a restart:
    /// what that asks for is not forgotten.
    pub(crate) fn halt<R: Recorder, P>(&mut self, turn: &mut Turn<'_, R, P>, reason: HaltReason) {
        let stronger = matches!(reason, HaltReason::Killed | HaltReason::Shutdown);
        let halted = self.gate.halt().filter(|halt| !halt.gives_way() || *halt == reason);
        if halted == Some(reason) || (halted.is_some() && !stronger) || halted == Some(HaltReason::Shutdown) {
            return;
        }
        self.gate.set_halt(Some(reason));
        self.loss_untold |= reason == HaltReason::RingFull;
        self.count(PipelineCounter::Halts, 1);
        self.record_state(turn, reason);
    }

    /// What a share is worth, if the book can be trusted.
    #[inline]
    pub(crate) fn mark_of(&self, instrument: InstrumentId) -> Option<Price> {
        portfolio::mark(&self.books, instrument).filter(|_| self.books.is_trusted(instrument))
    }

    /// A share of the instrument is worth `price`. A loss beyond the limits is a kill: nothing new, all cancelled.
    #[inline]
    pub(crate) fn mark<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        instrument: InstrumentId,
        price: Option<Price>,
    ) {
        if let Some(reason) = self.gate.mark(instrument, price)
            && !self.gate.is_stopped()
        {
            self.kill(turn, reason);
        }
        self.stop_losers(turn);
    }

    pub(crate) fn record_state<R: Recorder, P>(&mut self, turn: &mut Turn<'_, R, P>, reason: HaltReason) {
        let trading = u32::from(reason == HaltReason::NotHalted);
        let record = StateRecord { cause_seq: turn.cause_seq, trading, reason: reason as u32 };
        // Not through `output`: a state that cannot be recorded must not halt again.
        if turn.rec.record(turn.now.0, Kind::State, &[record.as_bytes()]).is_err() {
            self.count(PipelineCounter::RecordsLost, 1);
        }
    }

    /// Records what an event made of an order, as the strategy is told of it too.
    pub(crate) fn record_order_event<R: Recorder, P>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        event: &VenueEvent,
        slot: Option<Slot>,
        note: OrderNote,
    ) -> Option<OrderEvent> {
        let order = slot.and_then(|slot| self.orders.get(slot)).copied();
        let adopted = note == OrderNote::Adopted || order.is_none();
        let record = OrderEventRecord {
            venue_order: event.venue_order,
            match_number: event.match_number,
            price: event.price.0,
            venue_ns: event.venue_ns,
            session_seq: event.session_seq,
            order: event.order.0,
            previous: if event.previous == event.order { 0 } else { event.previous.0 },
            quantity: event.quantity,
            leaves: order.map_or(0, |o| o.leaves),
            instrument: order.map_or(u32::MAX, |o| o.instrument.0),
            account: self.config.account.0,
            strategy: order.map_or(HOUSE.0, |o| o.strategy.0),
            kind: event.kind as u8,
            state: order.map_or(u8::MAX, |o| o.state() as u8),
            side: order.map_or(0, |o| o.side as u8),
            reason: event.reason,
            flags: u32::from(event.added_liquidity) | u32::from(adopted) << 1,
        };
        output(turn, self, Kind::OrderEvent, record.as_bytes());
        order.map(|order| OrderEvent {
            kind: event.kind,
            order: event.order,
            previous: event.previous,
            instrument: order.instrument,
            side: order.side,
            price: event.price,
            quantity: event.quantity,
            leaves: order.leaves,
            state: order.state(),
        })
    }

    /// Records that an order ended here, without a word from the venue.
    pub(crate) fn record_local_end<R: Recorder, P>(&mut self, turn: &mut Turn<'_, R, P>, slot: Slot) {
        let Some(order) = self.orders.get(slot).copied() else { return };
        let kind = match order.state() {
            OrderState::Dropped | OrderState::Lost => VenueEventKind::Canceled,
            _ => VenueEventKind::ReplaceRejected,
        };
        let event = VenueEvent { order: order.id, previous: order.id, price: order.price, ..VenueEvent::new(kind) };
        self.record_order_event(turn, &event, Some(slot), OrderNote::Applied);
    }

    /// Records a position after a change.
    pub(crate) fn record_position<R: Recorder, P: Probe>(
        &mut self,
        turn: &mut Turn<'_, R, P>,
        (owner, instrument): (u8, InstrumentId),
    ) {
        let position = self.portfolio.position(usize::from(owner), instrument);
        let record = PositionRecord {
            shares: position.shares,
            cash: position.cash,
            realized: position.realized(),
            cost: position.cost,
            fees: position.fees,
            symbol: self.instruments.symbol(instrument).map_or([b' '; 8], |symbol| symbol.0),
            instrument: instrument.0,
            account: self.config.account.0,
            strategy: self.owner(usize::from(owner)).strategy.0,
        };
        output(turn, self, Kind::Position, record.as_bytes());
    }
}

/// The limits that strategies have of their own, by index.
fn strategy_limits(config: &Config, strategies: &[StrategyConfig]) -> Result<Vec<(u8, StrategyLimits)>, ConfigError> {
    let mut own: Vec<(u8, StrategyLimits)> = Vec::new();
    for limits in &config.strategy_limits {
        let index = strategies.iter().position(|strategy| strategy.id == limits.strategy);
        let index = index.and_then(|index| u8::try_from(index).ok());
        let index = index.filter(|index| own.iter().all(|(known, _)| known != index));
        match (index, limits.out_of_range()) {
            (Some(index), None) => own.push((index, *limits)),
            (_, limit) => return Err(ConfigError::StrategyLimits { strategy: limits.strategy, limit }),
        }
    }
    Ok(own)
}
