//! Which protocols and strategies a configuration can name: one line each.

use tern_abi::arena::Arena;
use tern_config::{Config, Problem};
use tern_core::book::Memory;
use tern_core::strategy::Rebuilt;
use tern_core::units::{StreamId, Symbol};
use tern_strategies::{AnyStrategy, ParamError, Setup};
use tern_venues::itch_ouch::wire::Alpha;
use tern_venues::itch_ouch::wire::ouch::Capacity;
use tern_venues::itch_ouch::{ItchFeed, OuchConfig, OuchSession};

/// The only venue protocol of this version, by its name in the configuration.
pub const ITCH_OUCH: &str = "itch_ouch";

/// What is wrong with the names of protocols in `config`.
///
/// # Errors
/// The first feed or session of a protocol that is not known.
pub fn check_venues(config: &Config) -> Result<(), Problem> {
    for (index, feed) in config.feed.iter().enumerate() {
        if feed.venue != ITCH_OUCH {
            let message = format!("no feed `{}`; known: {ITCH_OUCH}", feed.venue);
            return Err(config.problem(&format!("feed[{index}].venue"), message));
        }
    }
    match &config.session {
        Some(session) if session.venue != ITCH_OUCH => {
            Err(config.problem("session.venue", format!("no session `{}`; known: {ITCH_OUCH}", session.venue)))
        }
        // How a session comes back after a restart: without both, nobody would know what is open.
        Some(session) if !(session.capabilities().log_replay && session.capabilities().account_query) => Err(config
            .problem("session.venue", "the venue tells its log of the day not again, or answers no account query")),
        _ => Ok(()),
    }
}

/// The feed for all configured streams.
pub fn itch_feed(streams: &[StreamId], memory: &mut impl Memory) -> ItchFeed {
    let first = streams.first().copied().unwrap_or_default();
    let last = streams.last().copied().unwrap_or_default();
    let locates: Arena<u32> = memory.arena(ItchFeed::locates_len(last.index() - first.index() + 1));
    ItchFeed::new(first, locates)
}

/// The order session; without one configured, one that is never connected.
pub fn ouch_session(config: &Config) -> OuchSession {
    let (user, password) =
        config.session.as_ref().map_or(("", ""), |session| (session.user.as_str(), session.password.reveal()));
    let session = OuchSession::new(OuchConfig {
        username: Alpha::new(user.as_bytes()),
        password: Alpha::new(password.as_bytes()),
        capacity: Capacity::Principal,
    });
    match &config.session {
        Some(deadlines) => session.with_deadlines(
            deadlines.heartbeat_ms.saturating_mul(1_000_000),
            deadlines.silence_ms.saturating_mul(1_000_000),
        ),
        None => session,
    }
}

/// The configured strategies, in their order.
///
/// # Errors
/// The first that is not known, or whose symbols or parameters do not fit.
pub fn strategies(config: &Config) -> Result<Box<[AnyStrategy]>, Problem> {
    let instruments_max = config.capacity.instruments as usize;
    let make = |(index, strategy): (usize, &tern_config::Strategy)| {
        let symbols = strategy
            .symbols
            .iter()
            .map(|text| {
                Symbol::new(text).ok_or_else(|| {
                    let field = format!("strategy[{index}].symbols");
                    config.problem(&field, format!("`{text}` is no symbol: one to eight characters"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let params = strategy.params.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let setup = Setup { instruments_max, symbols: &symbols, params: &params };
        tern_strategies::make(&strategy.name, &setup).map_err(|error| {
            let field = if matches!(error, ParamError::Strategy { .. }) { "name" } else { "params" };
            config.problem(&format!("strategy[{index}].{field}"), error.to_string())
        })
    };
    config.strategy.iter().enumerate().map(make).collect()
}

/// The configured strategies, each of which can be built anew from the same configuration.
///
/// # Errors
/// As [`strategies`].
pub fn rebuildable(config: &Config) -> Result<Rebuilt<Box<[AnyStrategy]>>, Problem> {
    let again = config.clone();
    Ok(Rebuilt::new(strategies(config)?, move || strategies(&again).ok()))
}
