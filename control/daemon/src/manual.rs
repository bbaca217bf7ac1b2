//! What people do by hand: who may, who has to confirm it, and what came of it. The gate decides, in the loop.

use std::time::{Duration, Instant};

use tern_abi::command::SYSTEM_UID;
use tern_abi::event::{SIDE_BUY, SIDE_SELL};
use tern_abi::manual::{ManualCommand, ManualKind, ManualOutcome, ManualRecord, ManualStage};
use tern_abi::segment::{Scope, ScopeKind, TradingState};
use tern_config::facts::{PendingFact, name_at};
use tern_config::protocol::{Answer, ManualFact, Wish};
use tern_config::{Config, Confirmed, MANUAL};

use crate::clock;
use crate::limits::check_why;
use crate::pending::{NotConfirmed, PENDING_MAX};
use crate::roles::{self, Role};
use crate::shared::Shared;

/// A flatten tries for that long at least and at most.
const WITHIN_MS: std::ops::RangeInclusive<u32> = 100..=600_000;
/// How long a flatten's end may be told after its time.
const END_PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether the journal has what came of it.
const LOOK: Duration = Duration::from_millis(1);

/// What moves a position without the venue also moves the profit that limits of loss look at: it is for whoever may loosen those.
const fn role_of(what: Option<ManualKind>) -> Role {
    match what {
        Some(ManualKind::Adjust) => Role::RiskOfficer,
        _ => Role::Operator,
    }
}

/// Has it done, or asks for a second person; refusals are journaled too, as soon as it is clear what was wanted.
pub(crate) fn ask(
    shared: &Shared<'_>,
    uid: u32,
    (wish, why, dry_run): (&Wish, &str, bool),
    patience: Duration,
) -> Answer {
    let mut command = match command_of(shared.config, shared.next_request(), uid, wish, why) {
        Ok(command) => command,
        Err(why) => return Answer::Error(why),
    };
    let (confirmed, text) = (confirmed_of(wish), text_of(shared.config, wish));
    tracing::warn!(uid, what = %text, why, dry_run, "by hand");
    let role = role_of(command.what());
    if let Err(who) = roles::check(&shared.config.roles, uid, role) {
        return refuse_role(shared, command, &text, &who);
    }
    if shared.facts().dataplane_pid == 0 {
        return Answer::Error("no data plane runs: nothing can be sent; nothing was done".into());
    }
    if dry_run {
        command.stage = ManualStage::Check as u32;
    } else if shared.config.roles.second_person.contains(&confirmed) {
        return wait_for_second(shared, command, text);
    }
    carry_out(shared, &command, patience)
}

/// Another user confirms what waits.
pub(crate) fn confirm(shared: &Shared<'_>, uid: u32, id: u64, patience: Duration) -> Answer {
    let absent =
        || Answer::Error(format!("nothing with the number {id} waits (any more); `tern pending` says what does"));
    let Some(waiting) = shared.pending.find(id) else { return absent() };
    let text = waiting.fact.text.clone();
    let mut refused = waiting.command;
    refused.second_uid = uid;
    if let Err(who) = roles::check(&shared.config.roles, uid, role_of(refused.what())) {
        return refuse_role(shared, refused, &text, &who);
    }
    if shared.facts().dataplane_pid == 0 {
        return Answer::Error("no data plane runs: nothing can be sent; it waits on".into());
    }
    match shared.pending.confirm(id, uid, Instant::now()) {
        Ok(waiting) => {
            show(shared);
            tracing::warn!(uid, id, what = %text, asked_by = waiting.command.uid, "confirmed");
            carry_out(shared, &ManualCommand { second_uid: uid, ..waiting.command }, patience)
        }
        Err(NotConfirmed::Absent) => absent(),
        Err(NotConfirmed::Same) => refuse_role(shared, refused, &text, "any other user with the role"),
    }
}

/// Says of what nobody confirmed in time that it is over.
pub(crate) fn let_lapse(shared: &Shared<'_>) {
    over(shared, shared.pending.lapsed(Instant::now()).into_iter().map(|waiting| waiting.command), ManualStage::Lapsed);
}

/// The daemon ends: nothing waits for a second person any more.
pub(crate) fn drop_waiting(shared: &Shared<'_>) {
    let dropped = shared.pending.drop_all();
    over(shared, dropped.into_iter().map(|waiting| waiting.command), ManualStage::Dropped);
}

