//! Runs, connections and commands: what is in force, and whether anything may be sent.

use super::money::Losses;
use super::{Audit, by_hand};
use crate::exposure::{Owner, WORTH_MAX};
use crate::finding::Disagreement;
use crate::ledger::{Fees, Ledger, Ledgers};
use crate::limits::InForce;
use crate::opening;
use crate::orders::Orders;
use std::collections::{BTreeMap, BTreeSet};
use tern_abi::command::{Command, CommandKind, SetLimits};
use tern_abi::reconcile::{Difference, ReconcileRecord};
use tern_abi::record::{CONN_DOWN, CONN_UP, ConnRecord, LimitsRecord, StartRecord};
use tern_abi::segment::{ScopeKind, TradingState};
use tern_config::facts::Names;
use tern_journal::recovered::run_value;
use tern_soup::Answers;

impl Audit {
    /// Limits that were tightened, restricted scopes, kills and halts outlive a run.
    pub(super) fn on_start(&mut self, start: &StartRecord, text: &[u8]) {
        let text = std::str::from_utf8(text).unwrap_or_default();
        // A run that says how far it read the journal holds the venue's log against it before it trades.
        self.unreconciled = run_value(text, "journal_seq").is_some();
        // Runs before that began with the file's limits.
        let before = self.limits.take().filter(|_| self.unreconciled);
        self.limits = InForce::of_configuration(text).map(|limits| limits.tightened_by(before.as_ref()));
        self.opening = opening::of_configuration(text).unwrap_or_default();
        self.fees = Fees::of_configuration(text);
        self.by_hand = by_hand::strategy_of_configuration(text);
        self.reasons = Names::split_start_text(text).1.refusals.into_iter().map(|reason| reason.name).collect();
        self.instruments.clear();
        self.losses = Losses::default();
        // Before runs did that, a kill was kept by the segment alone, and an end that was asked for ended it.
        self.killed &= self.unreconciled || (start.run > 1 && !self.shutting_down);
        self.sent_ns.clear();
        self.streams.clear();
        self.untrusted.clear();
        self.answers.clear();
        self.fresh_run = true;
        self.doubtful = Some(self.last_order);
        // Until the run says that it trades, or is resumed.
        self.halted = self.unreconciled;
        self.shutting_down = false;
    }

    pub(super) fn on_command(&mut self, command: &Command) {
        match CommandKind::from_u32(command.kind) {
            Some(CommandKind::Kill) => self.killed = true,
            Some(CommandKind::Shutdown) => self.shutting_down = true,
            Some(CommandKind::Resume) if command.resumes() => {
                self.killed = false;
                self.resumed_seq = self.seq;
                self.losses.firm_seen();
                self.halted = self.shutting_down;
            }
            Some(CommandKind::SetState) => {
                if let Some((kind, key, state)) = command.scope_state() {
                    self.scopes.insert((kind, key), state);
                    if (kind, state) == (ScopeKind::Strategy, TradingState::Running) {
                        self.losses.strategy_seen(key);
                    }
                }
            }
            Some(CommandKind::SetLimit) => {
                if let Some(limits) = &mut self.limits {
                    limits.set(command);
                    // What was sent before was sent under another rate.
                    if matches!(command.id, 5 | 6) {
                        self.sent_ns.clear();
                    }
                }
            }
            _ => {}
        }
    }

    /// The outcome of the comparison after a restart, or an operator's word on it.
    pub(super) fn on_reconcile(&mut self, record: &ReconcileRecord) {
        match Difference::from_index(record.difference as usize) {
            Some(Difference::Done) if record.ours == 0 => self.unreconciled = false,
            Some(Difference::Accepted) => self.unreconciled = false,
            _ => {}
        }
    }

    pub(super) fn on_set_limits(&mut self, command: &SetLimits) {
        let Some(limits) = &mut self.limits else { return };
        let before = limits.rate();
        if limits.set_all(command) && before != limits.rate() {
            // What was sent before was sent under another rate.
            self.sent_ns.clear();
        }
    }

    /// The epoch in force after a command, as the loop says it.
    pub(super) fn on_limits(&mut self, claimed: &LimitsRecord) {
        let ought = self.limits.as_ref().map(InForce::epoch);
        if let Some(epoch) = ought.filter(|epoch| *epoch != claimed.epoch) {
            self.disagree(Disagreement::LimitsEpoch, 0, epoch.into(), claimed.epoch.into());
        }
    }

    pub(super) fn on_conn(&mut self, conn: &ConnRecord) {
        match conn.event {
            CONN_UP => {
                self.connections += 1;
                self.answers.insert(conn.conn, Answers::default());
            }
            CONN_DOWN => {
                self.answers.remove(&conn.conn);
                self.doubtful = Some(self.last_order);
            }
            _ => {}
        }
    }

    /// Another session in a new run is another day: ids and orders begin anew. Within a run the data plane stops instead.
    pub(super) fn on_login(&mut self, session: [u8; 10]) {
        if self.session != Some(session) {
            self.told_seq = 0;
            if self.fresh_run && self.session.is_some() {
                self.orders = Orders::default();
                self.trades.clear();
                self.trades_told.clear();
                self.trades_forgotten = false;
                self.trades_numbered = 0;
                self.told_by_hand.clear();
                self.ledgers = Ledgers::default();
                self.believed.clear();
                self.money_believed.clear();
                self.opened.clear();
                self.last_order = 0;
                self.doubtful = None;
            }
            self.session = Some(session);
        }
        if std::mem::take(&mut self.fresh_run) {
            self.open_day();
        }
    }

    /// What was held when the day began counts as the run says it: one that was restarted with another file may do so once
    /// an operator accepted the difference. So do the fees, and money counts at prices of the day.
    pub(super) fn open_day(&mut self) {
        let opening = std::mem::take(&mut self.opening);
        let before = std::mem::replace(&mut self.opened, opening.clone());
        let mut owners: BTreeSet<Owner> = opening.keys().chain(before.keys()).copied().collect();
        owners.extend(self.ledgers.owners());
        for owner in owners {
            if self.trades_forgotten {
                let shares = |of: &BTreeMap<Owner, Ledger>| of.get(&owner).map_or(0, |held| held.shares);
                let mut ledger = self.ledgers.get(owner);
                ledger.shares += shares(&opening) - shares(&before);
                self.money_believed.insert(owner);
                self.set_ledger(owner, ledger);
            } else {
                self.set_ledger(owner, self.rebuilt(owner));
            }
        }
        for (owner, held) in &opening {
            let average = held.cost.abs() + held.shares.abs() - 1;
            self.orders.exposures.see(owner.2, (average / held.shares.abs().max(1)).clamp(0, WORTH_MAX));
        }
        self.orders.exposures.count_anew();
    }
}
