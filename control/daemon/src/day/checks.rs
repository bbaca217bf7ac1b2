//! What has to be so before orders may leave: one entry each, by name, with what was found and what to do.

use tern_abi::day::DayStep;
use tern_abi::segment::{CONNS, STREAMS, ScopeKind, SessionState, TRUSTED, TradingState};
use tern_config::alerts::AlertsFacts;
use tern_config::explain::When;
use tern_config::facts::{AuditFacts, Names, name_at};
use tern_config::protocol::DayCheck;
use tern_config::{Config, Date, flat};
use tern_journal::DayLog;

use crate::clock;
use crate::drain::day::utc_s;
use crate::shared::Shared;

/// Of a list that may be long.
const LISTED: usize = 5;

/// Those that a day is prepared by.
pub(super) const OF_PREPARE: [&str; 4] = ["day", "files", "reference", "opening"];

/// What a check says: what was found, or what is wrong and what to do.
type Found = Result<String, (String, &'static str)>;

/// Every check, with the waivers that count now.
pub(super) fn all(shared: &Shared<'_>, log: &DayLog) -> Vec<DayCheck> {
    let loaded = Config::load(shared.config.file());
    let today = loaded.as_ref().ok();
    let mut checks = Vec::new();
    let mut check = |name: &str, waivable: bool, found: Found| {
        let waiver = log.counting(DayStep::Waived, name, clock::tai_ns()).filter(|_| waivable && found.is_err());
        let (green, found, todo) = match found {
            Ok(found) => (true, found, String::new()),
            Err((found, todo)) => (false, found, todo.to_owned()),
        };
        checks.push(DayCheck { name: name.into(), green, found, todo, waivable, waived: waiver.map(super::fact) });
    };
    check("data_plane", false, data_plane(shared));
    check("day", false, day(shared, log));
    let files = match &loaded {
        Ok(config) => same_as_running(config, shared, log),
        Err(problems) => Err((problems.to_string(), "put the file right; `tern config check` shows the lines")),
    };
    check("files", false, files);
    check("reference", true, reference(today, log));
    check("opening", true, opening(today, log));
    check("session", true, session(shared));
    check("feed", true, feed(shared));
    check("trading", false, trading(shared));
    check("scopes", true, scopes(shared));
    check("journal", false, journal(shared));
    check("disk", true, disk(shared));
    check("audit", true, audit(shared));
    check("drop_copy", true, drop_copy(shared));
    check("alerts", true, alerts(shared));
    check("hours", true, hours(shared));
    checks
}

fn data_plane(shared: &Shared<'_>) -> Found {
    let facts = shared.facts();
    let age_ns = clock::tai_ns().saturating_sub(shared.segment.words().data_plane_beat.last().0);
    match facts.dataplane_pid {
        0 => Err(("none runs".into(), "`tern status` says why; mend it, ternd starts it again")),
        pid if age_ns > shared.config.daemon.heartbeat_loss_ms * 1_000_000 => {
            Err((format!("pid {pid}, no heartbeat for {} ms", age_ns / 1_000_000), "see dataplane.log and its core"))
        }
        pid => Ok(format!("pid {pid}, it turns")),
    }
}

fn day(shared: &Shared<'_>, log: &DayLog) -> Found {
    let today = shared.config.trading_day(utc_s());
    match log.day {
        Some(day) if day == today => Ok(Date { days: day }.to_string()),
        Some(day) => Err((
            format!("the data plane runs the day {}, and it is {}", Date { days: day }, Date { days: today }),
            "restart ternd: an instance is started anew for each day",
        )),
        None => Err(("no run has said its day".into(), "start ternd, or wait until the journal has its start record")),
    }
}

/// The files as they are now, against what the data plane began with. What is set live may differ.
fn same_as_running(config: &Config, shared: &Shared<'_>, log: &DayLog) -> Found {
    let began = shared.day.run(log, &shared.config.paths.journal);
    let Some((seq, text)) = began.map_err(|error| (error.to_string(), "see `tern journal verify`"))? else {
        return Err(("the journal has no start record".into(), "wait until the data plane has started"));
    };
    let running = flat::values(Names::split_start_text(&text).0);
    let wanted = flat::values(&config.effective_toml());
    let keys: std::collections::BTreeSet<&String> = running.keys().chain(wanted.keys()).collect();
    let differ: Vec<&str> = keys
        .into_iter()
        .filter(|key| When::of(key) == When::Restart && running.get(*key) != wanted.get(*key))
        .map(String::as_str)
        .collect();
    match differ.len() {
        0 => Ok(format!("{} and what it names: as at the start (seq {seq})", config.file().display())),
        more => Err((
            format!("{} differs from what runs in {more} keys: {}", config.file().display(), listed(&differ)),
            "restart ternd, so that the data plane reads them, or put them back (`tern config diff`)",
        )),
    }
}

fn listed<T: AsRef<str>>(all: &[T]) -> String {
    let shown: Vec<&str> = all.iter().take(LISTED).map(AsRef::as_ref).collect();
    let more = if all.len() > LISTED { format!(" and {} more", all.len() - LISTED) } else { String::new() };
    shown.join(", ") + &more
}

fn dated(date: Option<Date>, log: &DayLog) -> Result<Date, (String, &'static str)> {
    match (date, log.day) {
        (Some(date), Some(day)) if date.days == day => Ok(date),
        (Some(date), _) => Err((format!("it is of {date}"), "bring today's and restart ternd")),
        (None, _) => Err(("it has no date".into(), "give it today's date and restart ternd")),
    }
}

fn reference(config: Option<&Config>, log: &DayLog) -> Found {
    let Some(config) = config else { return Err(("the configuration cannot be read".into(), "see `files`")) };
    let Some(reference) = &config.reference else {
        return Err((
            "there is no [reference]: nothing is held against restricted symbols, locates and closing prices".into(),
            "bring the day's lists, or waive it",
        ));
    };
    let date = dated(reference.date, log)?;
    Ok(format!(
        "{date}: {} restricted, {} easy to borrow, {} located, {} closing prices, {} price bands",
        reference.restricted.len(),
        reference.easy_to_borrow.len(),
        reference.locates.len(),
        reference.prior_close.len(),
        reference.price_bands.len()
    ))
}

fn opening(config: Option<&Config>, log: &DayLog) -> Found {
    let Some(config) = config else { return Err(("the configuration cannot be read".into(), "see `files`")) };
    let Some(opening) = &config.opening else {
        return Err((
            "there is no [opening]: the day begins flat".into(),
            "bring what `tern day reconcile --roll-to` wrote yesterday, or waive it",
        ));
    };
    let date = dated(opening.date, log)?;
    Ok(format!("{date}: {} positions", opening.position.len()))
}

fn session(shared: &Shared<'_>) -> Found {
    let words = shared.segment.words();
    let states = (0..CONNS).map(|conn| SessionState::from_index(words.sessions.get(conn).0 as usize));
    let known: Vec<SessionState> = states.flatten().filter(|state| *state != SessionState::Absent).collect();
    match known.iter().find(|state| **state != SessionState::Ready) {
        None if known.is_empty() => Err(("no order session is up".into(), "`tern status` says why")),
        None => Ok("logged in, the venue's log is read".into()),
        Some(state) => Err((format!("it is {}", state.name()), "`tern status` says why")),
    }
}

fn feed(shared: &Shared<'_>) -> Found {
    let words = shared.segment.words();
    let mut streams: Vec<u16> = shared.config.feed.iter().map(|feed| feed.stream).collect();
    streams.sort_unstable();
    streams.dedup();
    let is_trusted = |stream: &&u16| {
        let stream = usize::from(**stream);
        stream < STREAMS && words.trust.get(stream).0 == TRUSTED
    };
    let trusted = streams.iter().filter(is_trusted).count();
    match streams.len() - trusted {
        0 if streams.is_empty() => {
            Err(("no [[feed]] is configured".into(), "a day without market data has to be waived"))
        }
        0 => Ok(format!("{trusted} streams are trusted")),
        some => Err((format!("{some} of {} streams are not trusted", streams.len()), "`tern status` says why")),
    }
}

fn trading(shared: &Shared<'_>) -> Found {
    let words = shared.segment.words();
    let (trades, reason) = words.trading.get();
    if words.kill.state().killed() {
        return Err(("the kill word is set".into(), "find out why, then `tern resume`"));
    }
    let halt = name_at(&crate::read_names(shared.config).halts, reason as usize);
    match trades {
        true => Ok("nothing has stopped it".into()),
        false => Err((format!("stopped: {halt}"), "`tern status` says what to do; then `tern resume`")),
    }
}

/// What others restricted; the whole firm is the day's own affair unless a user restricted it.
fn scopes(shared: &Shared<'_>) -> Found {
    let restricted = shared.segment.words().scopes.restricted();
    let others = restricted.filter(|scope| scope.kind != ScopeKind::Firm || scope.uid != tern_abi::command::SYSTEM_UID);
    let text = |state: TradingState, kind: ScopeKind, key: u64| match kind {
        ScopeKind::Firm => format!("firm {}", state.name()),
        ScopeKind::Symbol => format!("{} {}", String::from_utf8_lossy(&key.to_le_bytes()).trim_end(), state.name()),
        kind => format!("{} {key} {}", kind.name(), state.name()),
    };
    let others: Vec<String> = others.map(|scope| text(scope.state, scope.kind, scope.key)).collect();
    match others.len() {
        0 => Ok("nothing is restricted but by the day".into()),
        _ => Err((listed(&others), "`tern status` says by whom; `tern resume --scope` lifts it")),
    }
}

fn journal(shared: &Shared<'_>) -> Found {
    let journal = shared.facts().journal;
    match journal.trouble.as_str() {
        "" => Ok(format!("written up to seq {}, on the disk up to {}", journal.last_seq, journal.durable_seq)),
        trouble => Err((trouble.to_owned(), "mend it (a full disk, most often)")),
    }
}

fn disk(shared: &Shared<'_>) -> Found {
    let folder = &shared.config.paths.journal;
    let free = nix::sys::statvfs::statvfs(folder).map(|found| found.blocks_available() * found.fragment_size());
    match free.map(|bytes| bytes >> 20) {
        Ok(free) if free < shared.config.alerts.disk_free_mb => {
            Err((format!("{free} MB free in {}", folder.display()), "make room: less than alerts.disk_free_mb is left"))
        }
        Ok(free) => Ok(format!("{free} MB free")),
        Err(error) => Err((format!("{}: {error}", folder.display()), "see the disk of the journal")),
    }
}

fn audit(shared: &Shared<'_>) -> Found {
    let Some(watched) = shared.facts().audit else {
        return Err(("no second opinion runs".into(), "[audit] live = true, or waive it"));
    };
    let audit = audit_facts(shared);
    match audit {
        _ if watched.pid == 0 || audit.pid != watched.pid => {
            Err(("it does not follow".into(), "audit.log says why not"))
        }
        _ if audit.disagreements > 0 => {
            Err((format!("{} disagreements", audit.disagreements), "audit.jsonl names them; compare with the venue"))
        }
        _ if audit.lag_ms > shared.config.audit.lag_ms_max => {
            Err((format!("{} ms behind the journal", audit.lag_ms), "it has too little of its core"))
        }
        _ => Ok(format!("{} orders, {} answers followed, no disagreement", audit.orders, audit.answers)),
    }
}

pub(super) fn audit_facts(shared: &Shared<'_>) -> AuditFacts {
    tern_config::facts::read(&shared.config.paths.audit_facts()).unwrap_or_default().unwrap_or_default()
}

fn drop_copy(shared: &Shared<'_>) -> Found {
    if shared.config.drop_copy.is_none() {
        return Ok("none is configured".into());
    }
    match audit_facts(shared).drop_copy {
        Some(copy) if !copy.connected => Err((copy.trouble, "it is tried again by itself; ask the venue")),
        Some(copy) if copy.differences > 0 => {
            Err((format!("{} differences", copy.differences), "drop_copy.jsonl names them; compare with the venue"))
        }
        Some(copy) => Ok(format!("{} messages match", copy.matched)),
        None => Err(("nothing was read of it yet".into(), "wait for the second opinion, or see audit.log")),
    }
}

fn alerts(shared: &Shared<'_>) -> Found {
    let facts: AlertsFacts =
        tern_config::facts::read(&shared.config.paths.alerts_facts()).unwrap_or_default().unwrap_or_default();
    let raised: Vec<&str> = facts.active.iter().map(|alert| alert.alert.as_str()).collect();
    match raised.len() {
        0 => Ok("none is raised".into()),
        _ => Err((listed(&raised), "`tern alerts` says what to do")),
    }
}

/// Never in the way: the operator decides.
fn hours(shared: &Shared<'_>) -> Found {
    let now_s = utc_s();
    let Some((from_s, until_s)) = shared.config.order_hours(shared.config.trading_day(now_s)) else {
        return Ok("no order session".into());
    };
    let now_s = now_s.cast_signed();
    Ok(match now_s {
        _ if now_s < from_s => format!("orders may be sent in {} minutes", (from_s - now_s + 59) / 60),
        _ if now_s < until_s => format!("orders may be sent for {} minutes more", (until_s - now_s) / 60),
        _ => "WARNING: the hours of this day are over".into(),
    })
}
