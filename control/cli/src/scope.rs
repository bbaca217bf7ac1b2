//! Parts of the firm's orders that an operator restricts: `tern kill --scope`, `tern resume --scope`, and what `tern
//! status` says of them.

use std::time::{Duration, Instant};

use nix::unistd::getuid;
use serde_json::{Value, json};
use tern_abi::segment::{SYMBOL_WORDS, Scope, ScopeKind, TradingState, Words};
use tern_config::protocol::{Answer, Ask};

use crate::control::{Cancels, ask, wait};
use crate::halt::{By, since};
use crate::outcome::{Failure, Outcome, exit};
use crate::status;
use crate::target::Target;

/// Kind and key of `firm`, `venue:ID`, `strategy:NAME` (or its id) or `symbol:SYMBOL`.
///
/// # Errors
/// Exit code 2: it is none of these, or no such strategy is configured.
pub(crate) fn parse(target: &Target, text: &str) -> Result<(ScopeKind, u64), Failure> {
    let wrong = |why: String| Failure::usage(format!("--scope {text}: {why}"));
    match text.split_once(':') {
        None if text == "firm" => Ok((ScopeKind::Firm, 0)),
        Some(("venue", id)) => match id.parse::<u16>() {
            Ok(id) => Ok((ScopeKind::Venue, id.into())),
            Err(_) => Err(wrong("a venue is given by its number, for example venue:1".into())),
        },
        Some(("strategy", name)) => {
            let named = target.strategies.iter().find(|(known, id)| known == name || id.to_string() == name);
            let number = || name.parse::<u16>().ok().filter(|_| target.strategies.is_empty());
            match named.map(|(_, id)| *id).or_else(number) {
                Some(id) => Ok((ScopeKind::Strategy, id.into())),
                None if target.strategies.is_empty() => {
                    Err(wrong("without --config a strategy is given by its id, for example strategy:1".into()))
                }
                None => {
                    let known: Vec<String> =
                        target.strategies.iter().map(|(name, id)| format!("{name} (id {id})")).collect();
                    Err(wrong(format!("no such strategy is configured; there are: {}", known.join(", "))))
                }
            }
        }
        Some(("symbol", symbol))
            if !symbol.is_empty() && symbol.len() <= 8 && symbol.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            let mut bytes = [b' '; 8];
            bytes[..symbol.len()].copy_from_slice(symbol.as_bytes());
            Ok((ScopeKind::Symbol, u64::from_le_bytes(bytes)))
        }
        Some(("symbol", _)) => Err(wrong("a symbol has 1 to 8 printable characters, for example symbol:AAPL".into())),
        _ => Err(wrong("a scope is firm, venue:ID, strategy:NAME or symbol:SYMBOL".into())),
    }
}

