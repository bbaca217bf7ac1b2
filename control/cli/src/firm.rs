//! `tern firm`: the firm's limits over several instances of this host. What is shown is read from the files and segments; what
//! moves goes through the daemon of the instance that gives.

use serde_json::{Value, json};
use tern_config::facts::{self, DataplaneFacts};
use tern_config::firm::{ALLOTTED, Firm, Member};
use tern_config::ledger::{self, Ledger, Move};
use tern_config::protocol::{Answer, Ask};
use tern_config::{Config, Paths};
use tern_hw::segment::SegmentView;

use crate::args::{FirmVerb, Which};
use crate::control::ask_at;
use crate::outcome::{Failure, Outcome, exit};
use crate::risk::{InForce, shown};
use crate::table::{Align, Table};

/// Carries a verb out.
///
/// # Errors
/// Exit code 2 for a wrong configuration or firm file, 3 when no daemon answers, 8 without the role, 1 when it cannot be done.
pub(crate) fn run(which: &Which, verb: &FirmVerb) -> Result<Outcome, Failure> {
    let file = which.config.as_ref().ok_or_else(|| Failure::usage("of which firm? give --config FILE"))?;
    let config = Config::load(file).map_err(Failure::usage)?;
    let firm = config.load_firm().map_err(Failure::usage)?;
    let firm = firm.ok_or_else(|| {
        Failure::usage(format!("{}: there is no [firm]: the instance's limits are the firm's", file.display()))
    })?;
    match verb {
        FirmVerb::Show => show(&firm),
        FirmVerb::Move { limit, from, to, amount, why } => {
            let giver = paths_of(&firm, from)?;
            let (limit, to) = (limit.clone(), to.clone());
            let answer = ask_at(&giver, Ask::MoveAllotment { limit, to, amount: *amount, why: why.clone() })?;
            outcome(&firm, answer, "moved")
        }
        FirmVerb::Finish => {
            let moving = half_done(&firm)?;
            outcome(&firm, ask_at(&paths_of(&firm, &moving.from)?, Ask::FinishMove)?, "moved")
        }
        FirmVerb::Undo => {
            let moving = half_done(&firm)?;
            // Any daemon of the firm can: nothing is given or taken.
            let giver = ask_at(&paths_of(&firm, &moving.from)?, Ask::UndoMove);
            let answer = match giver {
                Err(failure) if failure.code == exit::UNHEALTHY => ask_at(&paths_of(&firm, &moving.to)?, Ask::UndoMove),
                other => other,
            };
            outcome(&firm, answer?, "undone")
        }
    }
}

fn paths_of(firm: &Firm, name: &str) -> Result<Paths, Failure> {
    let known = || firm.instance.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
    let member = firm.member(name);
    let member =
        member.ok_or_else(|| Failure::usage(format!("no instance `{name}` in the firm; it has: {}", known())))?;
    Ok(member.paths())
}

/// The ledger, as it is written now.
fn look(firm: &Firm) -> Result<Ledger, Failure> {
    let path = &firm.firm.ledger;
    match ledger::look(path) {
        Ok(Some(ledger)) => Ok(ledger),
        Ok(None) => Err(Failure::not_running(format!(
            "{}: there is no ledger: no ternd of the firm has started a data plane since the host did",
            path.display()
        ))),
        Err(error) => Err(Failure::failed(format!("{}: the ledger cannot be read: {error}", path.display()))),
    }
}

fn half_done(firm: &Firm) -> Result<Move, Failure> {
    look(firm)?.moving.ok_or_else(|| Failure::failed("no move is half done"))
}

fn outcome(firm: &Firm, answer: Answer, what: &str) -> Result<Outcome, Failure> {
    let Answer::Allotment { done, message } = answer else {
        return Err(Failure::failed(format!("ternd gave an answer to another question: {answer:?}")));
    };
    if !done {
        let json = json!({ "verdict": "half_done", "message": message });
        return Ok(Outcome { text: format!("{message}\n"), json, code: exit::UNHEALTHY });
    }
    let mut shown = show(firm)?;
    let advice = "[limits] of the one that gave must be within its allotment before its next start; the one that got it \
                  loosens by `tern risk set`, and in its file";
    shown.text = match what {
        "moved" => format!("moved; {advice}\n{}", shown.text),
        _ => format!("{what}\n{}", shown.text),
    };
    if let Some(object) = shown.json.as_object_mut() {
        object.insert("verdict".into(), json!(what));
        object.insert("message".into(), Value::Null);
    }
    Ok(Outcome { code: exit::OK, ..shown })
}

/// Who may use how much of what.
fn show(firm: &Firm) -> Result<Outcome, Failure> {
    let ledger = look(firm)?;
    let wrong = ledger.check(firm).err();
    let members: Vec<(&Member, Option<InForce>)> =
        firm.instance.iter().map(|member| (member, in_force(member))).collect();
    let mut table = Table::new(&[
        ("limit", Align::Left),
        ("instance", Align::Left),
        ("allotment", Align::Right),
        ("in force", Align::Right),
        ("used", Align::Right),
    ]);
    let mut limits = Vec::new();
    for limit in ALLOTTED {
        let cell = |value: Option<i64>| value.map_or_else(|| "-".into(), |value| shown(limit, value));
        let (total, left) = (firm.total_of(limit), ledger.left(firm, limit));
        table.row(vec![limit.into(), "total".into(), shown(limit, total), String::new(), String::new()]);
        let mut instances = Vec::new();
        for (member, in_force) in &members {
            let held = ledger.held.get(&member.name).and_then(|held| held.get(limit)).copied();
            let found = in_force.as_ref().and_then(|in_force| in_force.limit(limit));
            let (value, used) = (found.map(|found| found.value), found.and_then(|found| found.used));
            table.row(vec![String::new(), member.name.clone(), cell(held), cell(value), cell(used)]);
            let ceiling = ledger.ceiling(&member.name, limit);
            instances.push(json!({
                "instance": member.name, "allotment": held, "ceiling": ceiling, "in_force": value, "used": used,
            }));
        }
        table.row(vec![String::new(), "left".into(), shown(limit, left), String::new(), String::new()]);
        limits.push(json!({ "limit": limit, "total": total, "left": left, "instances": instances }));
    }
    let mut text = table.render();
    if let Some(moving) = &ledger.moving {
        text.push_str(&format!(
            "HALF DONE: {} of {} from {} to {}, begun by uid {}: {}\n  `tern firm finish` finishes it, `tern firm undo` \
             forgets it; until then neither may use it\n",
            shown(&moving.limit, moving.amount),
            moving.limit,
            moving.from,
            moving.to,
            moving.uid,
            moving.why
        ));
    }
    if let Some(wrong) = &wrong {
        text.push_str(&format!("PROBLEM: {}: {wrong}\n", firm.firm.ledger.display()));
    }
    let is_well = wrong.is_none() && ledger.moving.is_none();
    let json = json!({
        "firm": firm.firm.name, "ledger": firm.firm.ledger, "limits": limits, "moving": ledger.moving, "problem": wrong,
    });
    Ok(Outcome { text, json, code: if is_well { exit::OK } else { exit::UNHEALTHY } })
}

/// What a data plane said last; `None` where there is no segment that can be looked at.
fn in_force(member: &Member) -> Option<InForce> {
    let paths = member.paths();
    let view = SegmentView::open(&member.name, paths.segment_file()).ok()?;
    let words = view.segment().ok()?;
    let said: Option<DataplaneFacts> = facts::read(&paths.dataplane_facts()).unwrap_or_default();
    InForce::read(&words, &said.unwrap_or_default().names)
}
