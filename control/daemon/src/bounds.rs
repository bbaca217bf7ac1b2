//! Setting the bounds of a symbol's price for a client of the control socket. What it says to have seen is what its role is told
//! from, and the loop refuses the command when that is not in force.

use std::time::Duration;

use tern_abi::command::{SetBounds, SetLimits};
use tern_config::limits::{Change, change_of_bounds};
use tern_config::protocol::Answer;

use crate::limits::{Refusal, carry_out, check_why};
use crate::roles::{self, Role};
use crate::shared::Shared;

/// What a client wants.
pub(crate) struct Wanted<'a> {
    /// Epoch of the limits that it has seen.
    pub(crate) epoch: u32,
    pub(crate) symbol: &'a str,
    /// Lowest and highest price that it has seen.
    pub(crate) seen: [u32; 2],
    /// Those that it wants.
    pub(crate) wanted: [u32; 2],
    pub(crate) why: &'a str,
}

/// Has them set; refusals are journaled too.
pub(crate) fn set(shared: &Shared<'_>, uid: u32, wanted: &Wanted<'_>, patience: Duration) -> Answer {
    let words = shared.segment.words();
    if shared.facts().dataplane_pid == 0 {
        return Answer::Error("no data plane runs: there are no bounds in force that could be set".into());
    }
    let Some(now) = words.limits.read() else {
        return Answer::Error("the data plane has not said yet which limits are in force; ask again".into());
    };
    let bounds = match bounds_of(shared, wanted) {
        Ok(bounds) => bounds,
        Err(why) => return Answer::Error(why),
    };
    let (symbol, [lowest, highest]) = (wanted.symbol, wanted.wanted);
    let change = change_of_bounds(wanted.seen, wanted.wanted);
    let role = Role::needed([change]);
    let refusal = match roles::check(&shared.config.roles, uid, role) {
        _ if now.epoch != wanted.epoch => Some(Refusal::stale(wanted.epoch, &now)),
        Err(who) => {
            let what = if change == Change::Looser { "loosening" } else { "setting" };
            Some(Refusal::role(format!(
                "refused: {what} the bounds of {symbol} needs the role {}, which has: {who}; nothing was changed",
                role.name()
            )))
        }
        Ok(()) if change == Change::Looser => crate::day::frozen(shared).map(Refusal::frozen),
        Ok(()) => None,
    };
    tracing::warn!(uid, epoch = wanted.epoch, symbol, lowest, highest, why = wanted.why, "set bounds of a price");
    let epochs = (wanted.epoch, wanted.epoch.saturating_add(1));
    let mut command = SetLimits { bounds, ..SetLimits::new(now.values(), epochs, uid, wanted.why) };
    let refused = format!(
        "the data plane refuses it: it has other bounds of {symbol} in force than [{}, {}], or none that its configuration gave; \
         nothing was changed (`tern risk show`, `tern journal cat --kind limits`)",
        wanted.seen[0], wanted.seen[1]
    );
    carry_out(shared, &mut command, refusal, &refused, patience)
}

fn bounds_of(shared: &Shared<'_>, wanted: &Wanted<'_>) -> Result<SetBounds, String> {
    check_why(wanted.why)?;
    let mut symbol = [b' '; 8];
    let name = wanted.symbol.as_bytes();
    match symbol.get_mut(..name.len()) {
        Some(place) if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) => place.copy_from_slice(name),
        _ => return Err(format!("`{}` is not a symbol", wanted.symbol)),
    }
    let set = shared.segment.words().bounds.read();
    if set.is_some_and(|set| !set.has_room_for(symbol)) {
        return Err("the bounds of as many symbols were set today as there are places for: change the file".into());
    }
    Ok(SetBounds { symbol, seen: wanted.seen, wanted: wanted.wanted })
}
