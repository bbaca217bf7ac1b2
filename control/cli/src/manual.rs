//! `tern order`, `tern flatten`, `tern pending` and `tern confirm`: what people do by hand, through the daemon, which knows who asks,
//! and the gate, which decides.

use std::time::Duration;

use serde_json::json;
use tern_config::facts::PendingFact;
use tern_config::protocol::{Answer, Ask, ManualFact, TimeInForce, Wish};

use crate::args::{OrderSide, OrderVerb, Tif};
use crate::client;
use crate::outcome::{Failure, Outcome, exit};
use crate::scope;
use crate::table::{Align, Table, tai_time};
use crate::target::Target;

/// How long an answer may take beyond what a flatten is given.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time of a flatten that was asked for by somebody else.
const FLATTEN_MAX: Duration = Duration::from_secs(600);

/// Sends or cancels an order.
///
/// # Errors
/// Exit code 3 when no daemon answers, 8 without the role, 9 when a second person has to confirm it, 1 when it cannot be done.
pub(crate) fn order(target: &Target, verb: &OrderVerb) -> Result<Outcome, Failure> {
    let (wish, why, dry_run) = match verb {
        OrderVerb::Send { symbol, side, shares, price, tif, post_only, why, dry_run } => {
            let wish = Wish::Order {
                symbol: symbol.clone(),
                is_buy: *side == OrderSide::Buy,
                shares: *shares,
                price: *price,
                time_in_force: match tif {
                    Tif::Day => TimeInForce::Day,
                    Tif::Ioc => TimeInForce::Ioc,
                    Tif::Open => TimeInForce::Open,
                    Tif::Close => TimeInForce::Close,
                },
                post_only: *post_only,
            };
            (wish, why, dry_run)
        }
        OrderVerb::Cancel { id, why, dry_run } => (Wish::Cancel { order: *id }, why, dry_run),
    };
    ask(target, Ask::Manual { wish, why: why.clone(), dry_run: *dry_run }, PATIENCE)
}

/// Counts a trade that the venue's log does not have.
///
/// # Errors
/// As [`order`]; exit code 2 for a strategy that there is not.
pub(crate) fn adjust(
    target: &Target,
    (symbol, strategy): (&str, &str),
    (side, shares, price): (OrderSide, u32, i64),
    (why, dry_run): (&str, bool),
) -> Result<Outcome, Failure> {
    let (_, key) = scope::parse(target, &format!("strategy:{strategy}"))?;
    let strategy = u16::try_from(key).map_err(|_| Failure::usage(format!("`{strategy}` is no id of a strategy")))?;
    let is_buy = side == OrderSide::Buy;
    let wish = Wish::Adjust { symbol: symbol.into(), strategy, is_buy, shares, price };
    ask(target, Ask::Manual { wish, why: why.into(), dry_run }, PATIENCE)
}

/// Closes the positions of a symbol, of a strategy, or all.
///
/// # Errors
/// As [`order`]; exit code 2 for a strategy that there is not.
pub(crate) fn flatten(
    target: &Target,
    (symbol, strategy): (Option<&str>, Option<&str>),
    (why, dry_run): (&str, bool),
    timeout_ms: u32,
) -> Result<Outcome, Failure> {
    let text = match (symbol, strategy) {
        (Some(symbol), _) => format!("symbol:{symbol}"),
        (None, Some(strategy)) => format!("strategy:{strategy}"),
        (None, None) => "firm".into(),
    };
    let (kind, key) = scope::parse(target, &text)?;
    let wish = Wish::Flatten { kind: kind.name().into(), key, within_ms: timeout_ms };
    let patience = PATIENCE + Duration::from_millis(timeout_ms.into());
    ask(target, Ask::Manual { wish, why: why.into(), dry_run }, patience)
}

/// Has done what another user asked for.
///
/// # Errors
/// As [`order`].
pub(crate) fn confirm(target: &Target, id: u64) -> Result<Outcome, Failure> {
    ask(target, Ask::Confirm { id }, PATIENCE + FLATTEN_MAX)
}

/// What waits for a second person.
///
/// # Errors
/// Exit code 3 when no daemon answers.
pub(crate) fn pending(target: &Target) -> Result<Outcome, Failure> {
    match said(target, Ask::Pending, PATIENCE)? {
        Answer::Pending(waiting) => Ok(listed(&waiting)),
        other => Err(unlike(&other)),
    }
}

