//! What the numbers in records and words mean, for readers that do not know core.

use tern_config::facts::{Named, Names};
use tern_core::feed::Distrust;
use tern_core::orders::OrderState;
use tern_core::risk::{HaltReason, LimitId, Reason};
use tern_core::session::VenueEventKind;

/// The names of this build.
pub fn names() -> Names {
    Names {
        refusals: Reason::ALL.iter().map(|reason| Named::new(reason.name(), reason.help())).collect(),
        halts: HaltReason::ALL.iter().map(|reason| Named::new(reason.name(), reason.help())).collect(),
        distrusts: Distrust::ALL.iter().map(|reason| Named::new(reason.name(), reason.help())).collect(),
        order_events: VenueEventKind::ALL.iter().map(|kind| Named::new(kind.name(), kind.help())).collect(),
        order_states: OrderState::ALL.iter().map(|state| Named::new(state.name(), state.help())).collect(),
        limits: LimitId::ALL.iter().map(|limit| Named::new(limit.name(), limit.help())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::segment::{KillCause, SessionFault};

    /// The table of who is not heard in the operations guide: its reasons are those that users see, its deadlines keys.
    #[test]
    fn what_the_operations_guide_says_of_silence_exists() {
        let guide = include_str!("../../docs/OPERATIONS.md");
        let (_, section) = guide.split_once("\n## When somebody is not heard\n").expect("the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let names = names();
        let named = |list: &[Named], name: &str| list.iter().any(|known| known.name == name);
        let rows: Vec<Vec<&str>> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| "))
            .map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .skip(1)
            .collect();
        assert!(rows.len() >= 5, "{rows:?}");
        for row in rows {
            let (deadline, reason) = (row[1], row[2]);
            assert!(tern_config::fields::find(deadline).is_some(), "no key {deadline}");
            let is_known = named(&names.halts, reason)
                || named(&names.distrusts, reason)
                || KillCause::ALL.iter().any(|cause| cause.name() == reason)
                || SessionFault::ALL.iter().any(|fault| fault.name() == reason);
            assert!(is_known, "no reason {reason}");
        }
        for reason in [HaltReason::DaemonSilent.name(), HaltReason::DaemonLost.name(), KillCause::HeartbeatLoss.name()]
        {
            assert!(section.contains(reason), "{reason} is not in the table");
        }
    }
}
