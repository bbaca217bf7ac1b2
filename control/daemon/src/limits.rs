//! Setting limits for a client of the control socket: what it may do is decided here, what is in force by the loop.

use std::collections::BTreeMap;
use std::time::Duration;

use tern_abi::command::{LimitsOutcome, SetLimits, WHY_BYTES_MAX};
use tern_abi::segment::LimitsState;
use tern_config::facts::name_at;
use tern_config::limits::{Change, change, key_of};
use tern_config::protocol::{Answer, LimitsVerdict};

use crate::firm;
use crate::roles::{self, Role};
use crate::shared::Shared;

/// What a client wants.
pub(crate) struct Wanted<'a> {
    /// Epoch of the limits that it has seen.
    pub(crate) epoch: u32,
    /// What changes, by the gate's names.
    pub(crate) values: &'a BTreeMap<String, i64>,
    /// Why.
    pub(crate) why: &'a str,
}

/// Limits by name, and what is done to them.
pub(crate) type Changes = Vec<(String, Change)>;

/// Has all of it set, or nothing; refusals are journaled too, as soon as it is clear what was wanted.
pub(crate) fn set(shared: &Shared<'_>, uid: u32, wanted: &Wanted<'_>, patience: Duration) -> Answer {
    if shared.facts().dataplane_pid == 0 {
        return Answer::Error("no data plane runs: there are no limits in force that could be set".into());
    }
    let Some(now) = shared.segment.words().limits.read() else {
        return Answer::Error("the data plane has not said yet which limits are in force; ask again".into());
    };
    let (values, changes) = match merged(shared, &now, wanted) {
        Ok(merged) => merged,
        Err(why) => return Answer::Error(why),
    };
    let role = Role::needed(changes.iter().map(|(_, change)| *change));
    let denied = roles::check(&shared.config.roles, uid, role).err();
    let mut command = SetLimits::new(&values, (wanted.epoch, wanted.epoch.saturating_add(1)), uid, wanted.why);
    // What is decided against is told from the limits in force: with others, neither values nor role mean anything.
    let is_stale = now.epoch != wanted.epoch;
    // Held until the loop took it, so that nothing is moved meanwhile.
    let allowed = if is_stale || denied.is_some() { Ok(None) } else { firm::allows(shared, wanted.values, &changes) };
    let frozen = crate::day::frozen(shared);
    let refusal = match (denied, allowed.as_ref().err().cloned()) {
        _ if is_stale => Some(Refusal::stale(wanted.epoch, &now)),
        (Some(who), _) => Some(Refusal::role(denial(&changes, role, &who))),
        // Role and freeze are asked for the same: what loosens anything.
        _ if role == Role::RiskOfficer && frozen.is_some() => frozen.map(Refusal::frozen),
        (None, Some(beyond)) => {
            Some(Refusal { outcome: LimitsOutcome::Range, verdict: LimitsVerdict::Refused, message: beyond })
        }
        (None, None) => None,
    };
    let names: Vec<&str> = changes.iter().map(|(name, _)| name.as_str()).collect();
    tracing::warn!(uid, epoch = wanted.epoch, ?names, why = wanted.why, "set limits");
    let out_of_range =
        "the data plane refuses a value as out of range; nothing was changed (`tern journal cat --kind limits`)";
    let answer = carry_out(shared, &mut command, refusal, out_of_range, patience);
    drop(allowed);
    answer
}

/// Why the daemon refuses a command; it is journaled all the same.
pub(crate) struct Refusal {
    pub(crate) outcome: LimitsOutcome,
    pub(crate) verdict: LimitsVerdict,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn stale(seen: u32, found: &LimitsState) -> Self {
        Self { outcome: LimitsOutcome::Stale, verdict: LimitsVerdict::Stale, message: stale(seen, found) }
    }

    /// Before the open nothing is loosened.
    pub(crate) fn frozen(message: String) -> Self {
        Self { outcome: LimitsOutcome::Frozen, verdict: LimitsVerdict::Refused, message }
    }

    pub(crate) fn role(message: String) -> Self {
        Self { outcome: LimitsOutcome::Role, verdict: LimitsVerdict::Role, message }
    }
}

/// Hands the command to the loop and says what came of it; `refused` is said of what the loop alone refuses.
pub(crate) fn carry_out(
    shared: &Shared<'_>,
    command: &mut SetLimits,
    refusal: Option<Refusal>,
    refused: &str,
    patience: Duration,
) -> Answer {
    command.request = shared.next_request();
    command.refused = refusal.as_ref().map_or(LimitsOutcome::Set, |refusal| refusal.outcome) as u32;
    let Ok(ticket) = shared.send_limits(command) else {
        return Answer::Error("the command ring is full: the data plane takes no commands".into());
    };
    let taken = shared.wait_taken(ticket, patience);
    let Some(found) = shared.segment.words().limits.read() else {
        return Answer::Error("the data plane does not say any more which limits are in force".into());
    };
    let (verdict, message) = match refusal {
        Some(refusal) => (refusal.verdict, refusal.message),
        None if !taken => (
            LimitsVerdict::Waiting,
            "the data plane has not taken it yet; when it does, it sets all of it unless others are in force by then"
                .into(),
        ),
        None if found.request == command.request => (LimitsVerdict::Set, String::new()),
        None if found.epoch != command.epoch_seen => (LimitsVerdict::Stale, stale(command.epoch_seen, &found)),
        None => (LimitsVerdict::Refused, refused.into()),
    };
    Answer::Limits { verdict, epoch: found.epoch, message }
}

/// Whether a reason can be journaled.
///
/// # Errors
/// What is asked for.
pub(crate) fn check_why(why: &str) -> Result<(), String> {
    if why.trim().is_empty() || why.len() > WHY_BYTES_MAX || why.chars().any(char::is_control) {
        return Err(format!("why: 1 to {WHY_BYTES_MAX} bytes of text on one line are needed"));
    }
    Ok(())
}

/// Every limit by its index, and what changes of which; why not, if it names what there is not.
fn merged(shared: &Shared<'_>, now: &LimitsState, wanted: &Wanted<'_>) -> Result<(Vec<i64>, Changes), String> {
    check_why(wanted.why)?;
    let names = crate::read_names(shared.config).limits;
    if names.len() != now.values().len() {
        return Err("the data plane's facts (dataplane.json) name other limits than it has; restart it".into());
    }
    let mut values = now.values().to_vec();
    let mut changes = Vec::new();
    for (name, value) in wanted.values {
        let Some(index) = names.iter().position(|known| known.name == *name) else {
            let known: Vec<String> = (0..names.len()).map(|index| name_at(&names, index)).collect();
            return Err(format!("no limit `{name}`; the data plane has: {}", known.join(", ")));
        };
        changes.push((name.clone(), change(name, values[index], *value)));
        values[index] = *value;
    }
    Ok((values, changes))
}

fn stale(seen: u32, found: &LimitsState) -> String {
    format!(
        "refused: epoch {seen} was seen, {} is in force; look again (`tern risk diff`), then set it if it is still right",
        found.epoch
    )
}

fn denial(changes: &[(String, Change)], role: Role, who: &str) -> String {
    let looser = changes.iter().filter(|(_, change)| *change == Change::Looser).map(|(name, _)| key_of(name));
    let looser: Vec<&str> = looser.collect();
    let what = if looser.is_empty() { "setting limits".into() } else { format!("loosening {}", looser.join(", ")) };
    format!("refused: {what} needs the role {}, which has: {who}; nothing was changed", role.name())
}
