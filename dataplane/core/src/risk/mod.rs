//! The risk gate: the only maker of [`Approved`], and nothing else leads to order bytes.
//!
//! ```text
//! Intent --gate--> Approved --recorded--> outbox --encoded--> bytes
//!            \--> Refusal (a Reason, counted and recorded)
//! ```
//! A check reads two cache lines of the instrument (its book line and its [`Exposure`]), the prices of our own orders
//! there, the [`Stake`]s of firm and strategy, and the limits.

mod approved;
mod bounds;
mod checks;
mod exposure;
mod gate;
mod in_force;
mod limits;
mod listing;
mod question;
mod rate;
mod reason;
mod reference;
mod scopes;
mod self_trade;
mod short_sale;
mod sight;
mod stake;
mod standing;
mod strategy_bounds;
mod terms;
mod throttle;
mod words;

pub use approved::Approved;
pub use bounds::SymbolLimits;
pub(crate) use checks::PRICE_MAX;
pub use exposure::Exposure;
pub use gate::Gate;
pub use limits::{LimitError, LimitId, Limits};
pub(crate) use question::{Market, Moment, NewOrder};
pub use question::{Owner, Refusal};
pub use rate::Rate;
pub use reason::{HaltReason, Reason, StrategyStop};
pub(crate) use scopes::Part;
pub use scopes::Scopes;
pub use self_trade::SelfTrade;
pub(crate) use self_trade::would_trade;
pub use stake::Stake;
pub use strategy_bounds::StrategyLimits;
pub(crate) use throttle::Repeats;