/// Whether a scope means anything in this instance.
enum Existence {
    /// It does.
    Here,
    /// It does not; what there is.
    NotHere(String),
    /// Nobody can say; why not.
    NotKnown(&'static str),
}

/// By what the data plane says of itself: its facts, and the symbols in the segment.
fn existence(target: &Target, words: &Words, kind: ScopeKind, key: u64) -> Existence {
    let of = |there: Vec<(u64, String)>, why| match there.iter().any(|(known, _)| *known == key) {
        true => Existence::Here,
        false if there.is_empty() => Existence::NotKnown(why),
        false => Existence::NotHere(there.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ")),
    };
    let facts = target.dataplane_facts();
    match kind {
        ScopeKind::Firm => Existence::Here,
        ScopeKind::Venue => {
            let there = facts.venues.iter().map(|id| (u64::from(*id), format!("venue:{id}"))).collect();
            of(there, "no data plane has said which venues there are")
        }
        ScopeKind::Strategy => {
            let said = facts.strategies.into_iter().map(|strategy| (strategy.name, strategy.id));
            let mut there: Vec<(String, u16)> = said.collect();
            if there.is_empty() {
                there.clone_from(&target.strategies);
            }
            let named = there.into_iter().map(|(name, id)| (u64::from(id), format!("strategy:{name} (id {id})")));
            of(named.collect(), "neither a configuration nor a data plane says which strategies there are")
        }
        ScopeKind::Symbol => symbol_existence(words, key),
    }
}

/// Symbols that are listed of those that there are.
const SYMBOLS_LISTED: usize = 10;

fn symbol_existence(words: &Words, key: u64) -> Existence {
    let count = words.symbol_count.get() as usize;
    let there = || (0..count).map(|index| words.symbols.get(index));
    if there().any(|symbol| symbol == key) {
        return Existence::Here;
    }
    match count {
        0 => Existence::NotKnown("the data plane has not read the venue's directory of symbols yet"),
        SYMBOL_WORDS.. => Existence::NotKnown("there are more symbols than the data plane shows"),
        _ => {
            // Those that begin alike first: most likely it was mistyped.
            let first = key.to_le_bytes()[0];
            let mut names: Vec<[u8; 8]> = there().map(u64::to_le_bytes).collect();
            names.sort_by_key(|name| (name[0] != first, *name));
            let listed = names.iter().take(SYMBOLS_LISTED);
            let listed: Vec<String> =
                listed.map(|name| format!("symbol:{}", String::from_utf8_lossy(name).trim_end())).collect();
            let more = count.saturating_sub(SYMBOLS_LISTED);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            Existence::NotHere(format!("{}{more}", listed.join(", ")))
        }
    }
}

/// The scope as `--scope` takes it.
fn text_of(target: &Target, kind: ScopeKind, key: u64) -> String {
    match kind {
        ScopeKind::Firm => "firm".into(),
        ScopeKind::Venue => format!("venue:{key}"),
        ScopeKind::Strategy => {
            let named = target.strategies.iter().find(|(_, id)| u64::from(*id) == key);
            named.map_or_else(|| format!("strategy:{key}"), |(name, _)| format!("strategy:{name}"))
        }
        ScopeKind::Symbol => format!("symbol:{}", String::from_utf8_lossy(&key.to_le_bytes()).trim_end()),
    }
}

fn state_text(state: TradingState) -> String {
    state.name().replace('_', "-")
}

/// Who restricted it. The system does so itself only in the loop: a strategy that panicked, was too slow, traded too often or
/// lost too much.
fn by(scope: &Scope) -> By {
    match By::of_uid(scope.uid) {
        By::Daemon => By::DataPlane,
        by => by,
    }
}

/// Whether the trading day restricts it: the whole firm is restricted by nothing else that is no user.
fn is_of_day(scope: &Scope) -> bool {
    scope.kind == ScopeKind::Firm && matches!(By::of_uid(scope.uid), By::Daemon)
}

/// For programs.
fn json_of(target: &Target, scope: &Scope) -> Value {
    let by = by(scope);
    let by = if is_of_day(scope) { "day" } else { by.name() };
    json!({ "scope": text_of(target, scope.kind, scope.key), "state": scope.state.name(), "by": by,
        "uid": scope.uid, "since_ns": scope.since_ns, "changes": scope.changes })
}

/// What `tern status` says of restricted scopes: a sentence each, and all of them for programs.
pub(crate) fn restricted(target: &Target, words: &Words) -> (Vec<String>, Value) {
    let scopes: Vec<Scope> = words.scopes.restricted().collect();
    let sentences = scopes.iter().map(|scope| {
        let name = text_of(target, scope.kind, scope.key);
        if is_of_day(scope) {
            return format!(
                "{name} is {}: by the trading day{}; `tern day status` says how far it is and what is next",
                state_text(scope.state),
                since(Some(scope.since_ns))
            );
        }
        format!(
            "{name} is {}: by {}{}; `tern resume --scope {name}` lifts it",
            state_text(scope.state),
            by(scope).text(),
            since(Some(scope.since_ns)),
        )
    });
    (sentences.collect(), scopes.iter().map(|scope| json_of(target, scope)).collect())
}

/// What `tern status` says of the strategy with this index, which panicked or was too slow.
pub(crate) fn crashed(target: &Target, words: &Words, index: usize) -> String {
    let facts = target.dataplane_facts();
    let known = facts.strategies.get(index).map(|strategy| format!("strategy:{}", strategy.name));
    let scope = known.clone().unwrap_or_else(|| "strategy:NAME".into());
    let name = known.unwrap_or_else(|| format!("strategy {index} (counted from 0)"));
    let crash = words.crashes.get(index).and_then(|crash| crash.read());
    let (at, said) = crash.map_or_else(
        || (String::new(), String::new()),
        |crash| (since(Some(crash.tai_ns)), format!(" ({})", crash.text())),
    );
    format!(
        "{name} is taken out{said}: it is not called{at}; its orders are cancelled, the others trade on; \
         `tern resume --scope {scope}` builds it anew, when its cause is known"
    )
}

/// What `tern status` says of the strategy with this index, which is stopped while every place of the table is taken.
pub(crate) fn unkept(target: &Target, words: &Words, index: usize) -> String {
    let name = text_of(target, ScopeKind::Strategy, words.strategies.get(index) >> 32);
    format!(
        "{name} is stopped by the data plane, and cannot be lifted while all places for scopes are taken; lift others that \
         may run (`tern resume --scope`)"
    )
}

/// Restricts a scope: writes it into the segment by itself, and waits until the loop acts by it and, for a halt, until
/// the scope's orders are gone.
///
/// # Errors
/// Exit code 2 for a scope that there is not here, unless it is restricted `even_unknown`; 3 when there is no segment, 1
/// when it may not be written.
pub(crate) fn restrict(
    target: &Target,
    (kind, key): (ScopeKind, u64),
    state: TradingState,
    even_unknown: bool,
    timeout_ms: u64,
) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let (exists, unsure) = match existence(target, &words, kind, key) {
        Existence::Here => (Some(true), None),
        Existence::NotHere(_) if even_unknown => (Some(false), Some("it does not exist here now")),
        Existence::NotHere(there) => {
            return Err(Failure::usage(format!(
                "--scope {}: there is no such {} here, so nothing was stopped; there are: {there}; --even-unknown \
                 stops it should it come",
                text_of(target, kind, key),
                kind.name()
            )));
        }
        Existence::NotKnown(why) => (None, Some(why)),
    };
    let began = Instant::now();
    let deadline = began + Duration::from_millis(timeout_ms);
    let cancels = Cancels::before(&words);
    let was = words.scopes.find(kind, key).map_or(TradingState::Running, |scope| scope.state);
    let scope = Scope { kind, key, state, uid: getuid().as_raw(), since_ns: status::tai_ns(), changes: 0 };
    let version = view.restrict(&scope).map_err(Failure::failed)?;
    let running = view.data_plane().map_err(Failure::failed)?.is_some();
    let taken = running && wait(deadline, || words.scopes_seen.get() >= version);
    let in_force = words.scopes.find(kind, key).map_or(state, |scope| scope.state);
    let name = text_of(target, kind, key);
    let mut text = format!("{name} is {} until `tern resume --scope {name}`\n", state_text(in_force));
    if let Some(unsure) = unsure {
        text.push_str(&format!(
            "whether it stops anything is not known: {unsure}; orders under that name are stopped\n"
        ));
    }
    // Of one that was halted before, the orders are gone or being cancelled already: nothing begins that could be followed.
    let is_new = in_force == TradingState::Halted && was != TradingState::Halted;
    let report = is_new.then(|| cancels.wait(&words, taken, deadline));
    text.push_str(&match (&report, taken, running) {
        (Some(report), true, _) if report.acknowledged => report.text(),
        (None, true, _) if was == in_force => "it was before; the data plane acts by it\n".into(),
        (None, true, _) => "the data plane acts by it\n".into(),
        (Some(_), true, _) => "the data plane acts by it, and has not said what became of the open orders\n".into(),
        (_, false, true) => format!("the data plane has not answered in {timeout_ms} ms: what is open is UNKNOWN\n"),
        (_, false, false) => "no data plane runs: it will act by it when it starts\n".into(),
    });
    let json = json!({
        "scope": name,
        "state": in_force.name(),
        "exists": exists,
        "acknowledged": taken,
        "orders": report.as_ref().map(|report| report.json()),
        "waited_ms": began.elapsed().as_millis() as u64,
    });
    let code = match report {
        _ if running && !taken => exit::UNKNOWN_ORDERS,
        Some(report) if running && !report.is_done() => exit::UNKNOWN_ORDERS,
        _ => exit::OK,
    };
    Ok(Outcome { text, json, code })
}

/// Lets a scope run again, if nobody restricted it after this looked.
///
/// # Errors
/// Exit code 2 for a scope that there is not, 3 when no daemon answers.
pub(crate) fn lift(target: &Target, (kind, key): (ScopeKind, u64), timeout_ms: u64) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let name = text_of(target, kind, key);
    let found = words.scopes.find(kind, key).filter(|scope| scope.state != TradingState::Running);
    let Some(scope) = found else {
        let json = json!({ "scope": name, "lifted": false, "state": TradingState::Running.name() });
        let killed = kind == ScopeKind::Firm && words.kill.state().killed();
        let hint = if killed { "; it is killed, which `tern resume` without --scope ends" } else { "" };
        return Ok(Outcome::ok(format!("{name} is not restricted; nothing was changed{hint}\n"), json));
    };
    let ask_lift = Ask::Lift { kind: kind.name().into(), key, changes: scope.changes };
    let lifted = matches!(ask(target, ask_lift)?, Answer::Lifted);
    let version = words.scopes.version();
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    let taken = lifted && wait(deadline, || words.scopes_seen.get() >= version);
    let now = words.scopes.find(kind, key).map_or(TradingState::Running, |scope| scope.state);
    let json = json!({
        "scope": name,
        "lifted": lifted,
        "acknowledged": taken,
        "was": json_of(target, &scope),
        "state": now.name(),
    });
    let text = match (lifted, taken) {
        (true, true) => format!("{name} runs again, as far as other scopes and the limits let it\n"),
        (true, false) => format!("{name} runs again as soon as the data plane looks; it has not yet\n"),
        (false, _) => format!(
            "refused: somebody restricted {name} after you looked; look again (`tern status`), then lift it if it is right\n"
        ),
    };
    let code = match (lifted, taken) {
        (true, true) => exit::OK,
        (true, false) => exit::UNHEALTHY,
        (false, _) => exit::KILLED_SINCE,
    };
    Ok(Outcome { text, json, code })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_config::Paths;

