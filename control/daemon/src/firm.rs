//! The firm's limits on this host: what this instance may use of them, and giving a part of that to another instance.
//! What is given away is tightened here before the ledger gives it (`tern_config::ledger`).

use std::collections::BTreeMap;
use std::time::Duration;

use tern_abi::command::{SetLimits, WHY_BYTES_MAX};
use tern_abi::segment::LimitsState;
use tern_config::firm::{ALLOTTED, Firm, Member};
use tern_config::ledger::{self, Ledger, Locked, Move, MoveError, Store};
use tern_config::limits::Change;
use tern_config::protocol::Answer;
use tern_config::{Config, facts};
use tern_hw::segment::{SegmentFileError, SegmentView};

use crate::limits::Changes;
use crate::shared::Shared;

mod down;
mod used;

/// Takes the allotment of this instance before its data plane starts with `config`: the ledger is made where there is none, and
/// what the data plane will have in force must not be above it. `is_running`: it has it already.
///
/// # Errors
/// What is above it by how much, or what does not add up, and what to do.
pub(crate) fn take(shared: &Shared<'_>, config: &Config, is_running: bool) -> Result<(), String> {
    let Some(firm) = &shared.firm else { return Ok(()) };
    let (mut locked, path) = (lock(firm)?, firm.firm.ledger.display());
    let said = |why: String| format!("{path}: {why}");
    let found = locked.read().map_err(|error| format!("{path}: the ledger cannot be read: {error}"))?;
    let ledger = match found {
        Some(ledger) => ledger,
        None => {
            let first = Ledger::first(firm);
            for member in firm.instance.iter().filter(|member| member.name != config.instance.name) {
                others_fit(&first, member).map_err(said)?;
            }
            locked.write(&first).map_err(|error| format!("{path}: the ledger cannot be written: {error}"))?;
            first
        }
    };
    ledger.check(firm).map_err(said)?;
    let name = &config.instance.name;
    let old = shared.segment.words().limits.read();
    let old = old.map(|old| by_name(&old, &crate::read_names(shared.config).limits)).unwrap_or_default();
    let file = config.limits.values();
    let mut above = Vec::new();
    for limit in ALLOTTED {
        let ceiling = ledger.ceiling(name, limit).unwrap_or(0);
        let of_file = file.get(limit).copied().unwrap_or(i64::MAX);
        // A run in an old segment keeps what is tighter, one that runs has what it has.
        let value = match old.get(limit) {
            Some(old) if is_running => *old,
            Some(old) => of_file.min(*old),
            None => of_file,
        };
        if value > ceiling {
            above.push(format!("{limit} is {value}, {} above the allotment {ceiling}", value - ceiling));
        }
        if let Some(why) = symbols_above(config, limit, ceiling) {
            above.push(why);
        }
    }
    if above.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{name} may not trade with its limits: {}; tighten [limits] in {}, or have allotments moved here (`tern firm show`)",
        above.join(", "),
        config.file().display()
    ))
}

/// Whether a set of limits keeps within the allotment; only what loosens is asked about. What is returned is to be held until the
/// data plane took it.
///
/// # Errors
/// What does not.
pub(crate) fn allows(
    shared: &Shared<'_>,
    values: &BTreeMap<String, i64>,
    changes: &Changes,
) -> Result<Option<Locked>, String> {
    let is_looser = |name: &str| changes.iter().any(|(known, change)| known == name && *change == Change::Looser);
    let looser: Vec<&str> = ALLOTTED.into_iter().filter(|name| is_looser(name)).collect();
    let Some(firm) = shared.firm.as_ref().filter(|_| !looser.is_empty()) else { return Ok(None) };
    let refused = |why: String| format!("refused: {why}; nothing was changed");
    let mut locked = lock(firm).map_err(refused)?;
    let ledger = ledger::read_checked(&mut locked, firm).map_err(refused)?;
    for limit in looser {
        let ceiling = ledger.ceiling(&shared.config.instance.name, limit).unwrap_or(0);
        let value = values.get(limit).copied().unwrap_or(i64::MAX);
        if value > ceiling {
            let to_do = "`tern firm show` says who has what, `tern firm move` moves it";
            return Err(refused(format!(
                "{limit} = {value} is above the allotment {ceiling} of the firm's limit ({to_do})"
            )));
        }
    }
    Ok(Some(locked))
}