/// What waited when a daemon before this one was ended over its head; it is told, and has to be asked for again.
pub(crate) fn tell_dropped(shared: &Shared<'_>, waited: &[PendingFact]) {
    let known = |fact: &PendingFact| {
        let what = ManualKind::ALL.iter().copied().find(|kind| kind.name() == fact.what)?;
        Some(ManualCommand::new(what, fact.id, fact.uid, &fact.why))
    };
    over(shared, waited.iter().filter(|fact| fact.confirmed_by.is_none()).filter_map(known), ManualStage::Dropped);
    let said = waited.iter().map(|fact| match fact.confirmed_by {
        None => format!("dropped what waited for a second person: {} (asked by uid {}): ask again", fact.text, fact.uid),
        // Only the journal knows whether the loop had it.
        Some(uid) => format!(
            "{} (asked by uid {}, confirmed by uid {uid}) was on its way when ternd was killed: look for request {} in `tern journal cat --kind \
             manual,manual_outcome` before asking again",
            fact.text, fact.uid, fact.id
        ),
    });
    shared.update(|facts| facts.leftovers.extend(said));
}

fn over(shared: &Shared<'_>, commands: impl Iterator<Item = ManualCommand>, stage: ManualStage) {
    for command in commands {
        let (id, uid, what) = (command.request, command.uid, command.what().map_or("?", ManualKind::name));
        tracing::warn!(id, uid, what, stage = stage.name(), "no second person");
        // Should the command ring be full, the line above is all there is of it.
        let _ = shared.send_manual(&ManualCommand { stage: stage as u32, ..command });
        show(shared);
    }
}

/// `tern pending` and the next daemon find what waits in the facts.
fn show(shared: &Shared<'_>) {
    shared.update(|facts| facts.pending = shared.pending.facts());
    shared.write_facts(&shared.config.paths.daemon_facts());
}

fn refuse_role(shared: &Shared<'_>, command: ManualCommand, text: &str, who: &str) -> Answer {
    tracing::warn!(uid = command.uid, second_uid = command.second_uid, what = text, "refused: not the role");
    let _ = shared.send_manual(&ManualCommand { stage: ManualStage::Role as u32, ..command });
    let role = role_of(command.what()).name();
    let message = match command.second_uid {
        SYSTEM_UID => format!("refused: to {text} needs the role {role}, which has: {who}; nothing was done"),
        _ => format!("refused: to confirm it needs a second person with the role {role}: {who}; it waits on"),
    };
    Answer::Role { message }
}

fn wait_for_second(shared: &Shared<'_>, command: ManualCommand, text: String) -> Answer {
    let within_s = shared.config.roles.second_person_s;
    let (id, since_ns) = (command.request, clock::tai_ns());
    let fact = PendingFact {
        id,
        what: command.what().map_or("?", ManualKind::name).into(),
        text,
        uid: command.uid,
        why: command.why().into(),
        since_ns,
        until_ns: since_ns.saturating_add(within_s.saturating_mul(1_000_000_000)),
        confirmed_by: None,
    };
    // Journaled first: what waits was asked for by somebody.
    let asked = ManualCommand { stage: ManualStage::Asked as u32, ..command };
    if shared.send_manual(&asked).is_err() {
        return Answer::Error("the command ring is full: the data plane takes no commands; nothing was done".into());
    }
    if !shared.pending.add(command, fact, Instant::now(), Duration::from_secs(within_s)) {
        over(shared, std::iter::once(command), ManualStage::Dropped);
        return Answer::Error(format!("{PENDING_MAX} wait for a second person already; nothing was done"));
    }
    show(shared);
    Answer::Waits { id, within_s }
}