    fn target() -> Target {
        Target {
            prices: std::collections::BTreeMap::new(),
            name: "t".into(),
            paths: Paths::of("t"),
            heartbeat_loss_ms: 1000,
            interface: None,
            port_wanted: None,
            feeds: Vec::new(),
            port: None,
            audit_lag_ms_max: 0,
            strategies: vec![("maker".into(), 1), ("taker".into(), 2)],
        }
    }

    #[test]
    fn scopes_are_read_and_written_alike() {
        for text in ["firm", "venue:1", "strategy:taker", "symbol:BRK.A"] {
            let (kind, key) = parse(&target(), text).unwrap_or_else(|failure| panic!("{}", failure.message));
            assert_eq!(text_of(&target(), kind, key), text);
        }
        assert_eq!(parse(&target(), "strategy:2").ok(), Some((ScopeKind::Strategy, 2)), "by its id too");
        for wrong in ["", "frim", "firm:1", "venue:x", "strategy:nobody", "strategy:3", "symbol:", "symbol:TOOLONGER"] {
            let failure = parse(&target(), wrong).expect_err(wrong);
            assert_eq!(failure.code, exit::USAGE);
            assert!(failure.message.contains("--scope"), "{}", failure.message);
        }
        let bare = Target { strategies: Vec::new(), ..target() };
        assert_eq!(parse(&bare, "strategy:7").ok(), Some((ScopeKind::Strategy, 7)));
        assert!(parse(&bare, "strategy:maker").is_err());
    }
}
