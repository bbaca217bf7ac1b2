//! Orders that left in a state in which none may, or by no cause, and records that do not say in which.

use super::SET_QUANTITY;
use crate::common::{BUY, Planted, new};
use tern_abi::command::CommandKind;
use tern_abi::reconcile::Difference;
use tern_abi::record::{InstrumentTrustRecord, Kind, StateRecord};
use tern_abi::segment::{ScopeKind, TradingState};
use tern_audit::Disagreement as Lie;
use zerocopy::IntoBytes;

pub(crate) const LIES: &[Planted] = &[
    ("after a kill", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.order(new(1, BUY, 10));
    }),
    ("after a kill and a refused resume", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.command(CommandKind::Resume, 3, 0);
        day.order(new(1, BUY, 10));
    }),
    ("after a kill and a restart", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.start(2);
        day.order(new(1, BUY, 10));
    }),
    ("after a kill, an orderly end and a start that made the segment anew", Lie::AfterKill, |day| {
        day.command(CommandKind::Kill, 0, 0);
        day.command(CommandKind::Shutdown, 0, 0);
        day.start_saying(1, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Done, 0);
        day.order(new(1, BUY, 10));
    }),
    ("before the venue's log was compared", Lie::Unreconciled, |day| {
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.record(Kind::State, &[StateRecord { cause_seq: 1, trading: 1, reason: 0 }.as_bytes()]);
        day.order(new(1, BUY, 10));
    }),
    ("with differences that nobody accepted", Lie::Unreconciled, |day| {
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Done, 2);
        day.order(new(1, BUY, 10));
    }),
    ("a restart that forgets that its scope was stopped", Lie::ScopeStopped, |day| {
        day.scope(ScopeKind::Firm, 0, TradingState::CancelOnly);
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Accepted, 2);
        day.order(new(1, BUY, 10));
    }),
    ("a restart that forgets a limit that was set", Lie::OrderQuantity, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.start_saying(2, "restarted=1 day=7 journal_seq=3");
        day.reconciled(Difference::Done, 0);
        day.order(new(1, BUY, 100));
    }),
    ("after a shutdown", Lie::AfterKill, |day| {
        day.command(CommandKind::Shutdown, 0, 0);
        day.order(new(1, BUY, 10));
    }),
    ("after its strategy was stopped", Lie::ScopeStopped, |day| {
        let strategy = new(1, BUY, 10).strategy;
        day.scope(ScopeKind::Strategy, strategy.into(), TradingState::Halted);
        day.order(new(1, BUY, 10));
    }),
    ("after its symbol was stopped, and another lifted", Lie::ScopeStopped, |day| {
        day.scope(ScopeKind::Symbol, u64::from_le_bytes(*b"TERN    "), TradingState::CancelOnly);
        day.scope(ScopeKind::Firm, 0, TradingState::Running);
        day.order(new(1, BUY, 10));
    }),
    ("after a halt", Lie::AfterHalt, |day| {
        day.record(Kind::State, &[StateRecord { cause_seq: 1, trading: 0, reason: 4 }.as_bytes()]);
        day.order(new(1, BUY, 10));
    }),
    ("on an untrusted stream", Lie::UntrustedStream, |day| {
        day.trust(false);
        day.order(new(1, BUY, 10));
    }),
    ("on an untrusted book", Lie::UntrustedBook, |day| {
        let trust = InstrumentTrustRecord { symbol: *b"TERN    ", ..InstrumentTrustRecord::default() };
        day.record(Kind::InstrumentTrust, &[trust.as_bytes()]);
        day.order(new(1, BUY, 10));
    }),
    ("caused by nothing", Lie::Cause, |day| day.order_with(new(1, BUY, 10), |order| order.cause_seq = 0)),
    ("caused by what comes later", Lie::Cause, |day| {
        day.order_with(new(1, BUY, 10), |order| order.cause_seq += 2);
    }),
    ("caused by an output", Lie::Cause, |day| {
        day.order(new(1, BUY, 10));
        day.order_with(new(2, BUY, 10), |order| order.cause_seq -= 1);
    }),
    ("a limit change not followed", Lie::OrderQuantity, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order_with(new(1, BUY, 100), |order| order.limits_epoch = 1);
    }),
    ("a limit change not counted", Lie::LimitsEpoch, |day| {
        day.command(CommandKind::SetLimit, SET_QUANTITY, 99);
        day.order(new(1, BUY, 10));
    }),
    ("a record cut short", Lie::RecordUnreadable, |day| day.record(Kind::Order, &[&[0; 20]])),
    ("an order under no limits", Lie::NoLimits, |day| {
        day.record(Kind::Start, &[tern_abi::record::StartRecord::default().as_bytes(), b"limits"]);
        day.order(new(1, BUY, 100));
    }),
];
