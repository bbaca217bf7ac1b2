//! What has to be so before the instance may trade: one list, with the names that `tern status` shows. Until all of it was so once,
//! a daemon starts no data plane: what does not run sends no order.

use tern_config::PortKind;
use tern_config::facts::{DaemonFacts, ReadyFact};

use crate::shared::Shared;

/// A check: its name, and why it is not so; `None` = it is.
type Check = (&'static str, fn(&Shared<'_>, &DaemonFacts) -> Option<String>);

/// In the order of the start. The first three end the daemon where they cannot be had at its start.
const CHECKS: [Check; 4] = [
    ("journal_open", |_, facts| {
        let trouble = &facts.journal.trouble;
        (!trouble.is_empty()).then(|| format!("the journal takes no records: {trouble}"))
    }),
    ("xdp_attached", |shared, facts| {
        let needs = shared.config.port.kind == PortKind::Xdp;
        (needs && facts.attach_mode == "none").then(|| "no XDP program is attached".into())
    }),
    ("control_socket", |shared, _| {
        let path = shared.config.paths.control_socket();
        (!path.exists()).then(|| format!("{} is not there", path.display()))
    }),
    ("second_opinion", |_, facts| {
        let audit = facts.audit.as_ref()?;
        // Once it is given up the kill word stops trading, and a data plane is needed to cancel.
        (audit.pid == 0 && !audit.gave_up).then(|| "tern-audit, which was asked for, does not run yet".into())
    }),
];

/// How each of them is now.
pub(crate) fn look(shared: &Shared<'_>) -> Vec<ReadyFact> {
    let facts = shared.facts();
    let of = |(name, check): &Check| ReadyFact { name: (*name).into(), why: check(shared, &facts).unwrap_or_default() };
    CHECKS.iter().map(of).collect()
}

/// Those that are not so, by name.
pub(crate) fn waits_for(found: &[ReadyFact]) -> Vec<&str> {
    found.iter().filter(|fact| !fact.why.is_empty()).map(|fact| fact.name.as_str()).collect()
}

/// How the instance fares, in a line, for systemd; and whether it works, which takes a data plane that turns.
pub(crate) fn status(shared: &Shared<'_>, is_data_plane_up: bool) -> (bool, String) {
    let facts = shared.facts();
    let waits = waits_for(&facts.readiness);
    let words = shared.segment.words();
    let text = match (waits.is_empty(), is_data_plane_up) {
        (false, _) => format!("waits for {}", waits.join(", ")),
        (true, false) if facts.gave_up => "the data plane stays down: see its log, mend the cause, restart".into(),
        (true, false) => "waits for the data plane".into(),
        (true, true) if words.kill.state().killed() => "no order leaves: killed; `tern status` says why".into(),
        (true, true) if !words.trading.get().0 => "no order leaves; `tern status` says why".into(),
        (true, true) => "trading".into(),
    };
    (waits.is_empty() && is_data_plane_up, text)
}