fn listed(waiting: &[PendingFact]) -> Outcome {
    let columns = [
        ("id", Align::Right),
        ("asked by uid", Align::Right),
        ("until", Align::Left),
        ("what", Align::Left),
        ("why", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for fact in waiting {
        let (id, uid) = (fact.id.to_string(), fact.uid.to_string());
        table.row(vec![id, uid, tai_time(fact.until_ns), fact.text.clone(), fact.why.clone()]);
    }
    let mut text = if table.is_empty() { String::new() } else { table.render() };
    text.push_str(&format!("{} wait for a second person\n", waiting.len()));
    Outcome::ok(text, json!({ "pending": waiting }))
}

fn ask(target: &Target, ask: Ask, patience: Duration) -> Result<Outcome, Failure> {
    match said(target, ask, patience)? {
        Answer::Manual(fact) => Ok(told(&fact)),
        Answer::Waits { id, within_s } => Ok(Outcome {
            text: format!("not done yet: another user has to give `tern confirm {id}` within {within_s} s\n"),
            json: json!({ "done": false, "waits": id, "within_s": within_s }),
            code: exit::SECOND_PERSON,
        }),
        other => Err(unlike(&other)),
    }
}

fn said(target: &Target, ask: Ask, patience: Duration) -> Result<Answer, Failure> {
    match client::ask_within(&target.paths, ask, patience) {
        Ok(Answer::Error(why)) => Err(Failure::failed(why)),
        Ok(Answer::Role { message }) => Err(Failure { message, code: exit::ROLE }),
        Ok(answer) => Ok(answer),
        Err(error) => {
            let socket = target.paths.control_socket();
            Err(Failure::not_running(format!("ternd does not answer at {}: {error}", socket.display())))
        }
    }
}

fn unlike(answer: &Answer) -> Failure {
    Failure::failed(format!("ternd gave an answer to another question: {answer:?}"))
}

/// What a flatten leaves behind, whatever came of it.
const REDUCES: &str = "its scope is reduce-only from then on (`tern resume --scope` lifts that)";

/// What came of it, in words and with an exit code.
fn told(fact: &ManualFact) -> Outcome {
    let orders: Vec<String> = fact.orders.iter().map(u32::to_string).collect();
    let orders = orders.join(", ");
    let refused = fact.reason.as_ref().map(|reason| match (fact.limit, fact.value) {
        (0, 0) => reason.clone(),
        (limit, value) => format!("{reason} (the bound is {limit}, it would be {value})"),
    });
    let because = refused.as_ref().map_or_else(String::new, |refused| format!("; refused last: {refused}"));
    let (text, code) = match fact.outcome.as_str() {
        "sent" => (format!("sent: order {orders}; `tern orders` says what becomes of it"), exit::OK),
        "adjusted" => (format!("counted: {} shares are held with it", fact.value), exit::OK),
        "unread" => (
            "the venue's log has not been read and compared yet: positions are not known; nothing was done".into(),
            exit::FAILED,
        ),
        "canceling" => (format!("the cancel of order {orders} is sent as soon as the venue takes it"), exit::OK),
        "flat" if orders.is_empty() => ("flat: nothing was held there".into(), exit::OK),
        "flat" => (format!("flat: nothing is held there any more; orders {orders}"), exit::OK),
        "passes" if fact.count > 0 => (format!("{} positions would be in it", fact.count), exit::OK),
        "passes" => ("the gate would let it pass now; nothing was done".into(), exit::OK),
        "refused" => (format!("refused by the gate: {}", refused.as_deref().unwrap_or("?")), exit::REFUSED),
        "left" => (
            format!("{} positions are left{because}; orders so far: {orders}; the scope stays reduce-only", fact.count),
            exit::UNKNOWN_ORDERS,
        ),
        "no_desk" => ("no strategy `manual` runs: the order has nobody to belong to".into(), exit::FAILED),
        "busy" => (format!("another flatten runs: wait for its end, or flatten --all; {REDUCES}"), exit::FAILED),
        "too_many" => (
            format!(
                "more positions than a flatten takes at once: flatten in parts; {REDUCES}; of adjustments, no more fit into this day"
            ),
            exit::FAILED,
        ),
        "expired" => (format!("the loop took it too late: nothing was done; of a flatten, {REDUCES}"), exit::FAILED),
        "malformed" => ("the data plane knows no such scope, side or time in force".into(), exit::FAILED),
        other => {
            let so_far = if other.is_empty() { "nothing yet" } else { other };
            let taken = if fact.taken { "has taken it" } else { "has not taken it yet, and may still" };
            (
                format!(
                    "the data plane {taken}; it said {so_far}: look (`tern orders`, `tern journal cat --kind manual_outcome`)"
                ),
                exit::UNHEALTHY,
            )
        }
    };
    let mut json = json!(fact);
    json["done"] = json!(code == exit::OK && fact.outcome != "passes");
    Outcome { text: text + "\n", json, code }
}
