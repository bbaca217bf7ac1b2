//! `tern risk set`: all of it, or nothing; by the daemon, which knows who asks.

use serde_json::{Value, json};
use tern_config::protocol::{Answer, Ask, LimitsVerdict};

use super::diff;
use super::in_force::InForce;
use super::wanted::{changes, not_set, not_set_text};
use crate::control::ask;
use crate::outcome::{Failure, Outcome, exit};
use crate::target::Target;

/// Sets limits if those of `epoch` (without it, those in force at this look) are still in force.
///
/// # Errors
/// Exit code 2 for a wrong file or wrong pairs, 3 when no daemon answers, 1 when it cannot do it.
pub(crate) fn set(target: &Target, source: &[String], why: &str, epoch: Option<u32>) -> Result<Outcome, Failure> {
    let view = target.segment()?;
    let words = view.segment().map_err(Failure::failed)?;
    let before = InForce::find(target, &words)?;
    let changes = changes(&before, source)?;
    let effects = diff::effects(&before, &changes);
    let epoch_seen = epoch.unwrap_or(before.state.epoch);
    let text = diff::describe(&before, &changes, &effects) + &not_set_text(source);
    let mut json = diff::json(&before, &changes, &effects);
    json["not_set"] = not_set(source).into();
    let (verdict, epoch, message) = if changes.is_empty() && epoch_seen == before.state.epoch {
        (None, epoch_seen, String::new())
    } else {
        let values = changes.iter().map(|change| (change.name.clone(), change.to)).collect();
        match ask(target, Ask::SetLimits { epoch: epoch_seen, values, why: why.into() })? {
            Answer::Limits { verdict, epoch, message } => (Some(verdict), epoch, message),
            other => return Err(Failure::failed(format!("ternd gave an answer to another question: {other:?}"))),
        }
    };
    Ok(told(text, json, verdict, (epoch_seen, epoch), message))
}

/// What came of it, behind what would change.
pub(super) fn told(
    mut text: String,
    mut json: Value,
    verdict: Option<LimitsVerdict>,
    (epoch_seen, epoch): (u32, u32),
    message: String,
) -> Outcome {
    let (name, code) = match verdict {
        None => ("nothing_to_change", exit::OK),
        Some(LimitsVerdict::Set) => ("set", exit::OK),
        Some(LimitsVerdict::Stale) => ("stale_epoch", exit::LIMITS_CHANGED),
        Some(LimitsVerdict::Role) => ("role", exit::ROLE),
        Some(LimitsVerdict::Refused) => ("refused", exit::FAILED),
        Some(LimitsVerdict::Waiting) => ("waiting", exit::UNHEALTHY),
    };
    text.push_str(&match verdict {
        None => String::new(),
        Some(LimitsVerdict::Set) => format!("set, all of it: epoch {epoch} is in force\n"),
        Some(_) => format!("{message}\n"),
    });
    if let Some(object) = json.as_object_mut() {
        object.insert("verdict".into(), json!(name));
        object.insert("epoch_seen".into(), json!(epoch_seen));
        object.insert("epoch".into(), json!(epoch));
        object.insert("message".into(), if message.is_empty() { Value::Null } else { json!(message) });
    }
    Outcome { text, json, code }
}
