//! What a venue offers, in one place: whoever stops, cancels or recovers asks here, and assumes nothing.

use serde::{Deserialize, Serialize};

use crate::types::Session;

/// What an order port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The venue cancels what is open when the connection ends, as the port is set (`session.cancel_on_disconnect`).
    pub cancel_on_disconnect: bool,
    /// One message cancels everything that is open on the account.
    pub mass_cancel: bool,
    /// A cancel of an order that is over gets no answer.
    pub silent_cancels: bool,
    /// A replace of an order that is over gets no answer, and its id is not used up.
    pub silent_replaces: bool,
    /// An order may ask for a least quantity to trade.
    pub minimum_quantity: bool,
    /// An order may ask not to take liquidity.
    pub post_only: bool,
    /// A replaced order keeps its place in the queue.
    pub replace_keeps_priority: bool,
    /// The venue says on request which order id it takes next; the answer stands behind all that it said before.
    pub account_query: bool,
    /// The venue tells its log of the day again, from any message on.
    pub log_replay: bool,
    /// Times in force that it knows.
    pub times_in_force: &'static [&'static str],
}

/// OUCH 5.0 over SoupBinTCP 3.00 (specification, section 2 and appendix B), on a port that cancels on disconnect.
pub const ITCH_OUCH: Capabilities = Capabilities {
    cancel_on_disconnect: true,
    mass_cancel: false,
    silent_cancels: true,
    silent_replaces: true,
    minimum_quantity: true,
    post_only: true,
    replace_keeps_priority: false,
    account_query: true,
    log_replay: true,
    times_in_force: &["day", "ioc", "gtx", "gtt", "after_hours"],
};

/// Of a venue that nobody knows nothing is expected.
pub const UNKNOWN: Capabilities = Capabilities {
    cancel_on_disconnect: false,
    mass_cancel: false,
    silent_cancels: true,
    silent_replaces: true,
    minimum_quantity: false,
    post_only: false,
    replace_keeps_priority: false,
    account_query: false,
    log_replay: false,
    times_in_force: &[],
};

/// Every venue, by its name in the configuration.
pub const VENUES: &[(&str, Capabilities)] = &[("itch_ouch", ITCH_OUCH)];

// A kill cancels order by order, in one go: in the loop, and in the daemon's own session. A venue that has a mass cancel
// has to have it used there, before it may stand in the table.
const _: () = {
    let mut at = 0;
    while at < VENUES.len() {
        assert!(!VENUES[at].1.mass_cancel, "kill and rescue do not send mass cancels yet");
        at += 1;
    }
};

/// What says which capabilities a port has: its venue, and how the venue set it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortSetting {
    /// Protocol, by its name in the registry; empty = there is no order port.
    pub venue: String,
    /// `session.cancel_on_disconnect`.
    pub cancel_on_disconnect: bool,
}

impl PortSetting {
    /// As the configuration says.
    pub fn of(session: &Session) -> Self {
        Self { venue: session.venue.clone(), cancel_on_disconnect: session.cancel_on_disconnect }
    }

    /// What the port has: what its venue has, as the port is set.
    pub fn capabilities(&self) -> Capabilities {
        let known = VENUES.iter().find(|(name, _)| *name == self.venue);
        let venue = known.map_or(UNKNOWN, |(_, capabilities)| *capabilities);
        Capabilities { cancel_on_disconnect: venue.cancel_on_disconnect && self.cancel_on_disconnect, ..venue }
    }
}

impl Session {
    /// What the order port has.
    pub fn capabilities(&self) -> Capabilities {
        PortSetting::of(self).capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_what_its_venue_has_as_it_is_set() {
        let port = |venue: &str, cancel_on_disconnect| {
            PortSetting { venue: venue.into(), cancel_on_disconnect }.capabilities()
        };
        assert_eq!(port("itch_ouch", true), ITCH_OUCH);
        assert_eq!(port("itch_ouch", false), Capabilities { cancel_on_disconnect: false, ..ITCH_OUCH });
        assert_eq!(port("elsewhere", true), UNKNOWN, "what a port is set to counts for nothing without its venue");
    }
}
