//! `tern journal retention` and `forget`: what is deleted of the journal, and what holds that back.

use std::path::Path;

use serde_json::{Value, json};
use tern_config::Date;
use tern_config::facts::RetentionFact;
use tern_journal::retention::{Hold, Plan, plan};
use tern_journal::{Deletion, JournalError, Seal, deletions, followers, hex};

use crate::indexed::damaged;
use crate::outcome::{Failure, Outcome, exit};
use crate::table::{Align, Table, grouped, tai_time};

fn date(day: u32) -> String {
    Date { days: day }.to_string()
}

/// What is deleted, held back and there.
///
/// # Errors
/// Exit code 4 when the journal is damaged, 1 when it cannot be read.
pub(crate) fn show(folder: &Path, retain_days: u32) -> Result<Outcome, Failure> {
    if !folder.is_dir() {
        return Err(Failure::failed(format!("{}: there is no journal", folder.display())));
    }
    let plan = plan(folder, retain_days).map_err(damaged)?;
    let deleted = deletions(folder).map_err(|(_, error)| damaged(error))?;
    let followers = followers(folder).map_err(damaged)?;
    let mut text = String::new();
    for deletion in deleted.iter().rev() {
        text.push_str(&deletion_text(deletion));
    }
    if !plan.leftovers.is_empty() {
        let count = plan.leftovers.len();
        text.push_str(&format!("{count} segments of deleted days are still there: ternd removes them\n"));
    }
    text.push_str(&first_text(&plan));
    text.push_str(&match retain_days {
        0 => "everything is kept (journal.retain_days = 0)\n".to_owned(),
        days => format!("{days} days are kept beside the open one; {} before them\n", plan.due_days.len()),
    });
    match &plan.delete {
        Some(seal) => text.push_str(&format!(
            "to be deleted: {} segments, {} bytes, up to day {}, seq {}; ternd does that within a minute\n",
            plan.segments,
            grouped(plan.bytes),
            date(seal.day),
            seal.head.last_seq
        )),
        None => text.push_str("nothing is to be deleted now\n"),
    }
    plan.held_by.iter().for_each(|hold| text.push_str(&hold_text(hold)));
    if !followers.is_empty() {
        let mut table = Table::new(&[
            ("follower", Align::Left),
            ("needs seq", Align::Right),
            ("said so", Align::Left),
            ("what it is", Align::Left),
        ]);
        for follower in &followers {
            table.row(vec![
                follower.name.clone(),
                grouped(follower.needs_seq),
                tai_time(follower.told_tai_ns),
                follower.who.clone(),
            ]);
        }
        text.push_str(&table.render());
    }
    let followers: Vec<Value> = (followers.iter())
        .map(|follower| {
            json!({ "name": follower.name, "needs_seq": follower.needs_seq, "told_tai_ns": follower.told_tai_ns,
                "who": follower.who })
        })
        .collect();
    let json = json!({
        "retain_days": retain_days,
        "first": { "segment": plan.beginning.segment, "seq": plan.first.0, "tai_ns": plan.first.1,
            "day": plan.first_day.or(plan.open_day).map(date) },
        "open_day": plan.open_day.map(date),
        "due_days": plan.due_days.iter().map(|day| date(*day)).collect::<Vec<_>>(),
        "delete": plan.delete.as_ref().map(|seal| json!({ "segments": plan.segments, "bytes": plan.bytes,
            "day": date(seal.day), "through_segment": seal.head.segment, "through_seq": seal.head.last_seq })),
        "held_by": plan.held_by.iter().map(hold_json).collect::<Vec<_>>(),
        "leftovers": plan.leftovers, "followers": followers,
        "deletions": deleted.iter().rev().map(deletion_json).collect::<Vec<_>>(),
    });
    Ok(Outcome::ok(text, json))
}

fn first_text(plan: &Plan) -> String {
    match plan.first {
        (0, _) => "the journal has no record\n".to_owned(),
        (seq, tai_ns) => {
            let day = plan.first_day.or(plan.open_day).map_or_else(String::new, |day| format!("day {}, ", date(day)));
            format!(
                "the journal begins with {day}segment {}, seq {seq}, {}\n",
                plan.beginning.segment,
                tai_time(tai_ns)
            )
        }
    }
}