/// Hands it to the loop and waits for what the journal has of it.
fn carry_out(shared: &Shared<'_>, command: &ManualCommand, patience: Duration) -> Answer {
    // One that somebody confirmed waits no longer: the journal says that it ended here.
    let drop_confirmed = || {
        if command.second_uid != SYSTEM_UID {
            shared.pending.handed_over(command.request);
            over(shared, std::iter::once(*command), ManualStage::Dropped);
        }
    };
    if let Err(why) = restrict(shared, command) {
        drop_confirmed();
        return Answer::Error(why);
    }
    let request = command.request;
    shared.told.expect(request);
    let sent = shared.send_manual(command);
    if sent.is_ok() && command.second_uid != SYSTEM_UID {
        shared.pending.handed_over(request);
        show(shared);
    }
    let Ok(ticket) = sent else {
        shared.told.take(request);
        drop_confirmed();
        return Answer::Error("the command ring is full: the data plane takes no commands; no order was sent".into());
    };
    let taken = shared.wait_taken(ticket, patience);
    let is_flatten = command.what() == Some(ManualKind::Flatten) && command.stage() == Some(ManualStage::Do);
    let time = if is_flatten { Duration::from_millis(command.within_ms.into()) + END_PATIENCE } else { patience };
    let deadline = Instant::now() + time;
    while shared.serving() && Instant::now() < deadline && !shared.told.is_over(request) {
        std::thread::sleep(LOOK);
    }
    let told = shared.told.take(request);
    Answer::Manual(Box::new(fact_of(shared, command, taken, &told)))
}

fn fact_of(shared: &Shared<'_>, command: &ManualCommand, taken: bool, told: &[ManualRecord]) -> ManualFact {
    let last = told.last().copied().unwrap_or_default();
    let orders = told.iter().map(|record| record.order).filter(|order| *order != 0);
    let reason = (last.reason as usize).checked_sub(1);
    ManualFact {
        request: command.request,
        taken,
        outcome: if told.is_empty() {
            String::new()
        } else {
            outcome_of(&last).map_or("?", ManualOutcome::name).into()
        },
        orders: orders.collect(),
        reason: reason.map(|index| name_at(&crate::read_names(shared.config).refusals, index)),
        limit: last.limit,
        value: last.value,
        count: last.count,
        confirmed_by: Some(command.second_uid).filter(|uid| *uid != SYSTEM_UID),
    }
}

/// What a record says came of it.
pub(crate) fn outcome_of(record: &ManualRecord) -> Option<ManualOutcome> {
    ManualOutcome::from_index(record.outcome as usize)
}

/// What is flattened is not to be opened anew: its scope may only reduce, until an operator lifts that. The segment says so
/// before the loop is told.
fn restrict(shared: &Shared<'_>, command: &ManualCommand) -> Result<(), String> {
    let is_done = command.what() == Some(ManualKind::Flatten) && command.stage() == Some(ManualStage::Do);
    let Some((kind, key)) = command.scope().filter(|_| is_done) else { return Ok(()) };
    let scopes = &shared.segment.words().scopes;
    let state = scopes.find(kind, key).map_or(TradingState::Running, |scope| scope.state);
    match state {
        TradingState::Running => {}
        TradingState::ReduceOnly => return Ok(()),
        TradingState::CancelOnly | TradingState::Halted => {
            return Err(format!(
                "{} is {}: nothing can be closed; `tern kill --scope SCOPE --state reduce-only` lets it reduce; nothing was done",
                name_of(shared.config, kind, key),
                state.name().replace('_', "-")
            ));
        }
    }
    let (uid, since_ns) = (command.uid, clock::tai_ns());
    let scope = Scope { kind, key, state: TradingState::ReduceOnly, uid, since_ns, changes: 0 };
    scopes.restrict(&scope).map(|_| ()).map_err(|_| {
        "every place for restricted scopes is taken; lift others (`tern resume --scope`), or flatten all; nothing was done".into()
    })
}

