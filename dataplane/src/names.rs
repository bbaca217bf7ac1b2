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