/// Moves a part of this instance's allotment to another one, or finishes a move that is half done.
pub(crate) fn carry_out(shared: &Shared<'_>, uid: u32, wanted: Option<Move>, patience: Duration) -> Answer {
    let Some(firm) = &shared.firm else { return no_firm() };
    // What is half done is finished all the same: until then it belongs to nobody.
    if let Some(why) = wanted.as_ref().and_then(|_| crate::day::frozen(shared)) {
        return Answer::Error(why);
    }
    let is_down = down::stays_down(shared);
    let can_tighten = || if is_down { Ok(()) } else { in_force(shared) };
    if let Err(why) = wanted.as_ref().map_or(Ok(()), |wanted| is_reason(&wanted.why)).and_then(|()| can_tighten()) {
        return Answer::Error(why);
    }
    let mut locked = match lock(firm) {
        Ok(locked) => locked,
        Err(why) => return Answer::Error(why),
    };
    tracing::warn!(uid, ?wanted, "move of an allotment");
    if let Err(why) = can_be_taken(shared, firm, &mut locked, wanted.as_ref()) {
        return Answer::Error(why);
    }
    let moved = ledger::carry_out(&mut locked, firm, wanted, |moving, most| match is_down {
        true => down::fits(shared, moving, most),
        false => tighten(shared, uid, moving, most, patience),
    });
    match moved {
        Ok(_) => Answer::Allotment { done: true, message: String::new() },
        Err(MoveError::Refused(why)) => Answer::Error(why),
        Err(MoveError::Half(why)) => {
            tracing::error!("a move of an allotment is half done: {why}");
            let to_do = "`tern firm show` says whether it is half done; `tern firm finish` finishes it, `tern firm undo` forgets it";
            Answer::Allotment { done: false, message: format!("{why}; nothing was given to anybody; {to_do}") }
        }
    }
}

/// Forgets a move that is half done.
pub(crate) fn undo(shared: &Shared<'_>, uid: u32) -> Answer {
    let Some(firm) = &shared.firm else { return no_firm() };
    tracing::warn!(uid, "a move of an allotment is undone");
    match lock(firm).and_then(|mut locked| ledger::undo(&mut locked, firm)) {
        Ok(_) => Answer::Allotment { done: true, message: String::new() },
        Err(why) => Answer::Error(why),
    }
}

fn no_firm() -> Answer {
    Answer::Error("the configuration has no [firm]: this instance's limits are the firm's".into())
}

fn lock(firm: &Firm) -> Result<Locked, String> {
    let path = &firm.firm.ledger;
    Locked::take(path).map_err(|error| format!("{}: its lock cannot be taken: {error}", path.display()))
}

fn is_reason(why: &str) -> Result<(), String> {
    if why.trim().is_empty() || why.len() > WHY_BYTES_MAX || why.chars().any(char::is_control) {
        return Err(format!("why: 1 to {WHY_BYTES_MAX} bytes of text on one line are needed"));
    }
    Ok(())
}

/// Whether limits are in force that could be tightened.
fn in_force(shared: &Shared<'_>) -> Result<(), String> {
    if shared.facts().dataplane_pid == 0 || shared.segment.words().limits.read().is_none() {
        return Err("no data plane runs here, and ternd may start one: there are no limits in force that could be tightened first; ask \
                    again when it runs, or when ternd has given it up"
            .into());
    }
    Ok(())
}

/// Whether it is this instance's to give, and single symbols have no more than what is left.
fn can_be_taken(shared: &Shared<'_>, firm: &Firm, locked: &mut Locked, wanted: Option<&Move>) -> Result<(), String> {
    let ledger = ledger::read_checked(locked, firm)?;
    let name = &shared.config.instance.name;
    let Some(moving) = wanted.or(ledger.moving.as_ref()) else { return Ok(()) };
    if moving.from != *name {
        return Err(format!("the move takes from {}: its ternd has to be asked, and not that of {name}", moving.from));
    }
    let ceiling = ledger.ceiling(name, &moving.limit).unwrap_or(0);
    let left = ceiling.saturating_sub(wanted.map_or(0, |wanted| wanted.amount));
    // A data plane that was started again has those of the file as it was then.
    let again = Config::load(shared.config.file()).ok();
    let above = [Some(shared.config), again.as_ref()].into_iter().flatten();
    above.filter_map(|config| symbols_above(config, &moving.limit, left)).next().map_or(Ok(()), Err)?;
    match wanted {
        None => Ok(()),
        Some(moving) if down::stays_down(shared) => down::fits(shared, moving, left),
        Some(moving) => {
            let index = index_of(shared, &moving.limit)?;
            used::may_leave(shared.segment.words(), &moving.limit, index, left)
        }
    }
}