fn hold_text(hold: &Hold) -> String {
    match hold {
        Hold::Follower(follower) => format!(
            "HELD BACK by follower {} ({}), which still needs seq {}: start it, or `tern journal forget {}` if it is no more\n",
            follower.name, follower.who, follower.needs_seq, follower.name
        ),
        Hold::Damage(damage) => format!("HELD BACK by damage, kept as it is: {damage}\n"),
        Hold::NoEnd => {
            "HELD BACK by a day without an end: it has no seal (`tern journal verify`), or its run went on into the \
             next day; it goes with the next day that has one\n"
                .into()
        }
    }
}

fn hold_json(hold: &Hold) -> Value {
    match hold {
        Hold::Follower(follower) => json!({ "follower": follower.name, "needs_seq": follower.needs_seq }),
        Hold::Damage(damage) => json!({ "damage": damage.to_string() }),
        Hold::NoEnd => json!({ "no_end": true }),
    }
}

/// One line of what was deleted.
pub(crate) fn deletion_text(deletion: &Deletion) -> String {
    let Deletion { at_tai_ns, retain_days, first_segment, first_seq, seal, .. } = deletion;
    format!(
        "deleted {}: segments {first_segment} to {}, seq {first_seq} to {}, up to day {} ({retain_days} were kept)\n",
        tai_time(*at_tai_ns),
        seal.head.segment,
        seal.head.last_seq,
        date(seal.day)
    )
}

/// The same for programs.
pub(crate) fn deletion_json(deletion: &Deletion) -> Value {
    let Deletion { at_tai_ns, retain_days, first_segment, first_seq, first_tai_ns, seal, .. } = deletion;
    let Seal { instance, day, head, .. } = seal;
    json!({ "tai_ns": at_tai_ns, "retain_days": retain_days, "first_segment": first_segment, "first_seq": first_seq,
        "first_tai_ns": first_tai_ns, "last_segment": head.segment, "last_seq": head.last_seq,
        "last_tai_ns": head.last_tai_ns, "records": head.records, "day": date(*day), "instance": instance,
        "chain": hex(&head.chain), "file": format!("seals/{}", deletion.file_name()) })
}

/// Takes a follower away.
///
/// # Errors
/// When there is none of that name, or its file cannot be removed.
pub(crate) fn forget(folder: &Path, name: &str) -> Result<Outcome, Failure> {
    match tern_journal::forget(folder, name) {
        Ok(true) => {
            let text =
                format!("{name} is forgotten: no day of the journal is kept for it. If it runs, it says so again\n");
            Ok(Outcome { text, json: json!({ "forgotten": name }), code: exit::OK })
        }
        Ok(false) => {
            let known = followers(folder).map_err(Failure::failed)?;
            let known: Vec<&str> = known.iter().map(|follower| follower.name.as_str()).collect();
            let known =
                if known.is_empty() { "there is none".to_owned() } else { format!("there are: {}", known.join(", ")) };
            Err(Failure::usage(format!("{}: no follower `{name}`; {known}", folder.display())))
        }
        Err(error @ JournalError::Damaged(_)) => Err(damaged(error)),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// What `tern status` says where something is wrong with deleting.
pub(crate) fn problem(fact: &RetentionFact) -> Option<String> {
    if !fact.trouble.is_empty() {
        return Some(format!("the first days of the journal are not deleted: {}", fact.trouble));
    }
    (fact.held_days > 0).then(|| {
        format!(
            "{} days of the journal are to be deleted and held back by {}; `tern journal retention` says more",
            fact.held_days,
            fact.held_by.join("; ")
        )
    })
}

/// What `tern status` says of the journal's first day.
pub(crate) fn line(fact: &RetentionFact) -> String {
    let mut text = format!("segment {}, seq {}, {}", fact.first_segment, fact.first_seq, tai_time(fact.first_tai_ns));
    if fact.deleted_tai_ns > 0 {
        text.push_str(&format!("; those before were deleted {}", tai_time(fact.deleted_tai_ns)));
    }
    text
}