fn command_of(config: &Config, request: u64, uid: u32, wish: &Wish, why: &str) -> Result<ManualCommand, String> {
    check_why(why)?;
    let blank = |what| ManualCommand::new(what, request, uid, why);
    match wish {
        Wish::Order { symbol, is_buy, shares, price, time_in_force, post_only } => {
            if !config.strategy.iter().any(|strategy| strategy.name == MANUAL) {
                return Err(format!(
                    "no [[strategy]] with name = \"{MANUAL}\" is configured: orders by hand have no id and no trader; nothing was done"
                ));
            }
            if *shares == 0 || *price <= 0 {
                return Err("an order has at least a share, and a price above 0; nothing was done".into());
            }
            Ok(ManualCommand {
                symbol: symbol_of(symbol)?,
                quantity: *shares,
                price: *price,
                side: side_of(*is_buy),
                time_in_force: time_in_force.letter(),
                post_only: u8::from(*post_only),
                ..blank(ManualKind::Order)
            })
        }
        Wish::Cancel { order } => Ok(ManualCommand { order: *order, ..blank(ManualKind::Cancel) }),
        Wish::Flatten { kind, key, within_ms } => {
            let known = ScopeKind::ALL.iter().copied().find(|known| known.name() == kind);
            let scope = known.filter(|kind| *kind != ScopeKind::Venue).ok_or_else(|| {
                format!("`{kind}` cannot be flattened: firm, strategy or symbol can; nothing was done")
            })?;
            if !WITHIN_MS.contains(within_ms) {
                let (least, most) = (WITHIN_MS.start(), WITHIN_MS.end());
                return Err(format!("a flatten tries for {least} to {most} ms, not {within_ms}; nothing was done"));
            }
            Ok(ManualCommand { scope: scope as u32, key: *key, within_ms: *within_ms, ..blank(ManualKind::Flatten) })
        }
        Wish::Adjust { symbol, strategy, is_buy, shares, price } => {
            if config.session.is_none() {
                return Err("no [session] is configured: nothing is traded here, and positions are the opening ones; nothing was done".into());
            }
            if !config.strategy.iter().any(|known| known.id == *strategy) {
                return Err(format!("no [[strategy]] of this instance has the id {strategy}; nothing was done"));
            }
            if *shares == 0 || *price <= 0 {
                return Err("a trade has at least a share, and a price above 0; nothing was done".into());
            }
            Ok(ManualCommand {
                symbol: symbol_of(symbol)?,
                key: u64::from(*strategy),
                quantity: *shares,
                price: *price,
                side: side_of(*is_buy),
                ..blank(ManualKind::Adjust)
            })
        }
    }
}

const fn side_of(is_buy: bool) -> u8 {
    if is_buy { SIDE_BUY } else { SIDE_SELL }
}

fn symbol_of(text: &str) -> Result<[u8; 8], String> {
    let mut symbol = [b' '; 8];
    let name = text.as_bytes();
    match symbol.get_mut(..name.len()) {
        Some(place) if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) => place.copy_from_slice(name),
        _ => return Err(format!("`{text}` is not a symbol; nothing was done")),
    }
    Ok(symbol)
}

const fn confirmed_of(wish: &Wish) -> Confirmed {
    match wish {
        Wish::Order { .. } => Confirmed::Order,
        Wish::Cancel { .. } => Confirmed::Cancel,
        Wish::Flatten { .. } => Confirmed::Flatten,
        Wish::Adjust { .. } => Confirmed::Adjust,
    }
}

/// What is wanted, for people.
fn text_of(config: &Config, wish: &Wish) -> String {
    match wish {
        Wish::Order { symbol, is_buy, shares, price, time_in_force, post_only } => format!(
            "{} {shares} {symbol} at {}.{:04}, {}{}",
            if *is_buy { "buy" } else { "sell" },
            price / 10_000,
            price % 10_000,
            format!("{time_in_force:?}").to_lowercase(),
            if *post_only { ", post only" } else { "" }
        ),
        Wish::Cancel { order } => format!("cancel order {order}"),
        Wish::Adjust { symbol, strategy, is_buy, shares, price } => format!(
            "adjust {symbol} of {}: {} {shares} at {}.{:04}",
            name_of(config, ScopeKind::Strategy, u64::from(*strategy)),
            if *is_buy { "bought" } else { "sold" },
            price / 10_000,
            price % 10_000,
        ),
        Wish::Flatten { kind, key, .. } => {
            let kind = ScopeKind::ALL.iter().copied().find(|known| known.name() == kind);
            format!("flatten {}", kind.map_or_else(|| "?".into(), |kind| name_of(config, kind, *key)))
        }
    }
}

fn name_of(config: &Config, kind: ScopeKind, key: u64) -> String {
    match kind {
        ScopeKind::Firm => "firm".into(),
        ScopeKind::Venue => format!("venue:{key}"),
        ScopeKind::Strategy => {
            let named = config.strategy.iter().find(|strategy| u64::from(strategy.id) == key);
            named.map_or_else(|| format!("strategy:{key}"), |strategy| format!("strategy:{}", strategy.name))
        }
        ScopeKind::Symbol => format!("symbol:{}", String::from_utf8_lossy(&key.to_le_bytes()).trim_end()),
    }
}