/// Where the data plane has the limit.
fn index_of(shared: &Shared<'_>, limit: &str) -> Result<usize, String> {
    let names = crate::read_names(shared.config).limits;
    let count = shared.segment.words().limits.read().map_or(0, |limits| limits.values().len());
    let index = names.iter().position(|known| known.name == limit).filter(|_| names.len() == count);
    index.ok_or_else(|| format!("the data plane has no limit {limit}"))
}

/// Limits of single symbols are no less than the firm's for being in another table.
fn symbols_above(config: &Config, limit: &str, ceiling: i64) -> Option<String> {
    let symbols = config.limits.symbol.iter().filter(|_| limit == "position_max");
    let mut above = symbols.filter_map(|symbol| Some((symbol, symbol.position_max.filter(|max| *max > ceiling)?)));
    above.next().map(|(symbol, max)| {
        format!(
            "position_max of {} in [[limits.symbol]] is {max}, {} above the allotment {ceiling}",
            symbol.symbol,
            max - ceiling
        )
    })
}

/// Sets the limit in force to no more than `most`, and sees that no more is used. It is sent also where it is low enough: a
/// command that waits in the ring was made for the same epoch, and one of the two is refused.
fn tighten(shared: &Shared<'_>, uid: u32, moving: &Move, most: i64, patience: Duration) -> Result<(), String> {
    let words = shared.segment.words();
    let now = words.limits.read().ok_or("the data plane has not said which limits are in force")?;
    let index = index_of(shared, &moving.limit)?;
    let mut values = now.values().to_vec();
    let was = values.get(index).copied().unwrap_or(i64::MAX);
    values[index] = was.min(most);
    let mut command = SetLimits::new(&values, (now.epoch, now.epoch.saturating_add(1)), uid, &moving.why);
    command.request = shared.next_request();
    let ticket =
        shared.send_limits(&command).map_err(|_| "the command ring is full: the data plane takes no commands")?;
    let taken = shared.wait_taken(ticket, patience);
    match words.limits.read() {
        Some(found) if taken && found.request == command.request => {
            // One that was low enough before was not above it in between.
            let since_ns = if was <= most { now.since_ns } else { found.since_ns };
            used::fits(words, moving, index, most, since_ns)
        }
        _ if !taken => Err(format!("the data plane has not taken {} = {} yet", moving.limit, values[index])),
        _ => {
            Err(format!("the data plane refused {} = {}, or others set limits meanwhile", moving.limit, values[index]))
        }
    }
}

fn by_name(state: &LimitsState, names: &[facts::Named]) -> BTreeMap<String, i64> {
    if names.len() != state.values().len() {
        return BTreeMap::new();
    }
    names.iter().zip(state.values()).map(|(name, value)| (name.name.clone(), *value)).collect()
}

/// A ledger that is made anew knows nothing of what was moved: a data plane that runs must not have more than it says.
fn others_fit(first: &Ledger, member: &Member) -> Result<(), String> {
    let paths = member.paths();
    let view = match SegmentView::open(&member.name, paths.segment_file()) {
        Ok(view) => view,
        Err(SegmentFileError::Absent { .. }) => return Ok(()),
        Err(error) => return Err(format!("there is no ledger, and what {} has is not known: {error}", member.name)),
    };
    if view.data_plane().map_err(|error| error.to_string())?.is_none() {
        return Ok(());
    }
    let words = view.segment().map_err(|error| error.to_string())?;
    let said: Option<facts::DataplaneFacts> = facts::read(&paths.dataplane_facts()).unwrap_or_default();
    let names = said.unwrap_or_default().names.limits;
    let has = words.limits.read().map(|state| by_name(&state, &names)).unwrap_or_default();
    for limit in ALLOTTED {
        // What is not known counts as too much.
        let has = has.get(limit).copied().unwrap_or(i64::MAX);
        let most = first.ceiling(&member.name, limit).unwrap_or(0);
        if has > most {
            return Err(format!(
                "there is no ledger, and {} runs with {limit} = {has}, above its first allotment {most}; stop it first",
                member.name
            ));
        }
    }
    Ok(())
}
