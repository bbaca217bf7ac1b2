//! What was held when the day began, as the configuration in the start record says.

use crate::exposure::Owner;
use crate::ledger::Ledger;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Effective {
    session: Option<Session>,
    #[serde(default)]
    opening: Section,
}

#[derive(Deserialize)]
struct Session {
    account: u16,
}

#[derive(Default, Deserialize)]
struct Section {
    #[serde(default)]
    position: Vec<Held>,
}

#[derive(Deserialize)]
struct Held {
    symbol: String,
    /// The effective configuration has ids alone.
    strategy: u16,
    shares: i64,
    #[serde(default)]
    cost: i64,
}

/// What was held, by account, strategy and symbol; `None` if the text does not say it.
pub(crate) fn of_configuration(text: &str) -> Option<BTreeMap<Owner, Ledger>> {
    let effective: Effective = toml::from_str(text).ok()?;
    let account = effective.session.map_or(1, |session| session.account);
    let owner = |held: &Held| (account, held.strategy, crate::limits::padded(&held.symbol));
    Some(
        effective
            .opening
            .position
            .iter()
            .map(|held| (owner(held), Ledger::opened(held.shares.into(), held.cost.into())))
            .collect(),
    )
}
